"""What every mixer is: a Keras layer from a batch with two label sets to mixed images and their label share."""

import keras
from keras import ops


class Mixer(keras.layers.Layer):
    """Base of the mixing layers. Subclasses implement `mix(batch, training)`.

    A batch is a dict of `image` (B,H,W,C) and `label` (B,), for mixers with `needs_q` also `image_q` and `label_q` of
    the same shapes, and optionally the plan columns `lam` (B,) and `box` (B,4) of the pipeline. The result is a dict
    of `image`, `label`, `label_q` and `lam` float32 (B,): the training loss is `lam * L(label) + (1-lam) * L(label_q)`.

    Attributes:
        needs_q: whether the batch must carry foregrounds (class attribute).
        active: non-trainable float32 scalar; 0 switches mixing off, also after tracing (see callbacks.MixWindow).
    """

    needs_q = False

    def __init__(self, **kwargs):
        kwargs.setdefault("dtype", "float32")
        # Labels, boxes and lam must keep their dtype and digits under mixed precision.
        super().__init__(autocast=False, **kwargs)
        self.active = self.add_weight(shape=(), initializer="ones", trainable=False, dtype="float32", name="active")
        self.built = True

    def compute_output_spec(self, batch, training=None):
        image, label = batch["image"], batch["label"]
        label_q = batch.get("label_q", label)
        return {"image": keras.KerasTensor(image.shape, image.dtype), "label": keras.KerasTensor(label.shape, label.dtype),
                "label_q": keras.KerasTensor(label_q.shape, label_q.dtype),
                "lam": keras.KerasTensor(image.shape[:1], "float32")}


class Unmixed(Mixer):
    """`--mix=none`: images as they are, lam 1."""

    @classmethod
    def from_options(cls, **_):
        """The layer itself; it has no options."""
        return cls()

    def call(self, batch, training=None):
        image, label = batch["image"], batch["label"]
        return {"image": image, "label": label, "label_q": batch.get("label_q", label),
                "lam": ops.ones((ops.shape(image)[0],), "float32")}
