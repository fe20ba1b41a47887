"""Blocks of a trunk by the names of its layers."""

import pytest

from cmo_tf import models
from cmo_tf.core.errors import UserError
from cmo_tf.models import blocks


@pytest.mark.parametrize(("name", "count", "last"), [
    ("resnet20", 10, "layer3.2.conv1"), ("efficientnet_lite0", 17, "conv_head"), ("keras:MobileNetV2", 18, "Conv_1"),
    ("keras:MobileNetV3Small", 12, "expanded_conv_10_project"), ("keras:ResNet50V2", 17, "conv5_block3_3_conv")])
def test_every_layer_with_weights_is_in_one_block(name, count, last):
    network = models.create(name, 3, (32, 32, 3), seed=0)
    found = blocks.trunk_blocks(network)
    names = [layer for block in found for layer in block]
    assert sorted(names) == sorted(layer.name for layer in network.layers[:-1] if layer.weights)
    assert len(found) == count and last in found[-1]
    assert blocks.last_blocks(network, 0) == [] and blocks.last_blocks(network, 1) == found[-1]
    assert blocks.last_blocks(network, count) == names
    with pytest.raises(UserError, match=f"has {count} blocks"):
        blocks.last_blocks(network, count + 1)
