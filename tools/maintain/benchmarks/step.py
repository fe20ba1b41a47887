"""The training step through `fit`, stream included: plain and with CMO, from memory and from JPEG files."""

import tempfile
import time

from tools.maintain.benchmarks import material
from tools.maintain.benchmarks.rounds import Bench, Stopwatch, Stretch

MATRIX = 2048


def make(options) -> Bench:
    """The plain step, the step with CMO, and a large matrix product for the share of what the machine can do."""
    from cmo_tf import CMO
    images, labels = material.in_memory(options)
    plain = trainer(options, images, labels, 0.0, None)
    sides = {"step": plain, "step, CMO on half of the batches": trainer(options, images, labels, 0.5, CMO(seed=0)),
             f"matrix product {MATRIX}^3": matrix_product}
    flops = material.training_flops(plain.classifier.inner)

    def notes(result):
        rate, peak = (result["per_second"][name]["median"] for name in ("step", f"matrix product {MATRIX}^3"))
        speed = peak * 2 * MATRIX**3
        return [f"{options.model}: {flops / 1e9:.3f} GFLOP an image forward and backward, {rate * flops / 1e9:.1f} "
                f"GFLOP/s in the step, {speed / 1e9:.1f} in the matrix product: {100 * rate * flops / speed:.1f} %"]
    ratios = {"step with CMO over step, time": ("step", "step, CMO on half of the batches")}
    return Bench("images (products)", sides, ratios, notes)


def make_variants(options) -> Bench:
    """The step as the program runs it, with Keras' own batch normalisation, and compiled with XLA."""
    images, labels = material.in_memory(options)
    sides = {"step": trainer(options, images, labels, 0.0, None)}
    unfused = sides["Keras' batch normalisation"] = trainer(options, images, labels, 0.0, None)
    for layer in unfused.classifier.network._flatten_layers():
        layer.__dict__.pop("call", None)  # what classifier.fused has put there
    if not options.deterministic:
        sides["XLA"] = trainer(options, images, labels, 0.0, None, jit_compile=True)
    return Bench("images", sides, {f"step over {name}": ("step", name) for name in list(sides)[1:]})


def make_mix(options) -> Bench:
    """What CMO costs over stretches of `--steps` steps (97 are an epoch of CIFAR-10-LT), from memory and JPEG files."""
    from cmo_tf import CMO
    from cmo_tf.pipeline.pictures import Pictures
    sides, ratios, bench = {}, {}, Bench("images", {})
    folder = bench.close.enter_context(tempfile.TemporaryDirectory())
    sources = {"memory": (*material.in_memory(options), None), "JPEG": (*material.jpegs(options, folder), Pictures(37))}
    for name, (images, labels, decode) in sources.items():
        for text, probability in (("plain", 0.0), ("CMO", 0.5), ("CMO on every batch", 1.0)):
            mixer = CMO(seed=0) if probability else None
            sides[f"{name}: {text}"] = trainer(options, images, labels, probability, mixer, decode)
            if probability:
                ratios[f"{name}: time with {text} over plain"] = f"{name}: plain", f"{name}: {text}"
    bench.sides, bench.ratios = sides, ratios
    return bench


class trainer:
    """A side that trains `options.steps` steps in a `fit` of its own; the first ones, in which the stream starts, are
    not counted."""

    SKIPPED = 3

    def __init__(self, options, images, labels, probability, mixer, decode=None, **compiled):
        from cmo_tf.pipeline import train_stream
        self.steps, self.batch = options.steps, material.batch_size(options)
        self.classifier = material.classifier(options, mixer, **compiled)
        augment = "pad4_flip" if decode is None else "crop_flip"
        if decode is not None:
            from cmo_tf import augment as policies
            augment = policies.create(augment, (32, 32))
        self.stream = train_stream(images, labels, batch_size=self.batch, seed=0, augment=augment, drop_remainder=True,
                                   probability=probability, decode=decode)

    def __call__(self) -> Stretch:
        import keras
        marks = []

        def mark(step, logs):
            if step + 1 in (self.SKIPPED, self.SKIPPED + self.steps):
                marks.append((time.perf_counter(), time.process_time()))
        self.classifier.fit(self.stream, steps_per_epoch=self.SKIPPED + self.steps, verbose=0,
                            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=mark)])
        (wall, processor), (wall_end, processor_end) = marks
        return Stretch(self.steps * self.batch, wall_end - wall, processor_end - processor)


def matrix_product(times=4) -> Stretch:
    """Products of two MATRIX x MATRIX float32 matrices."""
    import tensorflow as tf
    one = tf.random.stateless_uniform([MATRIX, MATRIX], [0, 0])
    tf.linalg.matmul(one, one).numpy()
    with Stopwatch() as watch:
        for _ in range(times):
            product = tf.linalg.matmul(one, one)
        product.numpy()
    return watch.stretch(times)
