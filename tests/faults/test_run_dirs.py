"""`--run_dir` may be anything: it is refused in one line before any data is read, or all of the program works in it."""

import contextlib
import os
import stat

import pytest

from cmo_tf.report.results import read_results
from tests.support.method_runs import TINY
from tests.support.program import program

pytestmark = pytest.mark.usefixtures("small_networks")
TWO_STEPS = [*TINY, "--max_steps=2"]


@pytest.fixture
def no_data(monkeypatch):
    """Reading data is an error that no UserError is."""
    from cmo_tf.inspection import findings
    from cmo_tf.run import run
    from cmo_tf.serving import preview

    def load(*_):
        raise AssertionError("data was read")
    monkeypatch.setattr(run.run_data, "load", load)
    monkeypatch.setattr(preview.run_data, "load", load)
    monkeypatch.setattr(findings, "look", load)


@contextlib.contextmanager
def another_user():
    """Root may write everywhere: what follows is done by one who may not."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def found(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def assert_refused(path, words, *arguments) -> None:
    ended = program(*TINY, f"--run_dir={path}", *arguments)
    assert ended.code == 2 and ended.out == ""
    assert ended.err.startswith("cmo_tf: --run_dir=") and ended.err.count("\n") == 1, ended.err
    assert words in ended.err


MODES = ["train", "inspect", "preview"]


@pytest.mark.parametrize("mode", MODES)
def test_what_is_no_folder_is_refused_before_data_is_read(mode, tmp_path, no_data):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = found(tmp_path)
    for name, words in (("file", "File exists"), ("file/run", "Not a directory"), ("dangling", "cannot be written"),
                        ("loop", "cannot be written"), ("x" * 256, "File name too long"),
                        ("/".join(["y" * 200] * 21), "File name too long")):
        assert_refused(tmp_path / name, words, f"--mode={mode}")
    assert "name another folder" in program(*TINY, f"--run_dir={tmp_path / 'file'}").err
    assert found(tmp_path) == [*before, *found_deep(tmp_path, before)]
    assert (tmp_path / "file").read_text() == "mine"


def found_deep(folder, before):
    """The upper folders of the path that is too long only as a whole."""
    return [name for name in found(folder) if name not in before and set(name) <= {"y", "/"}]


def test_a_path_that_only_its_files_make_too_long(tmp_path, no_data):
    """The folder itself can be made; checkpoints in it could not."""
    deep = path_of_length(tmp_path, os.pathconf("/", "PC_PATH_MAX") - 60)
    assert_refused(deep, "File name too long")
    assert not deep.exists() and deep.parent.exists()


def path_of_length(folder, length):
    parts, rest = divmod(length - len(str(folder)), 201)
    return folder.joinpath(*["z" * 200] * (parts - 1), "z" * (100 + rest // 2), "z" * (99 + rest - rest // 2))


@pytest.mark.parametrize("mode", MODES)
def test_a_folder_that_must_not_be_written(mode, tmp_path, no_data):
    shut, shut_inside = tmp_path / "shut", tmp_path / "shut_inside"
    (shut_inside / "checkpoints").mkdir(parents=True)
    shut.mkdir()
    for folder in (tmp_path, *tmp_path.parents):  # pytest's are its own user's
        if not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    shut_inside.chmod(0o777)
    shut.chmod(0o555)
    (shut_inside / "checkpoints").chmod(0o555)
    before = found(tmp_path)
    with another_user():
        assert_refused(shut, "Permission denied", f"--mode={mode}")
        assert_refused(shut / "run", "Permission denied", f"--mode={mode}")
        assert_refused(shut_inside, "Permission denied", f"--mode={mode}")
    assert found(tmp_path) == before
    shut.chmod(0o755)


def test_names_that_cannot_be_told_are_refused(tmp_path, no_data):
    for name, words in (("a\nb", "line break"), (" a", "blank"), ("a ", "blank"), ("a\x1b[2J", "control character"),
                        ("a\udcffb", "not text in UTF-8"), ("a #1", "a comment")):
        path = name if name.startswith(" ") else f"{tmp_path}/{name}"
        assert_refused(path, words)
    assert_refused("gs://bucket/run", "no folder of this machine")
    assert_refused("file:///tmp/run", "no folder of this machine")
    assert found(tmp_path) == []


def test_a_flag_file_gives_no_name_that_cannot_be_told(tmp_path, no_data, monkeypatch):
    """The default folder has the name of the flag file."""
    monkeypatch.chdir(tmp_path)
    for name in ("a\nb.cfg", "a\udcffb.cfg"):
        (tmp_path / name).write_text("\n".join(TINY))
        ended = program("--flagfile", name)
        assert ended.code == 2 and ended.err.startswith("cmo_tf: --run_dir=") and ended.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def assert_all_works(run_dir) -> None:
    """Training, going on, looking again, evaluation and report."""
    assert program(*TWO_STEPS, f"--run_dir={run_dir}").code == 0
    ended = program(*TINY, "--max_steps=3", f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    assert f"resuming at step 2 of 3, 5 steps an epoch, into {run_dir}" in (run_dir / "log.txt").read_text()
    assert read_results(str(run_dir))["resumed_from_steps"] == [2]
    evaluated = program("--mode=eval", f"--run_dir={run_dir}")
    assert evaluated.code == 0 and evaluated.out == ended.out
    names = {path.name for path in run_dir.iterdir()}
    assert {"results.json", "report.html", "report.md", "model.keras", "panel.png", "flags.cfg"} <= names
    assert [path for path in (run_dir / "tensorboard").iterdir() if ".tfevents." in path.name]
    assert not [name for name in names if "tmp" in name]


def test_blanks_quotes_and_other_letters(tmp_path):
    assert_all_works(tmp_path / """it's  "our" Löwe 狮子 🦁 [1] 100% {x} $HOME `w` \\ * ?; & <b>""" / "run, 2")


@pytest.mark.faults
@pytest.mark.parametrize("name", [
    "-/--epochs=3/.../~/.hidden/=1+1", "שלום עליكم/e\u0301 and \u200b/a\tb/%s%d/%2e%2e/{0}",
    "[ab]*/a|b/<script>alert(1)<script>/a=b/CON:/s3:/runs.cfg/checkpoints", "x" * 255],
    ids=["command lines", "letters", "signs", "long"])
def test_more_names(name, tmp_path):
    assert_all_works(tmp_path / name)


@pytest.mark.faults
def test_the_longest_path_that_can_hold_a_run(tmp_path):
    """One that is refused is refused at once; one that is taken holds everything."""
    limit = os.pathconf("/", "PC_PATH_MAX")
    for spare in (110, 116, 122, 220):
        run_dir = path_of_length(tmp_path, limit - spare)
        ended = program(*TWO_STEPS, f"--run_dir={run_dir}")
        assert ended.code == 0 or (ended.err.startswith("cmo_tf: --run_dir=") and ended.err.count("\n") == 1), ended.err
        assert (ended.code == 0) == (spare >= 116) == os.path.exists(run_dir / "report.html")
