"""CMO: rare-class patches pasted onto images of the original distribution (Park et al., CVPR 2022)."""

import keras
from keras import ops

from cmo_tf.errors import UserError
from cmo_tf.mixing.base import Mixer
from cmo_tf.mixing.boxes import cut_box


@keras.saving.register_keras_serializable(package="cmo_tf")
class CMO(Mixer):
    """Context-rich Minority Oversampling on the device.

    ```python
    layer = CMO(seed=1)
    out = layer({"image": x, "label": y, "image_q": xq, "label_q": yq}, training=True)
    loss = out["lam"] * L(out["label"]) + (1 - out["lam"]) * L(out["label_q"])
    ```

    Args:
        alpha: parameter of the symmetric Beta distribution of the share that is kept, > 0; 1 is uniform.
        probability: of mixing a batch, in [0, 1]. The official code has 0.5, the paper's Algorithm 1 reads 1.
        per_image: draw coin, lam and box for each row instead of one for the whole batch, as published.
        seed: int or None, of the layer's own draws.

    Inputs: a dict of `image`, `image_q` (B,H,W,C) of one dtype, uint8 or float, and integer `label`, `label_q` (B,).
    With `box` (B,4) integers y0,x0,y1,x1 the plan is taken from it; with `lam` (B,) alone only the place of the box is
    drawn. `lam` beside `box` is not needed: the share follows from the pixels.

    Output: dict of `image` (shape and dtype of the input), `label`, `label_q` as given, and `lam` float32 (B,), the
    exact share of pixels kept from `image`. With `training=False` the images are untouched and lam is 1.

    Source: paper Eq. 1 and Algorithm 1; the box of CutMix (Yun et al., ICCV 2019).
    """

    needs_q = True

    def __init__(self, alpha=1.0, probability=0.5, per_image=False, seed=None, **kwargs):
        if not alpha > 0:
            raise UserError(f"--alpha={alpha}: the Beta distribution needs a positive parameter")
        if not 0 <= probability <= 1:
            raise UserError(f"--probability={probability} is not in [0, 1]")
        super().__init__(**kwargs)
        self.alpha, self.probability, self.per_image, self.seed = float(alpha), float(probability), bool(per_image), seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        # Beta(1, 1) is uniform and compiles; keras.random.beta does not under XLA.
        self.supports_jit = self.alpha == 1.0

    @classmethod
    def from_options(cls, *, alpha=1.0, probability=0.5, per_image=False, seed=None, **_):
        """The layer from the program's flags, of which it picks its own."""
        return cls(alpha=alpha, probability=probability, per_image=per_image, seed=seed)

    def call(self, batch, training=None):
        missing = [k for k in ("image", "label", "image_q", "label_q") if k not in batch]
        if missing:
            raise UserError(f"CMO: the batch has no {', '.join(missing)}; cmo_tf.pipeline.train_stream gives all of them")
        image = batch["image"]
        rows, height, width = ops.shape(image)[0], image.shape[1], image.shape[2]
        if not training:
            return self._result(batch, image, ops.ones((rows,), "float32"))
        box = ops.cast(batch["box"], "int32") if "box" in batch else self._draw_box(batch.get("lam"), rows, height, width)
        box = box * ops.cast(self.active, "int32")
        inside = box_mask(box, height, width)
        area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
        lam = 1.0 - ops.cast(area, "float32") / float(height * width)
        return self._result(batch, ops.where(inside[..., None], batch["image_q"], image), lam)

    @staticmethod
    def _result(batch, image, lam):
        return {"image": image, "label": batch["label"], "label_q": batch["label_q"], "lam": lam}

    def _draw_box(self, lam, rows, height, width):
        """Box (B,4) int32 of a plan of the layer's own; all zero where the coin says unmixed."""
        shape = (rows,) if self.per_image else (1,)
        mixed = ops.ones(shape, "float32")
        coin = self._uniform(shape)
        if lam is None:
            lam = self._uniform(shape) if self.alpha == 1.0 else keras.random.beta(
                shape, self.alpha, self.alpha, seed=self.seed_generator)
            mixed = ops.cast(coin < self.probability, "float32")
        else:
            lam = ops.reshape(ops.cast(lam, "float32"), (-1,))
        center_y = ops.cast(self._uniform(shape) * height, "int32")
        center_x = ops.cast(self._uniform(shape) * width, "int32")
        box = ops.stack(cut_box(lam, center_y, center_x, height, width), axis=-1)
        box = ops.cast(box, "int32") * ops.cast(mixed, "int32")[:, None]
        return ops.broadcast_to(box, (rows, 4))

    def _uniform(self, shape):
        return keras.random.uniform(shape, seed=self.seed_generator, dtype="float32")

    @staticmethod
    def pack(out):
        """`(image, y)` for a plain keras.Model with `losses.Mixed`: y float32 (B,3) is [label, label_q, lam].

        Label indices stay exact up to 2^24 classes.
        """
        columns = [ops.cast(out[k], "float32") for k in ("label", "label_q", "lam")]
        return out["image"], ops.stack(columns, axis=-1)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "probability": self.probability,
                "per_image": self.per_image, "seed": self.seed}


def box_mask(box, height, width):
    """Boolean (B, height, width): inside the boxes (B,4) of y0, x0, y1, x1, ends excluded."""
    rows, columns = ops.arange(height, dtype="int32")[None, :, None], ops.arange(width, dtype="int32")[None, None, :]
    y0, x0, y1, x1 = (box[:, i, None, None] for i in range(4))
    in_rows = ops.logical_and(rows >= y0, rows < y1)
    return ops.logical_and(in_rows, ops.logical_and(columns >= x0, columns < x1))
