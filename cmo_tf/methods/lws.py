"""LWS, learnable weight scaling (Kang et al., "Decoupling Representation and Classifier", ICLR 2020).

Stage 1 is any training with a linear head. Stage 2 freezes trunk and classifier and learns one scale a class,
`z_k = s_k * (w_k . h + b_k)`, with cross-entropy on class-aware batches; BatchNorm as in cRT.
Official settings: 5 epochs, rate 0.2 at batch 512, a cosine stepped before each epoch, L2 on the scales too.
"""

from dataclasses import dataclass

from cmo_tf.methods.presets import Method
from cmo_tf.methods.second_stage import FrozenTrunk, first, plain_flags


@dataclass(frozen=True)
class Scaling(FrozenTrunk):
    """The second stage of LWS."""

    def network(self, config, data, previous):
        from cmo_tf.models.two_stage import with_class_scale
        return with_class_scale(previous, data.num_classes)

    def learning(self, config, head):
        return {"class_scale": 1.0}


def stages(config):
    """The stages of the method, for the flags of a run."""
    return [first(config), Scaling("lws", plain_flags(config, "ce", epochs=5, lr=0.2, schedule="cosine_ahead"))]


METHOD = Method({}, "a learned scale for each class of a frozen network", "Kang et al., ICLR 2020", stages,
                "facebookresearch/classifier-balancing f162ade")
