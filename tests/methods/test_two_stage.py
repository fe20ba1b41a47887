"""Runs of cRT, LWS, tau-normalisation, MiSLAS and LAS: what a second stage changes and what it leaves alone."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from cmo_tf import config
from cmo_tf.classifier import build
from cmo_tf.core.errors import UserError
from cmo_tf.methods import METHODS
from cmo_tf.methods.stage import stages_of
from cmo_tf.models import create, two_stage
from cmo_tf.report.results import read_results
from cmo_tf.run import data as run_data
from tests.support.program import assert_same_end, program, tree

TINY = ("--dataset=digits --imbalance_ratio=20 --max_per_class=12 --val_fraction=0.3 --model=resnet20 --epochs=1 "
        "--batch_size=16 --lr=0.02 --warmup_epochs=0 --mix_skip_first=0 --mix_skip_last=0 --eval_every=9 "
        "--many_above=9 --few_below=2").split()
SECOND = ("--stage2_epochs=2", "--stage2_lr=0.1")
TRAINED = ("crt", "lws", "las")


@pytest.fixture(scope="module", autouse=True)
def around_runs(no_plots):
    """No plots, which take longer than these runs; and the op determinism that a run switches on for good ends here."""
    yield
    from tensorflow.python.framework import config as framework
    framework.disable_op_determinism()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Function (method, flags) -> folder of the finished run of a second stage on one first stage (CE + CMO)."""
    root, made = tmp_path_factory.mktemp("two_stage"), {}

    def train(method, *arguments):
        if method not in made:
            made[method] = root / method
            ended = program(*TINY, *arguments, f"--run_dir={made[method]}")
            assert ended.code == 0, ended.err
            if method in ("crt", "lws", "tau_norm"):
                assert program("--mode=eval", f"--run_dir={made[method]}").out == ended.out
        return made[method]

    first = train("first", "--method=ce", "--mix=cmo")
    return lambda method: first if method == "first" else train(
        method, f"--init_from={first}", f"--method={method}", *(() if method == "tau_norm" else SECOND))


def variables(run_dir):
    """Path in the network -> array."""
    model = keras.models.load_model(run_dir / "model.keras")
    return {"/".join(v.path.split("/")[-2:]): v.numpy() for v in model.variables}


@pytest.mark.parametrize("method", TRAINED)
def test_a_frozen_trunk_with_moving_statistics(runs, method):
    before, after = variables(runs("first")), variables(runs(method))
    trunk = [name for name in before if not name.startswith("linear/")]
    moving = [name for name in trunk if "moving" in name]
    assert len(moving) == 2 * 19 and {n for n in after if n not in before} <= {"class_scale/scale"}
    for name in trunk:
        assert np.array_equal(before[name], after[name]) == (name not in moving), name
    found = read_results(runs(method))
    assert found["steps"] == found["epochs"] * -(-sum(found["class_counts"]) // 16) and found["epochs"] == 2


def test_which_part_of_the_head_learns(runs):
    first, crt, lws, las = (variables(runs(method)) for method in ("first", *TRAINED))
    for name in ("linear/kernel", "linear/bias"):
        np.testing.assert_array_equal(lws[name], first[name])
        assert not np.array_equal(las[name], first[name])
    start = create("resnet20", 10, (8, 8, 1), seed=0).get_layer("linear").kernel.numpy()
    for near, far in ((first, crt), (las, crt)):  # a new head: far from the old one and from its start
        assert np.abs(near["linear/kernel"] - first["linear/kernel"]).max() < 0.3
        assert np.abs(far["linear/kernel"] - first["linear/kernel"]).max() > 0.3
    assert np.abs(crt["linear/kernel"] - start).max() > 0.3
    assert "class_scale/scale" not in crt
    for found in (lws, las):
        assert 0 < np.abs(found["class_scale/scale"] - 1).max() < 1


def test_tau_is_the_best_on_the_validation_split(runs):
    run_dir = runs("tau_norm")
    found, before, after = read_results(run_dir), variables(runs("first")), variables(run_dir)
    data = run_data.load(config.parse(TINY)[0])
    network = keras.models.load_model(runs("first") / "model.keras").layers[-1]
    features = keras.Model(network.input, network.get_layer("features").output)
    kernel, norms = before["linear/kernel"], np.linalg.norm(before["linear/kernel"], axis=0)

    def accuracy(split, taus):
        found = features(build.normalisation(data)(split.images.astype("float32"))).numpy()
        right = [(found @ (kernel / norms**tau)).argmax(-1) == split.labels for tau in taus]
        return [100 * np.mean([r[split.labels == label].mean() for label in np.unique(split.labels)]) for r in right]

    expected = accuracy(data.validation, np.arange(21) / 10)
    np.testing.assert_allclose(found["method"]["validation"], expected, atol=0.0051)
    assert found["method"]["tau"] == np.argmax(expected) / 10
    np.testing.assert_allclose(after["linear/kernel"], kernel / norms ** found["method"]["tau"], rtol=1e-5)
    assert "linear/bias" not in after and found["steps"] == 0
    assert found["accuracy"]["all"] == pytest.approx(accuracy(data.test, [found["method"]["tau"]])[0], abs=1e-4)
    trunk = [name for name in before if not name.startswith("linear/")]
    assert all(np.array_equal(before[name], after[name]) for name in trunk)


def test_a_finished_stage_without_steps_is_left_alone(runs):
    before = tree(runs("tau_norm"))
    again = program(*TINY, f"--init_from={runs('first')}", "--method=tau_norm", f"--run_dir={runs('tau_norm')}")
    assert again.code == 0 and "nothing to do" in again.out
    assert tree(runs("tau_norm")) == before


def test_tau_is_not_chosen_on_images_that_may_have_been_trained_on(runs, tmp_path):
    refused = program(*TINY, f"--init_from={runs('first')}", "--method=tau_norm", "--val_fraction=0.5",
                      f"--run_dir={tmp_path}")
    assert refused.code == 2 and "another split" in refused.err and refused.err.count("\n") == 1


def test_both_stages_stopped_in_the_second_equal_one_go(tmp_path):
    """--max_steps inside an epoch of stage 2, then the rest: every bit as in an uninterrupted run."""
    arguments = [*TINY, "--method=mislas", *SECOND]
    assert program(*arguments, f"--run_dir={tmp_path / 'whole'}").code == 0
    whole = read_results(tmp_path / "whole")
    per_epoch = whole["steps"] // 3
    assert whole["epochs"] == 3 and per_epoch > 1
    stopped = program(*arguments, f"--max_steps={per_epoch + 1}", f"--run_dir={tmp_path / 'parts'}")
    assert stopped.code == 0 and read_results(tmp_path / "parts")["steps"] == per_epoch + 1
    ended = program(*arguments, f"--run_dir={tmp_path / 'parts'}")
    assert ended.code == 0, ended.err
    assert read_results(tmp_path / "parts")["resumed_from_steps"] == [per_epoch + 1]
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def stages(*arguments):
    """Config of each stage of a method."""
    given = config.parse(list(arguments))[0]
    return [dataclasses.replace(given, **stage.flags) for stage in stages_of(METHODS[given.method], given)]


@pytest.mark.parametrize("method", [*TRAINED, "mislas"])
def test_the_second_stage_is_plain_whatever_the_first_is(method):
    free = [] if method == "mislas" else ["--loss=focal", "--focal_gamma=2", "--mix=cmo", "--reweight=drw"]
    las = ["--las_smooth_head=0.3", "--las_smooth_tail=0"] if method in ("las", "mislas") else []
    first, second = stages(f"--method={method}", *free, *las, "--epochs=30", "--lr=0.05")
    assert (first.loss, first.mix, first.epochs) == (("focal", "cmo", 30) if free else ("ce", "mixup", 30))
    assert (second.mix, second.reweight, second.sampler, second.warmup_epochs) == ("none", "none", "class_aware", 0)
    assert (second.epochs, second.lr) == {"crt": (10, 0.2), "lws": (5, 0.2)}.get(method, (10, 0.1))
    assert second.schedule == ("cosine" if las else "cosine_ahead")
    loss = build.loss(second, [9, 3, 1])
    assert build.loss(first, [9, 3, 1]).name != loss.name or not las
    assert not las or (loss.smooth_head, loss.smooth_tail) == (0.3, 0.0)


def test_flags_of_other_methods_and_missing_ones_are_refused():
    for arguments, told in ((["--method=crt", "--tau=1"], "--tau=1.0 does nothing with --method=crt"),
                            (["--stage2_epochs=3"], "--stage2_epochs=3 does nothing with --method=plain"),
                            (["--method=las", "--loss=ce", "--focal_gamma=2"], "--focal_gamma=2 does nothing")):
        with pytest.raises(UserError, match=told):
            build.loss(stages(*arguments)[0], [3, 2])
    with pytest.raises(UserError, match="--val_fraction"):
        stages("--method=tau_norm")
    assert len(stages("--method=tau_norm", "--tau=0.7")) == 2


def test_heads_that_cannot_be_kept_are_refused():
    cosine, linear = (create("resnet20", 5, (8, 8, 1), head=head) for head in ("normed", "linear"))
    for keep in (two_stage.with_class_scale, two_stage.without_bias):
        with pytest.raises(UserError, match="--method=crt"):
            keep(cosine, 5)
        with pytest.raises(UserError, match="for 6 classes"):
            keep(linear, 6)
    assert two_stage.with_new_head(cosine, 6, seed=0).output_shape == (None, 6)
    again = two_stage.with_new_head(two_stage.with_class_scale(linear, 5), 5, seed=0)
    assert not any(isinstance(layer, two_stage.ClassScale) for layer in again.layers)


DIGITS = ("--dataset=digits --imbalance_ratio=20 --val_fraction=0.1 --model=resnet20 --epochs=20 --batch_size=64 "
          "--warmup_epochs=2 --eval_every=20 --mix_skip_first=2 --mix_skip_last=2").split()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """(folder, accuracy) of plain cross-entropy on the digits."""
    run_dir = tmp_path_factory.mktemp("plain") / "ce"
    assert program(*DIGITS, "--method=ce", f"--run_dir={run_dir}").code == 0
    return run_dir, read_results(run_dir)["accuracy"]["all"]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "flags"), [
    ("crt", ["--stage2_lr=0.05"]), ("lws", ["--stage2_lr=0.05"]), ("tau_norm", []), ("mislas", ["--lr_factor=0.1"]),
    ("las", ["--mix=cmo", "--reweight=drw"])])
def test_a_method_reaches_plain_cross_entropy_on_digits(plain, tmp_path, method, flags):
    ended = program(*DIGITS, f"--method={method}", *flags, f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 0, ended.err
    accuracy = read_results(tmp_path / "run")["accuracy"]
    print(f"{method}: {json.dumps(accuracy)}, plain cross-entropy {plain[1]:.2f}")
    assert accuracy["all"] >= 0.9 * plain[1]
    assert program("--mode=eval", f"--run_dir={tmp_path / 'run'}").out == ended.out
    shutil.rmtree(tmp_path / "run")
