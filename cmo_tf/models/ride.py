"""Networks of several experts (RIDE, Wang et al., ICLR 2021): early stages are shared, late ones private.

A network is a model of nested models, "shared" and "expert0", "expert1", ..., so that an expert can run alone. Their
layers carry the names of the PyTorch modules (`layer2s.0.1.conv2` is in expert 0), so that weights map by name.
"""

from functools import partial

import keras
from keras import layers, ops

from cmo_tf.core.errors import UserError
from cmo_tf.models.heads import NormedLinear, layer_seed
from cmo_tf.models.resnet_cifar import basic_block, check_depth, check_shape, stem


def with_experts(name, input_shape, shared, private, num_classes, experts=3, scale=30.0, seed=None):
    """The network of a family: what `models.create_experts` returns.

    Args:
        name: of the model.
        input_shape: (height, width, channels).
        shared: function image tensor -> feature map.
        private: function (feature map, number of the expert) -> feature map, whose layers it names.
        num_classes, experts, scale, seed: see `models.create_experts`.
    """
    check_shape(num_classes, input_shape)
    if experts < 2:
        raise UserError(f"--experts={experts}: at least 2 are needed")
    images = keras.Input(tuple(input_shape), name="image")
    trunk = _nested("shared", images, shared)
    maps = trunk(images)
    found = [_nested(f"expert{k}", maps, lambda x, k=k: _opinion(private(x, k), k, num_classes, scale, seed))(maps)
             for k in range(experts)]
    logits, features = (ops.stack(parts, axis=1) for parts in zip(*found, strict=True))
    outputs = {"logits": ops.mean(logits, axis=1), "experts": logits, "features": features}
    return keras.Model(images, outputs, name=name)


def parts(network):
    """(shared model, [expert models]) of a network of experts. A UserError if it is none."""
    found = {layer.name: layer for layer in network.layers}
    experts = [found[f"expert{k}"] for k in range(len(found)) if f"expert{k}" in found]
    if "shared" not in found or len(experts) < 2:
        raise UserError(f"network {network.name}: has no experts; it must come from a run of --method=ride")
    return found["shared"], experts


def ride_resnet_cifar(depth, num_classes, input_shape=(32, 32, 3), experts=3, reduced=True, scale=30.0, seed=None):
    """Small-image ResNet of experts: stem and stage 1 are shared, stages 2 and 3 (24 and 48 channels, or 32 and 64)
    private. Source: official code, `ride_resnet_cifar.ResNet_s`."""
    check_depth(depth)
    blocks = (depth - 2) // 6
    widths = (24, 48) if reduced else (32, 64)

    def shared(x):
        return _stage(stem(x, seed), 16, 1, blocks, "layer1", seed)

    def private(x, number):
        for stage, channels in enumerate(widths, start=2):
            x = _stage(x, channels, 2, blocks, f"layer{stage}s.{number}", seed)
        return x

    return with_experts(f"ride_resnet{depth}", input_shape, shared, private, num_classes, experts, scale, seed)


def _nested(name, example, function):
    """A model of its own that computes `function`, for inputs like `example`."""
    inputs = keras.Input(example.shape[1:], dtype=example.dtype, name=f"{name}_input")
    return keras.Model(inputs, function(inputs), name=name)


def _opinion(maps, number, num_classes, scale, seed):
    """(logits, pooled features) of an expert's last feature map, both float32."""
    features = layers.GlobalAveragePooling2D(dtype="float32", name=f"features{number}")(maps)
    name = f"linears.{number}"
    cosines = NormedLinear(num_classes, seed=layer_seed(seed, f"{name}.weight"), name=name)(features)
    return layers.Rescaling(scale, dtype="float32", name=f"scale{number}")(cosines), features


def _stage(x, channels, stride, blocks, name, seed):
    for block in range(blocks):
        x = basic_block(x, channels, stride if block == 0 else 1, f"{name}.{block}", seed)
    return x


resnet20 = partial(ride_resnet_cifar, 20)
resnet32 = partial(ride_resnet_cifar, 32)
resnet44 = partial(ride_resnet_cifar, 44)
resnet56 = partial(ride_resnet_cifar, 56)
resnet110 = partial(ride_resnet_cifar, 110)
