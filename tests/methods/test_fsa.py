"""FSA: activation maps, ranking, fusion and batches against numpy; what its second stage changes; whole runs."""

import functools
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import config as configuration
from cmo_tf import models
from cmo_tf.classifier import build
from cmo_tf.classifier.classifier import LongTailClassifier
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import Split
from cmo_tf.methods.fsa import Fusion, FusionTraining, stages
from cmo_tf.models import fsa
from cmo_tf.models.resnet_cifar import resnet_cifar
from cmo_tf.pipeline.fusion_stream import confusing_classes, fusion_stream, mean_scores
from tests.support.method_runs import (
    TINY,
    check_end_to_end,
    check_exact_resume,
    check_second_stage_resumes,
    check_two_steps,
    settings,
)
from tests.support.program import program

pytestmark = pytest.mark.usefixtures("small_networks", "no_plots")
FSA = type("FSA", (FusionTraining, LongTailClassifier), {})
OPTIONS = {"fused": 2, "specific": 0.6, "generic": 0.4, "confusing": 2}
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def network():
    """A network of 14 layers for images of 16 pixels; its last two blocks work on maps of 4 by 4."""
    return resnet_cifar(14, 5, (16, 16, 3), seed=1)


@pytest.fixture(scope="module")
def images():
    return RANDOM.normal(size=(18, 16, 16, 3)).astype("float32")


def activation_map(maps, kernel, label):
    """By the paper: the weights of the class times the cells, then from least to largest."""
    height, width, depth = maps.shape
    seen = np.array([[sum(kernel[d, label] * maps[y, x, d] for d in range(depth)) for x in range(width)]
                     for y in range(height)])
    return (seen - seen.min()) / (seen.max() - seen.min())


def test_activation_maps():
    maps, kernel = RANDOM.normal(size=(6, 3, 4, 7)).astype("float32"), RANDOM.normal(size=(7, 5)).astype("float32")
    labels = np.array([0, 4, 4, 1, 2, 3])
    expected = np.stack([activation_map(m, kernel, label) for m, label in zip(maps, labels, strict=True)])
    found = np.asarray(fsa.activation_maps(maps, kernel, labels))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.min(axis=(1, 2)).tolist() == [0] * 6 and found.max(axis=(1, 2)).tolist() == [1] * 6
    larger = np.asarray(fsa.activation_maps(maps, kernel, labels, (6, 8)))
    np.testing.assert_allclose(larger, expected.repeat(2, axis=1).repeat(2, axis=2), atol=1e-5)
    flat = np.asarray(fsa.activation_maps(np.ones((1, 3, 4, 7), "float32"), kernel, labels[:1]))
    np.testing.assert_array_equal(flat, np.zeros((1, 3, 4)))


def test_they_are_those_of_gradients(network, images):
    """Grad-CAM before its ReLU: channels weighed by the mean gradient of the class' logit."""
    front, behind = fsa.cut(network, 5, 0)
    labels = RANDOM.integers(0, 5, len(images))
    with tf.GradientTape() as tape:
        maps = tf.constant(front(images))
        tape.watch(maps)
        logit = tf.gather(behind(maps)["logits"], labels, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(logit, maps), axis=(1, 2))
    seen = np.einsum("bhwd,bd->bhw", maps, weights)
    least, largest = (f(seen, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    found = fsa.activation_maps(maps, network.get_layer("linear").kernel, labels)
    np.testing.assert_allclose(found, (seen - least) / (largest - least), atol=1e-4)


def test_fusion_rule():
    shape = 5, 3, 4
    own, other = (RANDOM.normal(size=(*shape, 6)).astype("float32") for _ in range(2))
    own_seen, other_seen = (RANDOM.random(shape).astype("float32") for _ in range(2))
    take = RANDOM.random(shape) > 0.5
    expected = np.zeros_like(own)
    for cell in np.ndindex(*shape):
        if take[cell]:
            expected[cell] = own[cell] if own_seen[cell] > 0.6 else 0
        else:
            expected[cell] = other[cell] if other_seen[cell] < 0.3 else 0
    found = fsa.fuse(own, other, own_seen, other_seen, take, 0.6, 0.3)
    np.testing.assert_array_equal(found, expected)
    assert 0.2 < np.mean(expected != 0) < 0.5


def test_confusing_are_the_head_classes_on_whose_images_a_tail_class_scores():
    labels = np.repeat(np.arange(6), [9, 8, 7, 6, 3, 2])
    scores = RANDOM.dirichlet(np.full(6, 0.5), len(labels))
    means = np.stack([scores[labels == k].mean(axis=0) for k in range(6)])
    heads = [0, 1, 3]
    found = confusing_classes(means, heads, 2)
    for tail in (2, 4, 5):
        assert found[tail].tolist() == sorted(heads, key=lambda h, t=tail: -means[h, t])[:2]
    assert confusing_classes(means, heads, 9).shape == (6, 3)
    data = SimpleNamespace(train=Split(RANDOM.integers(0, 255, (35, 4, 4, 3)).astype("uint8"), labels), size=(4, 4),
                           decode=None, num_classes=6, counts=np.bincount(labels))
    logits = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(),
                               keras.layers.Dense(6)])
    given = keras.ops.softmax(logits(data.train.images.astype("float32"))).numpy()
    expected = np.stack([given[labels == k].mean(axis=0) for k in range(6)])
    np.testing.assert_allclose(mean_scores(logits, data, 8), expected, rtol=1e-4)


LABELS = np.random.RandomState(0).permutation(np.repeat(np.arange(6), [9, 8, 7, 6, 3, 2]))
PICTURES = RANDOM.integers(0, 255, (len(LABELS), 6, 6, 3)).astype("uint8")
RIVALS = np.array([[-9, -9, -9]] * 3 + [[0, 1, 2], [1, 2, 0], [2, 1, 0]])


def batches(number, fused=3, start_step=0, seed=5, rivals=RIVALS, augment=None):
    stream = fusion_stream(PICTURES, LABELS, heads=[0, 1, 2], confusing=rivals, fused=fused, size=(2, 3), batch_size=17,
                           seed=seed, start_step=start_step, augment=augment)
    return [{k: v.numpy() for k, v in batch.items()} for batch in stream.take(number)]


def test_batches():
    found = batches(11)  # 2 tail images a batch, so that 11 batches are two passes over the 11 there are
    for batch in found:
        tail, other, head = np.split(batch["own_label"], [2, 8])
        assert len(batch["label"]) == 16 and batch["take"].shape == (6, 2, 3)
        assert (tail > 2).all() and (other < 3).all() and (head < 3).all()
        assert batch["label"].tolist() == [*tail, *tail.repeat(3), *head]
        for label, rivals in zip(tail, other.reshape(2, 3), strict=True):
            assert sorted(rivals) == sorted(RIVALS[label])  # each confusing class once
        np.testing.assert_array_equal(batch["image"], PICTURES[batch["index"]])
        np.testing.assert_array_equal(batch["own_label"], LABELS[batch["index"]])
    tails = np.concatenate([batch["index"][:2] for batch in found])
    for half in np.split(tails, 2):
        assert sorted(half) == np.flatnonzero(LABELS > 2).tolist()
    heads = np.concatenate([batch["index"][8:] for batch in found])[:24 * 3]
    for third in np.split(heads, 3):
        assert sorted(third) == np.flatnonzero(LABELS < 3).tolist()
    some = batches(8, fused=2, rivals=RIVALS[:, :1])[0]
    assert len(some["label"]) == 12 and (some["own_label"][2:6] == RIVALS[some["label"][2:6], 0]).all()


def test_a_batch_is_a_function_of_seed_and_step():
    whole, later = batches(9, augment="pad1"), batches(2, start_step=7, augment="pad1")
    for one, other in zip(whole[7:], later, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    again = batches(1, seed=6, augment="pad1")[0]
    assert all(not np.array_equal(whole[0][name], again[name]) for name in ("index", "take", "image"))
    assert any(not np.array_equal(batch["image"], PICTURES[batch["index"]]) for batch in whole)


def test_the_share_of_specific_cells_is_uniform():
    shares = np.concatenate([batch["take"].mean(axis=(1, 2)) for batch in batches(300)])
    assert abs(shares.mean() - 0.5) < 0.03
    # Of Bernoulli(p) with p uniform: 1/12 + (1/4 - 1/12) / 6; with p = 1/2 it would be 1/24.
    assert abs(shares.var() - (1 / 12 + 1 / 36)) < 0.01


@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
def test_a_network_is_cut_before_its_last_blocks(network, images, blocks):
    front, behind = fsa.cut(network, 5, blocks)
    assert front.output.shape[1:3] == {0: (4, 4), 1: (4, 4), 2: (8, 8), 3: (8, 8)}[blocks]
    outputs = behind(front(images))
    np.testing.assert_allclose(outputs["logits"], network(images), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(keras.ops.mean(outputs["maps"], axis=(1, 2)),
                               keras.Model(network.input, network.get_layer("features").output)(images), rtol=1e-4)
    assert sum("conv" in layer.name for layer in behind.layers if layer.weights) == 2 * blocks


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_maps_that_training_sees(network, images, blocks):
    """A tail image, two new ones of it, and three head images, by a loop; three such groups."""
    model = FSA(fsa.plain_copy(network, 5), blocks=blocks, **OPTIONS)
    labels = np.array([3, 4, 3] + [0, 1, 1, 2, 0, 2] + [0, 0, 1, 1, 2, 2, 0, 1, 2])
    maps = model.front(images).numpy()
    last, kernel = model.behind(maps)["maps"].numpy(), network.get_layer("linear").kernel.numpy()
    seen = np.stack([activation_map(m, kernel, label) for m, label in zip(last, labels, strict=True)])
    seen = seen.repeat(maps.shape[1] // 4, axis=1).repeat(maps.shape[1] // 4, axis=2)
    take = RANDOM.random((6, *maps.shape[1:3])) > 0.5
    expected = maps.copy()
    for row in range(6):
        own, other = row // 2, 3 + row
        specific = np.where((seen[own] > 0.6)[..., None], maps[own], 0)
        generic = np.where((seen[other] < 0.4)[..., None], maps[other], 0)
        expected[other] = np.where(take[row][..., None], specific, generic)
    np.testing.assert_allclose(model.features(images, labels, take), expected, rtol=1e-5)


def test_only_what_follows_the_fused_map_learns(network, images):
    model = FSA(fsa.plain_copy(network, 5), blocks=1, **OPTIONS)
    model.compile(keras.optimizers.SGD(0.1), build.loss(configuration.Config(), [5] * 5))
    own = np.array([3, 4, 3] + [0, 1, 1, 2, 0, 2] + [0, 0, 1, 1, 2, 2, 0, 1, 2])
    label = np.concatenate([own[:3], own[:3].repeat(2), own[9:]])
    batch = {"image": images, "own_label": own, "label": label, "take": RANDOM.random((6, 4, 4)) > 0.5}
    names = [v.path for v in model.trainable_variables]
    assert {name.split("/")[-2] for name in names} == {"layer3.1.conv1", "layer3.1.bn1", "layer3.1.conv2",
                                                       "layer3.1.bn2", "linear"}
    before, known = model.inner.get_weights(), model.known.get_weights()
    logits = model._forward({k: tf.constant(v) for k, v in batch.items()})
    expected = -np.mean(np.take_along_axis(keras.ops.log_softmax(logits).numpy(), label[:, None], 1))
    model.inner.set_weights(before)
    assert float(model.train_on_batch(batch)) == pytest.approx(expected, rel=1e-4)
    for variable, old in zip(model.inner.variables, before, strict=True):
        behind = variable.path.split("/")[-2].startswith(("layer3.1", "linear"))
        assert np.array_equal(variable.numpy(), old) != behind, variable.path
    for new, old in zip(model.known.get_weights(), known, strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_head_that_sees_no_average_is_refused():
    normed = models.create("resnet20", 5, (8, 8, 1), head="normed")
    with pytest.raises(UserError, match="linear head"):
        fsa.plain_copy(normed, 5)
    with pytest.raises(UserError, match="--fsa_blocks=9: .* has 9 residual blocks"):
        fsa.cut(models.create("resnet20", 5, (8, 8, 1)), 5, 9)
    with pytest.raises(UserError, match="no average of one feature map"):
        fsa.cut(models.create("resnet20_128", 5, (8, 8, 1)), 5, 1)


@pytest.mark.parametrize(("arguments", "told"), [
    (["--many_above=1000"], "--many_above=1000: 0 of 10 classes"), (["--many_above=0", "--few_below=0"], "10 of 10"),
    (["--fsa_fused=7"], "--batch_size=14: has no room .* at least 16"),
    (["--strategy=mirrored"], "--strategy=mirrored: --method=fsa keeps a batch together"),
    (["--gradient_accumulation=2"], "--gradient_accumulation=2: --method=fsa keeps a batch together")])
def test_what_does_not_fit_is_refused(arguments, told):
    config, data = settings("fsa", *arguments)
    with pytest.raises(UserError, match=told):
        Fusion("fsa").classifier(build, config, data, None)


def test_flags_of_the_second_stage():
    config = configuration.parse(["--method=fsa", "--mix=cmo", "--loss=focal", "--reweight=drw"])[0]
    first, second = stages(config)
    assert not first.flags and first.name == "train"
    wanted = {"loss": "ce", "mix": "none", "reweight": "none", "lr": 0.0005, "lr_drops": (), "epochs": 10}
    assert wanted.items() <= second.flags.items()
    with pytest.raises(UserError, match="--fsa_blocks=2 does nothing with --method=crt"):
        configuration.parse(["--method=crt", "--fsa_blocks=2"])


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Function model -> folder of a first stage with CMO."""
    @functools.cache
    def train(model):
        run_dir = tmp_path_factory.mktemp("fsa") / model
        mixed = ["--epochs=1", "--mix=cmo", "--mix_skip_first=0", "--mix_skip_last=0"]
        assert program(*TINY, f"--model={model}", *mixed, f"--run_dir={run_dir}").code == 0
        return run_dir
    return train


def test_two_steps_and_evaluation(first, tmp_path):
    check_two_steps(tmp_path, "fsa", f"--init_from={first('resnet8')}")


def test_a_resumed_second_stage_goes_on_the_same():
    model = check_second_stage_resumes("fsa")
    assert model.confusing.numpy().min() >= 0


@pytest.mark.slow
def test_resumed_it_ends_the_same(first, tmp_path):
    check_exact_resume(tmp_path, "fsa", f"--init_from={first('resnet20')}")


@pytest.mark.slow
def test_end_to_end(tmp_path):
    check_end_to_end(tmp_path, "fsa", "--many_above=50")
