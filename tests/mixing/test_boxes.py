"""cut_box: the published boxes to the pixel, in numpy and on tensors."""

import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.mixing.boxes import cut_box


@pytest.fixture(scope="module")
def published(golden):
    arrays = golden("boxes")
    return dict(zip(arrays["columns"], arrays["rows"].T, strict=True))


def inputs(published):
    """lam, centre and size of the golden boxes, as cut_box takes them."""
    whole = ("c_axis2", "c_axis3", "axis2_size", "axis3_size")
    return [published["lam"], *(published[name].astype(int) for name in whole)]


def expected(published):
    return [published[name] for name in ("axis2_start", "axis3_start", "axis2_stop", "axis3_stop")]


def check(box, published):
    height, width = published["axis2_size"], published["axis3_size"]
    np.testing.assert_array_equal(np.stack(box), expected(published))
    y0, x0, y1, x1 = np.stack(box).astype(np.float64)
    lam = 1 - (y1 - y0) * (x1 - x0) / (height * width)
    np.testing.assert_allclose(lam, published["lam_adjusted"], rtol=0, atol=1e-12)


def test_golden_boxes_in_numpy(published):
    assert len(published["lam"]) == 400
    box = cut_box(*inputs(published))
    assert all(np.issubdtype(side.dtype, np.integer) for side in box)
    check(box, published)


def test_golden_boxes_from_scalars(published):
    boxes = np.array([cut_box(float(lam), *map(int, rest)) for lam, *rest in zip(*inputs(published), strict=True)])
    check(boxes.T, published)
    assert cut_box(0.75, 3, 4, 8, 8) == (1, 2, 5, 6)


def test_golden_boxes_on_tensors(published):
    """float64, eager and traced; sizes as numbers, as a layer has them."""
    sizes = np.stack([published["axis2_size"], published["axis3_size"]], 1).astype(int)
    found = np.zeros((400, 4))
    for height, width in np.unique(sizes, axis=0):
        rows = (sizes == (height, width)).all(1)
        lam, y, x = (column[rows] for column in inputs(published)[:3])
        arguments = tf.constant(lam), tf.constant(y, tf.int32), tf.constant(x, tf.int32)
        eager = cut_box(*arguments, int(height), int(width))
        traced = tf.function(cut_box)(*arguments, int(height), int(width))
        assert all(side.dtype == tf.int32 for side in eager)
        np.testing.assert_array_equal(np.stack(eager), np.stack(traced))
        found[rows] = np.stack(eager, 1)
    check(found.T, published)


def test_extremes():
    assert cut_box(1.0, 3, 3, 8, 8) == (3, 3, 3, 3)
    assert cut_box(0.0, 4, 4, 8, 8) == (0, 0, 8, 8)
    assert cut_box(0.0, 0, 7, 8, 8) == (0, 3, 4, 8)  # clipped at two borders
    assert cut_box(0.99, 4, 4, 8, 8) == (4, 4, 4, 4)  # int(8 * 0.1) = 0
    assert cut_box(1 - (3.5 / 8) ** 2, 4, 4, 8, 8) == (3, 3, 5, 5)  # an odd cut loses a pixel
    assert cut_box(0.75, 2, 9, 4, 20) == (1, 4, 3, 14)  # sides in proportion to the image's


def test_broadcasting():
    box = cut_box(np.array([0.0, 0.5, 1.0]), 2, np.array([1, 2, 3]), 6, 5)
    assert [side.shape for side in box] == [(3,)] * 4
    for i in range(3):
        assert tuple(int(side[i]) for side in box) == cut_box([0.0, 0.5, 1.0][i], 2, i + 1, 6, 5)


def test_mean_pasted_share():
    """1/2 - 1/5 + 1/48 = 0.321 for uniform lam, a little less on 32 pixels by rounding down."""
    random = np.random.RandomState(0)
    means = {}
    for side in (32, 4096):
        y, x = random.randint(side, size=(2, 400_000))
        y0, x0, y1, x1 = cut_box(random.uniform(size=400_000), y, x, side, side)
        means[side] = ((y1 - y0) * (x1 - x0)).mean() / side**2
    assert means[4096] == pytest.approx(0.3208, abs=0.002)
    assert 0.28 < means[32] < means[4096] - 0.01
