"""MiSLAS (Zhong et al., "Improving Calibration for Long-Tailed Recognition", CVPR 2021), and its second stage alone.

`mislas`: stage 1 cross-entropy with mixup on every batch. Stage 2 keeps the classifier, puts a learned scale a class
behind it (`z = s * (W h + b)`) and trains both with label-aware smoothing on class-aware batches, the trunk frozen; the
classifier learns at `--las_lr_factor` times the rate of the scale; L2 on all of them.
`las`: the same second stage on any first one; CE-DRW + CMO gives the last rows of the paper's Table 7.
Official settings: 10 epochs, rate 0.1, a cosine without warm-up; per data set

| data | las_smooth_head, las_smooth_tail | las_lr_factor | shift_bn |
|---|---|---|---|
| CIFAR-100 ratio 100, 50, 10 | 0.4 0.1, 0.3 0, 0.2 0 | 0.2, 0.1, 0.1 | yes |
| CIFAR-10 ratio 100, 50, 10 | 0.3 0, 0.2 0, 0.1 0 | 0.5, 0.2, 0.2 | no |
| ImageNet-LT, iNaturalist 2018 (ResNet-50) | 0.3 0 | 0.05 | yes |

Stage 1 on CIFAR drops the rate by 0.1 twice (--lr_factor=0.1). Other than there, an epoch of stage 2 has ceil(N / B)
batches of N images together (there one more, all full).
"""

from dataclasses import dataclass

from cmo_tf.methods.presets import Method
from cmo_tf.methods.second_stage import FrozenTrunk, first, plain_flags


@dataclass(frozen=True)
class Smoothing(FrozenTrunk):
    """The second stage of MiSLAS."""

    def network(self, config, data, previous):
        from cmo_tf.models.two_stage import with_class_scale
        return with_class_scale(previous, data.num_classes)

    def learning(self, config, head):
        return {head: config.las_lr_factor, "class_scale": 1.0}


def stages(config):
    """The stages of the method, for the flags of a run."""
    return [first(config, "las"), Smoothing("las", plain_flags(config, "las", epochs=10, lr=0.1, schedule="cosine"))]


MISLAS = Method({"loss": "ce", "reweight": "none", "mix": "mixup"},
                "mixup, then label-aware smoothing of the classifier", "Zhong et al., CVPR 2021", stages,
                "dvlab-research/MiSLAS 0fc381e")
LAS = Method({}, "label-aware smoothing as a second stage", "Zhong et al., CVPR 2021", stages,
             "dvlab-research/MiSLAS 0fc381e")
