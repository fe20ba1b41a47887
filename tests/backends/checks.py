"""What the layers, losses and callbacks give on the backend that KERAS_BACKEND names, as arrays in an .npz file.

    KERAS_BACKEND=jax python tests/backends/checks.py OUT.npz

Run by test_backends.py in a process of its own: Keras takes its backend once, when it is imported.
"""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import ops

import cmo_tf
from cmo_tf.callbacks import DRW, MixWindow
from cmo_tf.losses import LDAM, LOSSES, BalancedSoftmax, CrossEntropy, Mixed
from cmo_tf.mixing import MIXERS
from cmo_tf.models import create, load_torch_weights
from cmo_tf.optim import SGD

GOLDEN = Path(__file__).parents[1] / "golden"
COUNTS = [50, 20, 7, 2]


def batch(seed=0, rows=6, size=8):
    """A batch with backgrounds, foregrounds, labels and a plan."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, rows, size, size, 3)).astype("float32")
    labels = rng.integers(0, len(COUNTS), (2, rows)).astype("int32")
    corners = rng.integers(0, size // 2, (rows, 2))
    box = np.concatenate([corners, corners + rng.integers(0, size // 2, (rows, 2))], axis=1).astype("int32")
    return {"image": images[0], "image_q": images[1], "label": labels[0], "label_q": labels[1], "box": box,
            "lam": rng.random(rows).astype("float32")}


def on_backend(arrays):
    """The arrays of a dict as tensors of the backend."""
    return {name: ops.convert_to_tensor(value) for name, value in arrays.items()}


def gradient(function, x):
    """d function / d x, by the backend's own means."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax
        return np.asarray(jax.grad(lambda value: function(value))(x))
    if backend == "torch":
        import torch
        value = torch.tensor(x, requires_grad=True)
        function(value).backward()
        return value.grad.numpy()
    import tensorflow as tf
    value = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(value)
        result = function(value)
    return tape.gradient(result, value).numpy()


def golden_losses(found):
    """Values and gradients of the official code's vectors, plain, re-weighted and mixed."""
    for file in ("losses_ir100", "losses_ir10"):
        golden = dict(np.load(GOLDEN / f"{file}.npz", allow_pickle=False))
        weights, counts = golden["drw_weights"], golden["class_counts"]
        losses = {"ce": CrossEntropy(), "ce_drw": CrossEntropy(weights), "ldam": LDAM(counts),
                  "ldam_drw": LDAM(counts, class_weights=weights), "bs": BalancedSoftmax(counts)}
        pair = np.stack([golden["labels_f"], np.full(len(golden["labels"]), golden["lam"])], 1).astype("float32")
        for name, loss in losses.items():
            logits = golden["cosine_logits" if name.startswith("ldam") else "logits"]
            for key, objective, more in ((name, loss, None), (f"{name}_mixed", Mixed(loss), pair)):
                def value(x, objective=objective, more=more, y=golden["labels"]):
                    return objective(y, x, more)
                found[f"golden/{file}/{key}"] = ops.convert_to_numpy(value(ops.convert_to_tensor(logits)))
                found[f"golden/{file}/{key}_grad"] = gradient(value, logits)


def every_loss(found):
    """Value and gradient of every loss of the registry on one batch, re-weighted, in both terms of mixed labels."""
    given, rng = batch(), np.random.default_rng(1)
    logits = rng.normal(size=(6, 4)).astype("float32")
    features = ops.convert_to_tensor(rng.normal(size=(6, 3)).astype("float32"))
    pair = np.stack([given["label_q"], given["lam"]], 1).astype("float32")
    kernel = ops.convert_to_tensor(rng.normal(size=(3, 4)).astype("float32"))
    for name in LOSSES:
        loss = LOSSES[name].for_counts(COUNTS, class_weights=[1.0, 0.5, 2.0, 4.0])

        def value(x, loss=loss):
            outputs = {"logits": x, "features": features, "kernel": kernel} if loss.needs_features else x
            if loss.method == "ride":
                outputs = {"logits": x, "experts": ops.stack([x, x / 2], axis=1), "help": x[:, :1]}
            return Mixed(loss)(given["label"], outputs, pair)
        found[f"loss/{name}"] = ops.convert_to_numpy(value(ops.convert_to_tensor(logits)))
        found[f"loss/{name}_grad"] = gradient(value, logits)


def every_mixer(found):
    """Every mixer of the registry by a given plan, in training and out of it, and CMO's own draws."""
    given = on_backend(batch())
    for name in MIXERS:
        kind = MIXERS[name]
        layer = kind.from_options(class_counts=COUNTS, alpha=1.0, probability=1.0, seed=3)
        plan = {**given} if kind.plan == "box" else {k: v for k, v in given.items() if k != "box"}
        for training in (True, False):
            for key, value in layer(plan, training=training).items():
                found[f"mixer/{name}/{training}/{key}"] = ops.convert_to_numpy(value)
    own_draws(found)


def own_draws(found):
    """CMO without a plan: what it pasted is a box, and lam is the share of pixels that it left."""
    given = {k: v for k, v in on_backend(batch(rows=50, size=16)).items() if k not in ("lam", "box")}
    for alpha in (1.0, 0.5):
        out = cmo_tf.CMO(alpha=alpha, probability=1.0, per_image=True, seed=5)(given, training=True)
        image, ours, theirs = (ops.convert_to_numpy(x) for x in (out["image"], given["image"], given["image_q"]))
        pasted = (image != ours).any(-1)
        np.testing.assert_array_equal(image, np.where(pasted[..., None], theirs, ours))
        found[f"draws/{alpha}/share"] = 1 - pasted.mean((1, 2))
        found[f"draws/{alpha}/lam"] = ops.convert_to_numpy(out["lam"])


def training(found):
    """`fit` of a plain keras.Model on packed CMO batches with DRW and the published SGD: losses, weights after it.

    Its metrics, in training and validation, are those of the plain labels.
    """
    given = batch(rows=8)
    packed = cmo_tf.CMO.pack(cmo_tf.CMO()(on_backend(given), training=True))
    image, y, pair = (ops.convert_to_numpy(column) for column in packed)
    image = image / 255.0
    rng = np.random.default_rng(2)
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])
    model.set_weights([0.1 * rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
    loss = Mixed(LDAM(COUNTS, scale=3.0))
    # jax traces a step whole: class weights assigned after that must still be seen.
    top2 = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
    model.compile(SGD(0.05, momentum=0.9, l2=2e-4), loss, metrics=["accuracy", top2])
    before = [ops.convert_to_numpy(w) for w in model.weights]
    history = model.fit(image, y, sample_weight=pair, epochs=4, batch_size=8, shuffle=False, verbose=0,
                        callbacks=[DRW(COUNTS, 2)], validation_data=(image, y)).history
    found["fit/loss"] = np.array(history["loss"])
    first = image.reshape(8, -1) @ before[0] + before[1]
    np.testing.assert_allclose(history["accuracy"][0], np.mean(first.argmax(1) == y), rtol=1e-6)
    last = np.argsort(-model.predict(image, verbose=0), axis=1)
    again = model.evaluate(image, y, sample_weight=pair, verbose=0, return_dict=True)
    for shown in (history["val_accuracy"][-1], again["accuracy"]):
        np.testing.assert_allclose(shown, np.mean(last[:, 0] == y), rtol=1e-6)
    np.testing.assert_allclose(history["val_top2"][-1], np.mean((last[:, :2] == y[:, None]).any(1)), rtol=1e-6)
    for place, weight in enumerate(model.get_weights()):
        found[f"fit/weight{place}"] = weight
    found["fit/class_weights"] = ops.convert_to_numpy(loss.class_weights)


class Mixing(keras.layers.Layer):
    """A model's first layer that mixes a batch with itself reversed, to see the window from inside of a traced step."""

    def __init__(self):
        super().__init__()
        self.cmo = cmo_tf.CMO(probability=1.0, seed=1)

    def call(self, image, training=None):
        labels = ops.zeros(ops.shape(image)[:1], "int32")
        given = {"image": image, "image_q": ops.flip(image, 0), "label": labels, "label_q": labels}
        return self.cmo(given, training=training)["lam"][:, None]


def window(found):
    """MixWindow switches a layer off and on between epochs, after tracing too: the loss is the mean lam."""
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, Mixing()(inputs))
    model.compile(keras.optimizers.SGD(0.0), loss=lambda y, lam: ops.mean(lam))
    history = model.fit(batch()["image"], np.zeros(6), epochs=4, batch_size=6, verbose=0, callbacks=[MixWindow(1, 3)])
    found["window/mixed"] = np.array(history.history["loss"]) < 1


def network(found):
    """ResNet-20 with seeded weights, forward: linear and normed head; ResNet-32 with the weights of a PyTorch one."""
    image = batch(rows=2, size=32)["image"] / 255.0
    for head in ("linear", "normed"):
        model = create("resnet20", 4, (32, 32, 3), head=head)
        rng = np.random.default_rng(4)
        model.set_weights([np.abs(rng.normal(size=w.shape)).astype("float32") * 0.1 + 0.05
                           for w in model.get_weights()])
        found[f"network/{head}"] = model.predict(image, verbose=0)
        with np.load(GOLDEN / f"resnet32_{head}.npz", allow_pickle=False) as golden:
            model = create("resnet32", 10, head=head)
            load_torch_weights(model, {name[2:]: golden[name] for name in golden if name.startswith("w/")})
            found[f"network/golden_{head}"] = model.predict(golden["x_nchw"].transpose(0, 2, 3, 1), verbose=0)


def main(path):
    found = {}
    for check in (golden_losses, every_loss, every_mixer, training, window, network):
        check(found)
    if keras.backend.backend() != "tensorflow":
        assert "tensorflow" not in sys.modules, "something of ours imported TensorFlow"
    np.savez(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
