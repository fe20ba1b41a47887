"""Causal Norm with the total direct effect at inference (Tang et al., "Long-Tailed Classification by Keeping the Good
and Removing the Bad Momentum Causal Effect", NeurIPS 2020).

Cross-entropy on any backbone with the head `models.causal.CausalNorm`, which follows the mean feature in training and
takes its direction out of the logits at inference. With a mixer the mean is that of the mixed images. The figures of
the paper's tables come from a backbone of 128 features, --model=resnet32_128.
"""

from cmo_tf.core.errors import UserError
from cmo_tf.methods.presets import Method
from cmo_tf.methods.stage import Stage, at_epochs


class CausalNormTraining(Stage):
    """The one stage of Causal Norm."""

    def classifier(self, build, config, data, previous):
        from cmo_tf.models.causal import causal_head, with_causal_head

        def network(objective):
            return with_causal_head(
                build.network(config, data, objective), data.num_classes, config.seed, heads=config.tde_heads,
                tau=config.tde_tau, gamma=config.tde_gamma, alpha=config.tde_alpha)
        if previous is not None and causal_head(previous) is None:
            raise UserError(f"--init_from={config.init_from}: its network has no head of --method=causal_norm")
        return build.classifier(config, data, previous or network)

    def callbacks(self, build, config, data, timeline, model):
        found = super().callbacks(build, config, data, timeline, model)
        if not config.tde_follow_lr:
            return found
        from cmo_tf.models.causal import causal_head
        head = causal_head(model.inner)

        def begin(epoch):
            head.keep.assign(1.0 - 0.1 * min(50.0 * timeline.lr(epoch), 1.0))
        return [*found, at_epochs(begin)]


METHOD = Method({"loss": "ce", "reweight": "none"}, "normalised heads; inference subtracts the effect of momentum",
                "Tang et al., NeurIPS 2020", lambda config: [CausalNormTraining("causal_norm")],
                "KaihuaTang/Long-Tailed-Recognition.pytorch 5c916d0")
