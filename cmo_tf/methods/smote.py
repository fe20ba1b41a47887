"""SMOTE (Chawla et al., JAIR 2002), Borderline-SMOTE 1 and 2 (Han et al., ICIC 2005) and Safe-level-SMOTE
(Bunkhumpornpat et al., PAKDD 2009), on pixels or on features.

`--smote_space=pixels`: one stage of ordinary training, with any loss and mixer, in which synthetic uint8 images fill
each class up to the largest before training. Batches are drawn evenly over the classes; an epoch keeps its N images, as
with every sampler. Memory: C n_max images in place of N, twice (numpy's and TensorFlow's), and while a class is filled
about three times its pixels as float32 (the other forms: the whole split); more than the machine has is refused.
Time for CIFAR-100-LT ratio 100, 39,153 new images, on two busy cores: SMOTE 8 s, Borderline-SMOTE 1 82 s. Images must
be in memory.
`--smote_space=features`: stage 1 is any training. Stage 2 takes the features of all training images (centre crop, no
augmentation, BatchNorm as in evaluation), fills the classes up among them, and trains a freshly drawn linear classifier
on both with cross-entropy, the trunk frozen.

The synthetic rows follow from --seed and the data (or the trunk) alone, so that a resumed run makes the same ones.
Class counts of losses, Q and shot groups, and the split's fingerprint, stay those of the real images. A class that has
nothing to begin with (see `oversample`) is filled with repetitions; results.json lists such classes under `method`.
"""

import os
from dataclasses import dataclass, field, replace

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.methods.presets import Method
from cmo_tf.methods.second_stage import first, plain_flags
from cmo_tf.methods.stage import Stage
from cmo_tf.sampling.oversampling import oversample


@dataclass(frozen=True)
class Oversampling(Stage):
    """Training on a split that synthetic rows make even. `made` keeps the split, which takes a while."""

    made: dict = field(default_factory=dict, compare=False)

    def rows(self, build, config, data):
        """(N, H, W, C) that are interpolated, in the order of the training split."""
        return data.train.images

    def even(self, build, config, data):
        """RunData whose training split is even; everything else is as before."""
        if "data" not in self.made:
            rows, labels = self.rows(build, config, data), data.train.labels
            kind = {"smote": "smote", "safe_level_smote": "safe-level"}.get(
                config.method, f"borderline-{config.borderline_kind}")
            new, new_labels, self.made["repeated"] = oversample(
                rows, labels, kind, config.smote_neighbors, config.borderline_context, config.seed)
            split = replace(data.train, images=np.concatenate([rows, new]),
                            labels=np.concatenate([labels, new_labels]))
            self.made["data"] = replace(data, train=split)
        return self.made["data"]

    def stream(self, build, config, data, timeline, start_step):
        return build.stream(config, self.even(build, config, data), timeline, start_step)

    def finish(self, build, config, data, model):
        synthetic = len(self.even(build, config, data).train) - len(data.train)
        return {"synthetic": synthetic, "repeated_classes": self.made["repeated"]}


@dataclass(frozen=True)
class OnPixels(Oversampling):
    """The one stage of --smote_space=pixels."""

    def rows(self, build, config, data):
        if not data.train.in_memory:
            raise UserError(f"--dataset={config.dataset}: its images are read from files when they are wanted, and "
                            "--smote_space=pixels needs them in memory; take --smote_space=features")
        check_memory(data.train.images, data.counts, config.method == "smote")
        return data.train.images


class FeatureTraining:
    """What the second stage on features changes in a LongTailClassifier: `image` of a batch is (B, 1, 1, D) features,
    which its head alone sees."""

    def __init__(self, network, **options):
        from cmo_tf.models import two_stage
        super().__init__(network, **options)
        self._head = two_stage.head(network)

    def _forward(self, mixed):
        from keras import ops
        return self._head(ops.squeeze(mixed["image"], (1, 2)))


@dataclass(frozen=True)
class OnFeatures(Oversampling):
    """The second stage of --smote_space=features."""

    def classifier(self, build, config, data, previous):
        from cmo_tf.models import two_stage
        name = two_stage.head(previous).name
        kind = type("FeatureClassifier", (FeatureTraining, build.LongTailClassifier), {})
        model = build.classifier(
            config, data, lambda objective: two_stage.with_new_head(previous, data.num_classes, config.seed),
            kind=kind, learning=[name], shift_bn=False)
        self.made["model"] = model
        return model

    def rows(self, build, config, data):
        import keras

        from cmo_tf.models import two_stage
        model = self.made["model"]
        images = keras.Input(data.image_shape, dtype="float32")
        trunk = keras.Model(model.inner.input, two_stage.head(model.inner).input)
        network = keras.Model(images, trunk(build.preprocess(config, data)(images)))
        features = build.evaluator(config, data.counts, network, model.loss).logits(data.train, data.size, data.decode)
        return features.astype(np.float32)[:, None, None]

    def stream(self, build, config, data, timeline, start_step):
        return build.stream(config, self.even(build, config, data), timeline, start_step, augment=None, decode=None)


def check_memory(images, counts, plain=True) -> None:
    """A UserError where the even split needs more memory than the machine has; `plain` for SMOTE itself."""
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    pixels = images[0].size
    even, rows = np.count_nonzero(counts) * int(counts.max()), int(counts.max()) if plain else len(images)
    need = (2 * even + 12 * rows) * pixels
    if need > have:
        raise UserError(f"--smote_space=pixels: classes of {counts.max()} images each need {need / 2**30:.1f} GiB, "
                        f"this machine has {have / 2**30:.1f}; take --smote_space=features or a lower --max_per_class")


def stages(config):
    """The stages of the method, for the flags of a run."""
    even = {"sampler": "class_balanced"}
    if config.smote_space == "features":
        return [first(config), OnFeatures("smote", {**plain_flags(config, "ce", epochs=10, lr=0.1, schedule="cosine"),
                                                    **even})]
    for name, ruled_out in (("sampler", config.sampler != "instance"), ("q_source", config.q_source != "index"),
                            ("stage2_epochs", config.stage2_epochs), ("stage2_lr", config.stage2_lr)):
        if ruled_out:
            raise UserError(f"--{name}={getattr(config, name)}: does not go with --smote_space=pixels, one stage on "
                            "classes that are even; leave it out or take --smote_space=features")
    return [OnPixels("smote", even)]


SMOTE = Method({}, "synthetic images (or features) between neighbours of a class", "Chawla et al., JAIR 2002", stages,
               "imbalanced-learn 0.14, numpy reference")
BORDERLINE = Method({}, "SMOTE from images near other classes alone", "Han et al., ICIC 2005", stages,
                    "imbalanced-learn 0.14, numpy reference")
SAFE_LEVEL = Method({}, "synthetic images nearer to the neighbour that is deeper inside its class",
                    "Bunkhumpornpat et al., PAKDD 2009", stages, "smote-variants 1.0.1, with neighbours of the class")
