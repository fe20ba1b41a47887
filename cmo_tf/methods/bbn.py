"""BBN, the bilateral-branch network (Zhou et al., CVPR 2020).

Two branches share all of the network but its last block. In training the conventional one sees P, the other a reversed
distribution (a class with probability proportional to 1 / n, then a uniform image of it), and their features and losses
are weighed by a and 1 - a: `loss = a CE(z, y) + (1 - a) CE(z, y_r)`, where a falls from 1 to near 0 along a parabola of
the epoch. In evaluation both branches see the same image. With a mixer, the images of P are mixed before they reach
their branch, and the first term is the mixed loss.

`--model=resnet32` and `--model=resnet32_128` are the same here: the network with two branches; so are `resnet50` and
`resnet50_4096`.
"""

from dataclasses import replace

from cmo_tf.core.errors import UserError
from cmo_tf.methods.presets import Method
from cmo_tf.methods.stage import Stage, at_epochs
from cmo_tf.models import MODELS


def branch_share(epoch: int, epochs: int) -> float:
    """a of a 0-indexed epoch: `1 - (epoch / E)^2`, with E the epochs of the run but 100 for 90 and 200 for 180, as in
    the official code."""
    return 1.0 - (epoch / {90: 100, 180: 200}.get(epochs, epochs)) ** 2


class BranchTraining:
    """What BBN changes in a LongTailClassifier; batches bring `image_r` and `label_r`, of the reversed distribution.

    `share` is a, a non-trainable variable that changes at the beginning of epochs.
    """

    def __init__(self, network, **options):
        from cmo_tf.models.bbn import TwoBranches
        super().__init__(network, **options)
        self._in_training = TwoBranches(network)
        self.share = self.add_weight(shape=(), initializer="ones", trainable=False, autocast=False, dtype="float32",
                                     name="share")

    def _mix(self, batch):
        return {**super()._mix(batch), "image_r": batch["image_r"], "label_r": batch["label_r"]}

    def _forward(self, mixed):
        preprocess = self._parts["preprocess"]
        images = (preprocess(mixed[name]) if preprocess else mixed[name] for name in ("image", "image_r"))
        return self._in_training(*images, self.share)

    def _terms(self, mixed, outputs, sample_weight):
        first = super()._terms(mixed, outputs, sample_weight)
        if "label_r" not in mixed:  # evaluation
            return first
        reversed_one = {**mixed, "label": mixed["label_r"], "label_q": mixed["label_r"],
                        "lam": mixed["lam"] * 0.0 + 1.0}
        second = super()._terms(reversed_one, outputs, sample_weight)
        shares = (self.share, first), (1.0 - self.share, second)
        return [(share * numerator, denominator) for share, terms in shares for numerator, denominator in terms]


class Bilateral(Stage):
    """The one stage of BBN."""

    def classifier(self, build, config, data, previous):
        kind = type("BBN", (BranchTraining, build.LongTailClassifier), {})
        if previous is None:
            own = replace(config, model=_two_branches(config.model))
            return build.classifier(config, data, lambda objective: build.network(own, data, objective), kind=kind)
        return build.classifier(config, data, previous, kind=kind)

    def stream(self, build, config, data, timeline, start_step):
        import tensorflow as tf
        # No run has a negative seed: these draws are no other run's.
        reverse = build.stream(config, data, timeline, start_step, seed=-1 - config.seed, canvas="q", unmixed="canvas",
                               partner="q", probability=0.0, plan="box", q_power=1.0, q_kind="inverse",
                               q_level="class", q_source="index", sampler="instance")
        batches = tf.data.Dataset.zip(super().stream(build, config, data, timeline, start_step), reverse)
        return batches.map(lambda batch, other: {**batch, "image_r": other["image"], "label_r": other["label"]})

    def callbacks(self, build, config, data, timeline, model):
        def begin(epoch):
            model.share.assign(branch_share(epoch, config.epochs))
        return [*super().callbacks(build, config, data, timeline, model), at_epochs(begin)]


def _two_branches(name):
    forms = [n for n in MODELS if n.endswith(("_128", "_4096"))]
    wanted = next((form for form in forms if name in (form, form.rpartition("_")[0])), None)
    if wanted is None:
        raise UserError(f"--model={name}: has no form with two branches for --method=bbn; there are "
                        + ", ".join(forms))
    return wanted


METHOD = Method({"loss": "ce", "reweight": "none"}, "two branches, one on the reversed distribution",
                "Zhou et al., CVPR 2020", lambda config: [Bilateral("bbn")],
                "megvii-research/BBN 7992e90")
