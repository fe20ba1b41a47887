"""ResNet-50 and its relatives for images of 224 pixels, as torchvision has them (version 1.5, trained from scratch).

Not `keras.applications`: its ResNet50 has the stride in the first convolution, biases and another epsilon.
"""

from functools import partial

import keras
from keras import layers

from cmo_tf.models.heads import classifier, uniform_linear
from cmo_tf.models.resnet_blocks import Layout, trunk
from cmo_tf.models.resnet_cifar import check_shape

RESNET10 = Layout((1, 1, 1, 1), bottleneck=False)
RESNET50 = Layout((3, 4, 6, 3))
RESNET101 = Layout((3, 4, 23, 3))
RESNET152 = Layout((3, 8, 36, 3))
WIDE_RESNET50_2 = RESNET50._replace(group_width=128)
RESNEXT50_32X4D = RESNET50._replace(groups=32, group_width=4)


def resnet(name, layout, num_classes, input_shape=(224, 224, 3), head="linear", seed=None):
    """A ResNet of four stages with 2048 features (512 without bottlenecks); see `models.create`.

    Images of any size, 32 pixels at least to be of use: the last feature map, a 32nd of their side, is averaged as a
    whole. The feature maps of the stages are the layers "layer1" to "layer4", the classifier is "fc". Convolutions
    start as N(0, 2 / (k k filters)), untruncated, a linear head as PyTorch's: U(-1/sqrt(D), 1/sqrt(D)), bias too.
    Statistics of BatchNorm as in the small-image ResNets.

    Source: He et al. (CVPR 2016), Zagoruyko and Komodakis (BMVC 2016), Xie et al. (CVPR 2017); `torchvision.models`.
    """
    check_shape(num_classes, input_shape)
    images = keras.Input(tuple(input_shape), name="image")
    x = trunk(images, layout, seed)
    features = layers.GlobalAveragePooling2D(dtype="float32", name="features")(x)
    logits = classifier(features, num_classes, head, name="fc", seed=seed, dense=uniform_linear)
    return keras.Model(images, logits, name=name)


resnet10 = partial(resnet, "resnet10", RESNET10)
resnet50 = partial(resnet, "resnet50", RESNET50)
resnet101 = partial(resnet, "resnet101", RESNET101)
resnet152 = partial(resnet, "resnet152", RESNET152)
wide_resnet50_2 = partial(resnet, "wide_resnet50_2", WIDE_RESNET50_2)
resnext50_32x4d = partial(resnet, "resnext50_32x4d", RESNEXT50_32X4D)
