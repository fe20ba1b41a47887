"""What the ResNets for large images are built of: stem, residual blocks and stages, as torchvision lays them out.

Layers carry the names of the PyTorch modules (`layer1.0.conv1`, `layer1.0.downsample.0`), so that weights map by name;
the last layer of a stage carries the name of the stage.
"""

from typing import NamedTuple

import keras
from keras import layers

from cmo_tf.models.grouped import GroupedConv2D
from cmo_tf.models.heads import layer_seed
from cmo_tf.models.names import layer_name


class Layout(NamedTuple):
    """The shape of a ResNet.

    blocks: residual blocks of each stage. groups: of the 3x3 convolutions. group_width: their channels a group in a
    block of 64 planes. planes: of the first stage; doubled from stage to stage. bottleneck: three convolutions a block
    and four times the planes in its output, or two convolutions. initial: how convolutions are drawn, a key of
    `INITIAL`.
    """

    blocks: tuple[int, ...]
    groups: int = 1
    group_width: int = 64
    planes: int = 64
    bottleneck: bool = True
    initial: str = "fan_out"


# Untruncated, as PyTorch draws; "fan_out" is that of torchvision, RIDE and Decouple, "default" PyTorch's own.
INITIAL = {
    "fan_out": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
    "default": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
}


def stem(x, layout, seed):
    """7x7 convolution and 3x3 max-pool, both of stride 2 and padded by PyTorch's rule on either side."""
    x = _conv_bn(x, layout, layout.planes, 7, "conv1", "bn1", seed, stride=2)
    x = layers.Activation("relu", name="relu")(x)
    # PyTorch pads with -inf; what comes here is never negative.
    x = layers.ZeroPadding2D(1, name="maxpool.pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="maxpool")(x)


def trunk(x, layout, seed, stages=None):
    """Feature maps of the stem and the first `stages` stages (all by default), named layer1, layer2, ..."""
    x = stem(x, layout, seed)
    for number, blocks in enumerate(layout.blocks[:stages]):
        x = stage(x, layout, layout.planes * 2 ** number, blocks, f"layer{number + 1}", seed, 2 if number else 1)
    return x


def stage(x, layout, planes, blocks, name, seed, stride=2):
    """`blocks` residual blocks, the first of them with the stride."""
    for number in range(blocks):
        out = name if number == blocks - 1 else None
        x = block(x, layout, planes, f"{name}.{number}", seed, stride if number == 0 else 1, out)
    return x


def block(x, layout, planes, name, seed, stride=1, out=None):
    """One residual block; its shortcut is a 1x1 convolution where size or channels change. `out` names its result."""
    channels = planes * 4 if layout.bottleneck else planes
    shortcut = x
    if stride > 1 or x.shape[-1] != channels:
        shortcut = _conv_bn(x, layout, channels, 1, f"{name}.downsample.0", f"{name}.downsample.1", seed, stride)
    if layout.bottleneck:
        x = _bottleneck(x, layout, planes, name, seed, stride)
    else:
        x = _conv_bn(x, layout, planes, 3, f"{name}.conv1", f"{name}.bn1", seed, stride)
        x = layers.Activation("relu", name=f"{name}.relu1")(x)
        x = _conv_bn(x, layout, planes, 3, f"{name}.conv2", f"{name}.bn2", seed)
    x = layers.Add(name=f"{name}.add")([x, shortcut])
    return layers.Activation("relu", name=out or f"{name}.relu")(x)


def _bottleneck(x, layout, planes, name, seed, stride):
    """1x1, 3x3 with stride and groups, 1x1 convolutions: version 1.5, the first one had the stride in the first."""
    width = int(planes * layout.group_width / 64) * layout.groups
    x = _conv_bn(x, layout, width, 1, f"{name}.conv1", f"{name}.bn1", seed)
    x = layers.Activation("relu", name=f"{name}.relu1")(x)
    x = _conv_bn(x, layout, width, 3, f"{name}.conv2", f"{name}.bn2", seed, stride, layout.groups)
    x = layers.Activation("relu", name=f"{name}.relu2")(x)
    return _conv_bn(x, layout, planes * 4, 1, f"{name}.conv3", f"{name}.bn3", seed)


def _conv_bn(x, layout, channels, size, conv_name, bn_name, seed, stride=1, groups=1):
    if size > 1 and stride > 1:
        # PyTorch pads both sides; "same" with a stride would pad the far side of an even image only.
        x = layers.ZeroPadding2D(size // 2, name=f"{conv_name}.pad")(x)
    kind = layers.Conv2D if groups == 1 else GroupedConv2D
    x = kind(
        channels,
        size,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        groups=groups,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(seed=layer_seed(seed, conv_name),
                                                              **INITIAL[layout.initial]),
        name=layer_name(conv_name),
    )(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=layer_name(bn_name))(x)
