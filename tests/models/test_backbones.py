"""keras:NAME networks, and weights from local files into them: found by content and by layer, refused by name."""

import os

import keras
import numpy as np
import pytest
from keras.applications import imagenet_utils

from cmo_tf import models
from cmo_tf.classifier import build
from cmo_tf.config import parse
from cmo_tf.core.errors import UserError
from cmo_tf.models import applications, backbones
from cmo_tf.models.weights import weight_files

SHAPE = (32, 32, 3)


def pixels(count=2, side=32):
    return np.random.RandomState(0).randint(0, 256, (count, side, side, 3)).astype("float32")


def features(network, images):
    return np.asarray(keras.Model(network.input, network.get_layer("features").output)(images, training=False))


@pytest.fixture(scope="module")
def small():
    """A backbone as Keras makes it, with weights (statistics of BatchNorm too) that no fresh one has."""
    backbone = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=SHAPE, pooling="avg")
    random = np.random.RandomState(1)
    for layer in backbone.layers:
        layer.set_weights([np.abs(w + random.normal(0, 0.02, w.shape)) if "variance" in v.path else
                           w + random.normal(0, 0.02, w.shape) for v, w in zip(layer.weights, layer.get_weights(),
                                                                               strict=True)])
    return backbone


@pytest.fixture
def ours():
    return models.create("keras:MobileNetV3Small", 5, SHAPE, seed=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["own.weights.h5", "own.h5", "own.keras"])
def test_saved_weights_give_the_same_features(name, small, ours, tmp_path):
    path = str(tmp_path / name)
    (small.save_weights if "weights" in name else small.save)(path)
    renamed = str(tmp_path / "backbone.bin")  # what it is, its content says
    os.rename(path, renamed)
    before, head = features(ours, pixels()), ours.layers[-1].get_weights()
    assert weight_files.load(ours, renamed) == []
    expected = np.asarray(small(pixels(), training=False))
    np.testing.assert_allclose(features(ours, pixels()), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(before - expected).max() > 1e-2
    assert all(np.array_equal(a, b) for a, b in zip(head, ours.layers[-1].get_weights(), strict=True))


def test_the_classifier_of_a_file_is_left_out(ours, tmp_path):
    whole = keras.applications.MobileNetV3Small(weights=None, input_shape=SHAPE, classes=7)
    path = str(tmp_path / "top.weights.h5")
    whole.save_weights(path)
    assert weight_files.load(ours, path) == ["conv_2", "logits"]
    stem = [network.get_layer("conv").get_weights()[0] for network in (whole, ours)]
    assert np.array_equal(*stem)


def test_a_run_of_ours_is_a_file_too(tmp_path):
    first, second = (models.create("resnet20", classes, (8, 8, 3), seed=seed) for classes, seed in ((4, 0), (6, 1)))
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), first]).save(tmp_path / "model.keras")
    assert weight_files.load(second, str(tmp_path / "model.keras")) == ["linear"]
    np.testing.assert_array_equal(features(first, pixels(side=8) / 255), features(second, pixels(side=8) / 255))


def test_torch_state_dicts_come_as_npz(tmp_path):
    from cmo_tf.models.torch_weights import _targets
    first, second = (models.create("resnet20", classes, (8, 8, 3), seed=seed) for classes, seed in ((4, 0), (6, 1)))
    state = {name: np.transpose(np.asarray(variable), np.argsort(order))
             for name, (variable, order) in _targets(first)}
    np.savez(tmp_path / "state.npz", **state)
    weight_files.load(second, str(tmp_path / "state.npz"))
    np.testing.assert_array_equal(features(first, pixels(side=8) / 255), features(second, pixels(side=8) / 255))


def refused(network, path, *words):
    before = [w.copy() for w in network.get_weights()]
    with pytest.raises(UserError) as error:
        weight_files.load(network, str(path))
    message = str(error.value)
    assert message.startswith(f"--init_weights={path}: ") and "\n" not in message
    assert all(word in message for word in words), message
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))


def test_what_does_not_fit_is_named(small, ours, tmp_path):
    other = models.create("resnet20", 3, (8, 8, 3), seed=0)
    small.save_weights(tmp_path / "a.weights.h5")
    refused(other, tmp_path / "a.weights.h5", "layer 'conv1'", "resnet20")
    other.save_weights(tmp_path / "b.weights.h5")
    refused(ours, tmp_path / "b.weights.h5", "layer 'conv'", "mobilenetv3small")
    deeper = models.create("resnet32", 3, (8, 8, 3), seed=0)
    deeper.save_weights(tmp_path / "c.weights.h5")
    refused(other, tmp_path / "c.weights.h5", "no layer 'layer1.3.bn1'")
    grey = models.create("resnet20", 3, (8, 8, 1), seed=0)
    refused(grey, tmp_path / "b.weights.h5", "'conv1'", "shapes [(3, 3, 1, 16)], the file has [(3, 3, 3, 16)]")


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 damaged", b"\x89HDF\r\n\x1a\n damaged"])
def test_other_files_are_refused_by_content(content, ours, tmp_path):
    (tmp_path / "weights.h5").write_bytes(content)
    refused(ours, tmp_path / "weights.h5")
    refused(ours, tmp_path / "nowhere.h5", "No such file")


def test_code_in_a_keras_file_is_not_run(ours, tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "lambda.keras")
    refused(ours, tmp_path / "lambda.keras")


@pytest.mark.parametrize("kind", ["caffe", "tf", "torch"])
def test_preprocessing_is_that_of_keras(kind):
    name = next(name for name, found in applications.PIXELS.items() if found == kind)
    found = np.asarray(backbones.preprocess(name)(pixels()))
    found = found[..., ::-1] if kind == "caffe" else found  # the flip is a part of the network
    np.testing.assert_allclose(found, imagenet_utils.preprocess_input(pixels(), mode=kind), rtol=1e-4, atol=1e-4)


def test_pixels_are_normalised_once(small, tmp_path):
    """The classifier's network on raw pixels is Keras' backbone on raw pixels, under our head."""
    path = str(tmp_path / "own.weights.h5")
    small.save_weights(path)
    model = classifier("--model=keras:MobileNetV3Small", f"--init_weights={path}", "--train=all")
    head = model.inner.layers[-1]
    expected = np.asarray(head(small(pixels(), training=False)))
    np.testing.assert_allclose(np.asarray(model.network(pixels())), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20", "keras:MobileNetV3Small"])
def test_a_frozen_backbone_stays_as_it_is(name, tmp_path):
    """Statistics of BatchNorm and states of its Dropout included."""
    path = str(tmp_path / "own.weights.h5")
    models.create(name, 7, SHAPE, seed=5).save_weights(path)
    model = classifier(f"--model={name}", f"--init_weights={path}", "--train=all", "--unfreeze=0")
    before = {v.path: np.asarray(v) for v in model.inner.variables}
    model.fit(pixels(8), np.arange(8) % 3, batch_size=4, epochs=1, verbose=0)
    changed = {v.path for v in model.inner.variables if not np.array_equal(before[v.path], np.asarray(v))}
    head = model.inner.layers[-1].name
    assert changed == {f"{head}/kernel", f"{head}/bias"}
    model.network.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(again(pixels())), np.asarray(model.network(pixels())))


class Data:
    """What `build` asks a RunData for."""

    num_classes, image_shape, counts = 3, SHAPE, np.array([8, 4, 2])
    mean, std = (0.5,) * 3, (0.25,) * 3


def classifier(*flags):
    return build.classifier(parse([*flags, "--lr=0.01"])[0], Data())


def test_initial_weights_follow_from_the_seed(ours):
    again = models.create("keras:MobileNetV3Small", 5, SHAPE, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), again.get_weights(), strict=True))


def test_names_and_sizes_are_checked():
    with pytest.raises(UserError, match="--model=MobilNetV3Small: no such keras.applications network; did you mean"):
        parse(["--model=keras:MobilNetV3Small"])
    with pytest.raises(UserError, match="--model=keras:ResNet50: takes colour pictures.*1 channel"):
        models.create("keras:ResNet50", 3, (32, 32, 1))
    with pytest.raises(UserError, match="--image_size=16: --model=keras:MobileNetV2 takes other sizes"):
        models.create("keras:MobileNetV2", 3, (16, 16, 3))
    with pytest.raises(UserError, match="--init_weights: --method=bbn"):
        parse(["--init_weights=a.h5", "--method=bbn"])
    assert "keras:ResNet50V2" in models.MODELS and "keras:ResNet50V2" not in list(models.MODELS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["EfficientNetB0", "ResNet50", "ResNet50V2", "ConvNeXtTiny", "DenseNet121", "Xception",
                                  "InceptionV3", "NASNetMobile", "MobileNetV2", "EfficientNetV2B0"])
def test_every_family_gives_what_keras_gives(name, tmp_path):
    side = 96
    backbone = vars(keras.applications)[name](include_top=False, weights=None, input_shape=(side, side, 3),
                                              pooling="avg")
    images = pixels(side=side)
    module = {"caffe": "caffe", "tf": "tf", "torch": "torch"}.get(applications.PIXELS[name])
    expected = imagenet_utils.preprocess_input(images.copy(), mode=module) if module else images
    expected = np.asarray(backbone(expected, training=False))
    for file in ("own.weights.h5", "own.h5"):
        path = str(tmp_path / file)
        (backbone.save_weights if "weights" in file else backbone.save)(path)
        network = models.create(f"keras:{name}", 4, (side, side, 3), seed=3)
        assert weight_files.load(network, path) == []
        inner = keras.Model(network.input, network.get_layer("features").output)
        found = np.asarray(inner(backbones.preprocess(name)(images), training=False))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_deviations_in_efficientnet_files_become_variances(tmp_path):
    backbone = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=SHAPE, pooling="avg")
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalise = next(layer for layer in backbone.layers if isinstance(layer, keras.layers.Normalization))
    normalise.set_weights([mean, std, np.array(0)])
    backbone.save_weights(tmp_path / "own.weights.h5")
    network = models.create("keras:EfficientNetB0", 4, SHAPE)
    weight_files.load(network, str(tmp_path / "own.weights.h5"))
    layer = next(layer for layer in network.layers if isinstance(layer, keras.layers.Normalization))
    np.testing.assert_allclose(np.asarray(layer(pixels() / 255)), (pixels() / 255 - mean) / std, rtol=1e-3, atol=1e-3)
