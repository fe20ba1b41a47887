"""Cutout, colour jitter, kernel blur, resized crop and minority-only transforms against plain references."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from cmo_tf.augment.blur import KernelBlur
from cmo_tf.augment.cutout import Cutout
from cmo_tf.augment.jitter import OPS, ColorJitter
from cmo_tf.augment.minority import Minority, minority_blur, minority_jitter
from cmo_tf.augment.resized_crop import ResizedCrop
from cmo_tf.core.errors import UserError

SEED = tf.constant([3, 4], tf.int64)


def noise(rows=8, height=20, width=26, channels=3):
    return np.random.default_rng(1).integers(1, 256, (rows, height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("length", [1, 5, 8, 16, 60])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_cutout_equals_the_published_mask(length, dtype):
    batch, policy = noise().astype(dtype), Cutout(length)
    drawn = policy.draw(SEED, 8)
    found = policy.apply(tf.constant(batch), drawn)
    assert found.dtype == dtype
    for image, result, (y, x) in zip(batch, found.numpy(), drawn["center"].numpy(), strict=True):
        mask, y, x = np.ones(image.shape[:2]), int(y * np.float32(20)), int(x * np.float32(26))
        top, bottom = np.clip([y - length // 2, y + length // 2], 0, 20)
        left, right = np.clip([x - length // 2, x + length // 2], 0, 26)
        mask[top:bottom, left:right] = 0
        np.testing.assert_array_equal(result, image * mask[..., None])


def test_cutout_centres_are_uniform_and_its_colour_the_mean():
    batch = np.full((6000, 6, 6, 3), 255, np.uint8)
    policy = Cutout(2)
    found = policy.apply(tf.constant(batch), policy.draw(SEED, 6000)).numpy()[..., 0] == 0
    share = found.mean(0)
    # A hole of 2 covers an inner pixel from four centres of 36.
    np.testing.assert_allclose(share[1:-1, 1:-1], 4 / 36, atol=0.02)
    policy = Cutout(4, "mean", (0.49, 0.48, 0.45))
    holes = policy.apply(tf.constant(batch[:50]), policy.draw(SEED, 50)).numpy()
    np.testing.assert_array_equal(np.unique(holes[holes[..., 0] < 255], axis=0), [[125, 122, 115]])


def test_cutout_refuses():
    for arguments, text in (((16, "white"), "--cutout_fill=white"), ((16, "mean"), "needs the mean"),
                            ((0,), "--cutout_size=0")):
        with pytest.raises(UserError, match=text):
            Cutout(*arguments)


def jittered(image, ops, values):
    """torchvision's ColorJitter on a PIL image, from what it calls of Pillow."""
    image = Image.fromarray(image)
    for op, value in zip(ops, values, strict=True):
        kind = OPS.ops[op].__name__
        if kind == "hue":
            planes = np.array(image.convert("HSV"))
            planes[..., 0] += np.int32(255 * value).astype(np.uint8)
            image = Image.merge("HSV", [Image.fromarray(plane) for plane in np.moveaxis(planes, -1, 0)]).convert("RGB")
        else:
            image = getattr(ImageEnhance, kind.capitalize())(image).enhance(value)
    return np.asarray(image)


@pytest.mark.parametrize("strengths", [(0.4, 0.4, 0.4, 0.1), (0.5, 0, 0, 0.3), (0.4, 0.4, 0.4, 0)])
def test_jitter_equals_pillow_in_the_drawn_order(strengths):
    batch, policy = noise(24), ColorJitter(*strengths)
    drawn = policy.draw(SEED, 24)
    found = policy.apply(tf.constant(batch), drawn).numpy()
    for image, result, ops, values in zip(batch, found, drawn["op"].numpy(), drawn["value"].numpy(), strict=True):
        np.testing.assert_array_equal(result, jittered(image, ops, values))


def test_jitter_orders_and_ranges():
    drawn = {name: column.numpy() for name, column in ColorJitter(0.4, 1.2, 0.4, 0.1).draw(SEED, 24000).items()}
    orders, times = np.unique(drawn["op"], axis=0, return_counts=True)
    assert len(orders) == 24 and times.min() > 800 and times.max() < 1200
    for kind, low, high in ((1, 0.6, 1.4), (2, 0.0, 2.2), (3, 0.6, 1.4), (4, -0.1, 0.1)):
        values = drawn["value"][drawn["op"] == kind]
        assert low <= values.min() < low + 0.01 and high - 0.01 < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.02


def test_kernel_blur_equals_the_formula():
    batch, policy = noise(12), KernelBlur((5, 7), 0.1, 5.0)
    sigmas = policy.draw(SEED, 12)["sigma"].numpy()
    found = policy.apply(tf.constant(batch), {"sigma": sigmas}).numpy()
    for image, result, sigma in zip(batch, found, sigmas, strict=True):
        across, down = (np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2) for reach in (2, 3))
        kernel = np.outer(down / down.sum(), across / across.sum())
        padded = np.pad(image.astype(float), [(3, 3), (2, 2), (0, 0)], "reflect")
        blurred = sum(kernel[y, x] * padded[y:y + 20, x:x + 26] for y in range(7) for x in range(5))
        assert np.abs(result - blurred).max() <= 0.5 + 1e-3  # rounded to the nearest


@pytest.mark.parametrize("size", [None, (26, 20), (9, 12), (40, 31)])
def test_resized_crop_equals_pillow(size):
    """Later versions of Pillow choose the order of the two passes, which moves a level here and there."""
    batch, policy = noise(24), ResizedCrop(size)
    drawn = policy.draw(SEED, 24)
    found = policy.apply(tf.constant(batch), drawn).numpy().astype(int)
    for image, result, (top, left, tall, wide) in zip(batch, found, policy.boxes(drawn, 20, 26).numpy(), strict=True):
        crop = Image.fromarray(image[top:top + tall, left:left + wide])
        # One pass at a time leaves no order to choose.
        crop = crop.resize((result.shape[1], tall), Image.BILINEAR).resize(result.shape[1::-1], Image.BILINEAR)
        np.testing.assert_array_equal(result, np.asarray(crop))


def test_boxes_of_resized_crop():
    policy = ResizedCrop(scale=(0.08, 1.0))
    top, left, tall, wide = policy.boxes(policy.draw(SEED, 20000), 224, 224).numpy().T
    assert (top >= 0).all() and (left >= 0).all() and (top + tall <= 224).all() and (left + wide <= 224).all()
    share, aspect = tall * wide / 224**2, wide / tall
    assert 0.075 < share.min() < 0.085 and share.max() > 0.98
    assert 0.73 < aspect.min() and aspect.max() < 1.36 and abs(np.log(aspect).mean()) < 0.01
    small = np.histogram(share, bins=8, range=(0.08, 0.6))[0]  # where every aspect fits, the area is uniform
    assert small.max() / small.min() < 1.2
    # Nothing fits: the largest centred box of an allowed aspect.
    never = ResizedCrop(scale=(2.0, 2.0))
    np.testing.assert_array_equal(never.boxes(never.draw(SEED, 2), 20, 60), [[0, 16, 20, 27]] * 2)
    np.testing.assert_array_equal(never.boxes(never.draw(SEED, 1), 60, 21), [[16, 0, 28, 21]])


@pytest.mark.parametrize("make", [minority_jitter, minority_blur])
def test_only_minority_classes_change(make):
    batch, labels = noise(40), np.arange(40) % 4
    policy = make([500, 101, 100, 5])
    assert policy.needs_labels
    drawn = policy.draw(SEED, 40)
    found = policy.apply(tf.constant(batch), drawn, labels=tf.constant(labels)).numpy()
    changed = (found != batch).any((1, 2, 3))
    np.testing.assert_array_equal(changed, labels >= 2)
    plain = policy.policy.apply(tf.constant(batch), drawn).numpy()
    np.testing.assert_array_equal(found[labels >= 2], plain[labels >= 2])
    everyone = make([500, 101, 100, 5], minority_max=10**6)
    np.testing.assert_array_equal(everyone.apply(tf.constant(batch), drawn, labels=tf.constant(labels)), plain)


def test_minority_needs_the_counts():
    with pytest.raises(UserError, match="--augment=blur_minority needs the class counts"):
        Minority(None, None, name="blur_minority")
