"""M2m (Kim et al., "M2m: Imbalanced Classification via Major-to-minor Translation", CVPR 2020).

Stage 1 trains g, plain cross-entropy (or takes it from --init_from). Stage 2 trains a network f from new: for 0.8 of
the run (--m2m_start) as g, then on class-balanced batches in which images of larger classes become images of smaller
ones, pixel by pixel: ten steps towards g's answer for the small class and away from f's for its own. Those that g is
sure of (--m2m_gamma) replace a row of that label. Such a step costs up to twenty of cross-entropy.

The published script trains f by cross-entropy too, in the recipe of LDAM. beta 0.999, lam 0.5 and gamma 0.9 are those
of CIFAR-10. The last epoch's weights are kept; the official code chooses the epoch by test images. With a mixer the
images of stage 2 are mixed up to --m2m_start, and none after.
"""

from dataclasses import dataclass, replace

from cmo_tf.methods import meta_set
from cmo_tf.methods.presets import Method
from cmo_tf.methods.second_stage import first
from cmo_tf.methods.stage import Stage, at_epochs
from cmo_tf.optim.schedules import start_epoch


@dataclass(frozen=True)
class Translation(Stage):
    """The second stage."""

    def classifier(self, build, config, data, previous):
        from cmo_tf.methods.steps.m2m import TranslatingTraining
        kind = type("M2m", (TranslatingTraining, build.LongTailClassifier), {})
        # Not the start of g.
        other = replace(config, seed=(config.seed + 1) % 2**31)
        return build.classifier(config, data, lambda objective: build.network(other, data, objective), kind=kind,
                                known=previous, counts=data.counts, beta=config.m2m_beta, lam=config.m2m_lam,
                                gamma=config.m2m_gamma, size=config.m2m_step, steps=config.m2m_steps, seed=config.seed)

    def stream(self, build, config, data, timeline, start_step):
        change = _start(config) * timeline.steps_per_epoch
        later = build.stream(config, data, timeline, max(start_step, change), sampler="class_balanced", probability=0.0)
        if start_step >= change:
            return later
        return super().stream(build, config, data, timeline, start_step).take(change - start_step).concatenate(later)

    def callbacks(self, build, config, data, timeline, model):
        def begin(epoch):
            model.active.assign(float(epoch >= _start(config)))
        return [*super().callbacks(build, config, data, timeline, model), at_epochs(begin)]


def _start(config):
    return start_epoch(config.m2m_start, config.epochs)


def stages(config):
    """The stages of the method, for the flags of a run."""
    meta_set.check(config)
    return [first(config), Translation("m2m")]


METHOD = Method({"loss": "ce", "reweight": "none"}, "images of larger classes are turned into images of smaller ones",
                "Kim et al., CVPR 2020", stages, "alinlab/M2m 42d08a5")
