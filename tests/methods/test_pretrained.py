"""--train on pretrained weights: features are worked out once, the head trains on them, blocks are unfrozen."""

import dataclasses

import keras
import numpy as np
import pytest

from cmo_tf.classifier import build
from cmo_tf.config import parse
from cmo_tf.core.errors import UserError
from cmo_tf.methods import METHODS
from cmo_tf.methods.stage import stages_of
from cmo_tf.models import create
from cmo_tf.models.weights import saved_file
from cmo_tf.report.results import read_results
from cmo_tf.run import data as run_data
from cmo_tf.run import features
from tests.support.method_runs import TINY
from tests.support.program import assert_same_end, program

pytestmark = pytest.mark.usefixtures("networks", "no_plots")
DATA = [flag for flag in TINY if flag.split("=")[0] not in ("--lr", "--warmup_epochs", "--epochs")]


@pytest.fixture(scope="module")
def networks():
    from tests.support.method_runs import add_small_networks
    with pytest.MonkeyPatch.context() as patch:
        add_small_networks(patch)
        yield


@pytest.fixture(scope="module")
def flags(tmp_path_factory, networks):
    """Flags of a run on the weights of a network of 8 layers, with a folder for features."""
    folder = tmp_path_factory.mktemp("pretrained")
    create("resnet8", 7, (8, 8, 1), seed=5).save_weights(folder / "own.weights.h5")
    return [*DATA, f"--init_weights={folder / 'own.weights.h5'}", f"--features_dir={folder / 'features'}"]


def settings(*arguments):
    config = parse(list(arguments))[0]
    return config, run_data.load(config)


def test_defaults_are_the_recipe_and_give_way(flags):
    config = parse(flags)[0]
    assert (config.train, config.head, config.loss, config.lr) == ("head", "cosine", "logit_adjust", 0.1)
    assert (config.epochs, config.schedule, config.l2, config.warmup_epochs) == (10, "cosine", 5e-4, 0)
    assert parse(config.arguments())[0] == dataclasses.replace(config, features_dir=None)
    other = parse([*flags, "--method=ldam_drw", "--epochs=3", "--head=linear", "--train=head_then_all"])[0]
    assert (other.loss, other.epochs, other.head, other.lr) == ("ldam", 3, "linear", 0.01)
    crt = parse([*flags, "--method=crt"])[0]
    assert (crt.head, crt.loss, crt.lr) == ("linear", "ce", 0.01)
    plain = parse(TINY)[0]
    assert (plain.train, plain.head, plain.loss) == ("all", None, "ce")


def test_features_are_those_of_the_trunk(flags):
    config, data = settings(*flags, "--feature_views=3", "--val_fraction=0.1")
    found = features.in_place_of(config, data)
    assert found.train.images.shape == (len(data.train), 1, 3, 64) and found.test.images.shape[2] == 1
    for split, images in ((data.train, found.first_views), (data.validation, found.validation.images[:, 0, 0])):
        expected = np.asarray(found.trunk(build.preprocess(config, data)(split.images.astype("float32"))))
        np.testing.assert_allclose(images, expected, rtol=1e-4, atol=1e-5)
    views = np.asarray(found.train.images[:, 0])
    assert (np.abs(views[:, 1] - views[:, 0]).max(1) > 1e-3).mean() > 0.5  # moved by a pixel
    assert (np.abs(views[:, 2] - views[:, 1]).max(1) > 1e-3).mean() > 0.5


def test_the_head_starts_at_class_means(flags):
    config, data = settings(*flags)
    data = features.in_place_of(config, data)
    for loss in ("ce", "ldam"):
        config = dataclasses.replace(config, loss=loss)
        model = build.classifier(config, data)
        head = model.inner.layers[-1]
        assert head.scale == (25.0 if loss == "ce" else 1.0)
        mean = data.first_views[data.train.labels == 2].mean(0)
        np.testing.assert_allclose(head.kernel[:, 2], mean / np.linalg.norm(mean), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("more", [
    ["--method=ldam_drw", "--seed=3"], ["--method=crt", "--stage2_epochs=1"],
    *(pytest.param([f"--method={name}", *more], marks=pytest.mark.slow) for name, more in (
        ("ib", []), ("focal", []), ("lade", []), ("cb_focal", []), ("tau_norm", ["--tau=0.5"]),
        ("lws", ["--stage2_epochs=1"]), ("las", ["--stage2_epochs=1"])))], ids=lambda more: more[0])
def test_features_serve_other_losses_methods_and_seeds(flags, tmp_path, monkeypatch, more):
    features.in_place_of(*settings(*flags))
    monkeypatch.setattr(features, "_rows_from", lambda *_: pytest.fail("worked out again"))
    ended = program(*flags, *more, "--epochs=1", f"--run_dir={tmp_path}")
    assert ended.code == 0, ended.err
    # model.keras takes pixels.
    assert program("--mode=eval", f"--run_dir={tmp_path}").out == ended.out
    assert saved_file.load(str(tmp_path / "model.keras")).input_shape == (None, 8, 8, 1)


def test_a_digest_names_all_that_features_depend_on(flags, tmp_path):
    def digest(*more):
        config, data = settings(*flags, *more)
        network = keras.Sequential([keras.Input(data.image_shape), build.preprocess(config, data),
                                    build.trunk(config, data)])
        return features.digest(config, data, network, data.train, config.feature_views)
    create("resnet8", 7, (8, 8, 1), seed=6).save_weights(tmp_path / "other.weights.h5")
    plain = digest()
    assert digest("--loss=ce", "--seed=4", "--lr=1", "--augment=pad4") == plain
    others = [digest(f"--init_weights={tmp_path / 'other.weights.h5'}"), digest("--max_per_class=19"),
              digest("--feature_views=2"), digest("--feature_views=2", "--augment=pad4")]
    assert len({plain, *others}) == 5


def test_a_run_in_parts_ends_as_a_whole_one(flags, tmp_path):
    arguments = [*flags, "--feature_views=3", "--epochs=2", "--method=ce_drw", "--eval_every=9"]
    assert program(*arguments, f"--run_dir={tmp_path / 'whole'}").code == 0
    for more in (["--max_steps=7"], []):
        assert program(*arguments, *more, f"--run_dir={tmp_path / 'parts'}").code == 0
    assert read_results(str(tmp_path / "parts"))["resumed_from_steps"] == [7]
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_cmo_trains_what_is_unfrozen_behind_the_head(flags, tmp_path):
    """Resumed inside the second stage; the first blocks and all statistics of BatchNorm stay as they were."""
    arguments = [*flags, "--train=head_then_all", "--mix=cmo", "--unfreeze=1", "--epochs=2", "--lr=0.1",
                 "--trunk_lr_factor=1", "--eval_every=99"]
    assert program(*arguments, f"--run_dir={tmp_path / 'whole'}").code == 0
    steps = read_results(str(tmp_path / "whole"))["steps"]
    for more in ([f"--max_steps={steps - 3}"], []):
        ended = program(*arguments, *more, f"--run_dir={tmp_path / 'parts'}")
        assert ended.code == 0, ended.err
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    config, data = settings(*flags, "--train=all")
    before = {v.path: np.asarray(v) for v in build.trunk(config, data).variables}
    after = saved_file.load(str(tmp_path / "whole" / "model.keras")).layers[-1]
    changed = {v.path.split("/")[0] for v in after.variables
               if v.path in before and not np.array_equal(before[v.path], np.asarray(v))}
    still = {v.path for v in after.variables if v.path in before and np.array_equal(before[v.path], np.asarray(v))}
    assert changed == {f"layer3.0.{part}{k}" for part in ("conv", "bn") for k in (1, 2)}
    assert {path for path in before if "moving" in path} <= still
    row = read_results(str(tmp_path / "whole"))
    assert row["epochs"] == 12


def test_the_trunk_learns_at_a_rate_of_its_own(flags):
    config, data = settings(*flags, "--train=all", "--trunk_lr_factor=0.25")
    model = build.classifier(config, data)
    factors = {v.path: f for v, f in zip(model.trainable_variables, model.optimizer._rate_factors, strict=True)}
    assert factors["conv1/kernel"] == factors["layer3.0.bn2/gamma"] == 0.25 and factors["linear/kernel"] == 1.0
    assert model.shift_bn is False and model.learning is None


def test_stages_of_head_then_all(flags):
    config = parse([*flags, "--train=head_then_all", "--mix=cmo", "--epochs=7", "--feature_views=2"])[0]
    first, second = (dataclasses.replace(config, **stage.flags)
                     for stage in stages_of(METHODS[config.method], config))
    assert (first.train, first.mix, first.epochs, first.feature_views) == ("head", "none", 10, 2)
    assert (second.train, second.mix, second.epochs, second.lr) == ("head_then_all", "cmo", 7, 0.01)


@pytest.mark.parametrize(("arguments", "words"), [
    (["--mix=cmo"], "--mix=cmo: mixes pictures.*--train=head_then_all"),
    (["--method=fsa"], "--method=fsa: works on more"), (["--method=mislas"], "--mix=mixup: mixes pictures"),
    (["--train=head_then_all", "--method=crt"], "has stages of its own"),
    (["--unfreeze=2"], "--unfreeze=2: is for"), (["--train=all", "--feature_views=2"], "--feature_views=2: is for"),
    (["--upscale=64"], "--upscale=64: is for efficientnet_lite0"),
    (["--train=head_then_all", "--val_fraction=0.1", "--keep=best"], "what --train=head_then_all leaves"),
    (["--data_service=localhost:1"], "--data_service: there is nothing")])
def test_what_does_not_go_together_is_refused(flags, arguments, words):
    with pytest.raises(UserError, match=words):
        parse([*flags, *arguments])


def test_the_head_needs_weights_and_losses_their_cosines(flags):
    with pytest.raises(UserError, match="--train=head: .*--init_weights=imagenet"):
        parse([*DATA, "--train=head"])
    config, data = settings(*flags, "--head=linear", "--loss=ldam")
    with pytest.raises(UserError, match="--head=linear: --loss=ldam is made for cosines"):
        build.classifier(config, features.in_place_of(config, data))
    config, data = settings(*flags, "--train=all", "--unfreeze=99")
    with pytest.raises(UserError, match="unfreeze=99: the network .* has 4 blocks"):
        build.classifier(config, data)


def test_a_run_of_another_kind_is_not_gone_on_with(flags, tmp_path):
    assert program(*flags, "--max_steps=3", f"--run_dir={tmp_path}").code == 0
    ended = program(*flags, "--train=all", f"--run_dir={tmp_path}")
    assert ended.code == 2 and "--train" in ended.err


def test_printed_figures_are_not_compared_with_pretrained_ones(flags):
    for arguments, words in ((["--dataset=imagenet_lt"], "may have seen the pictures"),
                             (["--flagfile=flags/paper/table03.cfg:ce_cmo"], "table03.cfg:ce_cmo is a paper's row")):
        arguments = [*arguments, "--model=efficientnet_lite0", "--init_weights=imagenet", "--mix=none"]
        with pytest.raises(UserError, match=words):
            parse(arguments)
        assert parse([*arguments, "--allow_pretrained"])[0].train == "head"
