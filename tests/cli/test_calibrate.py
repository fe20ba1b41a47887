"""`--calibrate=temperature`: fitted on validation images alone, in results, report, predictions and exports."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from cmo_tf.datasets import digits
from cmo_tf.evaluation import calibration, temperature
from cmo_tf.report.results import read_predictions, read_results, write_results
from cmo_tf.run import data as run_data
from cmo_tf.run.folder import read_config
from tests.support.program import program, tree

# LDAM: a loss whose logits have a scale of 30, which the temperature comes on top of.
FLAGS = ("--flagfile=flags/digits_recipe.cfg --method=ldam_drw --epochs=6 --eval_every=6 --warmup_epochs=1 "
         "--val_fraction=0.2 --calibrate=temperature").split()


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A calibrated run. Nothing may change it."""
    run_dir = tmp_path_factory.mktemp("calibrate") / "run"
    ended = program(*FLAGS, f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    return run_dir


def logits_of(run_dir, split):
    """float64 logits of a split as they go into the softmax without calibration, and its labels."""
    import keras
    data = run_data.load(read_config(str(run_dir)))
    network = keras.models.load_model(run_dir / "model.keras")
    part = getattr(data, split)
    return 30.0 * network.predict(part.images, batch_size=500, verbose=0).astype(np.float64), part.labels


def test_the_temperature_is_that_of_the_validation_images(calibrated):
    results = read_results(str(calibrated))
    found = results["calibration"]
    validation, labels = logits_of(calibrated, "validation")
    assert found["kind"] == "temperature" and found["images"] == len(labels) == 100
    assert found["temperature"] == pytest.approx(temperature.fit(labels, validation), rel=1e-4)
    test, test_labels = logits_of(calibrated, "test")
    assert found["temperature"] != pytest.approx(temperature.fit(test_labels, test), rel=1e-3), "not of the test images"
    for when, by in (("before", 1.0), ("after", found["temperature"])):
        assert found["validation"][when]["nll"] == pytest.approx(temperature.nll(labels, validation, by), rel=1e-4)
        bins = calibration.reliability(**vars(calibration.predictions_from_logits(test_labels, test, 1 / by)))
        assert found["test"][when]["ece"] == pytest.approx(bins.ece, rel=1e-3)
    assert found["validation"]["after"]["nll"] < found["validation"]["before"]["nll"]
    for key, value in found["test"]["after"].items():
        assert results[key] == value, "what is reported is calibrated"
    assert "ECE on the test images" in (calibrated / "log.txt").read_text()


def test_predictions_and_report_are_calibrated(calibrated):
    saved, (logits, _) = read_predictions(calibrated), logits_of(calibrated, "test")
    t = read_results(str(calibrated))["calibration"]["temperature"]
    np.testing.assert_array_equal(saved.predicted, logits.argmax(1))
    np.testing.assert_allclose(saved.confidence, calibration.softmax_confidence(logits, 1 / t), rtol=1e-4)
    assert np.abs(saved.confidence - calibration.softmax_confidence(logits)).max() > 0.01
    page = (calibrated / "report.html").read_text()
    assert "Reliability before calibration" in page and f"divided by {t:.3f}" in page


def test_predict_and_export_serve_calibrated_probabilities(calibrated, tmp_path):
    saved, before = read_predictions(calibrated), tree(calibrated)
    for row in range(3):
        Image.fromarray(digits.load().test.images[row][..., 0]).save(tmp_path / f"{row}.png")
    ended = program("--mode=predict", f"--run_dir={calibrated}", f"--input={tmp_path}", "--top=1")
    assert ended.code == 0 and ended.err == "", ended.err
    served = [float(line["confidence"]) for line in csv.DictReader(io.StringIO(ended.out))]
    np.testing.assert_allclose(served, saved.confidence[:3], atol=2e-6)
    ended = program("--mode=export", f"--run_dir={calibrated}", "--format=keras", f"--output={tmp_path / 'out'}")
    assert ended.code == 0, ended.err
    import keras
    model = keras.models.load_model(tmp_path / "out" / "model.keras")
    images = digits.load().test.images[:50].astype(np.float32)
    np.testing.assert_allclose(model.predict_on_batch(images)["probabilities"].max(1), saved.confidence[:50], atol=1e-5)
    t = read_results(str(calibrated))["calibration"]["temperature"]
    assert json.loads((tmp_path / "out" / "export.json").read_text())["logit_scale"] == pytest.approx(30 / t)
    assert f"divided by the temperature {t:.4f}" in (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert tree(calibrated) == before


@pytest.fixture
def plain(calibrated, tmp_path):
    """The same run as it would be without the flag."""
    (tmp_path / "plain").mkdir()
    for name in ("model.keras", "classes.json"):
        shutil.copy(calibrated / name, tmp_path / "plain")
    found = read_results(str(calibrated))
    found.pop("calibration")
    found["flags"]["calibrate"] = "none"
    write_results(tmp_path / "plain", found)
    lines = (calibrated / "flags.cfg").read_text().replace("--calibrate=temperature", "--calibrate=none")
    (tmp_path / "plain" / "flags.cfg").write_text(lines)
    return tmp_path / "plain"


def test_another_test_prior_leaves_the_temperature_out(calibrated, plain, tmp_path):
    Image.fromarray(digits.load().test.images[0][..., 0]).save(tmp_path / "0.png")
    own, other = (program("--mode=predict", f"--run_dir={run}", f"--input={tmp_path / '0.png'}", "--test_prior=uniform")
                  for run in (plain, calibrated))
    assert own.code == other.code == 0 and own.out == other.out and own.err == ""
    assert other.err == ("cmo_tf: the run's temperature belongs to --test_prior=none; probabilities are not "
                         "calibrated\n")


def test_eval_gives_the_accuracy_with_and_without(calibrated, plain):
    line = program("--mode=eval", f"--run_dir={calibrated}")
    assert line.code == 0 and line.out == program("--mode=eval", f"--run_dir={plain}").out
    ended = program("--mode=eval", f"--run_dir={plain}", "--calibrate=temperature", "--val_fraction=0.2")
    assert ended.code == 2 and "--calibrate=temperature: the run was trained without" in ended.err


def test_resuming_needs_the_same_flag(calibrated):
    before = tree(calibrated)
    ended = program(*FLAGS[:-1], f"--run_dir={calibrated}")
    assert ended.code == 2 and "--calibrate: was temperature, now none" in ended.err
    assert program(*FLAGS, f"--run_dir={calibrated}").code == 0 and tree(calibrated) == before


@pytest.mark.parametrize("flags, said", [
    (["--val_fraction=0"], "--calibrate=temperature: is fitted on validation images; add --val_fraction=0.1"),
    (["--max_per_class=1", "--val_fraction=0.01", "--imbalance_ratio=1", "--dataset=folder:{}"],
     "no class has an image to give for validation")])
def test_without_validation_images_it_is_refused(flags, said, tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        for part in ("train", "test"):
            (tmp_path / "own" / part / name).mkdir(parents=True)
            image = rng.integers(0, 255, (16, 16, 3)).astype("uint8")
            Image.fromarray(image).save(tmp_path / "own" / part / name / "1.png")
    flags = [flag.format(tmp_path / "own") for flag in flags]
    ended = program(*FLAGS, *flags, f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 2 and ended.err.count("\n") == 1 and said in ended.err
    assert not (tmp_path / "run").exists()
