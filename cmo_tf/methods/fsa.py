"""FSA, feature-space augmentation (Chu et al., "Feature Space Augmentation for Long-Tailed Data", ECCV 2020).

Stage 1 is any training with a linear head on an averaged feature map. Stage 2 makes new images of the tail classes
(those that are not many-shot, --many_above) out of feature maps: cells of a tail image that are specific to its class,
by its class activation map, and cells of images of confusing head classes that are generic. Confusing are the
--fsa_confusing head classes on whose images the tail class scores highest in the mean. A batch has some tail images,
--fsa_fused new ones of each, with the label of the tail image, and as many head images; cross-entropy on it trains what
follows the fused map. Each tail image meets all its confusing classes equally often; tail and head images come in
permutations of their own.

The fused map is the input of the last residual block (--fsa_blocks=1): it has the size of the activation maps, and a
block and the classifier are behind it to learn. --fsa_blocks=0 fuses the last map, as the unofficial code does, and
leaves the classifier alone to learn. Activation maps are those of the network of stage 1, in evaluation mode, for
each image as it is augmented and for its own label.

There is no official code. The unofficial one has thresholds 0.8 and 0.2, on CIFAR 3 confusing classes and 3 new images
(large sets 15 and 15) and a constant rate of 0.0005. Other than there, confusing classes are head classes only, the
label of a new image is that of its own tail image, and a head image's activation map is that of its own class.
"""

from dataclasses import dataclass, field

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.methods.presets import Method
from cmo_tf.methods.second_stage import first, plain_flags
from cmo_tf.methods.stage import Stage


class FusionTraining:
    """What the second stage changes in a LongTailClassifier; batches are those of `fusion_stream.fusion_stream`.

    Args:
        network: of `models.fsa.plain_copy`.
        blocks, fused, specific, generic: the flags --fsa_*.
        confusing: N_f.

    `known`, the part behind the cut as it was before, makes the activation maps. `confusing` is int32 (C, N_f), -1 as
    long as it is not known.
    """

    def __init__(self, network, *, blocks, fused, specific, generic, confusing, **options):
        from cmo_tf.models import fsa, two_stage
        classes = network.output_shape[-1]
        front, behind = fsa.cut(network, classes, blocks)
        learning = [layer.name for layer in behind.layers if layer.weights]
        super().__init__(network, learning=learning, **options)
        self._fsa, self.fused, self.specific, self.generic = fsa, fused, specific, generic
        self.front, self.behind, self.known = front, behind, two_stage.copy(behind)
        self.known.trainable = False
        self.confusing = self.add_weight(shape=(classes, confusing), initializer=lambda shape, dtype: -np.ones(shape),
                                         dtype="int32", trainable=False, autocast=False, name="confusing")

    def _mix(self, batch):
        return {**super()._mix(batch), "own_label": batch["own_label"], "take": batch["take"]}

    def _forward(self, mixed):
        preprocess = self._parts["preprocess"] or (lambda images: images)
        return self.behind(self.features(preprocess(mixed["image"]), mixed["own_label"], mixed["take"]),
                           training=self.shift_bn)["logits"]

    def features(self, images, labels, take):
        """The feature maps that training sees, of normalised images (B,H,W,C) with labels of their own (B,)."""
        from keras import ops

        from cmo_tf.models.two_stage import head
        maps = ops.stop_gradient(self.front(images, training=False))
        last = self.known(maps, training=False)["maps"]
        seen = ops.stop_gradient(self._fsa.activation_maps(last, head(self.known).kernel, labels, maps.shape[1:3]))
        tails = ops.shape(take)[0] // self.fused
        others = slice(tails, tails * (1 + self.fused))
        own, own_seen = (ops.repeat(x[:tails], self.fused, axis=0) for x in (maps, seen))
        new = self._fsa.fuse(own, maps[others], own_seen, seen[others], take, self.specific, self.generic)
        return ops.concatenate([maps[:tails], ops.cast(new, maps.dtype), maps[others.stop:]])


@dataclass(frozen=True)
class Fusion(Stage):
    """The second stage of FSA. `made` keeps its classifier, whose variables say what classes are confusing."""

    made: dict = field(default_factory=dict, compare=False)

    def classifier(self, build, config, data, previous):
        from cmo_tf.models.fsa import plain_copy
        _check(config, data)
        kind = type("FSA", (FusionTraining, build.LongTailClassifier), {})
        model = build.classifier(
            config, data, lambda objective: plain_copy(previous, data.num_classes), kind=kind, blocks=config.fsa_blocks,
            fused=config.fsa_fused, specific=config.fsa_specific, generic=config.fsa_generic,
            confusing=min(config.fsa_confusing, len(data.groups["many"])), shift_bn=config.shift_bn)
        self.made["model"] = model
        return model

    def stream(self, build, config, data, timeline, start_step):
        from cmo_tf.pipeline import fusion_stream
        model, heads = self.made["model"], data.groups["many"]
        if int(model.confusing[0, 0]) < 0:  # a stage that begins: its network is still that of stage 1
            scores = fusion_stream.mean_scores(model.network, data, config.eval_batch_size)
            model.confusing.assign(fusion_stream.confusing_classes(scores, heads, config.fsa_confusing))
        return fusion_stream.fusion_stream(
            data.train.images, data.train.labels, heads=heads, confusing=model.confusing.numpy(),
            fused=config.fsa_fused, size=model.front.output.shape[1:3], batch_size=config.batch_size, seed=config.seed,
            start_step=start_step, augment=build.augment(config, data, data.augment), decode=data.decode)


def _check(config, data):
    heads = len(data.groups["many"])
    if not 0 < heads < np.count_nonzero(data.counts):
        raise UserError(f"--many_above={config.many_above}: {heads} of {data.num_classes} classes are many-shot; "
                        "--method=fsa fuses head with tail classes and needs both")
    least = 2 * (1 + config.fsa_fused)
    if config.batch_size < least:
        raise UserError(f"--batch_size={config.batch_size}: has no room for a tail image, its --fsa_fused="
                        f"{config.fsa_fused} new ones and as many head images; take at least {least}")
    for name, alone in (("strategy", "none"), ("gradient_accumulation", 1)):
        if getattr(config, name) != alone:
            raise UserError(f"--{name}={getattr(config, name)}: --method=fsa keeps a batch together, whose rows are "
                            "fused with each other; leave it out")


def stages(config):
    """The stages of the method, for the flags of a run."""
    flags = plain_flags(config, "ce", epochs=10, lr=0.0005, schedule="step")
    return [first(config), Fusion("fsa", {**flags, "lr_drops": ()})]


METHOD = Method({}, "new tail images, fused from feature maps of tail and head", "Chu et al., ECCV 2020", stages,
                "numpy reference of the paper: no official code")
