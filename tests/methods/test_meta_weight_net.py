"""Meta-Weight-Net: three steps of the official code, its meta batches, runs and resuming."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from meta_networks import assert_close, assert_weights, batch_of, two_layers
from method_runs import TINY, check_exact_resume, check_state_is_all_in_variables, settings
from program import program

from cmo_tf import config as configuration
from cmo_tf import losses, models, optim
from cmo_tf.classifier import build
from cmo_tf.core.errors import UserError
from cmo_tf.methods.inner_step import call_with, inner_step, tensors_of
from cmo_tf.methods.meta_weight_net import MetaWeightTraining, WeightNet
from cmo_tf.report.results import read_results
from cmo_tf.run import data, stages
from cmo_tf.run.timeline import Timeline

pytestmark = pytest.mark.usefixtures("small_networks", "no_plots")
FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = np.load(FOLDER / "meta_weight_net.npz", allow_pickle=False)
PARTS = ("linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias")


class Training(MetaWeightTraining, build.LongTailClassifier):
    pass


def golden_net():
    net = WeightNet()
    net.build((None,))
    for variable, part in zip(net.variables, PARTS, strict=True):
        variable.assign(GOLDEN[f"v/{part}"].T)
    return net


def test_the_weight_net():
    assert_close(golden_net()(GOLDEN["vnet_in"]), GOLDEN["vnet_out"], 2e-5)
    assert golden_net()(GOLDEN["vnet_in"][:, 0]).shape == (49,)
    net = WeightNet(seed=3)
    net.build((None,))
    assert [np.abs(v.numpy()).max() <= bound for v, bound in zip(net.variables, (1, 1, 0.1, 0.1), strict=True)]
    assert net.variables[1].numpy().std() > 0.4 and 0 < net.variables[3].numpy()[0] ** 2 < 0.01


def test_three_steps_of_the_official_code():
    model = Training(two_layers(GOLDEN), weight_lr=float(GOLDEN["vnet_lr"]), seed=0)
    for variable, start in zip(model.weight_net.variables, golden_net().variables, strict=True):
        variable.assign(start)
    model.compile(optim.SGD(float(GOLDEN["real_lr"]), momentum=0.9, l2=5e-4, nesterov=True), losses.CrossEntropy(),
                  run_eagerly=True)
    model.virtual_lr.assign(GOLDEN["virtual_lr"])
    for step in range(3):
        batch = batch_of(GOLDEN, step)
        gradients = model.weight_gradients(model._mix(batch), batch["meta_image"], batch["meta_label"])
        for gradient, part in zip(gradients, PARTS, strict=True):
            assert_close(tf.transpose(gradient), GOLDEN[f"s{step}_vnet_grad/{part}"], name=f"{step} {part}")
        model.train_step(batch)
        for variable, part in zip(model.weight_net.variables, PARTS, strict=True):
            assert_close(variable.numpy().T, GOLDEN[f"s{step}_vnet_after/{part}"], name=f"{step} {part}")
        assert_weights(model.inner, GOLDEN, f"s{step}_after")


def test_the_second_order_gradient_of_a_network_with_batch_normalisation():
    """Against a central difference; a tried step leaves weights and running statistics alone."""
    network = models.create("resnet8", 10, (8, 8, 1), seed=0)
    build.LongTailClassifier(network)  # fused batch normalisation
    random = np.random.RandomState(0)
    images, labels = random.normal(size=(8, 8, 8, 1)).astype("float32"), random.randint(0, 10, 8)
    weights, others = tensors_of(network)
    before = [v.numpy() for v in network.variables]
    ce, slope = losses.CrossEntropy(), tf.constant(random.normal(size=8).astype("float32"))

    def behind(share):
        def virtual(tensors):
            rows = ce.terms(labels, call_with(network, tensors, others, images))[0]
            return tf.reduce_mean((1 + share * slope) * rows), None
        tried, _, _ = inner_step(virtual, weights, lambda i, v, g: v - 0.05 * g)
        return tf.reduce_mean(ce.terms(labels, call_with(network, tried, others, images))[0])
    share = tf.constant(0.0)
    with tf.GradientTape() as tape:
        tape.watch(share)
        value = behind(share)
    difference = (behind(tf.constant(0.01)) - behind(tf.constant(-0.01))) / 0.02
    assert float(tape.gradient(value, share)) == pytest.approx(float(difference), rel=0.05)
    for variable, old in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable, old)


def first_batches(number, *flags):
    config, found = settings("meta_weight_net", *flags)
    leg, = stages.legs(config, len(found.train))
    leg.stage.classifier(build, leg.config, found, None)
    streams = [leg.stage.stream(build, leg.config, found, leg.timeline, start) for start in (0, 1)]
    return found, [list(stream.take(number)) for stream in streams]


def test_meta_batches_of_the_training_split_take_classes_in_turn():
    found, (batches, later) = first_batches(3, "--meta_batch=20")
    for batch in batches:
        assert np.bincount(batch["meta_label"]).tolist() == [2] * 10
    np.testing.assert_array_equal(later[0]["meta_image"], batches[1]["meta_image"])
    assert found.meta is None


def test_held_out_meta_images_are_taken_out_first():
    flags = ["--dataset=digits", "--method=meta_weight_net", "--meta_source=held_out"]
    found, (batches, later) = first_batches(2, *flags[2:], "--meta_batch=20", "--meta_per_class=3")
    assert np.bincount(found.meta.labels).tolist() == [3] * 10 and len(found.train) == 64
    seen = {image.tobytes() for image in found.meta.images}
    assert len(seen) == 30 and not seen & {image.tobytes() for image in found.train.images}
    first, second = (batch["meta_label"].numpy() for batch in batches)
    assert len(first) == 20 and not np.array_equal(first, second)
    np.testing.assert_array_equal(later[0]["meta_image"], batches[1]["meta_image"])
    whole, plain = (data.load(configuration.parse(given)[0]) for given in (flags, flags[:1]))
    assert len(whole.train) == len(plain.train) - 100


def test_the_official_rates():
    schedules = np.load(FOLDER / "lr_schedules.npz", allow_pickle=False)
    for name in ("cifar10lt", "cifar100lt"):
        config = configuration.parse([f"--flagfile=flags/{name}_meta_weight_net_recipe.cfg"])[0]
        timeline = Timeline(config, 100)
        rates = [timeline.lr(epoch) for epoch in range(config.epochs)]
        np.testing.assert_allclose(rates, schedules["meta_weight_net"], rtol=1e-6)
        np.testing.assert_allclose([rates[0], *rates[:-1]], schedules["meta_weight_net_virtual_step"], rtol=1e-6)


@pytest.mark.parametrize("method", ["meta_weight_net", "meta_sampler", "metasaug", "m2m"])
@pytest.mark.parametrize("flags", [["--precision=bfloat16"], ["--strategy=mirrored"], ["--gradient_accumulation=2"]])
def test_what_they_do_not_go_with_is_said_before_the_first_stage(method, flags):
    config, found = settings(method, *flags)
    with pytest.raises(UserError, match="looks through networks"):
        stages.legs(config, len(found.train))


def test_all_state_is_in_variables():
    _, middle, end = check_state_is_all_in_variables("meta_weight_net", "--meta_batch=10", "--mix=cmo",
                                                     "--mix_skip_first=0", "--mix_skip_last=0", "--weight_net_lr=0.1")
    moved = [name for name in end if "weight_net" in name and np.any(end[name] != middle[name])]
    assert len(moved) == 8  # and their velocities


def test_two_steps_say_how_many_meta_images(tmp_path):
    run_dir = tmp_path / "run"
    ended = program(*TINY, "--method=meta_weight_net", "--meta_source=held_out", "--max_steps=2",
                    f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    network = keras.models.load_model(run_dir / "model.keras")
    assert not any("weight_net" in v.path for v in network.variables)
    assert "meta_source" in (run_dir / "flags.cfg").read_text() and read_results(str(run_dir))["steps"] == 2


@pytest.mark.slow
def test_resumed_it_ends_the_same(tmp_path):
    check_exact_resume(tmp_path, "meta_weight_net", "--meta_batch=10")
