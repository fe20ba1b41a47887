"""The CMO layer on its own, in ds.map, in a model, under XLA and mixed precision; and what every mixer must keep."""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

import cmo_tf
from cmo_tf.callbacks import MixWindow
from cmo_tf.core.errors import UserError
from cmo_tf.losses import CrossEntropy, Mixed
from cmo_tf.mixing import MIXERS
from tests.support.streams import area, batches, small_set

HEIGHT, WIDTH = 8, 10


def batch(rows=6, dtype="uint8", seed=0, height=HEIGHT, width=WIDTH):
    """Backgrounds of even values and foregrounds of odd ones, no value twice at one place: a pixel tells its origin."""
    random = np.random.RandomState(seed)
    values = random.rand(60, height, width, 3).argsort(0)[:rows] * 2
    labels = random.randint(0, 2000, (2, rows)).astype("int32")
    return {"image": tf.constant(values.astype(dtype)), "image_q": tf.constant((values + 1).astype(dtype)),
            "label": tf.constant(labels[0]), "label_q": tf.constant(labels[1])}


def pasted(given, out):
    """(B,H,W) whether a pixel was pasted; every pixel is checked to come from the same row and place of one source."""
    image, ours, theirs = (np.asarray(a).astype("float64") for a in (out["image"], given["image"], given["image_q"]))
    mask = image[..., 0] % 2 == 1
    np.testing.assert_array_equal(image, np.where(mask[..., None], theirs, ours))
    return mask


def boxes(mask):
    """The rectangles (B,4) that masks fill exactly; zeros for empty ones."""
    found = np.zeros((len(mask), 4), int)
    for row, pixels in enumerate(mask):
        y, x = np.nonzero(pixels)
        if len(y):
            found[row] = y.min(), x.min(), y.max() + 1, x.max() + 1
            assert pixels[y.min():y.max() + 1, x.min():x.max() + 1].all()
    return found


def check(given, out, ulp=0):
    """Contract of one call; returns the boxes pasted."""
    assert set(out) == {"image", "label", "label_q", "lam"}
    assert out["image"].dtype == given["image"].dtype and out["image"].shape == given["image"].shape
    for name in ("label", "label_q"):
        assert out[name].dtype == given[name].dtype
        np.testing.assert_array_equal(out[name], given[name])
    found = boxes(pasted(given, out))
    lam = np.asarray(out["lam"])
    assert lam.dtype == np.float32 and lam.shape == found[:, 0].shape
    pixels = np.prod(given["image"].shape[1:3])
    np.testing.assert_array_max_ulp(lam, ((pixels - area(found)) / pixels).astype("float32"), ulp)
    return found


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
def test_own_plan(dtype):
    layer, given = cmo_tf.CMO(seed=3), batch(dtype=dtype)
    seen = collections.Counter()
    for _ in range(60):
        found = check(given, layer(given, training=True))
        assert (found == found[0]).all(), "one plan for the batch"
        seen[tuple(found[0])] += 1
    # Half of the batches are mixed, a few of them with an empty box.
    assert 18 < seen.pop((0, 0, 0, 0)) < 48 and len(seen) > 10


@pytest.mark.parametrize("alpha", [0.02, 1.0, 4.0])
def test_probability_one_a_row(alpha):
    layer = cmo_tf.CMO(alpha=alpha, probability=1.0, per_image=True, seed=1)
    given = {k: tf.repeat(v[:1], 3000, 0) for k, v in batch(height=32, width=20).items()}
    mask = pasted(given, layer(given, training=True))
    share = mask.mean((1, 2))
    random = np.random.RandomState(0)
    ratio, sides = np.sqrt(1 - random.beta(alpha, alpha, 100_000)), []
    for side in (32, 20):
        half, centre = (side * ratio).astype(int) // 2, random.randint(side, size=100_000)
        sides.append(np.minimum(centre + half, side) - np.maximum(centre - half, 0))
    expected = sides[0] * sides[1] / (32 * 20)
    assert abs(share.mean() - expected.mean()) < 4 * expected.std() / np.sqrt(3000)
    assert len(np.unique(boxes(mask), axis=0)) > 300
    with_plan = layer(given, training=True)
    check({k: v[:50] for k, v in given.items()}, {k: v[:50] for k, v in with_plan.items()})


def test_a_coin_a_row():
    layer, given = cmo_tf.CMO(probability=0.3, per_image=True, seed=5), batch(30)
    share = np.mean([check(given, layer(given, training=True)).any(1) for _ in range(30)])
    assert 0.2 < share < 0.34  # 0.3 less the empty boxes


def test_never_and_not_in_training():
    given = batch()
    for layer, training in [(cmo_tf.CMO(probability=0.0), True), (cmo_tf.CMO(probability=1.0), False),
                            (cmo_tf.CMO(probability=1.0), None)]:
        for _ in range(8):
            out = layer(given, training=training)
            assert not check(given, out).any() and (out["lam"].numpy() == 1).all()
    planned = {**given, "box": np.tile([1, 2, 5, 9], (6, 1))}
    assert not check(planned, cmo_tf.CMO()(planned, training=False)).any()


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_given_box(dtype):
    box = np.array([[0, 0, 8, 10], [1, 2, 5, 9], [3, 3, 3, 7], [7, 9, 8, 10], [0, 0, 0, 0], [2, 0, 4, 10]], dtype)
    # The plan is given: neither the coin nor a lam beside it has a say.
    given = {**batch(), "box": tf.constant(box), "lam": tf.fill([6], 0.123)}
    found = check(given, cmo_tf.CMO(probability=0.0)(given, training=True))
    np.testing.assert_array_equal(found[area(box) > 0], box[area(box) > 0])
    assert not found[area(box) == 0].any()


def test_given_lam():
    lam = np.array([0.0, 0.25, 0.5, 0.75, 0.96, 1.0], "float32")
    layer, given = cmo_tf.CMO(probability=0.0, per_image=True, seed=2), batch()
    largest = np.zeros(6)
    for _ in range(60):
        found = check({**given, "lam": tf.constant(lam)}, layer({**given, "lam": tf.constant(lam)}, training=True))
        largest = np.maximum(largest, area(found))
    sides = [(2 * (int(side * np.sqrt(1 - share)) // 2)) for share in lam for side in (HEIGHT, WIDTH)]
    assert (largest <= np.prod(np.reshape(sides, (6, 2)), 1)).all() and largest[5] == 0 and largest[1] > 30


def test_the_plan_columns_of_the_stream_are_carried_out():
    images, labels = small_set()
    for plan in batches(12, images, labels, seed=2):
        out = cmo_tf.CMO()(plan, training=True)
        np.testing.assert_array_equal(out["lam"], plan["lam"])
        y0, x0, y1, x1 = plan["box"][0]
        expected = images[plan["index"]].copy()
        expected[:, y0:y1, x0:x1] = images[plan["index_q"]][:, y0:y1, x0:x1]
        np.testing.assert_array_equal(out["image"], expected)


def test_missing_columns_are_named():
    given = batch()
    del given["image_q"], given["label_q"]
    with pytest.raises(UserError, match="^CMO: the batch has no image_q, label_q.*train_stream"):
        cmo_tf.CMO()(given, training=True)


@pytest.mark.parametrize("name", sorted(MIXERS))
def test_a_mixer_is_no_layer_of_a_network(name):
    mixer = MIXERS[name].from_options(class_counts=[3, 2])
    words = f"^{type(mixer).__name__}: takes a dict of image, label.*LongTailClassifier\\(network, mixer="
    with pytest.raises(UserError, match=words):
        keras.Sequential([keras.Input((8, 8, 3)), mixer])
    with pytest.raises(UserError, match=words):
        mixer(batch()["image"], batch()["label"])


@pytest.mark.parametrize("options, words", [
    (dict(alpha=0), "--alpha=0"), (dict(alpha=float("nan")), "--alpha=nan"),
    (dict(probability=1.1), "--probability=1.1"), (dict(probability=-0.1), "--probability"),
])
def test_refused_options(options, words):
    with pytest.raises(UserError, match=words):
        cmo_tf.CMO(**options)


def test_seeds():
    given = batch()

    def plans(seed):
        layer = cmo_tf.CMO(seed=seed)
        return np.stack([layer(given, training=True)["lam"][0] for _ in range(12)])

    np.testing.assert_array_equal(plans(4), plans(4))
    assert (plans(4) != plans(5)).any() and (plans(None) != plans(None)).any()


def test_config_round_trip():
    layer = cmo_tf.CMO(alpha=0.7, probability=0.9, per_image=True, seed=11, name="mix")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config() and (copy.alpha, copy.seed, copy.name) == (0.7, 11, "mix")
    assert layer.supports_jit is False and cmo_tf.CMO().supports_jit is True
    given = batch()
    for _ in range(4):
        np.testing.assert_array_equal(copy(given, training=True)["lam"], layer(given, training=True)["lam"])


def test_in_a_saved_model(tmp_path):
    inputs = {k: keras.Input(v.shape[1:], dtype=str(v.dtype.name), name=k) for k, v in batch().items()}
    model = keras.Model(inputs, cmo_tf.CMO(probability=1.0, seed=1)(inputs))
    given = batch()
    assert not check(given, model(given, training=False)).any()
    assert any(check(given, model(given, training=True)).any() for _ in range(5))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert any(check(given, loaded(given, training=True)).any() for _ in range(5))


def test_in_ds_map():
    given, layer = batch(40), cmo_tf.CMO(probability=1.0, seed=1)
    data = tf.data.Dataset.from_tensor_slices(given).batch(4)
    found = [check(before, out) for before, out in zip(data, data.map(lambda b: layer(b, training=True)), strict=True)]
    assert len(found) == 10 and len({tuple(box[0]) for box in found}) > 5


def test_under_xla():
    given, layer = batch(), cmo_tf.CMO(probability=1.0, seed=1)
    step = tf.function(lambda b: layer(b, training=True), jit_compile=True)
    assert len({tuple(check(given, step(given), ulp=1)[0]) for _ in range(8)}) > 4
    planned = {**given, "box": tf.tile([[1, 2, 5, 9]], [6, 1])}
    np.testing.assert_array_equal(check(planned, step(planned), ulp=1), planned["box"])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_labels_and_lam(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        layer = cmo_tf.CMO()
        # 1001 is 1000 in bfloat16, and 1 - 7/80 has more digits than half precision.
        given = {**batch(dtype="float32"), "label": tf.fill([6], 1001.0), "box": tf.tile([[0, 1, 7, 2]], [6, 1])}
        out = layer(given, training=True)
        check(given, out)
        assert (out["lam"].numpy() == np.float32(1 - 7 / 80)).all()
        _, label, pair = cmo_tf.CMO.pack(out)
        assert pair.dtype == tf.float32 and (label.numpy() == 1001).all()
        assert (pair.numpy()[:, 1] == np.float32(1 - 7 / 80)).all()
    finally:
        keras.config.set_dtype_policy(before)


def test_switch_after_tracing():
    given = {**batch(), "box": tf.tile([[1, 2, 5, 9]], [6, 1])}
    for layer in (cmo_tf.CMO(probability=1.0, seed=0), cmo_tf.CMO(probability=1.0, seed=0, alpha=2.0)):
        for data in (given, {k: v for k, v in given.items() if k != "box"}):
            step = tf.function(lambda b, layer=layer: layer(b, training=True))
            mixed = [check(data, step(data), ulp=1).any() for _ in range(6)]
            layer.active.assign(0)
            assert any(mixed) and not any(check(data, step(data), ulp=1).any() for _ in range(6))
            layer.active.assign(1)
            assert any(check(data, step(data), ulp=1).any() for _ in range(6))
    window = MixWindow(1, 2, layer=layer)
    window.set_model(keras.Sequential())
    active = []
    for epoch in range(3):
        window.on_epoch_begin(epoch)
        active.append(float(layer.active))
    assert active == [0, 1, 0]


def test_pack():
    given = {**batch(), "box": tf.tile([[1, 2, 5, 9]], [6, 1])}
    out = cmo_tf.CMO()(given, training=True)
    image, label, pair = cmo_tf.CMO.pack(out)
    assert image is out["image"] and label is out["label"] and pair.dtype == tf.float32
    np.testing.assert_array_equal(pair, np.stack([given["label_q"], out["lam"]], 1))
    np.testing.assert_array_equal(cmo_tf.CMO.pack(out, np.arange(6))[2][:, 2], np.arange(6))
    # What it is for: the loss of an ordinary model, whose columns mean what Mixed takes them for.
    few = {**given, "label": given["label"] % 4, "label_q": given["label_q"] % 4}
    logits, loss = np.random.RandomState(0).randn(6, 4).astype("float32"), CrossEntropy([1.0, 2.0, 3.0, 4.0])
    _, label, pair = cmo_tf.CMO.pack(cmo_tf.CMO()(few, training=True))
    value = Mixed(loss)(label, logits, pair)
    share = 1 - 28 / 80
    expected = share * loss(few["label"], logits) + (1 - share) * loss(few["label_q"], logits)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(MIXERS))
def test_contract_of_every_mixer(name):
    """The share of the label is the share of the pixels, and every pixel comes from the right row and place.

    On images whose own pixels are 0 and whose partner's are 100, the mean says how much of the partner is in.
    """
    layer = MIXERS[name].from_options(class_counts=np.full(10, 7), alpha=1.0, probability=1.0, per_image=True, seed=3)
    rows = 40
    given = {"image": tf.zeros([rows, HEIGHT, WIDTH, 3]), "image_q": tf.fill([rows, HEIGHT, WIDTH, 3], 100.0),
             "label": tf.range(rows) % 10, "label_q": (tf.range(rows) + 1) % 10}
    out = layer(given, training=True)
    assert out["image"].shape == given["image"].shape and out["lam"].dtype == tf.float32 and out["lam"].shape == (rows,)
    for column in ("label", "label_q"):
        np.testing.assert_array_equal(out[column], given[column])
    share = out["image"].numpy().mean((1, 2, 3)) / 100
    np.testing.assert_allclose(share, 1 - out["lam"].numpy(), atol=1e-5)
    assert (share == 0).all() if name == "none" else share.std() > 0.1
    unmixed = layer(given, training=False)
    np.testing.assert_array_equal(unmixed["image"], given["image"])
    assert (unmixed["lam"].numpy() == 1).all()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    layer.active.assign(0)
    np.testing.assert_array_equal(layer(given, training=True)["image"], given["image"])
    # Row r of the partner goes to row r: each row of image_q holds its own value.
    layer.active.assign(1)
    values = tf.reshape(tf.range(1.0, rows + 1), [-1, 1, 1, 1]) * tf.ones([1, HEIGHT, WIDTH, 3])
    out = layer({**given, "image_q": values}, training=True)
    expected = np.arange(1, rows + 1) * (1 - out["lam"].numpy())
    np.testing.assert_allclose(out["image"].numpy().mean((1, 2, 3)), expected, rtol=1e-4, atol=1e-4)
