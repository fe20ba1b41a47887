"""Short and whole runs of a method on the digits, for the tests of cmo_tf.methods."""

import functools

import numpy as np

from cmo_tf import config as configuration
from cmo_tf.models import MODELS
from cmo_tf.report.results import read_results
from tests.support.program import assert_same_end, program

# 64 images in 4 or 5 batches an epoch, on networks of 8 layers.
TINY = ("--dataset=digits --imbalance_ratio=20 --max_per_class=20 --model=resnet8 --batch_size=14 --lr=0.02 --epochs=2 "
        "--warmup_epochs=1 --many_above=15 --few_below=2 --eval_every=2").split()
# The quickstart's epochs with four times its steps: BBN and PaCo learn slowly.
WHOLE = ("--dataset=digits --imbalance_ratio=20 --model=resnet20 --epochs=30 --batch_size=16 --warmup_epochs=2 "
         "--mix_skip_first=2 --eval_every=30").split()


def add_small_networks(monkeypatch):
    """Registers networks that the program does not offer: too small for anything but a fast test."""
    for name in ("stem_alone", "resnet8", "resnet8_128"):
        monkeypatch.setitem(MODELS._places, name, f"tests.support.method_runs:{name}")


def stem_alone(num_classes, input_shape, head="linear", seed=None):
    """One convolution with BatchNorm, pooling and a head."""
    import keras

    from cmo_tf.models.heads import classifier
    from cmo_tf.models.resnet_cifar import stem
    images = keras.Input(tuple(input_shape), name="image")
    features = keras.layers.GlobalAveragePooling2D(dtype="float32", name="features")(stem(images, seed))
    return keras.Model(images, classifier(features, num_classes, head, name="linear", seed=seed), name="stem")


def resnet8(**options):
    from cmo_tf.models.resnet_cifar import resnet_cifar
    return resnet_cifar(8, **options)


def resnet8_128(**options):
    from cmo_tf.models.bbn import two_branch_resnet
    return two_branch_resnet(8, **options)


def settings(method, *arguments):
    """(Config, data) of a tiny run."""
    from cmo_tf.run import data
    config = configuration.parse([*TINY, f"--method={method}", *arguments])[0]
    return config, data.load(config)


def check_two_steps(tmp_path, method, *arguments):
    """Two steps by the program, to the report; model.keras, loaded by the program, gives the same accuracy."""
    run_dir = tmp_path / "run"
    ended = program(*TINY, f"--method={method}", *arguments, "--max_steps=2", f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    assert read_results(str(run_dir))["steps"] == 2
    evaluated = program("--mode=eval", f"--run_dir={run_dir}")
    assert evaluated.code == 0 and evaluated.out == ended.out, evaluated.err


def check_state_is_all_in_variables(method, *arguments):
    """Two steps from what a checkpoint holds after two equal the third and fourth of one go, to the bit, whatever the
    variables were before. Returns the model and its variables after two steps and at the end, by name."""
    import tensorflow as tf

    from cmo_tf.classifier import build
    from cmo_tf.methods import METHODS
    from cmo_tf.methods.stage import stages_of
    from cmo_tf.pipeline import steps_per_epoch
    from cmo_tf.run import state
    from cmo_tf.run.timeline import Timeline
    tf.config.experimental.enable_op_determinism()
    config, data = settings(method, *arguments)
    stage = stages_of(METHODS[method], config)[0]
    timeline = Timeline(config, steps_per_epoch(len(data.train), config.batch_size, config.drop_remainder))
    model = stage.classifier(build, config, data, None)
    callbacks = stage.callbacks(build, config, data, timeline, model)

    def two_steps(start):
        stream = stage.stream(build, config, data, timeline, start)
        model.fit(stream, steps_per_epoch=2, callbacks=callbacks, verbose=0)
        return state.arrays(model)
    middle, end = two_steps(0), two_steps(2)
    for variable in state.variables(model).values():
        variable.assign(tf.ones_like(variable))
    state.restore(model, middle)
    again = two_steps(2)
    for name, array in end.items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)
    return model, middle, end


def check_exact_resume(tmp_path, method, *arguments):
    """The same by the program: four steps in one go and in two."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    given = [*TINY, "--model=resnet20", f"--method={method}", *arguments]
    assert program(*given, "--max_steps=6", f"--run_dir={whole}").code == 0
    for steps in (3, 6):
        assert program(*given, f"--max_steps={steps}", f"--run_dir={parts}").code == 0
    assert read_results(str(parts))["resumed_from_steps"] == [3]
    assert_same_end(whole, parts)


@functools.cache
def accuracy_of_ce(folder):
    """All-class accuracy of cross-entropy in the budget of WHOLE."""
    return _accuracy(folder, "ce")


def check_end_to_end(tmp_path, method, *arguments):
    """In the same budget the method reaches 90 % of what cross-entropy does."""
    plain = accuracy_of_ce(tmp_path.parent)
    reached = _accuracy(tmp_path, method, *arguments)
    print(f"{method} {' '.join(arguments)}: {reached:.2f} %, cross-entropy {plain:.2f} %")
    assert reached >= 0.9 * plain


def _accuracy(folder, method, *arguments):
    run_dir = folder / f"run_{method}"
    ended = program(*WHOLE, f"--method={method}", *arguments, f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    return read_results(str(run_dir))["accuracy"]["all"]


def check_second_stage_resumes(method, *arguments):
    """Two steps of a second stage that starts anew from what a checkpoint holds after two equal the third and fourth
    of one go, to the bit. Returns the model."""
    import tensorflow as tf

    from cmo_tf import models
    from cmo_tf.classifier import build
    from cmo_tf.methods import METHODS
    from cmo_tf.methods.stage import stages_of
    from cmo_tf.run import stages, state
    tf.config.experimental.enable_op_determinism()
    config, data = settings(method, *arguments)

    def stage(seed):
        """The second stage on a first one's network; on resuming its weights are any."""
        leg = stages.legs(config, len(data.train))[1]
        network = models.create(config.model, data.num_classes, data.image_shape, seed=seed)
        return leg, leg.stage.classifier(build, leg.config, data, network)

    def two_steps(leg, model, start):
        stream = leg.stage.stream(build, leg.config, data, leg.timeline, start)
        callbacks = leg.stage.callbacks(build, leg.config, data, leg.timeline, model)
        model.fit(stream, steps_per_epoch=2, initial_epoch=1, epochs=2, callbacks=callbacks, verbose=0)
        return state.arrays(model)
    assert len(stages_of(METHODS[method], config)) == 2
    leg, model = stage(1)
    middle, end = two_steps(leg, model, 0), two_steps(leg, model, 2)
    leg, model = stage(2)
    state.restore(model, middle)
    again = two_steps(leg, model, 2)
    for name, other in zip(end, again, strict=True):
        np.testing.assert_array_equal(end[name], again[other], err_msg=name)
    assert any(np.any(end[name] != middle[name]) for name in end)
    return model
