"""What `LongTailClassifier.fit` trains on, made of what its caller has."""

import numpy as np

from cmo_tf.pipeline import steps_per_epoch, train_stream


def array_stream(mixer, images, labels, batch_size=None, steps=None, first_epoch=0):
    """(stream, steps an epoch): a `train_stream` of arrays for a mixer, by whose seed, probability and alpha it goes.

    Args:
        images, labels: (N,H,W,C) and (N,).
        batch_size: None: 32, as in Keras.
        steps: of an epoch; None: all images once.
        first_epoch: where training begins.
    """
    labels = np.reshape(labels, -1)
    batch_size = 32 if batch_size is None else batch_size
    steps = steps_per_epoch(len(labels), batch_size) if steps is None else steps
    stream = train_stream(np.asarray(images), labels, batch_size=batch_size, seed=_seed(mixer),
                          start_step=first_epoch * steps, **_plan(mixer))
    return stream, steps


def _seed(mixer):
    seed = getattr(mixer, "seed", None)
    return int(np.random.randint(2**31)) if seed is None else seed


def _plan(mixer):
    names = ("probability", "alpha", "per_image", "canvas", "partner", "plan")
    plan = {name: getattr(mixer, name) for name in names if getattr(mixer, name, None) is not None}
    return {"probability": 0.0, **plan}
