"""What fit of LongTailClassifier takes as Keras users have it: data sets of pairs, splits, weights, one-hot labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import CMO, LongTailClassifier, callbacks
from cmo_tf.core.errors import UserError
from cmo_tf.losses import BalancedSoftmax, CrossEntropy
from cmo_tf.mixing import MIXERS
from cmo_tf.optim import SGD
from tests.support.streams import small_set

COUNTS = [16, 10, 6]
IMAGES, LABELS = small_set(COUNTS, 4, 4)
ONE_HOT = np.eye(3, dtype="float32")[LABELS]


def classifier(loss=None, mixer=None, **options):
    layers = [keras.Input((4, 4, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(),
              keras.layers.Dense(3, kernel_initializer="zeros")]
    model = LongTailClassifier(keras.Sequential(layers), mixer)
    model.compile(SGD(0.1), loss or CrossEntropy(), **options)
    return model


def weights_after(model, *data, **options):
    model.fit(*data, verbose=0, **options)
    return [w.numpy() for w in model.trainable_variables]


def pairs(labels=LABELS):
    return tf.data.Dataset.from_tensor_slices((IMAGES, labels))


class Watched(CMO):
    """Counts what it is given, in a variable that a traced step changes."""

    def __init__(self):
        super().__init__(probability=1.0, seed=0)
        self.seen = tf.Variable(tf.zeros([2, 3], tf.int32))

    def call(self, batch, training=None):
        rows = [tf.math.bincount(tf.cast(batch[k], tf.int32), minlength=3) for k in ("label", "label_q")]
        self.seen.assign_add(tf.stack(rows))
        return super().call(batch, training=training)


@pytest.mark.parametrize("labels", [LABELS, ONE_HOT], ids=["integers", "one_hot"])
@pytest.mark.parametrize("batch", [None, 8])
def test_a_data_set_of_pairs_gets_its_foregrounds(batch, labels, capsys):
    mixer = Watched()
    model = classifier(mixer=mixer)
    data = pairs(labels) if batch is None else pairs(labels).batch(batch)
    model.fit(data, epochs=10, verbose=0, **({"batch_size": 8} if batch is None else {}))
    assert model.optimizer.iterations == 40, "four batches an epoch, of the set's own size or the one named"
    background, foreground = mixer.seen.numpy()
    assert background.tolist() == [160, 100, 60]
    assert (foreground > 70).all(), "each class a third"
    assert "32 labels counted in a pass over the data set" in capsys.readouterr().err


def test_counts_of_the_loss_save_the_pass(capsys):
    classifier(BalancedSoftmax(COUNTS), CMO(seed=0)).fit(pairs().batch(8), verbose=0)
    assert "counted" not in capsys.readouterr().err


def test_validation_split_is_the_last_share():
    order = np.random.default_rng(0).permutation(32)
    images, labels = IMAGES[order], LABELS[order]
    split = classifier(mixer=CMO(seed=3))
    named = classifier(mixer=CMO(seed=3))
    history = split.fit(images, labels, batch_size=8, verbose=0, validation_split=0.3).history
    expected = named.fit(images[:22], labels[:22], batch_size=8, verbose=0,
                         validation_data=(images[22:], labels[22:])).history
    assert history == expected
    for mixer in (None, CMO()):
        with pytest.raises(UserError, match="validation_split=0.2: takes the last images.*all of class 2; shuffle"):
            classifier(mixer=mixer).fit(IMAGES, np.sort(LABELS), verbose=0, validation_split=0.2)
        with pytest.raises(UserError, match="validation_split=1.5: leaves no picture"):
            classifier(mixer=mixer).fit(IMAGES, LABELS, verbose=0, validation_split=1.5)


@pytest.mark.parametrize("mixer", [None, "cmo"])
def test_class_weight_goes_into_the_loss_while_it_trains(mixer):
    def layer():
        return mixer and CMO(seed=3)

    model = classifier(CrossEntropy([1.0, 1.0, 2.0]), layer())
    ours = weights_after(model, IMAGES, LABELS, shuffle=False, class_weight={0: 0.5, 2: 2.0})
    expected = weights_after(classifier(CrossEntropy([0.5, 1.0, 4.0]), layer()), IMAGES, LABELS, shuffle=False)
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.loss.class_weights, [1, 1, 2])
    for wrong, words in (({3: 1.0}, "3 is no label"), ({0: -1.0}, "at least 0")):
        with pytest.raises(UserError, match=f"class_weight: .*{words}"):
            model.fit(IMAGES, LABELS, verbose=0, class_weight=wrong)
    with pytest.raises(UserError, match="class_weight and a callback DRW"):
        model.fit(IMAGES, LABELS, verbose=0, class_weight={0: 2.0}, callbacks=[callbacks.DRW(COUNTS, 1)])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_one_hot_rows_are_integers_written_long(dtype):
    one_hot = ONE_HOT.astype(dtype)
    for mixer in (None, "cmo"):
        results = []
        for labels in (LABELS, LABELS[:, None], one_hot, tf.constant(one_hot)):
            model = classifier(mixer=mixer and CMO(seed=3), metrics=["accuracy"])
            history = model.fit(IMAGES, labels, verbose=0, shuffle=False, validation_data=(IMAGES, labels)).history
            results.append([*history.values(), *model.evaluate(IMAGES, labels, verbose=0)])
        assert results[0] == results[1] == results[2] == results[3]
    model = classifier()
    assert model.evaluate(pairs(one_hot).batch(8), verbose=0) == model.evaluate(pairs().batch(8), verbose=0)


WRONG = {
    "from_one": (LABELS + 1, "label|from 1 to 3 .*take 1 from each"),
    "soft": (0.9 * ONE_HOT + 0.1 / 3, "soft labels cannot be used"),
    "two_in_a_row": (np.maximum(ONE_HOT, np.eye(3)[0]), "no one-hot row"),
    "negative": (LABELS - 1, "label|from -1 to"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_labels_are_one_line_wherever_they_come_in(name):
    labels, words = WRONG[name]
    model = classifier()
    with pytest.raises(UserError, match=f"fit: y: .*({words})"):
        model.fit(IMAGES, labels, verbose=0)
    with pytest.raises(UserError, match=f"fit: y: .*({words})"):
        model.fit(IMAGES, tf.constant(labels), verbose=0)
    with pytest.raises(UserError, match=f"fit: validation_data: .*({words})"):
        model.fit(IMAGES, LABELS, verbose=0, validation_data=(IMAGES, labels))
    with pytest.raises(UserError, match=f"evaluate: y: .*({words})"):
        model.evaluate(IMAGES, labels, verbose=0)
    for fitted in (model, classifier(mixer=CMO())):
        with pytest.raises(UserError, match=f"^fit: wrong labels: .*({words})") as raised:
            fitted.fit(pairs(labels).batch(8), verbose=0)
        assert "[" not in str(raised.value) and len(str(raised.value)) < 250
    with pytest.raises(UserError, match=f"^evaluate: wrong labels: .*({words})"):
        model.evaluate(pairs(labels).batch(8), verbose=0)
    with pytest.raises(UserError, match=f"^fit: wrong labels: .*({words})"):
        model.fit(pairs().batch(8), verbose=0, validation_data=pairs(labels).batch(8))


def test_under_xla():
    model = classifier(jit_compile=True)
    model.fit(pairs(ONE_HOT).batch(8), verbose=0)
    assert np.isfinite(model.evaluate(pairs().batch(8), verbose=0))


def test_refusals():
    model = classifier(mixer=CMO())
    with pytest.raises(UserError, match="sample_weight does not go with a mixer on arrays; give class_weight"):
        model.fit(IMAGES, LABELS, sample_weight=np.ones(32), verbose=0)
    with pytest.raises(UserError, match="batch_size=4: the data set is batched already"):
        model.fit(pairs().batch(8), batch_size=4, verbose=0)
    with pytest.raises(UserError, match="without sample weights"):
        model.fit(tf.data.Dataset.from_tensor_slices((IMAGES, LABELS, np.ones(32))).batch(8), verbose=0)
    with pytest.raises(UserError, match="endless.*leave .repeat.. out"):
        model.fit(pairs().repeat(), steps_per_epoch=2, verbose=0)
    with pytest.raises(UserError, match="one known size"):
        shapes = (tf.TensorSpec([None, None, 3]), tf.TensorSpec([], tf.int64))
        odd = tf.data.Dataset.from_generator(lambda: zip(IMAGES, LABELS, strict=True), output_signature=shapes)
        model.fit(odd, verbose=0)
    with pytest.raises(UserError, match="CMOMinor takes arrays"):
        classifier(mixer=MIXERS["cmo_minor"]()).fit(pairs().batch(8), verbose=0)
