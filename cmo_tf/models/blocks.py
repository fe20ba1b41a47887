"""The blocks of a network by the names of its layers, for training its last ones alone."""

import re

from cmo_tf.core.errors import UserError

# Ours (layer1.0.conv1, blocks.3.bn0) and those of keras.applications (block2a_expand, conv2_block1_0_conv, ...).
_BLOCK = re.compile(r"(.*?block_?\d+[a-z]?|blocks\.\d+|expanded_conv(?:_\d+)?|layer\d+\.\d+)(?=[._]|$)")


def trunk_blocks(network) -> list[list[str]]:
    """Names of the layers with weights below "features", block by block from the images on.

    What comes before the first block is a block of its own, what comes behind one belongs to it.
    """
    groups: dict[str, list[str]] = {}
    block = ""
    for layer in network.layers:
        if layer.name == "features":
            break
        match = _BLOCK.match(layer.name)
        block = match[1] if match else block
        if layer.weights:
            groups.setdefault(block, []).append(layer.name)
    return list(groups.values())


def last_blocks(network, count: int) -> list[str]:
    """Names of the layers with weights of the last `count` blocks of the trunk.

    Raises:
        UserError: the network has fewer.
    """
    blocks = trunk_blocks(network)
    if count > len(blocks):
        raise UserError(f"unfreeze={count}: the network {network.name!r} has {len(blocks)} blocks")
    return [name for block in blocks[len(blocks) - count:] for name in block]
