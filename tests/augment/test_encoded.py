"""Encoded pictures against Pillow, and policies that read them."""

import io
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cmo_tf.augment import AUGMENTATIONS, create, encoded
from cmo_tf.augment.compose import can_read, read, run
from cmo_tf.augment.resized_crop import ResizedCrop
from cmo_tf.core.errors import UserError
from tests.support.big_sets import encode, photographs

SIZES = ((120, 90), (64, 200), (31, 33), (150, 150), (224, 97))
SEED, BILINEAR = tf.constant([7, 0], tf.int64), Image.Resampling.BILINEAR


def pictures(kind="RGB"):
    """Encoded crops of photographs of SIZES (height, width)."""
    photos = photographs()
    images = [Image.fromarray(photos[k % len(photos)][40:40 + h, 60:60 + w]) for k, (h, w) in enumerate(SIZES)]
    return [encode(image, kind) for image in images]


def opened(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def published_box(uniform, height, width, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """torchvision's RandomResizedCrop.get_params with given uniforms: ten (area, aspect) pairs and a place."""
    tries, place = uniform
    for area, aspect in tries:
        target = height * width * (scale[0] + area * (scale[1] - scale[0]))
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + aspect * (high - low))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return [int(place[0] * (height - h + 1)), int(place[1] * (width - w + 1)), h, w]
    if width / height < min(ratio):
        w, h = width, round(width / min(ratio))
    elif width / height > max(ratio):
        w, h = round(height * max(ratio)), height
    else:
        w, h = width, height
    return [(height - h) // 2, (width - w) // 2, h, w]


def test_boxes_follow_each_pictures_own_size():
    policy = ResizedCrop((32, 32))
    shapes = np.array([*SIZES, (10, 400), (400, 9), (1, 1)] * 20)
    drawn = policy.draw(SEED, len(shapes))
    boxes = policy.boxes(drawn, *tf.unstack(tf.constant(shapes, tf.int32), axis=-1)).numpy()
    uniform = zip(drawn["shape"].numpy(), drawn["place"].numpy(), strict=True)
    assert boxes.tolist() == [published_box(u, *shape) for u, shape in zip(uniform, shapes.tolist(), strict=True)]
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= shapes).all()
    same = policy.boxes(drawn, 120, 90).numpy()
    np.testing.assert_array_equal(same[0], boxes[0])


@pytest.mark.parametrize("kind", ["RGB", "L", "CMYK", "PNG"])
def test_crops_are_pillows(kind):
    data = pictures(kind)
    boxes = np.array([[3, 5, 100, 70], [0, 0, 64, 200], [10, 8, 9, 20], [30, 1, 77, 149], [1, 2, 223, 95]], np.int32)
    found = encoded.crops(tf.constant(data), tf.constant(boxes), (48, 40)).numpy()
    for one, (top, left, height, width), result in zip(data, boxes, found, strict=True):
        expected = opened(one).crop((left, top, left + width, top + height)).resize((40, 48), BILINEAR)
        difference = np.abs(np.asarray(expected).astype(int) - result)
        print(f"{kind} {height}x{width}: mean absolute difference {difference.mean():.4f}, largest {difference.max()}")
        # Pillow 13 takes the vertical pass first where that is the stronger one; then roundings differ.
        assert difference.mean() < (0.25 if height > width else 0.02) and difference[:, :-2].max() <= 1
    np.testing.assert_array_equal(encoded.sizes(tf.constant(data)), SIZES)


@pytest.mark.parametrize("side", [48, 150])
def test_squares_are_resize_and_centre_crop(side):
    data = pictures()
    found = encoded.squares(tf.constant(data), side).numpy()
    for one, result in zip(data, found, strict=True):
        image = opened(one)
        short = min(image.size)
        image = image.resize([int(side * length / short) for length in image.size], BILINEAR)
        left, top = (int(round((length - side) / 2)) for length in image.size)
        expected = np.asarray(image.crop((left, top, left + side, top + side)))
        difference = np.abs(expected.astype(int) - result)
        assert difference.max() <= 1 and difference.mean() < 0.25


def test_orientation_marks_are_not_followed():
    image = Image.fromarray(photographs()[0][:40, :60])
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    assert encoded.sizes(tf.constant([file.getvalue()])).numpy().tolist() == [[40, 60]]


def test_what_is_no_picture_stops():
    with pytest.raises(tf.errors.InvalidArgumentError):
        encoded.squares(tf.constant([b"no picture"]), 8)
    with pytest.raises(tf.errors.InvalidArgumentError):
        encoded.squares(tf.constant([pictures()[0][:300]]), 8)


LARGE = ("resized_crop_flip", "crop_jitter", "rand_timm", "simclr_large", "long_large")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE[2::2] else name
                                  for name in LARGE])
def test_recipes_of_large_pictures_read(name):
    policy = create(name, (32, 24))
    assert can_read(policy)
    data, drawn = tf.constant(pictures() * 2), policy.draw(SEED, 10)
    images = read(policy, data, drawn)
    assert images.shape == (10, 32, 24, 3) and images.dtype == tf.uint8
    # A worker that holds only some rows gets the same pixels.
    rows = [7, 2, 3]
    part = read(policy, tf.gather(data, rows), {k: tf.gather(v, rows) for k, v in drawn.items()})
    np.testing.assert_array_equal(part, tf.gather(images, rows))


def test_only_policies_that_begin_with_a_crop_of_any_size_read():
    assert {name for name in AUGMENTATIONS if name not in ("jitter_minority", "blur_minority")
            and can_read(create(name, (32, 32)))} == {*LARGE, "simclr"}
    minority = create("jitter_minority", (32, 32), base="crop_jitter", class_counts=[300, 5])
    assert can_read(minority) and not can_read(create("cutout", (32, 32)))
    drawn = minority.draw(SEED, 5)
    images = read(minority, tf.constant(pictures()), drawn, tf.constant([0, 1, 0, 1, 1]))
    base = read(create("crop_jitter", (32, 32)), tf.constant(pictures()),
                {k[2:]: v for k, v in drawn.items() if k.startswith("0.")})
    same = np.all(images.numpy() == base.numpy(), axis=(1, 2, 3))
    assert same[0] and same[2] and not same[1]


def test_a_flip_in_the_resize_is_a_flip():
    policy = create("resized_crop_flip", (32, 24))
    drawn = policy.draw(SEED, 5)
    own = [{k[2:]: v for k, v in drawn.items() if k.startswith(f"{place}.")} for place in (0, 1)]
    straight = policy.policies[0].read(tf.constant(pictures()), own[0])
    assert set(own[1]["flip"].numpy()) == {True, False}
    flipped = run(policy.policies[1], straight, own[1])
    np.testing.assert_array_equal(read(policy, tf.constant(pictures()), drawn), flipped)


def test_pictures_of_one_size_in_memory_give_nearly_the_same():
    """PNGs, which lose nothing: the same draws on arrays and on encoded pictures."""
    photos = [photo[:90, :110] for photo in photographs()]
    policy = create("resized_crop_flip", (32, 32))
    drawn = policy.draw(SEED, len(photos))
    read_ones = read(policy, tf.constant([encode(Image.fromarray(photo), "PNG") for photo in photos]), drawn).numpy()
    difference = np.abs(read_ones.astype(int) - run(policy, tf.constant(np.stack(photos)), drawn).numpy())
    assert difference.max() <= 1 and difference.mean() < 0.02


def test_the_size_of_the_result_is_needed():
    with pytest.raises(UserError, match="varied size"):
        ResizedCrop().read(tf.constant(pictures()), ResizedCrop().draw(SEED, 5))
