"""MetaSAug (Li et al., "MetaSAug: Meta Semantic Augmentation for Long-Tailed Visual Recognition", CVPR 2021).

ISDA with margins and class weights, whose covariances are corrected before each step: by the gradient of the
cross-entropy that a balanced batch has behind a tried step with them. The corrected ones are used once.

`--metasaug_form=network`, as on CIFAR: cross-entropy for the first 0.8 of the run (--metasaug_start), then the whole
network learns so; LDAM margins, full covariances; a step costs about four of cross-entropy.
`--metasaug_form=head`, as on large sets: a second stage in which the linear head alone learns, on the features of the
frozen trunk in evaluation mode; diagonals, no margins.

Official recipe on CIFAR: 200 epochs, batch 100, rate 0.1 with Nesterov, x0.01 at 159 and 179, L2 5e-4, strength 0.75
(the flag files *_metasaug_recipe.cfg); the rate of the tried step drops one epoch later. With a mixer the losses are
the two-term ones, each label with its own covariance, which unmixed rows alone move.
"""

from dataclasses import dataclass

from cmo_tf.core.errors import UserError
from cmo_tf.methods import meta_set
from cmo_tf.methods.presets import Method
from cmo_tf.methods.second_stage import first, plain_flags
from cmo_tf.methods.stage import at_epochs
from cmo_tf.optim.schedules import epoch_at


@dataclass(frozen=True)
class Augmentation(meta_set.MetaStage):
    """A stage that learns with augmented features; `head_only` for the second form."""

    head_only: bool = False

    def classifier(self, build, config, data, previous):
        from cmo_tf.methods.steps.metasaug import AugmentedTraining
        from cmo_tf.models import two_stage
        kind = type("MetaSAug", (AugmentedTraining, build.LongTailClassifier), {})
        options = {"learning": [two_stage.head(previous).name], "shift_bn": False} if self.head_only else {}
        return build.classifier(config, data, previous, kind=kind, counts=data.counts, head_only=self.head_only,
                                meta_lr=config.metasaug_meta_lr, **options)

    def callbacks(self, build, config, data, timeline, model):
        start = config.metasaug_start
        start = 0 if self.head_only else epoch_at(start, config.epochs) if start < 1 else start

        def begin(epoch):
            model.active.assign(float(epoch >= start))
            model.virtual_lr.assign(timeline.lr(max(epoch - 1, 0)))
            model.ratio.assign(config.metasaug_strength * epoch / config.epochs)
        return [*super().callbacks(build, config, data, timeline, model), at_epochs(begin)]


def stages(config):
    """The stages of the method, for the flags of a run."""
    meta_set.check(config)
    if config.metasaug_form == "head":
        flags = plain_flags(config, "ce", epochs=20, lr=3e-4, schedule="step")
        flags = {**flags, "sampler": "instance", "lr_drops": ()}
        return [first(config), Augmentation("metasaug", flags, head_only=True)]
    for name in ("stage2_epochs", "stage2_lr"):
        if getattr(config, name):
            raise UserError(f"--{name}={getattr(config, name)}: is for --metasaug_form=head, which has a second stage; "
                            "leave it out")
    return [Augmentation("metasaug")]


METHOD = Method({"loss": "ce", "reweight": "none"}, "ISDA whose covariances a balanced batch corrects",
                "Li et al., CVPR 2021", stages, "BIT-DA/MetaSAug 9efe54a")
