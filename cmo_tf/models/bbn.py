"""The two-branch ResNets of BBN (Zhou et al., CVPR 2020), for small images and for large ones; also plain backbones of
128 and 4096 features.

Layers carry the names of the PyTorch modules (`cb_block.conv1`), so that weights map by name.
"""

from functools import partial

import keras
from keras import layers

from cmo_tf.core.errors import UserError
from cmo_tf.models.heads import classifier, uniform_linear
from cmo_tf.models.resnet import RESNET50
from cmo_tf.models.resnet_blocks import block, trunk
from cmo_tf.models.resnet_cifar import basic_block, check_depth, check_shape, resnet_trunk

BRANCHES = ("cb_block", "rb_block")


def two_branch_resnet(depth, num_classes, input_shape=(32, 32, 3), head="linear", seed=None):
    """ResNet of 6n + 2 layers whose last block exists twice, both averaged and concatenated: 128 features.

    The test form of BBN, and the network that the repositories of LADE and of Causal Norm call ResNet-32. Arguments
    and result are those of `models.create`; the pooled features of the branches are the layers "cb_block.pool" and
    "rb_block.pool", their concatenation "features".
    """
    check_depth(depth)
    check_shape(num_classes, input_shape)
    images = keras.Input(tuple(input_shape), name="image")
    shared = resnet_trunk(images, depth, seed, last_blocks=(depth - 2) // 6 - 1)
    features = _branches(lambda name: basic_block(shared, 64, 1, name, seed))
    logits = classifier(features, num_classes, head, name="linear", seed=seed)
    return keras.Model(images, logits, name=f"resnet{depth}_128")


def two_branch_large_resnet(name, layout, num_classes, input_shape=(224, 224, 3), head="linear", seed=None):
    """The ResNet of a `resnet_blocks.Layout` whose last block exists twice: 4096 features; the rest as above.

    The official one leaves the initial weights of all its layers to PyTorch, and so does this one.
    """
    check_shape(num_classes, input_shape)
    layout = layout._replace(blocks=(*layout.blocks[:3], layout.blocks[3] - 1), initial="default")
    images = keras.Input(tuple(input_shape), name="image")
    shared = trunk(images, layout, seed)
    features = _branches(lambda branch: block(shared, layout, layout.planes * 8, branch, seed))
    logits = classifier(features, num_classes, head, name="linear", seed=seed, dense=uniform_linear)
    return keras.Model(images, logits, name=name)


def _branches(make):
    """Pooled features of both branches, side by side; `make` is a function name -> last feature map."""
    pooled = [layers.GlobalAveragePooling2D(dtype="float32", name=f"{name}.pool")(make(name)) for name in BRANCHES]
    return layers.Concatenate(dtype="float32", name="features")(pooled)


class TwoBranches:
    """The training form of a two-branch network: one image a branch, features weighed, the same classifier.

    Args:
        network: of `two_branch_resnet`, on whose layers it works (no variables of its own).

    `z = W 2 [a h_cb(x), (1 - a) h_rb(x_r)] + b` (BBN Eq. 2; official code, whose factor 2 makes a = 0.5 the test form).
    """

    def __init__(self, network):
        names = {layer.name for layer in network.layers}
        if not {f"{name}.pool" for name in BRANCHES} <= names:
            raise UserError(f"--init_from: its network {network.name} has no two branches; --method=bbn goes on with "
                            "one of --method=bbn")
        self._branches = [keras.Model(network.input, network.get_layer(f"{name}.pool").output) for name in BRANCHES]
        self._join, self._classify = network.get_layer("features"), network.get_layer("linear")

    def __call__(self, image, image_r, share, training=True):
        """Logits (B, C) of normalised images (B,H,W,C) for the two branches; `share` is a, a scalar.

        In training the shared blocks run twice, first for the conventional branch, and so do their running statistics.
        """
        conventional, balanced = (branch(x, training=training)
                                  for branch, x in zip(self._branches, (image, image_r), strict=True))
        return self._classify(2.0 * self._join([share * conventional, (1.0 - share) * balanced]))


resnet20_128 = partial(two_branch_resnet, 20)
resnet32_128 = partial(two_branch_resnet, 32)
resnet50_4096 = partial(two_branch_large_resnet, "resnet50_4096", RESNET50)
