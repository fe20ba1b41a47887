"""Pictures straight from their encoded bytes, as Pillow's `convert("RGB")`, crop and bilinear resize give them.

All TensorFlow ops, so that rows are decoded side by side without the interpreter and the graph can run in another
process. JPEGs of any kind (grey, CMYK) and the PNG, GIF and BMP files that carry a .jpg name are read; of a JPEG only
the lines and blocks of the crop are decoded. Orientation marks (EXIF) are not followed, as in the published pipelines.
"""

import tensorflow as tf


@tf.autograph.experimental.do_not_convert
def sizes(encoded):
    """(b,2) int32 heights and widths of encoded pictures (b,), from their headers alone where they are JPEGs."""
    def size(data):
        return tf.cond(tf.io.is_jpeg(data), lambda: tf.io.extract_jpeg_shape(data)[:2],
                       lambda: tf.shape(_decode_other(data))[:2])
    return tf.map_fn(size, encoded, fn_output_signature=tf.TensorSpec([2], tf.int32), parallel_iterations=16)


@tf.autograph.experimental.do_not_convert
def crops(encoded, boxes, size, flip=None):
    """Boxes of encoded pictures, resized.

    Args:
        encoded: (b,) strings.
        boxes: (b,4) int32 of top, left, height, width.
        size: (height, width) of the result.
        flip: (b,) bool, which to mirror left to right; None: none.

    Returns:
        (b, *size, 3) uint8. Against Pillow (crop, then `Image.resize`, bilinear) they differ by a level here and there,
        and at the right edge of a crop by what the missing neighbours would have added to the upsampled colour.
    """
    def crop(row):
        data, box, *mirrored = row
        image = tf.cond(tf.io.is_jpeg(data), lambda: tf.io.decode_and_crop_jpeg(
            data, box, channels=3, dct_method="INTEGER_ACCURATE"), lambda: _slice(_decode_other(data), box))
        return resize(image, size, mirrored=mirrored[0] if mirrored else None)
    rows = (encoded, boxes) if flip is None else (encoded, boxes, flip)
    return tf.map_fn(crop, rows, fn_output_signature=tf.TensorSpec([*size, 3], tf.uint8),
                     parallel_iterations=16)


@tf.autograph.experimental.do_not_convert
def squares(encoded, side):
    """The centre of encoded pictures (b,) whose shorter side is brought to `side`: uint8 (b, side, side, 3).

    As torchvision's Resize(side), which truncates the longer side, and CenterCrop(side).
    """
    def square(data):
        image = tf.cond(tf.io.is_jpeg(data), lambda: tf.io.decode_jpeg(
            data, channels=3, dct_method="INTEGER_ACCURATE"), lambda: _decode_other(data))
        shape = tf.shape(image)[:2]
        whole = side * shape // tf.reduce_min(shape)
        first = tf.round((tf.cast(whole, tf.float32) - side) / 2)
        return resize(image, (side, side), whole, first)
    return tf.map_fn(square, encoded, fn_output_signature=tf.TensorSpec([side, side, 3], tf.uint8),
                     parallel_iterations=16)


def resize(image, size, whole=None, first=(0.0, 0.0), mirrored=None):
    """Pillow's bilinear resize with antialiasing, horizontally and then vertically, rounded to 8 bits after each.

    Twice as fast as `tf.image.resize(antialias=True)`, whose op is quick along the first axis only: here both passes
    run along it, with all else folded into channels, and the picture is transposed in between.

    Args:
        image: (h,w,3) uint8 of any h and w.
        size: (height, width) of the result.
        whole: (2,) size that the whole picture gets, of which the result is the part that begins at `first`; None: it
            is `size`.
        mirrored: bool scalar, whether to mirror it left to right: in between the passes that is a reversal of lines.
    """
    height, width = size
    whole = tf.constant(size) if whole is None else whole
    tall = tf.shape(image)[0]
    across = tf.transpose(tf.reshape(image, [tall, -1]))
    across = _lines(tf.reshape(across, [-1, 3 * tall]), width, whole[1], first[1])
    if mirrored is not None:
        across = tf.cond(mirrored, lambda: tf.reverse(across, [0]), lambda: across)
    down = tf.transpose(tf.reshape(across, [3 * width, tall]))
    return tf.reshape(_lines(down, height, whole[0], first[0]), [height, width, 3])


def _lines(values, number, whole, first):
    """Lines `first` to `first + number` of (n,m) uint8 values resampled to `whole` lines: uint8 (number, m)."""
    lines, across = tf.shape(values)[0], tf.shape(values)[1]
    scale = tf.cast(whole / lines, tf.float32)
    found = tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(values, [1, lines, 1, across]), size=[number, 1], scale=tf.stack([scale, 1.0]),
        translation=tf.stack([-tf.cast(first, tf.float32), 0.0]), kernel_type="triangle", antialias=True)
    return tf.reshape(tf.cast(found + 0.5, tf.uint8), [number, across])


def _slice(image, box):
    return image[box[0]:box[0] + box[2], box[1]:box[1] + box[3]]


def _decode_other(data):
    return tf.io.decode_image(data, channels=3, expand_animations=False)
