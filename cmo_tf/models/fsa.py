"""What feature-space augmentation does with a network: cut it at a feature map, map class activations, fuse cells."""

import re

import keras
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.models.two_stage import copy, linear_head


def plain_copy(network, num_classes):
    """A copy of a trained network that gives the logits of its linear head alone; see `two_stage.linear_head`."""
    twin = copy(network)
    return keras.Model(twin.input, linear_head(twin, num_classes).output, name=network.name)


def cut(network, num_classes, blocks):
    """Cuts a network whose linear head sees the average of a feature map, in front of its last residual blocks.

    Args:
        network: of `plain_copy`, its blocks named `layer<stage>.<block>.*` as in PyTorch's ResNets.
        num_classes: C.
        blocks: residual blocks behind the cut; 0 cuts at the last feature map.

    Returns:
        (front, behind), on the layers of `network`: images (B,H,W,C) -> feature map (B,h,w,D), and that map ->
        {"maps": the last feature map, "logits": float32 (B, C)}.

    Raises:
        UserError: a network of another build, or with fewer blocks.
    """
    head = linear_head(network, num_classes)
    pools = [layer for layer in network.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    pool = next((layer for layer in pools if layer.output is head.input), None)
    if pool is None:
        raise UserError(f"--method=fsa: the head of {network.name!r} sees no average of one feature map, so that there "
                        "are no class activation maps; take a plain network such as --model=resnet32")
    place = _before_last(network, blocks) if blocks else pool.input
    last = keras.layers.Identity(name="last")(pool.input)  # Keras clones no model that gives back its own input
    return (keras.Model(network.input, place, name="front"),
            keras.Model(place, {"maps": last, "logits": head.output}, name="behind"))


def _before_last(network, blocks):
    """The output of the residual block that `blocks` others follow."""
    named = [(re.match(r"layer\d+\.\d+\.", layer.name), layer) for layer in network.layers]
    last = {match[0]: layer for match, layer in named if match}  # the last layer of each block, in order
    if blocks >= len(last):
        raise UserError(f"--fsa_blocks={blocks}: {network.name!r} has {len(last)} residual blocks (layers named "
                        f"layer1.0.* and so on) and one must come before the fused map; take at most "
                        f"{max(len(last) - 1, 0)}")
    return list(last.values())[-1 - blocks].output


def activation_maps(maps, kernel, labels, size=None):
    """Class activation maps of labels: where in an image its class is seen.

    Args:
        maps: (B,h,w,D), what the head averages over.
        kernel: (D, C) of the head.
        labels: integers (B,).
        size: (height, width) that they are enlarged to, by repeating cells; None: (h, w).

    Returns:
        float32 (B,height,width): `sum_d w_dy f_d` in each cell (Zhou et al., CVPR 2016, Eq. 2; up to a factor what
        Grad-CAM gives before its ReLU), brought to [0, 1] by the least and the largest of the image. Zeros where both
        are equal.
    """
    weights = ops.take(ops.transpose(ops.cast(kernel, "float32")), labels, axis=0)
    seen = ops.einsum("bhwd,bd->bhw", ops.cast(maps, "float32"), weights)
    least = ops.min(seen, axis=(1, 2), keepdims=True)
    span = ops.max(seen, axis=(1, 2), keepdims=True) - least
    seen = (seen - least) / ops.where(span > 0, span, 1.0)
    if size is None or tuple(size) == tuple(maps.shape[1:3]):
        return seen
    return ops.image.resize(seen[..., None], size, interpolation="nearest", data_format="channels_last")[..., 0]


def fuse(own, other, own_seen, other_seen, take, specific, generic):
    """Feature maps of new images of a class, out of cells of one of its images and of another class's.

    Args:
        own, other: feature maps (B,h,w,D).
        own_seen, other_seen: (B,h,w), the activation maps of each one's own class.
        take: bool (B,h,w), the cells that come from `own`.
        specific: cells of `own` whose activation is not above this are zero.
        generic: cells of `other` whose activation is not below this are zero.

    Returns:
        (B,h,w,D). Source: Chu et al., ECCV 2020, section 3.3.
    """
    own = ops.where((own_seen > specific)[..., None], own, 0.0)
    other = ops.where((other_seen < generic)[..., None], other, 0.0)
    return ops.where(take[..., None], own, other)
