"""Augmentation: the drawn parameters against plain numpy, their distribution, the registry, users' own functions."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from cmo_tf.augment import AUGMENTATIONS, resolve
from cmo_tf.augment.policies import CenterCrop, CropFlip, center_crop
from cmo_tf.core.errors import UserError

SEED = tf.constant([3, 4], tf.int64)


def images(rows=6, height=5, width=7, dtype="uint8"):
    return np.random.RandomState(0).randint(1, 256, (rows, height, width, 3)).astype(dtype)


def crop_flip(batch, parameters, pad, height, width):
    """The same in plain numpy, an image at a time."""
    result = []
    for image, place, flip in zip(batch, parameters["place"], parameters["flip"], strict=True):
        image = np.pad(image, [(pad, pad), (pad, pad), (0, 0)])
        top = int(place[0] * np.float32(image.shape[0] - height + 1))
        left = int(place[1] * np.float32(image.shape[1] - width + 1))
        image = image[top:top + height, left:left + width]
        result.append(image[:, ::-1] if flip else image)
    return np.stack(result)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("size, pad, flip", [(None, 4, True), (None, 1, False), ((3, 4), 0, True), ((6, 6), 2, True)])
def test_crop_flip_equals_plain_numpy(size, pad, flip, dtype):
    batch, policy = images(64, dtype=dtype), CropFlip(size, pad, flip)
    parameters = {k: v.numpy() for k, v in policy.draw(SEED, 64).items()}
    found = policy.apply(tf.constant(batch), parameters)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, crop_flip(batch, parameters, pad, *(size or (5, 7))))
    assert parameters["flip"].any() == flip and not parameters["flip"].all()
    # Rows do not depend on each other: a worker applies its rows of the draw only.
    part = policy.apply(tf.constant(batch[20:31]), {k: v[20:31] for k, v in parameters.items()})
    np.testing.assert_array_equal(part, found[20:31])
    traced = tf.function(policy.apply)(tf.constant(batch), parameters)
    np.testing.assert_array_equal(traced, found)


def test_corners_are_reached():
    policy = CropFlip(pad=2, flip=False)
    places = np.array([[0, 0], [0.999, 0.999], [0.5, 0.5], [np.nextafter(np.float32(1), np.float32(0))] * 2], "float32")
    found = policy.apply(tf.constant(images(4)), {"place": places, "flip": np.zeros(4, bool)}).numpy()
    padded = np.pad(images(4), [(0, 0), (2, 2), (2, 2), (0, 0)])
    for row, (y, x) in enumerate([(0, 0), (4, 4), (2, 2), (4, 4)]):
        np.testing.assert_array_equal(found[row], padded[row, y:y + 5, x:x + 7])
    np.testing.assert_array_equal(found[2], images(4)[2])
    assert (found[0, :2] == 0).all()  # padding is black


@pytest.mark.parametrize("name, pad, flips", [("pad1", 1, False), ("pad4", 4, False), ("pad4_flip", 4, True)])
def test_every_offset_is_equally_likely(name, pad, flips):
    """Also by what comes out: the place of a single white pixel tells offset and flip."""
    rows, side = 6000, 2 * pad + 3
    batch = np.zeros((rows, side, side, 1), "uint8")
    batch[:, side // 2, side // 2] = 255
    policy = resolve(name)
    parameters = policy.draw(SEED, rows)
    found = policy.apply(tf.constant(batch), parameters).numpy()[..., 0]
    _, y, x = np.nonzero(found)
    assert len(y) == rows  # the pixel never leaves this image
    choices = 2 * pad + 1
    table = np.bincount((y - 1) * choices + (x - 1), minlength=choices**2)
    assert len(table) == choices**2 and stats.chisquare(table).pvalue > 1e-4
    share = parameters["flip"].numpy().mean()
    assert abs(share - 0.5) < 0.03 if flips else share == 0
    # Flip and offset are drawn independently of each other.
    assert not flips or abs(np.corrcoef(parameters["flip"].numpy(), parameters["place"].numpy()[:, 1])[0, 1]) < 0.05


@pytest.mark.parametrize("name", ["none", "pad1", "pad4", "pad4_flip", "crop_flip"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_contract_of_the_plain_policies(name, dtype):
    batch = images(9, 8, 10, dtype)
    for size in (None, (7, 6)):
        policy = resolve(AUGMENTATIONS[name](size=size))
        assert resolve(policy) is policy
        drawn = policy.draw(SEED, tf.constant(9))
        found = policy.apply(tf.constant(batch), drawn)
        assert found.dtype == dtype and found.shape == (9, *(size or (8, 10)), 3)
        np.testing.assert_array_equal(found, policy.apply(tf.constant(batch), policy.draw(SEED, 9)))
        assert found.numpy().max() <= batch.max() and found.numpy().min() >= 0
        assert policy.apply(tf.constant(batch[:0]), {k: v[:0] for k, v in drawn.items()}).shape[0] == 0
    assert type(resolve(name)) is type(AUGMENTATIONS[name]())
    other = resolve(name).apply(tf.constant(batch), resolve(name).draw(tf.constant([5, 6], tf.int64), 9))
    changed = not np.array_equal(other, resolve(name).apply(tf.constant(batch), resolve(name).draw(SEED, 9)))
    assert changed == (name != "none")


def test_center_crop():
    batch = images(2, 5, 7)
    np.testing.assert_array_equal(center_crop(batch, (3, 4)), batch[:, 1:4, 1:5])
    assert center_crop(batch, None) is batch and center_crop(batch, (5, 7)) is batch
    np.testing.assert_array_equal(CenterCrop((5, 3)).apply(tf.constant(batch)), batch[:, :, 2:5])


def test_a_users_own_function():
    def brighten(pictures, seeds):
        shift = tf.map_fn(lambda seed: tf.random.stateless_uniform([], seed), seeds, fn_output_signature=tf.float32)
        return tf.cast(pictures, tf.float32) + shift[:, None, None, None]

    policy, batch = resolve(brighten), images(5)
    drawn = policy.draw(SEED, 5)
    assert drawn["seeds"].dtype == tf.int32 and drawn["seeds"].shape == (5, 2)
    shifts = (policy.apply(tf.constant(batch), drawn).numpy() - batch)[:, 0, 0, 0]
    assert len(set(np.round(shifts, 6))) == 5 and (shifts >= 0).all() and (shifts < 1).all()
    part = policy.apply(tf.constant(batch[1:3]), {"seeds": drawn["seeds"][1:3]})
    np.testing.assert_array_equal(part, policy.apply(tf.constant(batch), drawn)[1:3])
    assert resolve(None) is None


def test_refusals():
    with pytest.raises(UserError, match="--augment=pad_4: .*did you mean 'pad4'"):
        resolve("pad_4")
    with pytest.raises(UserError, match="--augment: images of 5x7 cannot be cropped to 6x6"):
        CropFlip((6, 6)).apply(tf.constant(images()), CropFlip((6, 6)).draw(SEED, 6))
