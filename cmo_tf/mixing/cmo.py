"""CMO: rare-class patches pasted onto images of the original distribution (Park et al., CVPR 2022)."""

import keras
from keras import ops

from cmo_tf.core.types import Batch, Tensor
from cmo_tf.mixing.base import PlannedMixer
from cmo_tf.mixing.boxes import cut_box


@keras.saving.register_keras_serializable(package="cmo_tf")
class CMO(PlannedMixer):
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

    Examples:
        >>> import numpy as np
        >>> batch = {"image": np.zeros((2, 4, 4, 1), "float32"), "label": np.array([0, 0]),
        ...          "image_q": np.ones((2, 4, 4, 1), "float32"), "label_q": np.array([1, 2]),
        ...          "box": np.array([[0, 0, 2, 2], [1, 1, 4, 4]])}
        >>> out = CMO()(batch, training=True)
        >>> np.asarray(out["lam"]).tolist()
        [0.75, 0.4375]
        >>> np.asarray(out["image"])[0, :, :, 0].astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    """

    partner = "q"

    def mix(self, batch: Batch) -> Batch:
        """Pastes the box of each row's foreground at its own place."""
        image, height, width = batch["image"], batch["image"].shape[1], batch["image"].shape[2]
        rows = ops.shape(image)[0]
        box = batch["box"] if "box" in batch else self._draw_box(batch.get("lam"), rows, height, width)
        box = ops.cast(box, "int32") * ops.cast(self.active, "int32")
        area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
        # One division of whole numbers: the share to the last digit, as the pipeline's plan has it.
        lam = ops.cast(height * width - area, "float32") / float(height * width)
        inside = box_mask(box, height, width)[..., None]
        return self._result(batch, ops.where(inside, batch["image_q"], image), lam)

    def _draw_box(self, lam, rows, height, width):
        """Box (B,4) int32 of a plan of the layer's own; all zero where the coin says unmixed."""
        shape = self._draws(rows)
        mixed = ops.ones(shape, "float32")
        if lam is None:
            mixed, lam = self._coin(shape), self._lam(shape)
        else:
            lam = ops.reshape(ops.cast(lam, "float32"), (-1,))
        center_y = ops.cast(self._uniform(shape) * height, "int32")
        center_x = ops.cast(self._uniform(shape) * width, "int32")
        box = ops.stack(cut_box(lam, center_y, center_x, height, width), axis=-1)
        return ops.broadcast_to(ops.cast(box, "int32") * ops.cast(mixed, "int32")[:, None], (rows, 4))

    @staticmethod
    def pack(out: Batch, sample_weight: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """`(image, label, pair)` for `fit` of a plain keras.Model that is compiled with `losses.Mixed`.

        Args:
            out: what the layer returned, or another dict of `image`, `label`, `label_q` and `lam`.
            sample_weight: (B,) weights of the rows, or None.

        Returns:
            `image` and the integer `label` (B,) as they are, so that every metric sees plain labels; and `pair`
            float32 (B, 2) of [label_q, lam] in the place of Keras' sample_weight, which `losses.Mixed` reads there.
            With a `sample_weight` pair is (B, 3), the weight its last column. Label indices stay exact up to 2^24.

        Examples:
            >>> image, label, pair = CMO.pack({"image": [[[[0.0]]]], "label": [3], "label_q": [7], "lam": [0.5]})
            >>> label, pair.numpy().tolist()
            ([3], [[7.0, 0.5]])
        """
        columns = [out["label_q"], out["lam"]] + ([] if sample_weight is None else [sample_weight])
        columns = [ops.reshape(ops.cast(column, "float32"), (-1,)) for column in columns]
        return out["image"], out["label"], ops.stack(columns, axis=-1)


def box_mask(box, height, width):
    """Boolean (B, height, width): inside the boxes (B,4) of y0, x0, y1, x1, ends excluded."""
    rows, columns = ops.arange(height, dtype="int32")[None, :, None], ops.arange(width, dtype="int32")[None, None, :]
    y0, x0, y1, x1 = (box[:, i, None, None] for i in range(4))
    in_rows = ops.logical_and(rows >= y0, rows < y1)
    return ops.logical_and(in_rows, ops.logical_and(columns >= x0, columns < x1))
