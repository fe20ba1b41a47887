"""Arrays kept on disk: worked out once, gone on with after a kill, never half."""

import os

import numpy as np
import pytest

from cmo_tf.core.errors import UserError
from cmo_tf.pipeline import array_file

ROWS = np.arange(7 * 3, dtype="float32").reshape(7, 3)


class Maker:
    """Rows in batches of two, and from where it was asked for them."""

    def __init__(self, fail_at=None):
        self.starts, self.fail_at = [], fail_at

    def __call__(self, start):
        self.starts.append(start)
        for first in range(start, 7, 2):
            if first == self.fail_at:
                raise KeyboardInterrupt
            yield ROWS[first:first + 2]


def kept(folder, maker, shape=(7, 3)):
    return array_file.kept(str(folder), "digest", shape, maker, 2)


def test_worked_out_once_and_mapped(tmp_path):
    maker = Maker()
    for _ in range(2):
        found = kept(tmp_path / "new", maker)
        assert isinstance(found, np.memmap) and found.dtype == np.float32
        np.testing.assert_array_equal(found, ROWS)
    assert maker.starts == [0]
    np.testing.assert_array_equal(np.load(tmp_path / "new" / "digest.npy"), ROWS)


@pytest.mark.parametrize("torn", [0, 5])
def test_an_interrupted_one_goes_on(tmp_path, torn):
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path, Maker(fail_at=4))
    assert not (tmp_path / "digest.npy").exists()
    with open(tmp_path / "digest.part", "ab") as file:
        file.write(b"x" * torn)  # a row that was cut off
    maker = Maker()
    np.testing.assert_array_equal(kept(tmp_path, maker), ROWS)
    assert maker.starts == [4] and not (tmp_path / "digest.part").exists()


def test_a_damaged_file_is_worked_out_again(tmp_path):
    kept(tmp_path, Maker())
    os.truncate(tmp_path / "digest.npy", 100)
    maker = Maker()
    np.testing.assert_array_equal(kept(tmp_path, maker), ROWS)
    assert maker.starts == [0]


def test_a_part_of_something_else_is_not_gone_on_with(tmp_path):
    (tmp_path / "digest.part").write_bytes(b"\x93NUMPY something else")
    np.testing.assert_array_equal(kept(tmp_path, Maker()), ROWS)


def test_too_few_rows_and_folders_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(UserError, match="7 rows instead of 8"):
        kept(tmp_path, Maker(), (8, 3))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        kept(tmp_path / "file" / "folder", Maker())
