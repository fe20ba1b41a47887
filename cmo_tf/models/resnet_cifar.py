"""ResNets for small images (He et al., CVPR 2016, section 4.2) as the LDAM and CMO code has them in PyTorch.

Layers carry the names of the PyTorch modules (`layer1.0.conv1`), so that weights map by name.
"""

from functools import partial

import keras
from keras import layers, ops

from cmo_tf.core.errors import UserError
from cmo_tf.models.heads import classifier, he_normal, layer_seed
from cmo_tf.models.names import layer_name


def resnet_cifar(depth, num_classes, input_shape=(32, 32, 3), head="linear", seed=None):
    """ResNet of 6n + 2 layers: three stages of n basic blocks with 16, 32 and 64 channels; see `models.create`.

    Images of any size: the last feature map is averaged as a whole. Statistics of BatchNorm as in PyTorch
    (momentum 0.9 in Keras' counting, epsilon 1e-5; the running variance is Keras' biased estimate).
    """
    check_depth(depth)
    check_shape(num_classes, input_shape)
    images = keras.Input(tuple(input_shape), name="image")
    x = resnet_trunk(images, depth, seed)
    features = layers.GlobalAveragePooling2D(dtype="float32", name="features")(x)
    logits = classifier(features, num_classes, head, name="linear", seed=seed)
    return keras.Model(images, logits, name=f"resnet{depth}")


def resnet_trunk(x, depth, seed, last_blocks=None):
    """Feature maps of the stem and the three stages; `last_blocks` of the third one, all by default."""
    blocks = (depth - 2) // 6
    x = stem(x, seed)
    for stage, channels in enumerate((16, 32, 64), start=1):
        for block in range(blocks if stage < 3 or last_blocks is None else last_blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            x = basic_block(x, channels, stride, f"layer{stage}.{block}", seed)
    return x


def stem(x, seed):
    """The first convolution, 16 channels."""
    x = _conv_bn(x, 16, 1, "conv1", "bn1", seed)
    return layers.Activation("relu", name="relu")(x)


def check_depth(depth):
    """A UserError unless a small-image ResNet can have this many layers."""
    if depth < 8 or (depth - 2) % 6:
        raise UserError(f"resnet of depth {depth}: small-image ResNets have 6n + 2 layers")


def check_shape(num_classes, input_shape):
    """A UserError unless there is a class and the image is (height, width, channels)."""
    if int(num_classes) < 1:
        raise UserError(f"num_classes: {num_classes} is not a number of classes")
    if len(input_shape) != 3 or any(size is None or int(size) < 1 for size in input_shape):
        raise UserError(f"input_shape: {tuple(input_shape)} is not (height, width, channels)")


def basic_block(x, channels, stride, name, seed):
    """Two 3x3 convolutions and the shortcut without parameters."""
    shortcut = _option_a(x, channels, stride, name)
    x = _conv_bn(x, channels, stride, f"{name}.conv1", f"{name}.bn1", seed)
    x = layers.Activation("relu", name=f"{name}.relu1")(x)
    x = _conv_bn(x, channels, 1, f"{name}.conv2", f"{name}.bn2", seed)
    x = layers.Add(name=f"{name}.add")([x, shortcut])
    return layers.Activation("relu", name=f"{name}.relu2")(x)


def _conv_bn(x, channels, stride, conv_name, bn_name, seed):
    if stride > 1:
        # PyTorch pads both sides; "same" at stride 2 would pad the far side of an even image only.
        x = layers.ZeroPadding2D(1, name=f"{conv_name}.pad")(x)
    x = layers.Conv2D(
        channels,
        3,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        kernel_initializer=he_normal(layer_seed(seed, conv_name)),
        name=layer_name(conv_name),
    )(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=layer_name(bn_name))(x)


def _option_a(x, channels, stride, name):
    """The shortcut without parameters: every second pixel, new channels zero, half before and half after."""
    if stride > 1:
        # Pooling windows of one pixel: the same as x[:, ::2, ::2].
        x = layers.MaxPooling2D(1, strides=stride, name=f"{name}.subsample")(x)
    missing = channels - x.shape[-1]
    if missing:
        x = ops.pad(x, [[0, 0], [0, 0], [0, 0], [missing // 2, missing - missing // 2]])
    return x


resnet20 = partial(resnet_cifar, 20)
resnet32 = partial(resnet_cifar, 32)
resnet44 = partial(resnet_cifar, 44)
resnet56 = partial(resnet_cifar, 56)
resnet110 = partial(resnet_cifar, 110)
