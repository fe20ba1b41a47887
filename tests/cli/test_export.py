"""`--mode=export`: what comes out gives what the Keras model gives, knows its classes, and is whole or not there."""

import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import digits
from cmo_tf.report.results import read_predictions
from cmo_tf.serving import check, formats, litert
from cmo_tf.serving.quiet import converting
from tests.support.program import ROOT, program, tree

CLASSES = {"class_names": [str(k) for k in range(10)]}
ONE_EPOCH = ("--dataset=digits --imbalance_ratio=20 --max_per_class=20 --model=resnet20 --batch_size=16 --lr=0.02 "
             "--epochs=1 --warmup_epochs=0 --many_above=15 --few_below=2").split()


def export(run_dir, names, output, *more):
    return program("--mode=export", f"--run_dir={run_dir}", f"--format={names}", f"--output={output}", *more)


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """The run as .keras file and SavedModel; the folder, and how it ended."""
    target = tmp_path_factory.mktemp("export") / "out"
    return target, export(finished[0], "keras,savedmodel", target)


def test_an_export_says_what_it_is(exported, finished):
    target, ended = exported
    assert ended.code == 0 and ended.err == "", ended.err
    assert sorted(p.name for p in target.iterdir()) == ["MODEL_CARD.md", "classes.json", "export.json", "model.keras",
                                                        "saved_model"]
    assert len(ended.out.splitlines()) == 3 and "same class on 128 of 128" in ended.out.splitlines()[1]
    about = json.loads((target / "export.json").read_text())
    assert about["class_names"] == CLASSES["class_names"] and set(about["formats"]) == {"keras", "savedmodel"}
    assert about["input"] == {"name": "image", "dtype": "float32", "shape": [None, 8, 8, 1], "range": [0, 255]}
    found = about["formats"]["savedmodel"]["check"]
    assert found["images"] == found["same_class"] == 128 and found["max_difference_logits"] < 1e-4
    assert not [p for p in target.parent.iterdir() if p != target]
    card = (target / "MODEL_CARD.md").read_text()
    results = json.loads((finished[0] / "results.json").read_text())
    for told in ("| all | 68.00 |", results["split_fingerprint"], "--max_per_class=20", "64 training images",
                 f"{results['ece']:.3f}", "Few-shot classes (7, 8, 9)", "| savedmodel | saved\\_model |"):
        assert told.replace("68.00", f"{results['accuracy']['all']:.2f}").replace("\\", "") in card.replace("\\", "")


def test_a_saved_model_gives_the_confidences_of_the_run(exported, finished):
    """From raw pixels, with the class names in its assets."""
    import tensorflow as tf
    model = tf.saved_model.load(str(exported[0] / "saved_model"))
    images = tf.constant(digits.load().test.images, tf.float32)
    found, expected = model.signatures["serving_default"](image=images), read_predictions(finished[0])
    assert set(found) == {"logits", "probabilities"}
    np.testing.assert_array_equal(tf.argmax(found["probabilities"], 1), expected.predicted)
    np.testing.assert_allclose(tf.reduce_max(found["probabilities"], 1), expected.confidence, atol=1e-5)
    assert json.loads((exported[0] / "saved_model" / "assets" / "classes.json").read_text()) == CLASSES


def test_a_keras_file_has_two_outputs_and_the_names(exported, finished):
    images = digits.load().test.images[:20]
    outputs = keras.models.load_model(exported[0] / "model.keras").predict_on_batch(images.astype(np.float32))
    assert set(outputs) == {"logits", "probabilities"}
    logits = keras.models.load_model(finished[0] / "model.keras").predict_on_batch(images)
    np.testing.assert_allclose(outputs["logits"], logits, atol=1e-5)
    for path in (exported[0] / "model.keras", finished[0] / "model.keras"):
        with zipfile.ZipFile(path) as archive:
            assert json.loads(archive.read("classes.json")) == CLASSES
    assert json.loads((finished[0] / "classes.json").read_text()) == CLASSES


def test_a_failure_leaves_what_was_there(exported, finished, monkeypatch):
    """A differing model is refused; so is an export that would lose another's formats."""
    before, beside = tree(exported[0]), set(exported[0].parent.iterdir())

    def differs(*_):
        raise UserError("--format=savedmodel: its logits differ")
    monkeypatch.setattr(check, "compare", differs)
    for names, told in (("savedmodel,keras", "differ"), ("keras", "savedmodel too")):
        ended = export(finished[0], names, exported[0])
        assert ended.code == 2 and told in ended.err and ended.err.count("\n") == 1
    assert tree(exported[0]) == before and set(exported[0].parent.iterdir()) == beside


def test_what_cannot_be_exported_is_refused_at_once(finished, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("three years")
    (tmp_path / "file").write_text("")
    run_dir, keras_format = f"--run_dir={finished[0]}", "--format=keras"
    cases = (([run_dir], "--format is missing"), ([keras_format], "--run_dir is missing"),
             ([run_dir, "--format=onx"], "did you mean 'onnx'"),
             ([run_dir, "--format=keras,"], "no such export format"),
             ([run_dir, keras_format, f"--output={tmp_path / 'mine'}"], "holds something else"),
             ([run_dir, keras_format, f"--output={tmp_path / 'file'}"], "is a file"),
             ([f"--run_dir={tmp_path / 'no'}", keras_format], "no run of this program"),
             ([run_dir, keras_format, "--top=3"], "--top=3"), ([run_dir, keras_format, "--epochs=3"], "--epochs"))
    for arguments, told in cases:
        ended = program("--mode=export", *arguments)
        assert ended.code == 2 and told in ended.err and ended.err.count("\n") == 1 and ended.out == "", ended
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    for name, package in (("onnx", "onnx, onnxruntime, tf2onnx"), ("litert", "ai-edge-litert")):
        ended = program("--mode=export", run_dir, f"--format={name}", f"--output={tmp_path / 'new'}")
        assert ended.code == 2 and ended.out == ""
        assert ended.err == (f"cmo_tf: --format={name}: needs {package}; pip install -r requirements-export.txt, or "
                             "pip install 'cmo-tf[export]'\n")
    assert not (tmp_path / "new").exists()


def test_representative_images_are_of_all_classes_in_turn():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    assert labels[litert.in_turn(labels)].tolist() == [0, 1, 2, 0, 1, 0, 0]


def test_converters_that_fail_are_one_line(capfd):
    from cmo_tf.run.signals import Stopped
    with pytest.raises(UserError, match="--format=onnx: its converter refuses .*KeyError: 'Beta'") as refused, \
            converting("onnx"):
        print("a page of graph", file=sys.stderr)
        os.write(2, b"and more from C++")
        raise KeyError("Beta")
    assert "\n" not in str(refused.value)
    with pytest.raises(Stopped), converting("onnx"):
        raise Stopped(15)
    assert "C++" not in capfd.readouterr().err


def test_differences_are_judged():
    logits = np.array([[1.0, 2.0], [3.0, 1.0]], np.float32)
    expected = {"logits": logits, "probabilities": logits}
    off = {"logits": logits[:, ::-1], "probabilities": logits, "experts_used": [1, 1]}
    with pytest.raises(UserError, match="differ from those of model.keras by up to 2"):
        check.compare("onnx", expected, off, np.array([1, 0]))
    found = check.compare("litert_int8", expected, off, np.array([1, 0]))
    assert found == {"images": 2, "max_difference_logits": 2.0, "max_difference_probabilities": 0.0, "same_class": 0,
                     "accuracy": 0.0, "keras_accuracy": 100.0}
    assert "WARNING" in check.line("litert_int8", found, 1)
    nan = {key: value * np.nan for key, value in expected.items()}
    with pytest.raises(UserError):
        check.compare("onnx", expected, nan, np.array([1, 0]))


@pytest.mark.slow
def test_every_format_serves_without_cmo_tf(finished, tmp_path):
    """All five formats; tools/serve_example.py, outside the project, names the classes that --mode=predict names."""
    from PIL import Image
    target, pictures = tmp_path / "out", [tmp_path / f"{row}.png" for row in range(12)]
    ended = export(finished[0], ",".join(formats.FORMATS), target)
    assert ended.code == 0 and "WARNING" not in ended.out, ended.err
    print(ended.out)
    about = json.loads((target / "export.json").read_text())
    for path, image in zip(pictures, digits.load().test.images, strict=False):
        Image.fromarray(image[..., 0]).save(path)
    predicted = program("--mode=predict", f"--run_dir={finished[0]}", f"--input={','.join(map(str, pictures))}")
    expected = [line.split(",")[1] for line in predicted.out.splitlines()[1:]]
    for name in ("savedmodel", "onnx", "litert", "litert_int8"):
        done = subprocess.run([sys.executable, ROOT / "tools/serve_example.py", target, *pictures, f"--format={name}"],
                              cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found = [line.split(": ")[1].split(" (")[0] for line in done.stdout.splitlines()]
        same = sum(a == b for a, b in zip(found, expected, strict=True))
        assert same == 12 or (name == "litert_int8" and same >= 11), (name, found, expected)
        assert about["formats"][name]["check"]["same_class"] >= (115 if name == "litert_int8" else 128)
    import onnx
    inside = {row.key: row.value for row in onnx.load(target / "model.onnx").metadata_props}
    assert json.loads(inside["class_names"]) == CLASSES["class_names"]
    for name in ("model.tflite", "model_int8.tflite"):
        with zipfile.ZipFile(target / name) as archive:
            assert json.loads(archive.read("classes.json")) == CLASSES


METHODS = {
    "ldam": ["--method=ldam_drw", "--mix=cmo"],
    "ride_router": ["--method=ride", "--ride_router", "--router_epochs=1"],
    "causal_norm": ["--method=causal_norm", "--model=resnet32_128"],
    "paco": ["--method=paco", "--paco_queue=32"],
    "bfloat16_to_another_prior": ["--precision=bfloat16", "--test_prior=uniform"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_methods_export_to_every_format(name, tmp_path):
    """The SavedModel's confidences are those of the run, scale and prior included."""
    import tensorflow as tf
    run_dir = tmp_path / "run"
    ended = program(*ONE_EPOCH, *METHODS[name], f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    ended = export(run_dir, ",".join(formats.FORMATS), tmp_path / "out")
    assert ended.code == 0, ended.err
    print(ended.out)
    saved = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    outputs = saved.signatures["serving_default"](image=tf.constant(digits.load().test.images, tf.float32))
    expected = read_predictions(run_dir)
    close = 0.05 if name.startswith("bfloat16") else 1e-5
    np.testing.assert_allclose(tf.reduce_max(outputs["probabilities"], 1), expected.confidence, atol=close)
    assert np.mean(tf.argmax(outputs["probabilities"], 1) == expected.predicted) > 1 - close
    assert ("experts_used" in outputs) == (name == "ride_router")
