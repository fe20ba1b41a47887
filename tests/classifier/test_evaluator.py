"""Evaluation: every image once, whatever the last batch holds, by one graph."""

import keras
import numpy as np
import pytest

from cmo_tf.classifier.evaluator import Evaluator
from cmo_tf.datasets import Split


@pytest.mark.parametrize("number", [3, 4, 9])
def test_one_graph_for_full_and_partial_batches(number):
    image = keras.Input((4, 4, 3))
    network = keras.Model(image, keras.layers.Dense(5)(keras.layers.Flatten()(image)))
    random = np.random.RandomState(0)
    split = Split(random.randint(0, 256, (number, 4, 4, 3)).astype(np.float32), np.arange(number) % 5)
    evaluator = Evaluator(network, batch_size=4)
    for _ in range(2):
        np.testing.assert_allclose(evaluator.logits(split, (4, 4)), network(split.images).numpy(), rtol=1e-5)
    assert evaluator.traces == 1 and len(evaluator.predict(split, (4, 4)).predicted) == number
