"""The contract of every registered augmentation, the composing policies, and the training stream with each."""

import time

import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.augment import AUGMENTATIONS, create
from cmo_tf.augment.compose import Chain, Choice, Identity, run, sometimes
from cmo_tf.augment.cutout import Cutout
from cmo_tf.augment.policies import CropFlip
from cmo_tf.core.errors import UserError
from cmo_tf.pipeline import train_stream

SEED = tf.constant([3, 4], tf.int64)
COUNTS, LABELS = [500, 50, 5], np.arange(12) % 3
ANY_DTYPE = ("none", "pad1", "pad4", "pad4_flip", "crop_flip", "cutout", "pad4_flip_cutout", "pad4_flip_rotate15")


def noise(rows=12, side=20, channels=3):
    return np.random.default_rng(1).integers(1, 256, (rows, side, side, channels), dtype=np.uint8)


def applied(policy, batch, seed=SEED, rows=slice(None)):
    drawn = {name: column[rows] for name, column in policy.draw(seed, tf.constant(len(LABELS))).items()}
    return run(policy, tf.constant(batch[rows]), drawn, tf.constant(LABELS[rows])).numpy()


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_contract(name, channels):
    """Same seed, same pixels; slices of the draw give slices of the result; shape and dtype stay; no row works."""
    batch, policy = noise(channels=channels), create(name, (16, 16), class_counts=COUNTS)
    found = applied(policy, batch)
    assert found.dtype == np.uint8 and found.shape == (12, 16, 16, channels)
    np.testing.assert_array_equal(found, applied(policy, batch))
    np.testing.assert_array_equal(found[3:8], applied(policy, batch, rows=slice(3, 8)))
    assert applied(policy, batch, rows=slice(0, 0)).shape == (0, 16, 16, channels)
    changed = not np.array_equal(found, applied(policy, batch, tf.constant([5, 6], tf.int64)))
    assert changed == (name != "none")


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_floats_and_odd_channels_are_handled_or_refused(name):
    for batch in (noise().astype("float32"), noise(channels=4)):
        policy = create(name, (16, 16), class_counts=COUNTS)
        if name in ANY_DTYPE:
            assert applied(policy, batch).dtype == batch.dtype
        else:
            with pytest.raises(UserError, match="--augment=.* grey or RGB images of uint8"):
                applied(policy, batch)


@pytest.mark.parametrize("name", [pytest.param("long", marks=pytest.mark.slow), "jitter_minority", "cutout"])
def test_in_the_training_stream(name):
    """Inside the traced map of the stream, with labels handed over: the same rows for one of two workers, restarted."""
    def stream(**options):
        return train_stream(noise(60), np.repeat([0, 1, 2], [45, 10, 5]), batch_size=12, seed=7, probability=1.0,
                            augment=name, **options)

    whole = list(stream().take(2))
    part = next(iter(stream(start_step=1, shard=(1, 2))))
    for key in ("image", "image_q"):
        np.testing.assert_array_equal(whole[1][key][6:], part[key])
        assert whole[1][key].dtype == tf.uint8


def test_the_stream_hands_over_the_labels_of_its_rows():
    images, labels = noise(60), np.repeat([0, 1], [45, 15])
    policy = create("blur_minority", base="none", class_counts=[45, 15], minority_max=20)
    for batch in train_stream(images, labels, batch_size=20, seed=1, probability=1.0, augment=policy).take(3):
        for image, index in (("image", "index"), ("image_q", "index_q")):
            changed = (batch[image].numpy() != images[batch[index]]).any((1, 2, 3))
            # With sigma near 0.1 a blur changes nothing.
            assert not changed[labels[batch[index]] == 0].any() and changed[labels[batch[index]] == 1].mean() > 0.7


def test_a_refusal_reaches_the_user_of_the_stream():
    with pytest.raises(UserError, match="--augment=autoaugment: grey or RGB"):
        train_stream(noise(60).astype("float32"), np.zeros(60, int), batch_size=12, seed=7, augment="autoaug")


def test_chain_draws_each_policy_anew():
    chain = Chain(Cutout(6), Cutout(6))
    drawn = chain.draw(SEED, 5)
    assert set(drawn) == {"0.center", "1.center"} and not np.allclose(drawn["0.center"], drawn["1.center"])
    batch = tf.constant(noise(5))
    first = Cutout(6).apply(batch, {"center": drawn["0.center"]})
    np.testing.assert_array_equal(chain.apply(batch, drawn), Cutout(6).apply(first, {"center": drawn["1.center"]}))


def test_choice_sends_each_row_to_one_policy():
    choice = Choice([Identity(), Cutout(40), CropFlip(flip=True)], [0.2, 0.5, 0.3])
    drawn = choice.draw(SEED, 3000)
    share = np.bincount(drawn["choice"], minlength=3) / 3000
    np.testing.assert_allclose(share, [0.2, 0.5, 0.3], atol=0.03)
    batch = noise(3000, 6)
    found = choice.apply(tf.constant(batch), drawn).numpy()
    np.testing.assert_array_equal(found[drawn["choice"] == 0], batch[drawn["choice"] == 0])
    assert not found[drawn["choice"] == 1].any()
    drawn = sometimes(Cutout(40), 0.8).draw(SEED, 3000)
    assert abs((drawn["choice"].numpy() == 0).mean() - 0.8) < 0.03


def test_long_is_half_and_half():
    policy = create("long")
    drawn = policy.draw(SEED, 4000)
    assert abs(drawn["choice"].numpy().mean() - 0.5) < 0.03
    batch = noise(40, 32)
    mine = {name: column[:40] for name, column in drawn.items()}
    found, choice = policy.apply(tf.constant(batch), mine).numpy(), mine["choice"].numpy()
    for place, name in enumerate(("autoaug_cutout", "simclr")):
        own = {key[2:]: column for key, column in mine.items() if key.startswith(f"{place}.")}
        alone = create(name).apply(tf.constant(batch), own).numpy()
        np.testing.assert_array_equal(found[choice == place], alone[choice == place])


def test_options_go_where_they_mean_something():
    assert create("cutout", base="pad1", cutout_size=8).policies[1].length == 8
    assert create("pad4_flip_cutout", cutout_size=None, mean=(0.5,) * 3, cutout_fill="mean").policies[1].length == 16
    assert create("rand_timm", rand_n=3, rand_m=9).policies[1].n == 3
    with pytest.raises(UserError, match="--cutout_size means nothing to --augment=pad4_flip"):
        create("pad4_flip", cutout_size=8)
    with pytest.raises(UserError, match="--augment=blur_minority needs the class counts"):
        create("blur_minority")


@pytest.mark.slow
def test_throughput(capsys):
    """Printed, not asserted: the machine is shared."""
    batch = tf.constant(noise(128, 32))
    for name in ("pad4_flip", "autoaug_cutout", "long"):
        policy = create(name)
        step = tf.function(lambda number, policy=policy: run(policy, batch, policy.draw(tf.stack([number, 1]), 128)))
        images = step(tf.constant(0, tf.int64))
        assert images.shape == batch.shape and images.dtype == tf.uint8
        started = time.process_time()
        for number in range(3):
            step(tf.constant(number, tf.int64))
        with capsys.disabled():
            print(f"\n{name}: {3 * 128 / (time.process_time() - started):.0f} images/s of CPU time")
