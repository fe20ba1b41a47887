"""Everything that README.md, BUILD.md and docs/ tell to type works: commands and Python blocks, on small data."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cmo_tf import config
from tests.support.program import ROOT, program
from tests.support.run_fixtures import without_plots
from tests.support.tiny_tfds import crops, load_tool

DOCS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", "BUILD.md", *DOCS]
SHORTER = ["--max_steps=2", "--batch_size=8", "--model=resnet8"]
pytestmark = pytest.mark.usefixtures("networks", "from_nothing")


@pytest.fixture(autouse=True)
def from_nothing(monkeypatch):
    """What is suggested is shortened by another network, which has no ImageNet weights."""
    from cmo_tf.inspection import pretrained
    monkeypatch.setattr(pretrained, "installed", lambda: False)
PROGRAM = ".venv/bin/python -m cmo_tf.main "
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def blocks(page, language) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Lines of all bash blocks, each once, in order."""
    text = "\n".join(block for page in PAGES for block in blocks(page, "bash"))
    return list(dict.fromkeys(line for line in text.split("\n") if line))


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny):
    """A working directory with the project's folders, small data sets in data/, a small ImageNet-LT in imagenet/ and
    pictures in my_pictures/."""
    from PIL import Image

    from tests.support import big_sets
    from tests.support.tiny_tfds import make_tfds_set
    place = tmp_path_factory.mktemp("readme")
    for name in ("flags", "tools", "docs"):
        (place / name).symlink_to(ROOT / name)
    (place / "data").symlink_to(tiny)
    make_tfds_set(tiny, "fashion_mnist", 20, 5)
    big_sets.make_imagenet_tree(place / "imagenet", big_sets.long_tail(6, 12))
    for number, (name, count) in enumerate({"heron": 12, "bittern": 5}.items()):
        (place / "my_pictures" / name).mkdir(parents=True)
        for row, picture in enumerate(crops(np.full(count, number), 2, 48, seed=number)):
            Image.fromarray(picture).save(place / "my_pictures" / name / f"{row}.{'png' if row % 2 else 'jpg'}")
    return place


@pytest.mark.parametrize("command", commands(), ids=lambda c: c.removeprefix(".venv/bin/")[:60])
def test_command(command, place, monkeypatch, tiny):
    monkeypatch.chdir(place)
    if command == "make run":
        run_program(re.search(r"cmo_tf.main (--flagfile=\S+)", MAKEFILE).groups(), tiny)
        assert (place / re.search(r"RUN_DIR \?= (\S+)", MAKEFILE)[1] / "report.html").exists()
    elif command.startswith("make "):
        assert set(command.split()[1:]) <= TARGETS
    elif command.startswith(PROGRAM):
        with without_plots():
            run_program(shlex.split(command.removeprefix(PROGRAM)), tiny)
    elif command.startswith(".venv/bin/python -m pytest "):
        assert all((ROOT / part).exists() for part in command.split()[3:])
    elif command.startswith("KERAS_BACKEND="):  # tests/backends/test_example.py runs it
        assert (ROOT / command.split()[2]).exists() and command.split()[2].startswith("examples/")
    elif command.startswith(".venv/bin/python tools/"):
        run_tool(monkeypatch, *shlex.split(command)[1:])
    else:
        OTHERS[command](place)


def shortened(arguments) -> list[str]:
    """Flags that bring a run down to seconds; none where a run that is there says them."""
    text = " ".join(arguments)
    if "suggested.cfg" in text:
        return ["--max_steps=2", "--image_size=32", "--model=resnet8"]  # suggested as without ImageNet weights
    if "--mode=" in text or "/flags.cfg" in text:
        return []
    # Two replicas and colour jitter take a minute to trace, and have tests of their own.
    large = ["--image_size=32", "--strategy=none", "--augment=resized_crop_flip"]
    return [*SHORTER, *large] if "imagenet" in text else SHORTER


def run_program(arguments, tiny) -> None:
    if "--strategy=multiworker" in arguments:  # tests/distribution/test_multiworker.py starts the workers
        config.parse(arguments)
        return
    short = shortened(arguments)
    if "cifar" in " ".join(arguments) and not any("--data_dir" in a for a in arguments):
        arguments = [*arguments, f"--data_dir={tiny}"]
    ended = program(*arguments, *short)
    assert ended.code == 0, ended.err
    if not any(a == "--show_flags" or a.startswith("--mode=") and a != "--mode=eval" for a in arguments):
        assert ended.out.splitlines()[-1].startswith("accuracy: all=")


def run_tool(monkeypatch, path, *arguments) -> None:
    name = path.removeprefix("tools/").removesuffix(".py")
    tool = load_tool(name)
    given = dict(a.removeprefix("--").partition("=")[::2] for a in arguments if a.startswith("--"))
    if name == "prepare_data":  # its flags and downloads have tests of their own
        assert set(given) == {"dataset", "data_dir"}
        assert "already prepared" in tool.prepare(given["dataset"], given["data_dir"])
    elif name == "sweep":  # every row is a run of its own
        rows = []
        monkeypatch.setattr(tool, "sweep", lambda found, runs, kept, extra, again, program: rows.extend(
            config.parse([*row.arguments, *extra])[0] for row in found) or 0)
        assert tool.main(list(arguments)) == 0 and len(rows) >= 4
    elif name == "maintain/q_cost":
        assert tool.main([*arguments, "--num_classes=4", "--max_count=50", "--images=128"]) == 0
    elif name == "reproduce":
        monkeypatch.setattr(tool, "run_all", run_rows)
        assert tool.main(list(arguments)) == 0
        given = {"out": ".", **given}
        assert "dry_run" in given or Path(given["out"], "table.html").exists()
    elif name == "verify_data":  # the small set is not ImageNet-LT, and that is what it says
        assert tool.main(list(arguments)) == 2
    elif name == "compare_runs":
        assert tool.main(list(arguments)) == 0
    elif name == "serve_example":
        assert tool.main(list(arguments)) in (0, None)
    else:
        raise AssertionError(f"no test knows {path}")


def run_rows(jobs, at_once, logs) -> None:
    """The first row of a table inside this process, shortened; the others differ in flags."""
    ended = program(*load_tool("reproduce").command(*jobs[0])[3:], "--max_steps=2")
    assert ended.code == 0, ended.err


def tensorboard(place) -> None:
    """Comes up and names its address."""
    process = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir=runs", "--port=0"], cwd=place,
                               text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert any("http://" in line for line in process.stderr)
    finally:
        process.kill()
        process.communicate()


def pip_install(place) -> None:
    """The wheel that it makes has the program, the style sheet, the command; without the network."""
    import shutil
    import zipfile
    source = place / "source"  # setuptools leaves folders behind
    shutil.copytree(ROOT / "cmo_tf", source / "cmo_tf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("tests", "tools"):
        (source / name).symlink_to(ROOT / name)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
                    f"--wheel-dir={place}", str(source)], check=True)
    with zipfile.ZipFile(next(place.glob("cmo_tf-0.1.0-*.whl"))) as wheel:
        names = set(wheel.namelist())
        assert {"cmo_tf/main.py", "cmo_tf/report/report.css", "cmo_tf/py.typed"} <= names
        assert not [n for n in names if n.startswith(("tests/", "tools/", "docs/"))]
        told = wheel.read("cmo_tf-0.1.0.dist-info/entry_points.txt").decode()
    assert "cmo-tf = cmo_tf.main:entry" in told


OTHERS = {".venv/bin/tensorboard --logdir=runs": tensorboard, ".venv/bin/python -m pip install .": pip_install}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python_blocks_run(page, place, monkeypatch):
    """In order, each with the names of those before it, as a reader types them; two epochs instead of thirty."""
    monkeypatch.chdir(place)
    names = {"__name__": "readme"}
    for block in blocks(page, "python"):
        exec(compile(block.replace("epochs=30", "epochs=2, verbose=0"), page, "exec"), names)
    if page == "README.md":
        import keras
        assert keras.models.load_model("digits.keras")(names["images"][:2]).shape == (2, 10)


def test_a_folder_of_pictures_in_twenty_lines():
    """What turns a folder into a model with CMO, DRW and the losses in a script of one's own."""
    scripts = [block for page in PAGES for block in blocks(page, "python") if "image_dataset_from_directory" in block]
    for script in scripts:
        assert len([line for line in script.splitlines() if line]) <= 20 and "callbacks.DRW" in script
    assert scripts


@pytest.mark.parametrize("page", ["docs/method_table.md", "docs/methods.md"])
def test_tables_are_current(page):
    """Otherwise: python tools/maintain/docs_tables.py"""
    tool = load_tool("maintain/docs_tables")
    assert (ROOT / page).read_text() == tool.render(ROOT / page)


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    text = (ROOT / page).read_text()
    for path in re.findall(r"`((?:flags|tools|docs|tests|cmo_tf)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([\w/.]+)\)", text):
        assert (ROOT / page).parent.joinpath(path).exists(), path


@pytest.mark.parametrize("page", ["README.md", *DOCS])
def test_flags_that_are_named_exist(page):
    """Of the program, of some tool or example."""
    programs = [*(ROOT / "tools").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    tools = "".join(path.read_text() for path in programs)
    known = {*vars(config.Config()), "help", "helpshort", "helpfull", "show_flags", "flagfile", "name",
             *re.findall(r'(?:DEFINE_\w+\(\s*"|add_argument\("--)(\w+)"', tools)}
    prose = re.sub(r"```bash.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    for name in re.findall(r"--([a-z][a-z0-9_]*)", prose):
        assert name in known or name.removeprefix("no") in known, name


def test_the_readme_is_short_and_promises_no_figure():
    """What differs by processor is not printed as one number."""
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150 and not re.search(r"all=\d", text)
