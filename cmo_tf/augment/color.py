"""Colour ops in Pillow's own arithmetic: luma, blends of ImageEnhance, and the hue shift through 8-bit HSV.

What Keras offers is another operation: RandomBrightness adds, RandomContrast turns about the mean of each channel,
RandomSaturation and tf.image.adjust_saturation scale S of HSV, RandomColorDegeneration lacks the roundings of 8-bit
luma (one level off on a fifth of the pixels), RandomHue and tf.image.adjust_hue work in real-valued HSV (up to 17
levels off).
Each op takes images (b,H,W,C) uint8, C 1 or 3, and a value (b,) float, and keeps shape and dtype.
"""

import tensorflow as tf


def blend(degenerate, images, factor):
    """`degenerate + factor * (images - degenerate)` in float32, clipped and truncated: PIL.Image.blend."""
    degenerate, images = tf.cast(degenerate, tf.float32), tf.cast(images, tf.float32)
    mixed = degenerate + tf.cast(factor, tf.float32)[:, None, None, None] * (images - degenerate)
    return tf.cast(tf.clip_by_value(mixed, 0, 255), tf.uint8)


def luma(images):
    """(b,H,W,1) uint8: Pillow's `convert("L")`, ITU-R 601-2 weights in 16-bit fixed point. Grey stays as it is."""
    if images.shape[-1] == 1:
        return images
    # In float32: every sum is a whole number below 2^24, so exact, and a product of matrices is quicker.
    weighted = tf.matmul(tf.reshape(tf.cast(images, tf.float32), [-1, 3]), [[19595.0], [38470.0], [7471.0]])
    grey = tf.cast((weighted + 0x8000) / 65536, tf.uint8)
    return tf.reshape(grey, tf.concat([tf.shape(images)[:-1], [1]], 0))


def grayscale(images, value=None):
    """Luma in all channels."""
    return tf.broadcast_to(luma(images), tf.shape(images))


def brightness(images, factor):
    """Blend with black: PIL.ImageEnhance.Brightness."""
    return blend(tf.zeros_like(images), images, factor)


def contrast(images, factor):
    """Blend with the whole picture's mean luma, rounded: PIL.ImageEnhance.Contrast."""
    grey = tf.cast(luma(images), tf.int32)
    pixels = grey.shape[1] * grey.shape[2]
    mean = (2 * tf.reduce_sum(grey, axis=[1, 2, 3], keepdims=True) + pixels) // (2 * pixels)
    return blend(mean, images, factor)


def color(images, factor):
    """Blend with the luma, the "saturation" of torchvision: PIL.ImageEnhance.Color."""
    return blend(luma(images), images, factor)


def hue(images, shift):
    """Shifts the hue by `shift` in [-0.5, 0.5] of the circle: torchvision's adjust_hue of a PIL image.

    The picture goes to 8-bit HSV, H moves by `int(255 * shift)` modulo 256, and back. Grey pictures have no hue.
    """
    if images.shape[-1] == 1:
        return images
    hue_, saturation, value = _rgb_to_hsv(images)
    moved = hue_ + tf.cast(tf.cast(shift, tf.float64) * 255, tf.int32)[:, None, None]
    return _hsv_to_rgb(tf.bitwise.bitwise_and(moved, 255), saturation, value)


def _rgb_to_hsv(images):
    """Three (b,H,W) int32 planes as PIL's `convert("HSV")` rounds them: float32 quotients, float64 sums, truncation."""
    red, green, blue = tf.unstack(tf.cast(images, tf.float32), axis=-1)
    high, low = tf.maximum(red, tf.maximum(green, blue)), tf.minimum(red, tf.minimum(green, blue))
    chroma = high - low
    away = [tf.math.divide_no_nan(high - plane, chroma) for plane in (red, green, blue)]
    red_away, green_away, blue_away = (tf.cast(plane, tf.float64) for plane in away)
    sector = tf.where(red == high, blue_away - green_away,
                      tf.where(green == high, 2 + red_away - blue_away, 4 + green_away - red_away))
    turn = tf.cast(tf.cast(sector, tf.float32), tf.float64) / 6 + 1
    turn = tf.cast(tf.cast(turn - tf.floor(turn), tf.float32), tf.float64)
    saturation = tf.cast(tf.math.divide_no_nan(chroma, high), tf.float64)
    hue_ = tf.where(chroma == 0, tf.zeros_like(turn), turn)
    return tf.cast(hue_ * 255, tf.int32), tf.cast(saturation * 255, tf.int32), tf.cast(high, tf.int32)


def _hsv_to_rgb(hue_, saturation, value):
    """(b,H,W,3) uint8 from 8-bit planes, as PIL's `convert("RGB")` rounds."""
    sixth = tf.cast(hue_, tf.float64) * 6 / 255
    sector = tf.floor(sixth)
    rest = tf.cast(tf.cast(sixth - sector, tf.float32), tf.float64)
    share = tf.cast(tf.cast(saturation, tf.float32) / 255, tf.float64)
    value = tf.cast(value, tf.float64)
    p, q, t = (tf.floor(value * (1 - part) + 0.5) for part in (share, share * rest, share * (1 - rest)))
    v = value
    wheel = tf.stack([tf.stack(colors, -1) for colors in
                      ((v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q))], axis=-2)
    return tf.cast(tf.gather(wheel, tf.cast(sector, tf.int32) % 6, axis=-2, batch_dims=3), tf.uint8)
