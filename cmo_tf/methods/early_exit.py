"""Inference with RIDE's router: an image goes on to the next expert only if the router says so."""

import time

import keras
import numpy as np
import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.models.ride import parts
from cmo_tf.models.router import HIDDEN, ask, wanted
from cmo_tf.pipeline import eval_batches


class EarlyExit:
    """Runs a network with a router expert by expert, each on the images that still need it.

    ```python
    classify = EarlyExit(keras.models.load_model("runs/NAME/model.keras"))
    logits, used = classify(images)
    ```

    Args:
        model: the model.keras of a run with `--ride_router`, on raw pixels, or the network of
            `models.router.with_router` itself.

    Called with images (B,H,W,C) it returns logits (B, C), those that the model itself computes with all experts, and
    the number of experts that each image has used, int32 (B,).
    """

    def __init__(self, model):
        network, self.before = _without_preprocess(model)
        self.shared, self.experts = parts(network)
        if not any(layer.name == "expert_help_pred_fc" for layer in network.layers):
            raise UserError(f"network {network.name}: has no router; it must come from a run with --ride_router")
        self.hidden = [network.get_layer(f"expert_help_pred_hidden_fcs.{k}") for k in range(len(self.experts) - 1)]
        self.last = network.get_layer("expert_help_pred_fc")
        self.top = self.last.kernel.shape[0] - HIDDEN
        self._run = tf.function(self._route, reduce_retracing=True)

    def __call__(self, images):
        return self._run(tf.convert_to_tensor(images))

    def _route(self, images):
        for layer in self.before:
            images = layer(images)
        maps = self.shared(images, training=False)
        logits, features = self.experts[0](maps, training=False)
        total = logits
        rows, used = tf.range(tf.shape(total)[0]), tf.ones(tf.shape(total)[:1], tf.int32)
        for number, expert in enumerate(self.experts[1:], start=1):
            so_far = tf.gather(total, rows) / float(number)
            go_on = wanted(ask(self.hidden[number - 1], self.last, self.top, so_far, features))[:, 0]
            rows, maps = tf.boolean_mask(rows, go_on), tf.boolean_mask(maps, go_on)
            # A convolution over no images at all comes out in a wrong shape on CPU.
            logits, features = tf.cond(tf.size(rows) > 0, lambda run=expert, x=maps: tuple(run(x, training=False)),
                                       lambda a=logits, b=features: (a[:0], b[:0]))
            total = tf.tensor_scatter_nd_add(total, rows[:, None], logits)
            used = tf.tensor_scatter_nd_add(used, rows[:, None], tf.ones_like(rows))
        return total / tf.cast(used, total.dtype)[:, None], used


def _without_preprocess(model):
    """(network of experts, the layers before it) of a model.keras or of such a network itself."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    if "shared" in [layer.name for layer in layers] or not isinstance(layers[-1], keras.Model):
        return model, []
    return layers[-1], layers[:-1]


def measure(model, data, batch_size) -> dict:
    """What a router saves on the test split, against all experts on every image.

    Returns:
        {"early_exit_accuracy" in percent, "experts_used" in the mean, "experts_used_shares": of the images that used 1,
        2, ... experts, "milliseconds_per_image", "milliseconds_per_image_all_experts"}. Times are those of up to four
        batches of `batch_size`, the best of three rounds.
    """
    def batches(images):
        return eval_batches(images, batch_size=batch_size, size=data.size, decode=data.decode)

    routed, dense = EarlyExit(model), tf.function(lambda images: model(images, training=False), reduce_retracing=True)
    logits, used = (np.concatenate(found) for found in zip(*map(routed, batches(data.test.images)), strict=True))
    shares = np.bincount(used, minlength=len(routed.experts) + 1)[1:] / len(used)
    some = list(batches(data.test.images[:4 * batch_size]))
    rounds = [[_milliseconds_per_image(classify, some) for classify in (routed, dense)] for _ in range(3)]
    early, every = np.min(rounds, axis=0).round(4).tolist()
    return {"early_exit_accuracy": round(100.0 * float(np.mean(logits.argmax(1) == data.test.labels)), 4),
            "experts_used": round(float(used.mean()), 4), "experts_used_shares": shares.round(4).tolist(),
            "milliseconds_per_image": early, "milliseconds_per_image_all_experts": every}


def _milliseconds_per_image(classify, batches):
    began = time.perf_counter()
    for images in batches:
        keras.tree.map_structure(np.asarray, classify(images))
    return 1e3 * (time.perf_counter() - began) / sum(len(images) for images in batches)
