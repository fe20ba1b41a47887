"""`keras:NAME`: backbones of keras.applications, without their classifier, under our head.

Nothing is downloaded but by Keras itself with `weights="imagenet"`.
"""

import contextlib
import os
import random
import sys

import keras
from keras import layers, ops

from cmo_tf.core.errors import UserError
from cmo_tf.models.applications import PIXELS, PREFIX
from cmo_tf.models.efficientnet_lite import resized
from cmo_tf.models.heads import classifier, uniform_linear

HEAD = "head"
# RGB means of ImageNet in 0..255, which "caffe" networks subtract, and mean and deviation in [0, 1] of "torch" ones.
_CAFFE = (123.68, 116.779, 103.939)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def create(name, num_classes, input_shape, head="linear", seed=None, weights=None, upscale=None):
    """A backbone, its globally averaged "features" and, unless `num_classes` is 0, a head named "head"; see
    `models.create`.

    It takes what `preprocess(name)` makes of raw pixels, 3 channels. Initial weights are Keras' own, drawn from `seed`;
    `weight_files.load` puts those of a file in their place. Layers keep the names they have in keras.applications.
    """
    if input_shape[-1] != 3:
        raise UserError(f"--model={PREFIX}{name}: takes colour pictures, and those of the set have {input_shape[-1]} "
                        "channel; take a network such as --model=resnet32")
    images = keras.Input(tuple(input_shape), name="image")
    pixels = resized(images, upscale)
    with _drawn_from(seed):
        pooled = _backbone(name, ops.flip(pixels, axis=-1) if PIXELS[name] == "caffe" else pixels, weights)
    features = layers.Activation("linear", dtype="float32", name="features")(pooled)
    if not num_classes:
        return keras.Model(images, features, name=name.lower())
    logits = classifier(features, num_classes, head, name=HEAD, seed=seed, dense=uniform_linear)
    return keras.Model(images, logits, name=name.lower())


def _backbone(name, pixels, weights):
    """Pooled features (B, D) of a backbone on a tensor; its layers become those of the network around it."""
    make = vars(keras.applications)[name]  # `applications.NAMES` has checked it
    if weights:
        folder = os.path.join(os.environ.get("KERAS_HOME") or "~/.keras", "models")
        print(f"weights of {PREFIX}{name}: Keras fetches them from the network unless they lie in {folder} already",
              file=sys.stderr, flush=True)
    try:
        return make(include_top=False, weights=weights, input_tensor=pixels, input_shape=tuple(pixels.shape[1:]),
                    pooling="avg").output
    except ValueError as error:
        raise UserError(f"--image_size={pixels.shape[1]}: --model={PREFIX}{name} takes other sizes "
                        f"({' '.join(str(error).split())[:160]})") from None
    except Exception as error:  # Keras turns whatever the network says into a bare Exception
        if not weights:
            raise
        raise UserError(f"weights of {PREFIX}{name}: Keras cannot fetch them ({' '.join(str(error).split())[:160]})") \
            from None


@contextlib.contextmanager
def _drawn_from(seed):
    """Initial values drawn from a seed; Keras draws the seeds of its initializers from Python's generator."""
    if seed is None:
        yield
        return
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def preprocess(name):
    """The layer from raw pixels 0..255 to what the network of `create` takes."""
    kind = PIXELS[name]
    if kind == "caffe":
        return layers.Rescaling(1.0, [-mean for mean in _CAFFE], name="normalise")
    if kind == "tf":
        return layers.Rescaling(1 / 127.5, -1.0, name="normalise")
    if kind == "torch":
        return layers.Rescaling([1 / (255 * std) for std in _STD],
                                [-mean / std for mean, std in zip(_MEAN, _STD, strict=True)], name="normalise")
    return layers.Rescaling(1.0, name="normalise")
