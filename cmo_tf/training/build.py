"""From a Config to the objects of a run: network, loss, optimizer, mixer, classifier, stream."""

import contextlib

import keras
import tensorflow as tf

from cmo_tf import models
from cmo_tf.augment import AUGMENTATIONS
from cmo_tf.errors import UserError
from cmo_tf.losses import LOSSES
from cmo_tf.mixing import MIXERS
from cmo_tf.optim import SGD
from cmo_tf.pipeline import train_stream
from cmo_tf.training.classifier import LongTailClassifier

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def loss(config, counts):
    """The loss of a run, its class counts those of the training split."""
    options = dict(max_margin=config.ldam_margin, scale=config.ldam_scale) if config.loss == "ldam" else {}
    return LOSSES[config.loss].for_counts(counts, **options)


def normalisation(data):
    """Layer from raw pixels 0..255 to (x / 255 - mean) / std, a channel each."""
    scale = [1.0 / (255.0 * std) for std in data.std]
    offset = [-mean / std for mean, std in zip(data.mean, data.std, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="normalise")


def strategy(config):
    """The tf.distribute strategy of a run; the default one without `--strategy`."""
    if config.strategy == "none":
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    wanted = config.num_devices or len(devices)
    if wanted > len(devices):
        raise UserError(f"--num_devices={wanted}: this machine has {len(devices)}")
    return tf.distribute.MirroredStrategy([device.name for device in devices[:wanted]])


def classifier(config, data, total_steps=None):
    """The compiled LongTailClassifier of a run; initial weights follow from `--seed` alone."""
    keras.utils.set_random_seed(config.seed)
    with strategy(config).scope(), _precision(config.precision):
        objective = loss(config, data.counts)
        network = models.create(config.model, data.num_classes, data.image_shape, head=objective.head, seed=config.seed)
        mixer = MIXERS[config.mix].from_options(alpha=config.alpha, probability=config.probability,
                                                per_image=config.per_image, seed=config.seed)
        model = LongTailClassifier(network, mixer=mixer, preprocess=normalisation(data))
        optimizer = SGD(config.lr, momentum=config.momentum, l2=config.l2, nesterov=config.nesterov)
        model.compile(optimizer, objective)
        model.optimizer.build(model.trainable_variables)
    return model


def stream(config, data, timeline, start_step=0):
    """The training stream of a run from a step on."""
    return train_stream(
        data.train.images, data.train.labels, batch_size=config.batch_size, seed=config.seed, start_step=start_step,
        q_power=config.q_power, q_kind=config.q_kind, q_level=config.q_level, q_source=config.q_source,
        probability=config.probability if config.mix != "none" else 0.0, alpha=config.alpha,
        per_image=config.per_image, augment=AUGMENTATIONS[data.augment](size=data.size),
        mix_steps=timeline.mix_steps, drop_remainder=config.drop_remainder, class_counts=data.counts,
        decode=data.decode)


@contextlib.contextmanager
def _precision(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
