"""Every op against Pillow, image by image: equal to the last bit (a rotation by whole angles but for float64 ties)."""

import functools
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from cmo_tf.augment import color, geometry, ops
from cmo_tf.augment.blur import BoxBlur

FILL = (124, 116, 104)
RESAMPLES = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
FACTORS = (0.0, 0.1, 0.37, 1.0, 1.4, 1.9)


def pictures(height=24, width=33, rows=4):
    """Noise, soft pictures, the same with little contrast, one flat and one black."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (rows, height, width, 3), dtype=np.uint8)
    soft = np.stack([np.asarray(Image.fromarray(part).resize((width, height)))
                     for part in rng.integers(0, 256, (rows, 6, 6, 3), dtype=np.uint8)])
    flat = np.stack([np.full(noise.shape[1:], level, np.uint8) for level in (77, 0)])
    return np.concatenate([noise, soft, (soft // 3 + 50).astype(np.uint8), flat])


def hue(image, shift):
    planes = np.array(image.convert("HSV"))
    planes[..., 0] += np.int32(255 * shift).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return Image.fromarray(planes, "HSV").convert("RGB")


def enhance(kind):
    return lambda image, value: kind(image).enhance(value)


def solarize_add(image, value):
    return image.point([min(255, level + value) if level < 128 else level for level in range(256)] * 3)


TONES = {
    "invert": (ops.invert, lambda image, value: ImageOps.invert(image), (0,)),
    "autocontrast": (ops.autocontrast, lambda image, value: ImageOps.autocontrast(image), (0,)),
    "equalize": (ops.equalize, lambda image, value: ImageOps.equalize(image), (0,)),
    "posterize": (ops.posterize, ImageOps.posterize, range(1, 9)),
    "solarize": (ops.solarize, ImageOps.solarize, np.linspace(256, 0, 10)),
    "solarize_add": (ops.solarize_add, solarize_add, (0, 40, 110)),
    "sharpness": (ops.sharpness, enhance(ImageEnhance.Sharpness), FACTORS),
    "brightness": (color.brightness, enhance(ImageEnhance.Brightness), FACTORS),
    "contrast": (color.contrast, enhance(ImageEnhance.Contrast), FACTORS),
    "color": (color.color, enhance(ImageEnhance.Color), FACTORS),
    "grayscale": (color.grayscale, lambda image, value: image.convert("L").convert("RGB"), (0,)),
    "hue": (color.hue, hue, (-0.5, -0.3, -0.01, 0.0, 0.1, 0.29, 0.5)),
    "box blur": (lambda images, value: BoxBlur().apply(images, {"sigma": tf.cast(value, tf.float32)}),
                 lambda image, value: image.filter(ImageFilter.GaussianBlur(value)), (0.1, 0.5, 1.0, 1.41, 1.99)),
}


def affine(matrix):
    def reference(image, value, resample):
        return image.transform(image.size, Image.AFFINE, matrix(value, *image.size), RESAMPLES[resample],
                               fillcolor=FILL)
    return reference


MOVES = {
    "shear_x": (affine(lambda v, w, h: (1, v, 0, 0, 1, 0)), np.linspace(-0.3, 0.3, 7)),
    "shear_y": (affine(lambda v, w, h: (1, 0, 0, v, 1, 0)), np.linspace(-0.3, 0.3, 7)),
    "translate_x": (affine(lambda v, w, h: (1, 0, v * w, 0, 1, 0)), 150 / 331 * np.array([-1, -0.3, 0, 0.7, 1])),
    "translate_y": (affine(lambda v, w, h: (1, 0, 0, 0, 1, v * h)), 150 / 331 * np.array([-1, -0.3, 0, 0.7, 1])),
    "rotate": (lambda image, value, resample: image.rotate(value, RESAMPLES[resample], fillcolor=FILL),
               (-30, -6.6, 0, 60 / 9, 30)),
}


def compare(op, reference, values, ties=0):
    batch = pictures()
    for value in values:
        found = op(tf.constant(batch), tf.fill([len(batch)], tf.constant(value, tf.float64)))
        assert found.dtype == tf.uint8
        number = value if isinstance(value, int) else float(value)
        expected = np.stack([np.asarray(reference(Image.fromarray(image), number)) for image in batch])
        differences = found.numpy().astype(int) - expected
        assert np.count_nonzero(differences) <= ties and np.abs(differences).max() <= min(ties, 1), f"value {value}"


@pytest.mark.parametrize("name", TONES)
def test_tone_equals_pillow(name):
    compare(*TONES[name])


@pytest.mark.parametrize("resample", RESAMPLES)
@pytest.mark.parametrize("name", MOVES)
def test_move_equals_pillow(name, resample):
    reference, values = MOVES[name]
    compare(functools.partial(getattr(geometry, name), resample=resample, fill=FILL),
            functools.partial(reference, resample=resample), values, ties=5 if name == "rotate" else 0)


@pytest.mark.parametrize("name", [name for name in TONES if name not in ("hue", "grayscale")])
def test_a_grey_picture_is_pillows_grey_picture(name):
    op, reference, values = TONES[name]
    batch, value = pictures()[..., :1], list(values)[-1]
    found = op(tf.constant(batch), tf.fill([len(batch)], tf.constant(value, tf.float64))).numpy()
    if name != "solarize_add":  # its reference is written for RGB
        expected = np.stack([np.asarray(reference(Image.fromarray(image[..., 0]), value)) for image in batch])
        np.testing.assert_array_equal(found[..., 0], expected)
    assert found.shape == batch.shape


def test_rows_have_their_own_values():
    batch = pictures()
    values = tf.linspace(tf.constant(0.1, tf.float64), 1.9, len(batch))
    for op in (color.contrast, ops.sharpness, geometry.shear_x, geometry.rotate):
        together = op(tf.constant(batch), values).numpy()
        for row in (0, 5, 11):
            np.testing.assert_array_equal(together[row], op(tf.constant(batch[row:row + 1]), values[row:row + 1])[0])


def test_posterize_to_no_bits_is_black():
    assert not ops.posterize(tf.constant(pictures()), tf.zeros([14], tf.float64)).numpy().any()
