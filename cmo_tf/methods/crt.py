"""cRT, classifier re-training (Kang et al., "Decoupling Representation and Classifier", ICLR 2020).

Stage 1 is any training. Stage 2 puts a freshly drawn linear classifier on the frozen trunk and trains it with
cross-entropy on class-aware batches. The trunk's BatchNorm works on those batches and its statistics move with them, as
in the official code, which calls `model.train()` on the frozen trunk too.
Official settings (ImageNet-LT): 10 epochs (30 on iNaturalist), rate 0.2 at batch 512, a cosine stepped before each
epoch. Other than there, an epoch here has ceil(N / B) batches (there floor), and the last epoch's weights are kept
(there those of the best epoch on the validation set).
"""

from dataclasses import dataclass

from cmo_tf.methods.presets import Method
from cmo_tf.methods.second_stage import FrozenTrunk, first, plain_flags


@dataclass(frozen=True)
class Retraining(FrozenTrunk):
    """The second stage of cRT."""

    def network(self, config, data, previous):
        from cmo_tf.models.two_stage import with_new_head
        return with_new_head(previous, data.num_classes, config.seed)

    def learning(self, config, head):
        return {head: 1.0}


def stages(config):
    """The stages of the method, for the flags of a run."""
    return [first(config), Retraining("crt", plain_flags(config, "ce", epochs=10, lr=0.2, schedule="cosine_ahead"))]


METHOD = Method({}, "a new classifier on the frozen trunk, trained on class-aware batches", "Kang et al., ICLR 2020",
                stages, "facebookresearch/classifier-balancing f162ade")
