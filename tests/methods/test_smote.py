"""SMOTE, Borderline-SMOTE and Safe-level-SMOTE: synthetic rows against numpy and packages, what a run makes of them,
refusals."""

import dataclasses
import functools
from pathlib import Path

import keras
import numpy as np
import pytest
from imblearn.over_sampling import SMOTE, BorderlineSMOTE

from cmo_tf import config as configuration
from cmo_tf import models
from cmo_tf.classifier import build
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import Split
from cmo_tf.methods import METHODS
from cmo_tf.methods.smote import OnPixels
from cmo_tf.methods.stage import stages_of
from cmo_tf.report.results import read_results
from cmo_tf.run import stages
from cmo_tf.sampling import safe_level
from cmo_tf.sampling.oversampling import KINDS, oversample
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
GOLDEN = np.load(Path(__file__).parents[1] / "golden/safe_level_smote.npz", allow_pickle=False)
COUNTS = [30, 20, 9, 4, 1]


@pytest.fixture(scope="module")
def cloud():
    """(points (N, 2, 3), labels): classes that overlap, mixed."""
    random = np.random.RandomState(0)
    labels = random.permutation(np.repeat(np.arange(5), COUNTS))
    return (random.normal(size=(64, 2, 3)) + labels[:, None, None] * 0.4).astype("float32"), labels


def neighbours(flat, rows, among, number):
    """Row numbers of the nearest others in `among` of each of `rows`, by sorting distances."""
    found = []
    for row in rows:
        others = among[among != row]
        found.append(others[np.argsort(((flat[others] - flat[row]) ** 2).sum(axis=1))[:number]])
    return found


def segment(new, base, others):
    """(distance, u) of the nearest point on the segments from `base` to each of `others`."""
    direction = others - base
    share = np.clip(((new - base) * direction).sum(axis=1) / (direction**2).sum(axis=1), 0, 1)
    away = np.abs(base + share[:, None] * direction - new).max(axis=1)
    return away, share


def assert_on_segments(flat, rows, near, new, tolerance, allowed=lambda neighbour: 1.0):
    """Each new point is `x + u (x' - x)`, x one of `rows`, x' of its `near`, u at most `allowed(x')`."""
    for point in new:
        fits = []
        for row, others in zip(rows, near, strict=True):
            away, share = segment(point, flat[row], flat[others])
            limit = np.array([allowed(other) for other in others])
            fits.append(np.any((away <= tolerance) & (share <= limit + 1e-3)))
        assert any(fits)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_synthetic_points_lie_between_neighbours_of_a_class(cloud, dtype):
    points, labels = cloud
    points = points if dtype == "float32" else np.clip(points * 40 + 100, 0, 255).astype("uint8")
    new, new_labels, repeated = oversample(points, labels, neighbors=5)
    assert new.dtype == points.dtype and new.shape[1:] == points.shape[1:] and repeated == [4]
    assert np.bincount(np.concatenate([labels, new_labels])).tolist() == [30] * 5
    flat, flat_new = (x.reshape(len(x), -1).astype("float64") for x in (points, new))
    for label in (1, 2, 3):
        mine = np.flatnonzero(labels == label)
        near = neighbours(flat, mine, mine, min(5, len(mine) - 1))  # three in the class of four
        # Rounding moves each of six numbers by up to a half.
        assert_on_segments(flat, mine, near, flat_new[new_labels == label], 1e-4 if dtype == "float32" else 1.23)
        assert len(np.unique(flat_new[new_labels == label], axis=0)) > 8
    np.testing.assert_array_equal(new[new_labels == 4], np.repeat(points[labels == 4], 29, axis=0))


def in_danger(flat, labels, label, number):
    """Rows of a class half or more, but not all, of whose nearest rows are of other classes."""
    mine = np.flatnonzero(labels == label)
    others = np.array([(labels[near] != label).sum() for near in neighbours(flat, mine, np.arange(len(flat)), number)])
    return mine[(others >= number / 2) & (others < number)]


@pytest.mark.parametrize("kind", ["borderline-1", "borderline-2"])
def test_borderline_forms_start_from_rows_in_danger(cloud, kind):
    points, labels = cloud
    flat = points.reshape(64, -1)
    new, new_labels, repeated = oversample(points, labels, kind, neighbors=4, context=8)
    assert np.bincount(np.concatenate([labels, new_labels])).tolist() == [30] * 5
    for label in (1, 2, 3, 4):
        danger, mine = in_danger(flat, labels, label, 8), new[new_labels == label].reshape(-1, 6)
        assert (label in repeated) == (len(danger) == 0)
        if len(danger) == 0:
            assert {tuple(x) for x in mine} == {tuple(x) for x in flat[labels == label]}
            continue
        assert len(danger) < (labels == label).sum() or label == 3
        among = np.flatnonzero(labels == label) if kind == "borderline-1" else np.arange(64)
        near = neighbours(flat, danger, among, min(4, len(among) - 1))
        assert_on_segments(flat, danger, near, mine, 1e-4,
                           lambda other, label=label: 1.0 if labels[other] == label else 0.5)
    assert 1 not in repeated and 4 in repeated


@pytest.mark.parametrize("label", [1, 2, 3])
def test_safe_levels_of_smote_variants(label):
    points, labels = GOLDEN["points"], GOLDEN["labels"]
    found = safe_level.pairs(points, labels, label, int(GOLDEN["neighbors"]))
    expected = GOLDEN[f"class{label}_pairs"]
    assert {tuple(pair) for pair in found} == {tuple(pair) for pair in expected} and len(found) == len(expected)
    row, near, level, level_near = expected[GOLDEN[f"class{label}_chosen"]].T
    share = safe_level.gap(level, level_near, GOLDEN[f"f64_class{label}_u"])
    flat = points.astype("float64")
    new = flat[row] + share * (flat[near] - flat[row])
    np.testing.assert_allclose(new, GOLDEN[f"f64_class{label}_new"], rtol=1e-12)


def test_safe_level_points_lie_between_rows_of_the_class(cloud):
    points, labels = cloud
    flat = points.reshape(64, -1)
    new, new_labels, repeated = oversample(points, labels, "safe-level", neighbors=4)
    assert np.bincount(np.concatenate([labels, new_labels])).tolist() == [30] * 5
    assert 4 in repeated and 1 not in repeated
    for label in {1, 2, 3} - set(repeated):
        mine = np.flatnonzero(labels == label)
        near = neighbours(flat, mine, mine, min(4, len(mine) - 1))
        assert_on_segments(flat, mine, near, new[new_labels == label].reshape(-1, 6), 1e-4)


def test_equal_rows_are_neighbours_of_each_other_and_never_of_themselves():
    found = safe_level.pairs(np.zeros((4, 2), "float32"), np.array([0, 1, 1, 0]), 1, 3)
    assert found.tolist() == [[1, 2, 1, 1], [2, 1, 1, 1]]


def test_the_same_as_imbalanced_learn_on_the_whole_set(cloud):
    points, labels = (x[cloud[1] < 3] for x in cloud)
    flat = points.reshape(len(points), -1)
    for kind, other in (("smote", SMOTE(random_state=np.random.RandomState(7))),
                        ("borderline-2", BorderlineSMOTE(random_state=np.random.RandomState(7), kind="borderline-2"))):
        new, new_labels, _ = oversample(points, labels, kind, seed=7)
        expected, expected_labels = other.fit_resample(flat, labels)
        np.testing.assert_allclose(new.reshape(-1, 6), expected[len(flat):], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(new_labels, expected_labels[len(flat):])


@pytest.mark.parametrize("kind", KINDS)
def test_by_the_seed_alone(cloud, kind):
    first, again, other = (oversample(*cloud, kind, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("method", ["smote", "borderline_smote", "safe_level_smote"])
def test_a_split_with_synthetic_images(method):
    config, data = settings(method, "--loss=bs", "--mix=cmo", "--mix_skip_first=0", "--mix_skip_last=0")
    leg, = stages.legs(config, len(data.train))
    even = leg.stage.even(build, leg.config, data)
    assert np.bincount(even.train.labels).tolist() == [20] * 10 and even.train.images.dtype == np.uint8
    np.testing.assert_array_equal(even.train.images[:64], data.train.images)
    assert even.counts is data.counts and even.fingerprint == data.fingerprint and even.groups is data.groups
    batches = list(leg.stage.stream(build, leg.config, data, leg.timeline, 0).take(100))
    labels, index = (np.concatenate([batch[name] for batch in batches]) for name in ("label", "index"))
    share = np.bincount(labels) / len(labels)
    assert np.abs(share - 0.1).max() < 0.03
    np.testing.assert_array_equal(labels, even.train.labels[index])
    assert len(np.unique(index)) > 190  # of 200, in 1400 draws
    assert leg.timeline.steps_per_epoch == 5  # an epoch has N images still
    later = next(iter(leg.stage.stream(build, leg.config, data, leg.timeline, 30)))
    for name, column in later.items():
        np.testing.assert_array_equal(column, batches[30][name])


def test_features_of_the_frozen_trunk():
    config, data = settings("borderline_smote", "--smote_space=features")
    leg = stages.legs(config, len(data.train))[1]
    network = models.create("resnet8", 10, data.image_shape, seed=3)
    model = leg.stage.classifier(build, leg.config, data, network)
    trunk = keras.Model(network.input, network.get_layer("features").output)
    expected = trunk(build.normalisation(data)(data.train.images.astype("float32"))).numpy()
    even = leg.stage.even(build, leg.config, data).train
    np.testing.assert_allclose(even.images[:64, 0, 0], expected, rtol=1e-4, atol=1e-5)
    new, labels, _ = oversample(even.images[:64], data.train.labels, "borderline-1")
    np.testing.assert_array_equal(even.images[64:], new)
    np.testing.assert_array_equal(even.labels[64:], labels)
    before = [v.numpy() for v in model.inner.variables]
    batch = next(iter(leg.stage.stream(build, leg.config, data, leg.timeline, 0)))
    np.testing.assert_array_equal(batch["image"], even.images[batch["index"]])
    head = model.inner.get_layer("linear")
    logits = batch["image"].numpy()[:, 0, 0] @ head.kernel.numpy() + head.bias.numpy()
    wanted = -np.take_along_axis(keras.ops.log_softmax(logits).numpy(), batch["label"].numpy()[:, None], 1).mean()
    assert float(model.train_on_batch(batch)) == pytest.approx(wanted, rel=1e-4)
    for variable, old in zip(model.inner.variables, before, strict=True):
        assert np.array_equal(variable.numpy(), old) != variable.path.startswith("linear"), variable.path
    assert not np.array_equal(head.kernel.numpy(), network.get_layer("linear").kernel.numpy())


def test_images_on_disk_and_too_many_are_refused(monkeypatch):
    config, data = settings("smote")
    stage = OnPixels("smote")
    paths = dataclasses.replace(data, train=Split(np.array(["a.png"] * 64), data.train.labels))
    with pytest.raises(UserError, match="--dataset=digits: .* needs them in memory"):
        stage.even(build, config, paths)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4}[name])
    with pytest.raises(UserError, match="--smote_space=pixels: classes of 20 images each need .* GiB"):
        stage.even(build, config, data)


@pytest.mark.parametrize(("arguments", "told"), [
    (["--sampler=class_aware"], "--sampler=class_aware: does not go with --smote_space=pixels"),
    (["--mix=cmo", "--q_source=rejection"], "--q_source=rejection"), (["--stage2_epochs=3"], "--stage2_epochs=3"),
    (["--borderline_kind=2"], "--borderline_kind=2 does nothing with --method=smote")])
def test_flags_that_do_nothing_are_refused(arguments, told):
    with pytest.raises(UserError, match=told) as refused:
        config = configuration.parse(["--method=smote", *arguments])[0]
        stages_of(METHODS["smote"], config)
    assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Function model -> folder of a first stage."""
    @functools.cache
    def train(model):
        run_dir = tmp_path_factory.mktemp("smote") / model
        assert program(*TINY, f"--model={model}", "--epochs=1", f"--run_dir={run_dir}").code == 0
        return run_dir
    return train


def test_two_steps_and_evaluation_on_pixels(tmp_path):
    check_two_steps(tmp_path, "smote", "--mix=cmo", "--mix_skip_first=0", "--mix_skip_last=0")
    found = read_results(str(tmp_path / "run"))
    assert found["class_counts"][0] == 20 and found["class_counts"][-1] == 1
    assert found["method"] == {"synthetic": 136, "repeated_classes": [7, 8, 9]}


def test_two_steps_and_evaluation_on_features(first, tmp_path):
    check_two_steps(tmp_path, "borderline_smote", "--smote_space=features", "--borderline_kind=2",
                    f"--init_from={first('resnet8')}")


@pytest.mark.parametrize("method", ["smote", "safe_level_smote"])
def test_a_resumed_second_stage_goes_on_the_same(method):
    check_second_stage_resumes(method, "--smote_space=features")


@pytest.mark.slow
@pytest.mark.parametrize("space", ["pixels", "features"])
def test_resumed_it_ends_the_same(first, tmp_path, space):
    check_exact_resume(tmp_path, "smote", f"--smote_space={space}",
                       *([f"--init_from={first('resnet20')}"] if space == "features" else []))


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [
    ["smote", "--mix=cmo"], ["borderline_smote", "--borderline_kind=2"],
    ["borderline_smote", "--smote_space=features", "--stage2_lr=0.05"], ["safe_level_smote", "--mix=cmo"]])
def test_end_to_end(tmp_path, arguments):
    check_end_to_end(tmp_path, *arguments)
