"""The box that CutMix and CMO paste: one body for numpy (float64) and for tensors."""

import numpy as np

from cmo_tf.core.types import Tensor


def cut_box(lam: Tensor, center_y: Tensor, center_x: Tensor, height: Tensor,
            width: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Box whose sides are `sqrt(1 - lam)` of the image's, clipped at the borders.

    Args:
        lam: share to keep, in [0, 1]; a number, an array or a tensor.
        center_y, center_x: integer centre of the box, broadcastable with `lam`.
        height, width: integer image size, broadcastable too.

    Returns:
        (y0, x0, y1, x1) integers; a box may be empty. Per side `cut = int(side * sqrt(1 - lam))` and the box runs
        from `centre - cut // 2` to `centre + cut // 2`: an odd cut loses a pixel, as in the published code.

    Source: CMO section 3.1 and its official code (the supplement's pseudo-code divides without flooring).

    Examples:
        >>> [int(edge) for edge in cut_box(0.75, center_y=4, center_x=1, height=8, width=8)]
        [2, 0, 6, 3]
    """
    if all(isinstance(v, (int, float, np.generic, np.ndarray)) for v in (lam, center_y, center_x, height, width)):
        ratio, to_int, clip = np.sqrt(1.0 - np.asarray(lam, np.float64)), _to_int, np.clip
    else:
        from keras import ops
        ratio, clip = ops.sqrt(1.0 - lam), ops.clip
        def to_int(value):
            return ops.cast(value, "int32")

    def span(center, side):
        half = to_int(ratio * side) // 2
        return clip(center - half, 0, side), clip(center + half, 0, side)

    (y0, y1), (x0, x1) = span(center_y, height), span(center_x, width)
    return y0, x0, y1, x1


def _to_int(value):
    return np.asarray(value).astype(np.int64)
