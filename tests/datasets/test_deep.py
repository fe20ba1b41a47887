"""Pictures of 16 bits a channel that hold fewer bits: one scale for a set, kept in the run."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cmo_tf import datasets
from cmo_tf.config import parse
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import deep
from cmo_tf.datasets.decode import read_image
from cmo_tf.run import data as run_data
from cmo_tf.run import split_file
from tests.support.program import program


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(values, sbit=None):
    """Bytes of a 16-bit PNG of uint16 (H, W) or (H, W, 3 or 4)."""
    height, width, *channels = values.shape
    kind = {(): 0, (2,): 4, (3,): 2, (4,): 6}[tuple(channels)]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    extra = b"" if sbit is None else chunk(b"sBIT", bytes([sbit] * (channels[0] if channels else 1)))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)) + extra
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def ramp(bits, channels=(), brightness=1.0):
    """uint16 values that fill `bits` bits."""
    values = np.linspace(0, brightness * (2**bits - 1), 64).round().astype(np.uint16).reshape(8, 8)
    return np.stack([values] * channels[0], axis=-1) if channels else values


def folder_of(root, pictures):
    for name, content in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def two_classes(root, bright, dark=None, **options):
    dark = bright if dark is None else dark
    return folder_of(root, {f"{name}/{k}.png": png(bright if k else dark, **options)
                            for name in ("a", "b") for k in range(3)})


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("bits", deep.BITS)
def test_the_upper_eight_of_the_bits_that_it_holds(bits, channels, tmp_path):
    values = ramp(bits, channels)
    two_classes(tmp_path, values)
    source = datasets.load(f"folder:{tmp_path}", image_size=7)
    assert source.bits == bits and source.train.images.shape[1:] == (8, 8, 3)
    expected = (values >> (bits - 8)).astype(np.uint8).reshape(8, 8, -1)
    assert np.array_equal(source.train.images[0], np.broadcast_to(expected, (8, 8, 3)))
    assert any(f"pictures of 16 bits a channel: 6; they hold {bits} bits" in note for note in source.notes)


def test_one_scale_for_all(tmp_path):
    """A dark picture stays dark, and pictures of 8 bits are left alone."""
    two_classes(tmp_path, ramp(12), dark=ramp(12, brightness=0.01))
    Image.fromarray(np.full((8, 8), 77, np.uint8)).save(tmp_path / "a" / "plain.png")
    source = datasets.load(f"folder:{tmp_path}", image_size=7)
    means = sorted({round(float(image.mean())) for image in (*source.train.images, *source.test.images)})
    assert source.bits == 12 and means == [1, 77, 128]


@pytest.mark.parametrize("sbit, values, bits", [(12, ramp(9), 12), (10, ramp(10), 10), (12, ramp(16), 16),
                                                (5, ramp(5), 8), (16, ramp(10), 16), (11, ramp(10), 11)])
def test_sbit(sbit, values, bits, tmp_path):
    """What is declared, unless the values do not keep within it: PNG wants them stretched to 16 bits."""
    two_classes(tmp_path, values, sbit=sbit)
    assert deep.scale_of([str(path) for path in tmp_path.rglob("*.png")]).bits == bits


def test_transparency_does_not_count(tmp_path):
    values = np.concatenate([ramp(10, (3,)), np.full((8, 8, 1), 65535, np.uint16)], axis=-1)
    two_classes(tmp_path, values)
    source = datasets.load(f"folder:{tmp_path}", image_size=7)
    assert source.bits == 10


def test_pictures_beyond_the_scale_are_white():
    assert read_image(png(ramp(16)), 8, bits=10, channels=1).max() == 255
    assert (read_image(png(np.full((8, 8, 3), 4000, np.uint16)), 8, bits=10) == 255).all()


def test_damage_is_named(tmp_path):
    whole = png(ramp(12, (3,)))
    for cut in (whole[:-30], whole[:60], whole[:33]):
        with pytest.raises(UserError, match="picture: not a readable"):
            read_image(cut, 8, bits=12, name="picture")


def test_orientation_is_followed():
    exif = Image.Exif()
    exif[0x0112] = 6
    for channels in ((), (3,)):
        out = io.BytesIO()
        Image.new("L", (8, 8)).save(out, "PNG", exif=exif)
        mark = out.getvalue()[out.getvalue().index(b"eXIf") - 4:]
        data = png(ramp(12, channels))
        turned = data[:33] + mark[:12 + int.from_bytes(mark[:4], "big")] + data[33:]
        assert np.array_equal(read_image(turned, 8, bits=12), np.rot90(read_image(data, 8, bits=12), -1))


def test_the_run_keeps_the_scale(tmp_path):
    """Also where the picture that set it is gone, or a brighter one has come."""
    two_classes(tmp_path / "set", ramp(12))
    config = parse([f"--dataset=folder:{tmp_path / 'set'}", "--image_size=7"])[0]
    data = split_file.write(str(tmp_path), run_data.load(config))
    assert split_file.bits(str(tmp_path)) == 12 and json.loads((tmp_path / "data.json").read_text())["bits"] == 12
    folder_of(tmp_path / "set", {"a/9.png": png(ramp(16))})
    again = run_data.load(config, split_file.read(str(tmp_path)))
    assert np.array_equal(again.train.images, data.train.images)
    assert not np.array_equal(run_data.load(config).train.images[0], data.train.images[0])


def test_inspect_shows_it(tmp_path):
    two_classes(tmp_path / "set", ramp(10))
    ended = program("--mode=inspect", f"--dataset=folder:{tmp_path / 'set'}", f"--run_dir={tmp_path / 'look'}",
                    "--image_size=16", "--epochs=1", "--model=resnet20")
    assert ended.code == 0, ended.err
    assert "pictures of 16 bits a channel: 6; they hold 10 bits (their largest value is 1023)" in ended.out
    assert json.loads((tmp_path / "look" / "inspect.json").read_text())["deep"]["bits"] == 10
    assert "they hold 10 bits" in (tmp_path / "look" / "inspect.md").read_text()
