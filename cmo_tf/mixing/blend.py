"""Blending two images by lam: what the mixup family shares."""

from keras import ops

from cmo_tf.mixing.base import PlannedMixer


class Blend(PlannedMixer):
    """`image = lam * image + (1 - lam) * image_q`, lam ~ Beta(alpha, alpha), lam being the label share too.

    uint8 images become float32 of the same range 0..255: rounding to whole levels would lose what is blended; other
    dtypes stay. A batch that brings `lam` (B,) is blended by it.
    """

    plan = "blend"

    def mix(self, batch):
        """Blends each row with its partner."""
        lam = self._share(batch)
        image, other = batch["image"], batch["image_q"]
        dtype = image.dtype if "float" in str(image.dtype) else "float32"
        weight = ops.reshape(lam, (-1, 1, 1, 1))
        mixed = weight * ops.cast(image, "float32") + (1.0 - weight) * ops.cast(other, "float32")
        return self._result(batch, ops.cast(mixed, dtype), self.label_share(batch, lam))

    def label_share(self, batch, lam):
        """Share of the loss that `label` gets, float32 (B,)."""
        return lam

    def _share(self, batch):
        rows = ops.shape(batch["image"])[0]
        if "lam" in batch:
            lam = ops.reshape(ops.cast(batch["lam"], "float32"), (-1,))
        else:
            shape = self._draws(rows)
            lam = 1.0 - self._coin(shape) * (1.0 - self._lam(shape))
        return ops.broadcast_to(1.0 - self.active * (1.0 - lam), (rows,))
