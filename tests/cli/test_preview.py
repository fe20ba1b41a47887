"""`--mode=preview`: grids of P, Q and mixed images before anything is trained."""

import numpy as np
import pytest
from PIL import Image

from cmo_tf import config as configuration
from cmo_tf.mixing import MIXERS
from cmo_tf.monitoring import tiles
from cmo_tf.run import data as run_data
from cmo_tf.serving import preview
from tests.support.program import SHORT, program, tree
from tests.support.tiny_tfds import crops

ALL = {f"{name}.png" for name in preview.NAMES}


def without(*names) -> list[str]:
    """SHORT but for some flags."""
    return [flag for flag in SHORT if not flag.removeprefix("--").startswith(names)]


def test_a_preview_of_the_flags(tmp_path):
    """Its files and its points in TensorBoard; the same again to the byte, where no point is doubled."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    run_dir = tmp_path / "run"
    ended = program("--mode=preview", *SHORT, f"--run_dir={run_dir}")
    assert ended.code == 0 and ended.err == "", ended.err
    assert ended.out.split() == [str(run_dir / "preview" / f"{name}.png") for name in preview.NAMES]
    assert {p.name for p in (run_dir / "preview").iterdir()} == ALL
    assert {p.name for p in run_dir.iterdir()} == {"preview", "tensorboard"}
    before = {path: digest for path, (_, digest) in tree(run_dir / "preview").items()}
    assert program("--mode=preview", *SHORT, f"--run_dir={run_dir}").code == 0
    assert {path: digest for path, (_, digest) in tree(run_dir / "preview").items()} == before
    events = EventAccumulator(str(run_dir / "tensorboard" / "preview"))
    events.Reload()
    assert sorted(events.Tags()["tensors"]) == sorted(f"preview/{name}" for name in preview.NAMES)
    assert len(events.Tensors("preview/p")) == 1


@pytest.mark.slow
def test_a_run_in_the_folder_of_its_preview(tmp_path):
    run_dir = tmp_path / "run"
    for mode in ("--mode=preview", "--mode=train"):
        ended = program(mode, *SHORT, "--max_steps=1", f"--run_dir={run_dir}")
        assert ended.code == 0, ended.err
    assert {p.name for p in (run_dir / "preview").iterdir()} == ALL
    assert (run_dir / "results.json").exists()


@pytest.mark.parametrize("mix", MIXERS)
def test_every_mixer_shows_what_it_does(mix):
    config = configuration.parse([*without("mix=", "method"), f"--mix={mix}"])[0]
    data = run_data.load(config)
    found = preview.pictures(config, data)
    assert set(found) == ({"p"} if mix == "none" else set(preview.NAMES))
    for picture in found.values():
        assert picture.dtype == np.uint8 and picture.shape[1:] == (8 * (tiles.CELL + 2 * tiles.GAP), 3)
        assert 10 < picture.std()


def test_a_folder_of_pictures(tmp_path):
    """Pictures larger than a cell, odd class names, a class that is alone in being rare."""
    for number, (name, count) in enumerate({"heron": 12, "=bittern " + "x" * 40: 4, "鷺": 3}.items()):
        (tmp_path / "set" / name).mkdir(parents=True)
        for row, picture in enumerate(crops(np.full(count, number), 3, 200, seed=number)):
            Image.fromarray(picture).save(tmp_path / "set" / name / f"{row}.jpg")
    ended = program("--mode=preview", f"--dataset=folder:{tmp_path / 'set'}", "--image_size=176", "--mix=cmo",
                    f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 0, ended.err
    with Image.open(tmp_path / "run" / "preview" / "contexts.png") as picture:
        assert picture.size == (8 * (160 + 8), 30 + 2 * (160 + 4 + 32))


def test_cifar_and_the_folder_of_a_flag_file(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.cfg").write_text("--dataset=cifar10\n--imbalance_ratio=10\n--mix=cutmix\n--epochs=3\n"
                                       "--gradient_accumulation=3\n--batch_size=30\n")
    ended = program("--mode=preview", "--flagfile=mine.cfg", f"--data_dir={tiny}", "--seed=2")
    assert ended.code == 0, ended.err
    assert {p.name for p in (tmp_path / "runs" / "mine-s2" / "preview").iterdir()} == ALL


def test_a_run_is_shown_as_it_was_made(finished, tmp_path):
    """From its folder alone; other flags than its own are refused, and so is a folder that is no preview."""
    import shutil
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    shutil.copy(finished[0] / "flags.cfg", run_dir)
    refused = program("--mode=preview", f"--run_dir={run_dir}", "--mix=mixup")
    assert refused.code == 2 and refused.err.startswith("cmo_tf: --mix=mixup: ") and refused.err.count("\n") == 1
    assert program("--mode=preview", f"--run_dir={run_dir}").out.count(".png") == 4
    (run_dir / "preview" / "thesis.txt").write_text("three years")
    refused = program("--mode=preview", f"--run_dir={run_dir}")
    assert refused.code == 2 and "holds something else" in refused.err
    assert (run_dir / "preview" / "thesis.txt").exists()
    refused = program("--mode=preview", f"--run_dir={run_dir}", "--format=onnx")
    assert refused.code == 2 and "--format=onnx" in refused.err


def test_without_a_mixer_the_images_alone(tmp_path):
    ended = program("--mode=preview", *without("mix", "method"), f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == "--mix=none: mixes nothing, so there is nothing more to show"
    assert [p.name for p in (tmp_path / "run" / "preview").iterdir()] == ["p.png"]
