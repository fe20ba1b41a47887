"""Every method that has a network of its own, on ResNets with bottlenecks: small ones here, ResNet-50 in slow tests."""

import shlex
from unittest import mock

import keras
import numpy as np
import pytest

from cmo_tf import models
from cmo_tf.classifier import build
from cmo_tf.core.errors import UserError
from cmo_tf.methods import early_exit
from cmo_tf.methods.bbn import Bilateral
from cmo_tf.methods.early_exit import EarlyExit
from cmo_tf.models import paco
from cmo_tf.models.bbn import two_branch_large_resnet
from cmo_tf.models.resnet import RESNET50, resnet
from cmo_tf.models.ride_resnet import ride_resnet
from cmo_tf.models.router import with_router
from cmo_tf.report.results import read_results
from cmo_tf.run import stages
from tests.support.method_runs import settings
from tests.support.program import program

# 17 layers, 8 to 64 planes.
LAYOUT = RESNET50._replace(blocks=(1, 1, 1, 2), planes=8)
MIXED = "--mix=cmo --mix_skip_first=0 --mix_skip_last=0"
# Flags of two epochs for each of them; the learning layers of second stages are tested elsewhere.
METHODS = {
    "ldam_drw": MIXED, "ib": MIXED, "crt": MIXED, "lws": "", "las": MIXED, "mislas": "", "tau_norm": "--tau=0.7",
    "bbn": MIXED, "causal_norm": "--tde_alpha=3 --tde_follow_lr",
    "ride": f"--ride_router --experts=2 --router_top=5 {MIXED}",
    "paco": "--paco_dim=128 --paco_queue=28 --paco_temperature=0.2 --paco_alpha=0.05",
}


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("resnet17", "resnet17_4096"):
            patch.setitem(models.MODELS._places, name, f"{__name__}:{name}")
        patch.setitem(models.EXPERT_MODELS._places, "resnet17", f"{__name__}:resnet17_experts")
        yield


def resnet17(**options):
    return resnet("resnet17", LAYOUT, **options)


def resnet17_4096(**options):
    return two_branch_large_resnet("resnet17_4096", LAYOUT, **options)


def resnet17_experts(**options):
    return ride_resnet("resnet17", LAYOUT, **options)


# Those whose stages are no others' than what the rest has.
LIKE_OTHERS = ("ldam_drw", "lws", "mislas")


@pytest.mark.parametrize("method", [pytest.param(m, marks=[pytest.mark.slow] * (m in LIKE_OTHERS)) for m in METHODS])
def test_two_steps_of_every_stage(method):
    config, data = settings(method, "--model=resnet17", *shlex.split(METHODS[method]))
    previous = None
    for leg in stages.legs(config, len(data.train)):
        model = leg.stage.classifier(build, leg.config, data, previous)
        model.run_eagerly = True
        if leg.timeline.total_steps:
            before = [w.numpy() for w in model.trainable_variables]
            stream = leg.stage.stream(build, leg.config, data, leg.timeline, 0)
            callbacks = leg.stage.callbacks(build, leg.config, data, leg.timeline, model)
            losses = model.fit(stream, steps_per_epoch=1, epochs=2, verbose=0, callbacks=callbacks).history["loss"]
            assert np.isfinite(losses).all() and before
            assert any((w.numpy() != b).any() for w, b in zip(model.trainable_variables, before, strict=True))
        with mock.patch.object(early_exit, "measure"):  # takes times
            leg.stage.finish(build, leg.config, data, model)
        previous = model.inner
    found = model.network(data.test.images[:5])
    assert np.isfinite(found["logits"] if isinstance(found, dict) else found).all()


def test_early_exit_of_experts_with_bottlenecks():
    network = with_router(models.create_experts("resnet17", 5, (16, 16, 3), experts=3, seed=3), 4, seed=4)
    images = np.random.default_rng(0).normal(size=(9, 16, 16, 3)).astype("float32")
    last = network.get_layer("expert_help_pred_fc")
    last.bias.assign_sub([np.median(network(images)["help"][:, 0])])
    dense, (logits, used) = network(images), EarlyExit(network)(images)
    np.testing.assert_array_equal(used, dense["used"])
    np.testing.assert_allclose(logits, dense["logits"], atol=1e-4)
    assert set(used.numpy()) > {1}
    hidden = network.get_layer("expert_help_pred_hidden_fcs.0")  # of 192 features, as PyTorch draws them
    assert hidden.kernel.shape == (192, 16) and np.abs(hidden.kernel).max() <= 192 ** -0.5


def test_projection_of_large_networks():
    """2 048 features, then as many, then --paco_dim, drawn as PyTorch draws them."""
    plain = paco.with_plain_head(models.create("resnet50", 5, (32, 32, 3), seed=0), 5, seed=0)
    encoder = paco.with_projection(plain, 128, seed=0)
    assert [encoder.get_layer(name).kernel.shape for name in ("linear", "fc.0", "fc.3")] == \
        [(2048, 5), (2048, 2048), (2048, 128)]
    assert all(np.abs(encoder.get_layer(name).kernel).max() <= 2048 ** -0.5 for name in ("linear", "fc.0", "fc.3"))


def test_networks_without_two_branches_are_refused():
    config, data = settings("bbn", "--model=resnet101")
    with pytest.raises(UserError, match="--model=resnet101.*resnet50_4096"):
        Bilateral("bbn").classifier(build, config, data, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes of 12, 6 and 4 pictures for training and 4 for testing."""
    from PIL import Image
    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for part, counts in (("train", (12, 6, 4)), ("test", (4, 4, 4))):
        for name, count in zip("abc", counts, strict=True):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                picture = random.integers(0, 256, (40, 44, 3), dtype="uint8")
                Image.fromarray(picture).save(root / part / name / f"{number}.png")
    return root


@pytest.mark.slow
@pytest.mark.parametrize(("method", "model"), [
    *((method, "resnet50") for method in METHODS), ("ce", "resnext50_32x4d"), ("causal_norm", "resnext50_32x4d"),
    ("ride", "resnext50_32x4d"), ("ce", "wide_resnet50_2"), ("ce", "resnet101"), ("ce", "resnet152"),
    ("ce", "resnet10"), ("ride", "resnet10")])
def test_two_steps_of_the_program(folder, tmp_path, method, model, no_plots):
    """Two steps of each stage on images of 32 pixels, results, and the same accuracy from model.keras."""
    flags = METHODS.get(method, "").replace("--paco_queue=28", "--paco_queue=22")
    short = {"ride": "--router_epochs=1", "crt": "--stage2_epochs=1", "lws": "--stage2_epochs=1",
             "las": "--stage2_epochs=1", "mislas": "--stage2_epochs=1"}.get(method, "")
    ended = program(f"--dataset=folder:{folder}", "--image_size=32", f"--method={method}", f"--model={model}",
                    *shlex.split(flags), *short.split(), "--batch_size=11", "--epochs=1", "--warmup_epochs=0",
                    "--lr=0.001", "--many_above=8", "--few_below=5", f"--run_dir={tmp_path}")
    assert ended.code == 0, ended.err
    assert read_results(str(tmp_path))["steps"] >= 2
    evaluated = program("--mode=eval", f"--run_dir={tmp_path}")
    assert evaluated.code == 0 and evaluated.out.splitlines()[-1] == ended.out.splitlines()[-1], evaluated.err
    keras.backend.clear_session()
