"""LongTailClassifier: the two-term loss of a step, every way to call fit, saving; and two devices equal to one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import CMO, LongTailClassifier
from cmo_tf.classifier import build
from cmo_tf.config import Config
from cmo_tf.core.errors import UserError
from cmo_tf.losses import LDAM, BalancedSoftmax, CrossEntropy, LongTailLoss, Mixed
from cmo_tf.mixing.base import Unmixed
from cmo_tf.models import create
from cmo_tf.models.heads import NormedLinear
from cmo_tf.optim import SGD
from cmo_tf.pipeline import train_stream
from tests.support.streams import small_set

COUNTS = [16, 10, 6, 4, 1]
IMAGES, LABELS = small_set(COUNTS, 6, 6)
WEIGHTS = [0.2, 0.5, 1.0, 1.3, 2.0]


def scale():
    return keras.layers.Rescaling(1 / 255, offset=-0.5)


def small_network(head="linear", seed=0):
    """Convolution, pooling and a head; no BatchNorm."""
    image = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", kernel_initializer=keras.initializers.HeNormal(seed))(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    start = keras.initializers.GlorotUniform(seed + 1)
    last = NormedLinear(5, seed=seed) if head == "normed" else keras.layers.Dense(5, kernel_initializer=start)
    return keras.Model(image, last(x))


def classifier(loss=None, mixer=None, network=None, optimizer=None, **options):
    model = LongTailClassifier(network or small_network(), mixer, scale())
    model.compile(optimizer or SGD(0.1, momentum=0.9, l2=1e-3), loss or CrossEntropy(), **options)
    return model


def stream(**options):
    return train_stream(IMAGES, LABELS, **{"batch_size": 16, "seed": 3, "probability": 1.0, **options})


def mixed_by_hand(batch):
    """The mixed image of a batch of numpy arrays, in plain numpy."""
    y0, x0, y1, x1 = batch["box"][0]
    image = batch["image"].copy()
    image[:, y0:y1, x0:x1] = batch["image_q"][:, y0:y1, x0:x1]
    return image


def weighted_ce(logits, labels, weights, rows):
    """PyTorch's cross_entropy(weight=...) with each row's value times `rows`, in plain numpy."""
    logits = logits.astype(np.float64)
    values = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]
    return (values * np.array(weights)[labels] * rows).sum() / np.array(weights)[labels].sum()


def test_a_step_by_hand():
    """Loss, gradient and update of single steps, the short last batch among them."""
    model = classifier(CrossEntropy(WEIGHTS), CMO(), optimizer=SGD(0.5, momentum=0.0, l2=0.01))
    data = stream(seed=8, alpha=0.3)
    for batch in data.take(3):
        plain = {k: v.numpy() for k, v in batch.items()}
        lam = plain["lam"].astype(np.float64)
        image = mixed_by_hand(plain)
        with tf.GradientTape() as tape:
            logits = model.inner(image / np.float32(255) - np.float32(0.5), training=True)
            loss = 0.0
            for labels, share in ((plain["label"], plain["lam"]), (plain["label_q"], 1 - plain["lam"])):
                values = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                weights = tf.gather(tf.constant(WEIGHTS), labels)
                loss += tf.reduce_sum(values * weights * share) / tf.reduce_sum(weights)
        by_hand = weighted_ce(logits.numpy(), plain["label"], WEIGHTS, lam) + \
            weighted_ce(logits.numpy(), plain["label_q"], WEIGHTS, 1 - lam)
        np.testing.assert_allclose(float(loss), by_hand, rtol=1e-5)
        before = [w.numpy() for w in model.trainable_variables]
        gradients = tape.gradient(loss, model.inner.trainable_variables)
        reported = model.train_on_batch(batch)
        np.testing.assert_allclose(reported, by_hand, rtol=1e-5)
        model.reset_metrics()
        for weight, old, gradient in zip(model.trainable_variables, before, gradients, strict=True):
            np.testing.assert_allclose(weight, old - 0.5 * (gradient + 0.01 * old), atol=2e-6)
    assert len(plain["label"]) == 5 and 0 < lam[0] < 1


def test_fit_takes_a_stream_or_arrays_with_the_same_result():
    """Arrays with a mixer get the stream of the mixer's seed and plan; Q is drawn by index."""
    def new():
        return classifier(LDAM(COUNTS), CMO(alpha=0.7, probability=0.9, seed=3), small_network("normed"))

    first = new()
    history = first.fit(stream(alpha=0.7, probability=0.9), steps_per_epoch=3, epochs=2, verbose=0).history["loss"]
    second = new()
    # Column labels, as keras.datasets has them; and going on from an epoch goes on in the stream.
    found = second.fit(IMAGES, LABELS[:, None], 16, epochs=1, verbose=0).history["loss"]
    found += second.fit(x=IMAGES, y=LABELS, batch_size=16, epochs=2, initial_epoch=1, verbose=0).history["loss"]
    assert found == history
    for ours, theirs in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_fit_without_a_mixer():
    """Plain arrays, a data set of pairs, sample weights, validation data: as any keras model, with our normaliser."""
    pairs = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(37)
    losses = []
    for mixer in (None, Unmixed()):
        model = classifier(CrossEntropy(WEIGHTS), mixer, metrics=["accuracy"])
        logits = model.predict(IMAGES, verbose=0)
        history = model.fit(pairs, epochs=1, verbose=0, validation_data=(IMAGES, LABELS)).history
        losses.append(history["loss"][0])
        np.testing.assert_allclose(history["loss"][0], weighted_ce(logits, LABELS, WEIGHTS, 1.0), rtol=1e-5)
        assert history["accuracy"][0] == pytest.approx((logits.argmax(1) == LABELS).mean())
        assert {"val_loss", "val_accuracy"} <= set(history)
    assert losses[0] == losses[1]
    model = classifier()
    rows = np.linspace(0, 3, 37).astype("float32")
    logits = model.predict(IMAGES, verbose=0)
    loss = model.fit(IMAGES, LABELS, 37, sample_weight=rows, shuffle=False, verbose=0).history["loss"][0]
    np.testing.assert_allclose(loss, weighted_ce(logits, LABELS, np.ones(5), rows) * 37 / rows.sum(), rtol=1e-5)


def test_evaluate_and_predict_never_mix():
    model = classifier(CrossEntropy(WEIGHTS), CMO(probability=1.0), metrics=["accuracy"])
    logits = model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(model.predict(stream().take(3), verbose=0),
                               model.network(np.concatenate([b["image"] for b in stream().take(3)])), atol=1e-5)
    loss, accuracy = model.evaluate(IMAGES, LABELS, batch_size=37, verbose=0)
    np.testing.assert_allclose(loss, weighted_ce(logits, LABELS, WEIGHTS, 1.0), rtol=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == LABELS).mean())
    # A batch dict is evaluated on its P side.
    batch = next(iter(stream(batch_size=37)))
    np.testing.assert_allclose(model.test_on_batch(batch)[0], loss, rtol=1e-5)


def test_network_takes_raw_pixels(tmp_path):
    network = create("resnet20", 5, (6, 6, 3), seed=0)
    model = classifier(network=network)
    for raw in (IMAGES, IMAGES.astype("float32")):
        expected = network(raw / np.float32(255) - np.float32(0.5), training=False)
        np.testing.assert_allclose(model.network(raw, training=False), expected, atol=1e-5)
        np.testing.assert_allclose(model(raw, training=False), expected, atol=1e-5)
    assert model.inner is network
    assert not any(isinstance(layer, keras.layers.Rescaling) for layer in network.layers)
    model.network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IMAGES), model.network(IMAGES))
    bare = LongTailClassifier(network)
    assert bare.network is network


def test_saving_the_classifier(tmp_path):
    model = classifier(LDAM(COUNTS, scale=10.0, class_weights=WEIGHTS), CMO(alpha=2.0, probability=0.8, seed=5),
                       small_network("normed"), metrics=["accuracy"])
    model.fit(stream(), steps_per_epoch=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0))
    assert loaded.mixer.get_config() == model.mixer.get_config()
    assert loaded.loss.get_config() == model.loss.get_config()
    # Momentum and iterations too: both go on alike.
    history = [m.fit(stream(start_step=4), steps_per_epoch=3, verbose=0).history["loss"] for m in (model, loaded)]
    np.testing.assert_allclose(history[0], history[1], rtol=1e-6)
    for ours, theirs in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert set(model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)) == {"loss", "accuracy"}
    expected = model.evaluate(IMAGES, LABELS, verbose=0)
    np.testing.assert_allclose(loaded.evaluate(IMAGES, LABELS, verbose=0), expected, rtol=1e-5)
    uncompiled = LongTailClassifier(small_network())
    uncompiled.save(tmp_path / "plain.keras")
    assert keras.models.load_model(tmp_path / "plain.keras").mixer is None


def test_export_is_that_of_the_network(tmp_path):
    model = classifier(mixer=CMO(seed=0))
    model.export(tmp_path / "before", verbose=False)
    model.fit(IMAGES, LABELS, verbose=0)
    model.export(tmp_path / "after", verbose=False)
    exported = tf.saved_model.load(tmp_path / "after")
    np.testing.assert_allclose(exported.serve(tf.cast(IMAGES, tf.float32)), model.predict(IMAGES, verbose=0), atol=1e-5)
    with pytest.raises(UserError, match="save: .*a.h5: .*write a .keras file"):
        model.save(tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()


def test_refusals():
    with pytest.raises(UserError, match="compile.*sparse_categorical.*cmo_tf.losses"):
        classifier(keras.losses.SparseCategoricalCrossentropy())
    with pytest.raises(UserError, match="Mixed is for plain keras models"):
        classifier(Mixed(CrossEntropy()))
    with pytest.raises(UserError, match="5 classes|there are 5"):
        classifier(BalancedSoftmax([3, 2]))
    model = classifier(mixer=CMO())
    for name in ("batch_size", "steps_per_epoch"):  # 0 is no way to say "all"
        for wrong in (0, -1, 2.5):
            with pytest.raises(UserError, match=f"fit: {name}={wrong}: must be a whole number of at least 1"):
                model.fit(IMAGES, LABELS, verbose=0, **{name: wrong})
    with pytest.raises(UserError, match="fit: labels are missing"):
        classifier().fit(tf.data.Dataset.from_tensor_slices(IMAGES).batch(8), verbose=0)


def test_plain_keras_model_with_pack_and_mixed():
    """The third way of the card: ds.map(CMO), pack, Mixed in ordinary fit; one step equals the classifier's."""
    layer = CMO()
    data = stream(batch_size=37).take(1)
    results = []
    for way in ("plain", "classifier"):
        if way == "plain":
            network = small_network()
            image = keras.Input((6, 6, 3))
            model = keras.Model(image, network(scale()(image)))
            model.compile(SGD(0.1), Mixed(LDAM(COUNTS, scale=5.0, class_weights=WEIGHTS)))
            history = model.fit(data.map(lambda batch: CMO.pack(layer(batch, training=True))), verbose=0).history
        else:
            model = classifier(LDAM(COUNTS, scale=5.0, class_weights=WEIGHTS), layer, optimizer=SGD(0.1))
            history = model.fit(data, verbose=0).history
        results.append((history["loss"][0], [w.numpy() for w in model.trainable_variables]))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    for ours, theirs in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


# Two devices against one.

@pytest.fixture(scope="module")
def mirrored():
    """The strategy over both devices, one for the process: a second one would use the keys of its collectives again."""
    devices = tf.config.list_logical_devices("CPU")
    assert len(devices) == 2, "tests/conftest.py sets up two"
    return build.strategy(Config(strategy="mirrored"))


def synchronised(network):
    """A copy with the same weights whose BatchNorm takes its statistics over all replicas."""
    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            config["synchronized"] = True
        return type(layer).from_config(config)

    copy = keras.models.clone_model(network, clone_function=clone)
    copy.set_weights(network.get_weights())
    return copy


class Choice(LongTailLoss):
    """One of several losses, chosen by a variable: the network is traced once for all of them."""

    def __init__(self, losses):
        super().__init__(num_classes=5)
        self.losses, self.chosen = losses, keras.Variable(np.zeros(len(losses)), dtype="float32", trainable=False)

    def values(self, labels, logits):
        return sum(self.chosen[i] * loss.values(labels, logits) for i, loss in enumerate(self.losses))


LOSSES = {"ce": (0, np.ones(5)), "weighted ce": (0, WEIGHTS), "ldam": (1, WEIGHTS), "bs": (2, np.ones(5))}


def steps_of_every_loss(strategy, make_network):
    """loss name -> (history, weights) after two steps from the same start: of the batches of 16, 16 and 5 rows that
    make an epoch, the second and the third."""
    with strategy.scope():
        loss = Choice([CrossEntropy(num_classes=5), LDAM(COUNTS, scale=5.0), BalancedSoftmax(COUNTS)])
        model = classifier(loss, CMO(), make_network(), metrics=["accuracy"])
        model.optimizer.build(model.trainable_variables)
    start = [v.numpy() for v in model.variables]
    found = {}
    for name, (index, class_weights) in LOSSES.items():
        for variable, value in zip(model.variables, start, strict=True):
            variable.assign(value)
        for variable in model.optimizer.variables:
            if variable.name not in ("learning_rate",):
                variable.assign(keras.ops.zeros_like(variable))
        loss.chosen.assign(np.eye(3)[index])
        loss.class_weights.assign(class_weights)
        history = model.fit(stream(start_step=1), steps_per_epoch=2, verbose=0).history
        found[name] = history, [v.numpy() for v in model.network.variables]
    return found


@pytest.mark.parametrize("network", ["small", "resnet20"])
def test_two_devices_equal_one(mirrored, network):
    def make():
        if network == "small":
            return small_network("normed")
        return synchronised(create("resnet20", 5, (6, 6, 3), head="normed", seed=1))

    one = steps_of_every_loss(tf.distribute.get_strategy(), make)
    two = steps_of_every_loss(mirrored, make)
    for name in LOSSES:
        (history, weights), (other_history, other_weights) = one[name], two[name]
        np.testing.assert_allclose(other_history["loss"], history["loss"], rtol=1e-5, err_msg=name)
        assert other_history["accuracy"] == history["accuracy"]
        for ours, theirs in zip(weights, other_weights, strict=True):
            np.testing.assert_allclose(theirs, ours, atol=1e-5, err_msg=name)
    # The four losses are four: what is compared did depend on them.
    assert len({history["loss"][0] for history, _ in one.values()}) == 4


def test_two_devices_and_a_batch_of_one_row(mirrored):
    """The last batch of an epoch may leave a replica without rows: it gives nothing, and nothing becomes NaN."""
    found = []
    for strategy in (tf.distribute.get_strategy(), mirrored):
        with strategy.scope():
            # No convolution: that of oneDNN (TensorFlow 2.21) returns a wrong shape for a batch without rows.
            image, start = keras.Input((6, 6, 3)), keras.initializers.GlorotUniform(0)
            logits = keras.layers.Dense(5, kernel_initializer=start)(keras.layers.GlobalAveragePooling2D()(image))
            model = classifier(CrossEntropy(WEIGHTS), CMO(), keras.Model(image, logits))
        history = model.fit(stream(batch_size=12, start_step=2), steps_per_epoch=2, verbose=0).history["loss"]
        found.append([*history, *(float(keras.ops.sum(w**2)) for w in model.trainable_variables)])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
