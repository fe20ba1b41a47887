"""Networks: images -> logits. Names are known without importing keras."""

from typing import TYPE_CHECKING

from cmo_tf.core.errors import UserError
from cmo_tf.core.registry import Registry
from cmo_tf.core.types import Model
from cmo_tf.models.applications import PREFIX, Networks

if TYPE_CHECKING:
    from cmo_tf.models.heads import NormedLinear as NormedLinear
    from cmo_tf.models.torch_weights import load_torch_weights as load_torch_weights

# Beside these, keras:NAME is any backbone of keras.applications.
MODELS = Networks(
    "model",
    {
        "resnet20": "cmo_tf.models.resnet_cifar:resnet20",
        "resnet32": "cmo_tf.models.resnet_cifar:resnet32",
        "resnet44": "cmo_tf.models.resnet_cifar:resnet44",
        "resnet56": "cmo_tf.models.resnet_cifar:resnet56",
        "resnet110": "cmo_tf.models.resnet_cifar:resnet110",
        "resnet20_128": "cmo_tf.models.bbn:resnet20_128",
        "resnet32_128": "cmo_tf.models.bbn:resnet32_128",
        "resnet10": "cmo_tf.models.resnet:resnet10",
        "resnet50": "cmo_tf.models.resnet:resnet50",
        "resnet101": "cmo_tf.models.resnet:resnet101",
        "resnet152": "cmo_tf.models.resnet:resnet152",
        "wide_resnet50_2": "cmo_tf.models.resnet:wide_resnet50_2",
        "resnext50_32x4d": "cmo_tf.models.resnet:resnext50_32x4d",
        "resnet50_4096": "cmo_tf.models.bbn:resnet50_4096",
        "efficientnet_lite0": "cmo_tf.models.efficientnet_lite:lite0",
        "efficientnet_lite2": "cmo_tf.models.efficientnet_lite:lite2",
    },
    flag="model",
)

# Networks with a private copy of their late stages for each of several experts.
EXPERT_MODELS = Registry(
    "model with experts",
    {
        "resnet20": "cmo_tf.models.ride:resnet20",
        "resnet32": "cmo_tf.models.ride:resnet32",
        "resnet44": "cmo_tf.models.ride:resnet44",
        "resnet56": "cmo_tf.models.ride:resnet56",
        "resnet110": "cmo_tf.models.ride:resnet110",
        "resnet10": "cmo_tf.models.ride_resnet:resnet10",
        "resnet50": "cmo_tf.models.ride_resnet:resnet50",
        "resnet101": "cmo_tf.models.ride_resnet:resnet101",
        "resnet152": "cmo_tf.models.ride_resnet:resnet152",
        "wide_resnet50_2": "cmo_tf.models.ride_resnet:wide_resnet50_2",
        "resnext50_32x4d": "cmo_tf.models.ride_resnet:resnext50_32x4d",
    },
    flag="model",
)

# Networks that were trained on pixels of a rule of their own -> the layer that makes them of raw ones.
PREPROCESS = Registry("network", {
    "efficientnet_lite0": "cmo_tf.models.efficientnet_lite:preprocess",
    "efficientnet_lite2": "cmo_tf.models.efficientnet_lite:preprocess",
})

_LAZY = Registry(
    "name",
    {
        "NormedLinear": "cmo_tf.models.heads:NormedLinear",
        "load_torch_weights": "cmo_tf.models.torch_weights:load_torch_weights",
    },
)


def create(name: str, num_classes: int, input_shape: tuple[int, int, int] = (32, 32, 3), head: str = "linear",
           features: bool = False, head_bias: float | None = None, weights: str | None = None,
           **options: object) -> Model:
    """Builds a network from normalised images to logits.

    Args:
        name: an entry of `MODELS`, or keras:NAME.
        num_classes: C; 0 for the pooled features without a classifier, where the network has ImageNet weights.
        input_shape: (height, width, channels) of one image.
        head: "linear" (logits), "normed" (cosines in [-1, 1], unscaled: the scale is the loss's) or "cosine" (25 times
            the cosines).
        features: True for a network that returns {"logits", "features"}, for losses that need both.
        head_bias: initial value of all biases of the linear head, or None for its own random ones.
        weights: None, or "imagenet" for a trunk that was trained on ImageNet: efficientnet_lite0 and _lite2 (packages
            of the extra `pretrained`) and keras:NAME (fetched by Keras). `preprocess` has the pixels that it wants.
        options: what the network takes beside; all take `seed`, an int for repeatable initial weights
            (None: drawn from the global seed of `keras.utils.set_random_seed`).

    Returns:
        keras.Model, float images (B, H, W, channels) -> float32 logits (B, C). It normalises nothing itself. The
        pooled features are the layer "features"; layers are named after the modules of the PyTorch original
        (with hyphens for dots where Keras runs on PyTorch, which takes no dots).

    Raises:
        UserError: unknown name or head, or an impossible shape.

    Examples:
        >>> network = create("resnet20", num_classes=10, input_shape=(8, 8, 1), seed=0)
        >>> network.output_shape
        (None, 10)
    """
    if weights is not None:
        options["weights"] = check_weights(name, weights)
    network = MODELS[name](num_classes=num_classes, input_shape=input_shape, head=head, **options)
    if head_bias is not None and num_classes:
        _fill_bias(network.layers[-1], head_bias)
    return _with_features(network) if features else network


def check_weights(name: str, weights: str) -> str:
    """Returns `weights` if there are such for the network `name`; otherwise a UserError."""
    from cmo_tf.models.weights.pretrained import FILES, IMAGENET
    if weights != IMAGENET:
        raise UserError(f"weights={weights!r}: there are None and {IMAGENET!r}")
    if name not in FILES and not name.startswith(PREFIX):
        raise UserError(f"weights={weights!r}: there are none of {name}; take {', '.join(FILES)} or {PREFIX}NAME")
    return weights


def preprocess(name: str) -> Model | None:
    """The layer from raw pixels 0..255 to what the network of `create(name)` takes, for those that were trained with
    constants of their own (efficientnet_lite0, keras:NAME); None for those that take pixels normalised by the set's."""
    if name in PREPROCESS:
        return PREPROCESS[name]()
    if not name.startswith(PREFIX):
        return None
    from cmo_tf.models import backbones
    return backbones.preprocess(name.removeprefix(PREFIX))


def create_experts(name: str, num_classes: int, input_shape: tuple[int, int, int] = (32, 32, 3), experts: int = 3,
                   reduced: bool = True, scale: float = 30.0, seed: int | None = None) -> Model:
    """Builds a network of several experts (RIDE): shared early stages, private late ones, a cosine head each.

    Args:
        name: an entry of `EXPERT_MODELS`.
        num_classes: C.
        input_shape: (height, width, channels) of one image.
        experts: K, at least 2.
        reduced: three quarters of the channels in the private stages, as published.
        scale: what each expert's cosines are multiplied by.
        seed: an int for repeatable initial weights.

    Returns:
        keras.Model, float images (B, H, W, channels) -> float32 {"logits": mean over experts (B, C), "experts":
        (B, K, C), "features": pooled features (B, K, D)}.
    """
    return EXPERT_MODELS[name](num_classes=num_classes, input_shape=input_shape, experts=experts, reduced=reduced,
                               scale=scale, seed=seed)


def _fill_bias(layer, value):
    if getattr(layer, "bias", None) is None:
        raise UserError(f"head_bias {value}: the head {layer.name!r} of the network has no bias")
    layer.bias.assign([value] * layer.units)


def _with_features(network):
    import keras
    pooled = network.get_layer("features").output
    return keras.Model(network.input, {"logits": network.output, "features": pooled}, name=network.name)


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return _LAZY[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
