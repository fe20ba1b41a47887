"""Flag files: what is accepted, and that everything else is refused with file and line."""

import pytest

from cmo_tf import config
from cmo_tf.config import flagfile
from cmo_tf.core.errors import UserError


@pytest.fixture
def write(tmp_path):
    """Function (text or bytes, name) -> path of a flag file."""
    def write_file(content, name="a.cfg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)
    return write_file


def test_what_a_line_may_be(write):
    path = write("# comment --epochs=1\n\n   \n// another\n--epochs=5\n  --lr=0.1  \n\t--nesterov\n--nodownload\n"
                 "--dataset=folder:My Pictures/2024\n--lr_drops=0.8,0.9\n--data_dir=/a=b/c--d/e#f//g")
    assert flagfile.read(path) == ["--epochs=5", "--lr=0.1", "--nesterov", "--nodownload",
                                   "--dataset=folder:My Pictures/2024", "--lr_drops=0.8,0.9",
                                   "--data_dir=/a=b/c--d/e#f//g"]
    assert flagfile.read(write("--epochs=5\r\n# x\r\n--lr=0.1\r\n")) == ["--epochs=5", "--lr=0.1"]
    assert flagfile.read(write("")) == []
    names = ["--data_dir='s-Hertogenbosch", "--run_dir=runs/boys'", "--run_dir=the \"best\" one"]
    assert flagfile.read(write("\n".join(names))) == names
    assert flagfile.read(write("--data_dir=Bücher")) == ["--data_dir=Bücher"]


@pytest.mark.parametrize("content, line, words", [
    (b"\xef\xbb\xbf--epochs=5\n", 1, "byte order mark"),
    ("--lr=0.1\nepochs=5\n", 2, "'epochs=5' is no flag"),
    ("--lr=0.1\n\nsome words\n", 3, "'some words' is no flag"),
    ("-epochs=5", 1, "is no flag"),
    ("--lr=0.1 # the rate\n", 1, "comment behind a flag"),
    ("# fine\n--lr=0.1 // the rate\n", 2, "comment behind a flag"),
    ("--nesterov # yes", 1, "comment behind a flag"),
    ("--lr=0.1 --epochs=5\n", 1, "two flags on one line"),
    ("--nesterov --epochs=5\n", 1, "not of the form|two flags"),
    ("--lr = 0.1\n", 1, "not of the form --name=value"),
    ("--lr 0.1\n", 1, "not of the form --name=value"),
    ("--epochs\n--nesterov yes\n", 2, "not of the form"),
    ("--Epochs=5\n", 1, "not of the form"),
    ("--data_dir=a\x00b\n", 1, "control character"),
    ("--data_dir=a\x1bb\n", 1, "control character"),
    ("--flagfile other.cfg\n", 1, "not of the form"),
    ('--lr=0.1\n--run_dir="runs/x"\n', 2, "quotes would become part of the value.*write --run_dir=runs/x$"),
    ("--run_dir='runs/x'\n", 1, "quotes.*write --run_dir=runs/x$"),
    ("--run_dir=“runs/x”\n", 1, "quotes.*write --run_dir=runs/x$"),
    ('--run_dir="runs/x\n', 1, "quotes.*write --run_dir=runs/x$"),
    ('--dataset=folder:"My Pictures"\n', 1, "quotes.*write --dataset=folder:My Pictures$"),
    ('--lr_drops="0.8","0.9"\n', 1, "quotes.*write --lr_drops=0.8,0.9$"),
    ('--flagfile="other.cfg"\n', 1, "quotes.*write --flagfile=other.cfg$"),
])
def test_refused_lines(write, content, line, words):
    path = write(content)
    with pytest.raises(UserError, match=words) as error:
        flagfile.read(path)
    assert str(error.value).startswith(f"{path}:{line}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("content, line, words", [
    ("\n--epochs=5 stray\n", 2, "--epochs=5 stray: a whole number is needed"),
    ("--lr=fast\n", 1, "--lr=fast: a number is needed"),
    ("--seed=1\n--drop_remainder=maybe\n", 2, "--drop_remainder=maybe: write true or false"),
    ("--epochs=0\n", 1, "--epochs=0 must be at least 1"),
    ("#\n#\n--mix=cmoo\n", 3, "--mix=cmoo: .*did you mean 'cmo'"),
    ("--epoch=3\n", 1, "--epoch: no such flag. Did you mean --epochs"),
    ("--noepochs\n", 1, "--noepochs: no such flag"),
    ("--dataset=digits stray\n", 1, "--dataset=digits stray"),
    ("--lr_drops=0.5,high\n", 1, "--lr_drops: 'high' is no number"),
    ("--method=ce\n--loss=bs\n", 1, "contradicts --loss=bs"),
])
def test_refused_values_are_placed_too(write, content, line, words):
    path = write(content)
    with pytest.raises(UserError, match=words) as error:
        config.parse([f"--flagfile={path}"])
    assert str(error.value).startswith(f"{path}:{line}: ") and "\n" not in str(error.value)


def test_the_place_is_that_of_the_value_meant(write):
    path = write("--epochs=0\n--lr=0.1\n")
    assert config.parse([f"--flagfile={path}", "--epochs=3"])[0].epochs == 3
    for arguments in (["--lr=0", f"--flagfile={path}", "--epochs=-1"], [f"--flagfile={path}", "--epochs=2", "--lr=-1"]):
        with pytest.raises(UserError, match="^--"):  # from the command line
            config.parse(arguments)
    with pytest.raises(UserError, match=f"^{path}:1: --epochs=0"):
        config.parse(["--epochs=3", f"--flagfile={path}"])


def test_files_that_cannot_be_read(write, tmp_path):
    for path, words in [(tmp_path / "none.cfg", "cannot be read.*No such file"), (tmp_path, "cannot be read"),
                        (write(b"--data_dir=\xff\xfe\n"), "not a text file in UTF-8 \\(byte 11\\)")]:
        with pytest.raises(UserError, match=f"--flagfile={path}: {words}"):
            flagfile.read(str(path))


def test_includes_lie_beside_the_including_file(write, tmp_path, monkeypatch):
    write("--epochs=7\n--flagfile=deep/c.cfg\n--lr=0.3\n", "rows/base.cfg")
    write("--epochs=8\n--seed=4\n", "rows/deep/c.cfg")
    write("--epochs=99\n", "base.cfg")  # beside the working directory: not the one meant
    row = write("--seed=1\n--flagfile=base.cfg\n--lr=0.2\n", "rows/row.cfg")
    monkeypatch.chdir(tmp_path)
    flags = ["--seed=1", "--epochs=7", "--epochs=8", "--seed=4", "--lr=0.3", "--lr=0.2"]
    assert flagfile.read(row) == flagfile.read("rows/row.cfg") == flags
    absolute = write(f"--flagfile={row}\n", "absolute.cfg")
    assert flagfile.read(absolute) == flags
    with pytest.raises(UserError, match="rows/deep/gone.cfg: cannot be read"):
        flagfile.read(write("--flagfile=gone.cfg\n", "rows/deep/d.cfg"))
    broken = write("#\n--lr 1\n", "rows/broken.cfg")
    with pytest.raises(UserError, match=f"^{broken}:2: "):
        flagfile.read(write("--flagfile=broken.cfg\n", "rows/e.cfg"))


def test_recursion_is_refused(write):
    itself = write("--flagfile=itself.cfg\n", "itself.cfg")
    with pytest.raises(UserError, match="includes itself by way of itself.cfg"):
        flagfile.read(itself)
    write("--epochs=1\n--flagfile=sub/../b.cfg\n", "a.cfg")
    write("", "sub/x.cfg")
    second = write("--flagfile=a.cfg\n", "b.cfg")
    with pytest.raises(UserError, match="includes itself by way of b.cfg -> a.cfg"):
        flagfile.read(second)
    # The same file twice, one after the other, is no recursion.
    write("--epochs=2\n", "leaf.cfg")
    assert flagfile.read(write("--flagfile=leaf.cfg\n--flagfile=leaf.cfg\n", "twice.cfg")) == ["--epochs=2"] * 2


def test_expand(write, tmp_path):
    path, other = write("--epochs=5\n"), write("--seed=2\n", "b.cfg")
    mixed = flagfile.expand(["--lr=1", f"--flagfile={path}", "--seed=3"])
    assert mixed == (["--lr=1", "--epochs=5", "--seed=3"], [path])
    assert flagfile.expand(["--flagfile", path, "-flagfile", other]) == (["--epochs=5", "--seed=2"], [path, other])
    assert flagfile.expand(["--flagfile=a.cfg"], base=str(tmp_path)) == (["--epochs=5"], [path])
    assert flagfile.expand(["--", f"--flagfile={path}"]) == (["--", f"--flagfile={path}"], [])
    with pytest.raises(UserError, match="--flagfile: the file is missing"):
        flagfile.expand(["--flagfile"])
    with pytest.raises(UserError, match="cannot be read"):
        flagfile.expand(["--flagfile="])
