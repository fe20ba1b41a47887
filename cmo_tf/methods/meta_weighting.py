"""Meta-Weight-Net (Shu et al., "Meta-Weight-Net: Learning an Explicit Mapping For Sample Weighting", NeurIPS 2019).

A small network maps the loss of an image to its weight. Each step tries a plain gradient step of the classifier with
these weights, looks at the cross-entropy of a balanced batch behind it, and moves the small network by the gradient of
that one; then the classifier takes its real step with the new weights. A step costs about four of cross-entropy.

Official recipe: 100 epochs, batch 100, rate 0.1 with Nesterov, x0.1 at 79 and 89, L2 5e-4 (the flag files
*_meta_weight_net_recipe.cfg); the rate of the tried step drops one epoch later. The last epoch's weights are kept,
where the official code reports the best test epoch. With a mixer an image's loss is the mixed one, and the balanced
batch is not mixed.
"""

from cmo_tf.methods import meta_set
from cmo_tf.methods.presets import Method
from cmo_tf.methods.stage import at_epochs


class MetaWeighting(meta_set.MetaStage):
    """The one stage of Meta-Weight-Net."""

    def classifier(self, build, config, data, previous):
        from cmo_tf.methods.meta_weight_net import MetaWeightTraining
        kind = type("MetaWeightNet", (MetaWeightTraining, build.LongTailClassifier), {})
        return build.classifier(config, data, previous, kind=kind, weight_lr=config.weight_net_lr, seed=config.seed)

    def callbacks(self, build, config, data, timeline, model):
        def begin(epoch):
            model.virtual_lr.assign(timeline.lr(max(epoch - 1, 0)))
        return [*super().callbacks(build, config, data, timeline, model), at_epochs(begin)]


def stages(config):
    """The stages of the method, for the flags of a run."""
    meta_set.check(config)
    return [MetaWeighting("meta_weight_net")]


METHOD = Method({"loss": "ce", "reweight": "none"}, "a small network learns to weigh images by their losses",
                "Shu et al., NeurIPS 2019", stages, "xjtushujun/Meta-weight-net_class-imbalance 20c3276")
