"""The meta sampler of BALMS (Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020).

Stage 1 is any training (the paper: cross-entropy). Stage 2 puts a freshly drawn linear classifier on the frozen trunk
and trains it with Balanced Softmax on images that are drawn with a learned weight for each class. Each step, these
weights move by the gradient of the plain cross-entropy that a balanced batch has after it. A step costs little more
than one of cRT. Nothing is mixed in stage 2.

Official settings: 2000 steps of batch 512 on CIFAR (about 24 epochs at batch 128), rate 0.1, a cosine stepped before
each epoch, Adam with rate 0.01 for the weights; ImageNet-LT: 0.001, --meta_init_power=0.1, --meta_batch=1024. Other
than there, weights are those of this step (there some eight steps old), the balanced batch does not move the
statistics of BatchNorm, and its images are drawn evenly within their class.
"""

from dataclasses import dataclass, field

from cmo_tf.methods import meta_set
from cmo_tf.methods.presets import Method
from cmo_tf.methods.second_stage import first, plain_flags
from cmo_tf.methods.stage import Stage


@dataclass(frozen=True)
class Sampling(Stage):
    """The second stage. `made` keeps its classifier, which draws the images."""

    made: dict = field(default_factory=dict, compare=False)

    def classifier(self, build, config, data, previous):
        from cmo_tf.methods.steps.meta_sampler import MetaSampling, initial_theta
        from cmo_tf.models import two_stage
        kind = type("MetaSampler", (MetaSampling, build.LongTailClassifier), {})
        self.made["model"] = build.classifier(
            config, data, lambda objective: two_stage.with_new_head(previous, data.num_classes, config.seed), kind=kind,
            learning=[two_stage.head(previous).name], shift_bn=config.shift_bn, rows=config.batch_size,
            theta=initial_theta(data.counts, config.meta_init_power), theta_lr=config.meta_sampler_lr)
        return self.made["model"]

    def stream(self, build, config, data, timeline, start_step):
        import tensorflow as tf

        from cmo_tf import augment
        from cmo_tf.pipeline.fetch import Fetch
        policy = augment.resolve(build.augment(config, data, data.augment), class_counts=data.counts)
        self.made["model"].attach(Fetch(data.train.images, data.decode, policy, config.seed, data.train.labels),
                                  data.train.labels, config.seed)
        steps = tf.data.Dataset.counter(start_step).map(lambda step: {"step": step})
        return meta_set.with_meta(build, config, data, timeline, steps, start_step)

    def finish(self, build, config, data, model):
        return {"meta_images": meta_set.images(config, data),
                "theta": [round(float(value), 4) for value in model.theta.numpy()]}


def stages(config):
    """The stages of the method, for the flags of a run."""
    meta_set.check(config)
    flags = plain_flags(config, "bs", epochs=24, lr=0.1, schedule="cosine_ahead")
    return [first(config), Sampling("meta_sampler", {**flags, "sampler": "instance"})]


METHOD = Method({}, "a new classifier on images drawn with learned class weights", "Ren et al., NeurIPS 2020", stages,
                "jiawei-ren/BalancedMetaSoftmax-Classification 34a61e4")
