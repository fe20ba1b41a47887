"""RIDE's networks of experts for large images: stem and two stages shared, two stages private."""

from functools import partial

from cmo_tf.models.resnet import RESNET10, RESNET50, RESNET101, RESNET152, RESNEXT50_32X4D, WIDE_RESNET50_2
from cmo_tf.models.resnet_blocks import stage, trunk
from cmo_tf.models.ride import with_experts


def ride_resnet(name, layout, num_classes, input_shape=(224, 224, 3), experts=3, reduced=True, scale=30.0, seed=None):
    """A ResNet of experts; see `models.create_experts`.

    The private stages 3 and 4 have 192 and 384 planes, three quarters of the usual ones, so that an expert has 1536
    features (384 without bottlenecks; 2048 or 512 unless `reduced`).

    Source: official code, `fb_resnets/RIDEResNet.py` and `RIDEResNeXt.py`; it has no wide one, which follows the rule.
    """
    late = [layout.planes * 4, layout.planes * 8]
    if reduced:
        late = [planes * 3 // 4 for planes in late]

    def shared(x):
        return trunk(x, layout, seed, stages=2)

    def private(x, number):
        for index, planes in zip((2, 3), late, strict=True):
            x = stage(x, layout, planes, layout.blocks[index], f"layer{index + 1}s.{number}", seed)
        return x

    return with_experts(f"ride_{name}", input_shape, shared, private, num_classes, experts, scale, seed)


resnet10 = partial(ride_resnet, "resnet10", RESNET10)
resnet50 = partial(ride_resnet, "resnet50", RESNET50)
resnet101 = partial(ride_resnet, "resnet101", RESNET101)
resnet152 = partial(ride_resnet, "resnet152", RESNET152)
wide_resnet50_2 = partial(ride_resnet, "wide_resnet50_2", WIDE_RESNET50_2)
resnext50_32x4d = partial(ride_resnet, "resnext50_32x4d", RESNEXT50_32X4D)
