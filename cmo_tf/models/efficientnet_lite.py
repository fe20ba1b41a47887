"""EfficientNet-Lite: EfficientNet without squeeze-and-excite and with ReLU6, for small processors.

Source: Tan and Le, ICML 2019; the Lite variants of github.com/tensorflow/tpu, models/official/efficientnet/lite.
Published ImageNet accuracy of the weights: Lite0 75.1 % at 224 pixels, Lite2 77.6 % at 260. Dropout and stochastic
depth of their training are left out.
"""

import math
from functools import partial

import keras
from keras import layers

from cmo_tf.core.errors import UserError
from cmo_tf.models.heads import classifier, he_normal, layer_seed, uniform_linear
from cmo_tf.models.names import layer_name
from cmo_tf.models.resnet_cifar import check_shape
from cmo_tf.models.torch_weights import load_torch_weights
from cmo_tf.models.weights import pretrained

# kernel, stride of the first block, expansion, channels, blocks: before width and depth are scaled.
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
          (3, 1, 6, 320, 1))
STEM, FEATURES, IMAGENET_CLASSES = 32, 1280, 1000


def efficientnet_lite(name, width, depth, num_classes, input_shape=(224, 224, 3), head="linear", seed=None,
                      weights=None, upscale=None):
    """An EfficientNet-Lite for images that `preprocess` has brought to its range; see `models.create`.

    Args:
        width, depth: factors of channels and of blocks.
        num_classes: 0 for the pooled features, float32 (B, 1280), without a classifier.
        head: beside those of `models.create`, "imagenet": the published classifier of 1000 classes.
        upscale: side to which images are resized first, bilinearly; None: they stay as they are.
        weights: None, or "imagenet" for the published ones in all layers but a new head.
    """
    check_shape(num_classes or 1, [1 if side is None else side for side in input_shape])  # None: of any height or width
    if input_shape[-1] != 3:
        raise UserError(f"model {name}: takes colour pictures of 3 channels, not {input_shape[-1]}")
    images = keras.Input(tuple(input_shape), name="image")
    features = layers.GlobalAveragePooling2D(dtype="float32", name="features")(
        trunk(resized(images, upscale), width, depth, seed))
    body = keras.Model(images, features, name=name)
    if weights:
        load_torch_weights(body, trunk_tensors(name))
    if not num_classes:
        return body
    return keras.Model(images, _head(name, features, num_classes, head, seed, weights), name=name)


def _head(name, features, num_classes, head, seed, weights):
    if head != "imagenet":
        return classifier(features, num_classes, head, "fc", seed, uniform_linear)
    if not weights or num_classes != IMAGENET_CLASSES:
        raise UserError(f"head='imagenet': is the published classifier, with weights='imagenet' and num_classes="
                        f"{IMAGENET_CLASSES}")
    tensors = tensors_of(name)
    dense = layers.Dense(IMAGENET_CLASSES, dtype="float32", name="fc")
    logits = dense(features)
    dense.set_weights([tensors["fc.weight"].T, tensors["fc.bias"]])
    return logits


def resized(images, side):
    """Images brought to `side` x `side` pixels, bilinearly between their centres; None leaves them."""
    return images if side is None else layers.Resizing(side, side, interpolation="bilinear", name="resize")(images)


def trunk(x, width, depth, seed):
    """The last feature maps (B, ceil(H / 32), ceil(W / 32), 1280)."""
    x = _activated(_conv_bn(x, STEM, 3, 2, "conv_stem", "bn0", seed), "relu0")
    number = 0
    for stage, (kernel, stride, expansion, channels, repeats) in enumerate(STAGES):
        ends = stage in (0, len(STAGES) - 1)
        for repeat in range(repeats if ends else math.ceil(repeats * depth)):
            x = _block(x, rounded(channels * width), kernel, 1 if repeat else stride, expansion, f"blocks.{number}",
                       seed)
            number += 1
    return _activated(_conv_bn(x, FEATURES, 1, 1, "conv_head", "bn1", seed), "relu1")


def rounded(channels):
    """The nearest multiple of 8, 8 more where that loses more than a tenth."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def _block(x, channels, kernel, stride, expansion, name, seed):
    """Inverted residual: expand, filter each channel, project."""
    shortcut, inside = x, x.shape[-1] * expansion
    if expansion > 1:
        x = _activated(_conv_bn(x, inside, 1, 1, f"{name}.expand_conv", f"{name}.bn0", seed), f"{name}.relu0")
    depthwise = f"{name}.depthwise_conv"
    x = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=layer_name(depthwise),
                               depthwise_initializer=he_normal(layer_seed(seed, depthwise)))(x)
    x = _activated(_normalised(x, f"{name}.bn1"), f"{name}.relu1")
    x = _conv_bn(x, channels, 1, 1, f"{name}.project_conv", f"{name}.bn2", seed)
    return layers.Add(name=f"{name}.add")([x, shortcut]) if stride == 1 and shortcut.shape[-1] == channels else x


def _conv_bn(x, channels, kernel, stride, conv_name, bn_name, seed):
    # TensorFlow's own padding: at stride 2 on an even side the far edge alone is padded.
    x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=layer_name(conv_name),
                      kernel_initializer=he_normal(layer_seed(seed, conv_name)))(x)
    return _normalised(x, bn_name)


def _normalised(x, name):
    return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=layer_name(name))(x)


def _activated(x, name):
    return layers.ReLU(6.0, name=name)(x)


def tensors_of(name):
    """The published tensors under the names of our layers, which begin no part with an underscore."""
    return {".".join(part.lstrip("_") for part in key.split(".")[:-1]) + "." + key.rpartition(".")[2]: value
            for key, value in pretrained.tensors(name).items()}


def trunk_tensors(name):
    """`tensors_of` without the classifier."""
    return {key: value for key, value in tensors_of(name).items() if not key.startswith("fc.")}


def preprocess():
    """The layer from raw pixels 0..255 to `(x - 127) / 128`, as the networks were trained."""
    return layers.Rescaling(1 / 128, -127 / 128, name="normalise")


lite0 = partial(efficientnet_lite, "efficientnet_lite0", 1.0, 1.0)
lite2 = partial(efficientnet_lite, "efficientnet_lite2", 1.1, 1.2)
