"""The whole training step as one XLA program: what a GPU needs, shown where there is none."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import CMO, LongTailClassifier
from cmo_tf.losses import LDAM, BalancedSoftmax, CrossEntropy
from cmo_tf.models.resnet_cifar import resnet_cifar
from cmo_tf.optim import SGD
from cmo_tf.pipeline import train_stream
from tests.support.determinism import any_operations  # noqa: F401

COUNTS = [9, 4, 3]
LOSSES = {"ce": lambda: CrossEntropy(num_classes=3), "bs": lambda: BalancedSoftmax(COUNTS),
          "ldam": lambda: LDAM(COUNTS, scale=5.0)}


def batches():
    labels = np.repeat(np.arange(3), COUNTS)
    images = np.random.RandomState(0).randint(0, 256, (len(labels), 8, 8, 3), np.uint8)
    stream = train_stream(images, labels, batch_size=8, seed=1, probability=1.0, alpha=1.0, drop_remainder=True)
    return list(stream.take(2))


def classifier(loss):
    network = resnet_cifar(8, 3, (8, 8, 3), head=loss.head, seed=0)
    model = LongTailClassifier(network, mixer=CMO(), preprocess=keras.layers.Rescaling(1 / 127.5, -1.0))
    model.compile(SGD(0.01, l2=2e-4), loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.usefixtures("any_operations")
def test_the_step_is_one_program_without_callbacks_to_the_host(name):
    """Forward, mixing, loss, backward, optimizer and metrics, with the same result as op by op."""
    first, second = batches()
    plain, compiled = classifier(LOSSES[name]()), classifier(LOSSES[name]())
    step, program = tf.function(plain.train_step), tf.function(compiled.train_step, jit_compile=True)
    text = program.experimental_get_compiler_ir(first)(stage="hlo")
    assert "convolution" in text and not re.findall(r"custom-call|outfeed|infeed|host", text)
    for batch in (first, second):
        np.testing.assert_allclose(float(program(batch)["loss"]), float(step(batch)["loss"]), rtol=1e-5)
    for one, other in zip(plain.network.variables, compiled.network.variables, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=2e-5, err_msg=one.path)
    assert program.experimental_get_tracing_count() == 1  # both batches have the same static shape
