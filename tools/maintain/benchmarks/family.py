"""What a step of CMO's relatives costs against one of cross-entropy: the program's classifier, stream and callbacks, on
random pixels of CIFAR-10-LT's shape and counts."""

import time

from tools.maintain.benchmarks import material
from tools.maintain.benchmarks.rounds import Bench, Stretch

CE = "--method=ce"
# Name -> flags, with the coins as published.
SIDES = {
    "CE": [CE],
    "CMO": [CE, "--mix=cmo", "--mix_skip_first=0"],
    "SAM": [CE, "--sam_rho=0.1"],
}


def make(options) -> Bench:
    """Every side over cross-entropy."""
    data = made_data(options)
    sides = {name: Side(options, data, flags) for name, flags in SIDES.items()}
    return Bench("images", sides, {f"time of {name} over CE": ("CE", name) for name in SIDES if name != "CE"})


def made_data(options):
    """RunData of random pixels."""
    import dataclasses

    from cmo_tf import config
    from cmo_tf.datasets import Split
    from cmo_tf.run import data
    images, labels = material.in_memory(options)
    digits = data.load(config.parse(["--dataset=digits"])[0])
    return dataclasses.replace(digits, train=Split(images, labels), counts=material.counts(options),
                               image_shape=(32, 32, 3), mean=(0.5,) * 3, std=(0.25,) * 3, augment="pad4_flip",
                               base_augment="pad4_flip")


class Side:
    """Trains `options.steps` steps of a run in its second half, where everything is switched on."""

    SKIPPED, EPOCH = 3, 12

    def __init__(self, options, data, arguments):
        from cmo_tf import config
        from cmo_tf.run import stages
        flags = ["--dataset=digits", f"--model={options.model}", f"--batch_size={options.batch_size}", "--epochs=40",
                 "--drop_remainder", *arguments]
        self.data, self.steps, self.batch = data, options.steps, options.batch_size
        self.leg = stages.legs(config.parse(flags)[0], len(data.train))[-1]
        from cmo_tf.classifier import build
        self.build = build
        self.model = self.leg.stage.classifier(build, self.leg.config, data, None)

    def __call__(self) -> Stretch:
        import keras
        marks, leg = [], self.leg

        def mark(step, logs):
            if step + 1 in (self.SKIPPED, self.SKIPPED + self.steps):
                marks.append((time.perf_counter(), time.process_time()))
        first = self.EPOCH * leg.timeline.steps_per_epoch
        stream = leg.stage.stream(self.build, leg.config, self.data, leg.timeline, first)
        callbacks = leg.stage.callbacks(self.build, leg.config, self.data, leg.timeline, self.model)
        self.model.fit(stream, initial_epoch=self.EPOCH, epochs=self.EPOCH + 1, verbose=0,
                       steps_per_epoch=self.SKIPPED + self.steps,
                       callbacks=[*callbacks, keras.callbacks.LambdaCallback(on_train_batch_end=mark)])
        (wall, processor), (wall_end, processor_end) = marks
        return Stretch(self.steps * self.batch, wall_end - wall, processor_end - processor)
