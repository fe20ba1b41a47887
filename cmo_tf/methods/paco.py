"""PaCo, parametric contrastive learning (Cui et al., ICCV 2021).

Two views of each image: the first goes through the network (classifier and projection), the second through a key
encoder that follows it by momentum. The loss, `losses.paco.PaCo`, contrasts each projection with those of its batch,
the keys of its batch and a queue of earlier keys, and with the class centres, which are the classifier. Evaluation is
the classifier alone. No mixer: a key has one label.

The views are `--augment` and `--augment2`; the published runs on CIFAR have autoaug_cutout and simclr, those on large
sets rand_timm and simclr_large. Flags such as --cutout_size are for the first view. As in the official code the queue
starts with random keys and random labels, and batches are full.
"""

from cmo_tf import augment
from cmo_tf.core.errors import UserError
from cmo_tf.methods.presets import Method
from cmo_tf.methods.stage import Stage


class ContrastTraining:
    """What PaCo changes in a LongTailClassifier; batches bring `image_view2` and are all of one size.

    Args:
        network: images -> logits, with a layer "features".
        dim, length, momentum: of the projection, the queue and the key encoder.
        seed: of the projection and of what the queue starts with.

    All its state lies in variables: `encoder`, `keys`, `queue`, `queue_labels` and `place`, where the next batch goes.
    """

    def __init__(self, network, *, dim, length, momentum, seed, **options):
        from cmo_tf.models import paco
        super().__init__(network, **options)
        self._paco, self.length, self.momentum = paco, length, momentum
        self.encoder = paco.with_projection(network, dim, seed)
        self.keys = paco.key_encoder(self.encoder)
        classes = network.output_shape[-1]

        def state(name, shape, initial, dtype):
            return self.add_weight(shape=shape, initializer=lambda shape, dtype=None: initial(), dtype=dtype,
                                   trainable=False, autocast=False, name=name)
        self.queue = state("queue", (length, dim), lambda: paco.random_queue(length, dim, seed), "float32")
        self.queue_labels = state("queue_labels", (length,), lambda: paco.random_labels(length, classes, seed), "int32")
        self.place = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False, autocast=False,
                                     name="place")

    def _mix(self, batch):
        return {**super()._mix(batch), "image_view2": batch["image_view2"]}

    def _forward(self, mixed):
        from keras import ops

        from cmo_tf.models.heads import unit_norm
        preprocess = self._parts["preprocess"] or (lambda images: images)
        outputs = self.encoder(preprocess(mixed["image"]), training=True)
        self._paco.follow(self.keys, self.encoder, self.momentum)
        keys = self.keys(preprocess(mixed["image_view2"]), training=True)["query"]
        keys = ops.stop_gradient(unit_norm(keys, axis=-1))
        # The queue as it is before these keys enter it.
        queue, queue_labels = ops.copy(self.queue), ops.copy(self.queue_labels)
        self._enqueue(keys, mixed["label"])
        return {"logits": outputs["logits"], "query": unit_norm(outputs["query"], axis=-1), "keys": keys,
                "queue": queue, "queue_labels": queue_labels}

    def _enqueue(self, keys, labels):
        from keras import ops
        self.queue.assign(self._paco.enqueue(self.queue, self.place, keys))
        self.queue_labels.assign(self._paco.enqueue(self.queue_labels, self.place, ops.cast(labels, "int32")))
        self.place.assign((self.place + ops.shape(keys)[0]) % self.length)


class Contrast(Stage):
    """The one stage of PaCo."""

    def classifier(self, build, config, data, previous):
        from cmo_tf import models
        from cmo_tf.models.paco import with_plain_head
        _check(config)

        def network(objective):
            plain = models.create(config.model, data.num_classes, data.image_shape, seed=config.seed)
            return with_plain_head(plain, data.num_classes, config.seed)
        kind = type("PaCo", (ContrastTraining, build.LongTailClassifier), {})
        return build.classifier(config, data, previous or network, kind=kind, dim=config.paco_dim,
                                length=config.paco_queue, momentum=config.paco_momentum, seed=config.seed)

    def stream(self, build, config, data, timeline, start_step):
        view2 = build.augment(config, data, data.augment)
        if config.augment2:
            view2 = augment.create(config.augment2, data.size, base=data.base_augment, class_counts=data.counts,
                                   mean=data.mean)
        return build.stream(config, data, timeline, start_step, view2=view2)


def _check(config):
    if config.paco_queue % config.batch_size:
        raise UserError(f"--batch_size={config.batch_size}: does not divide the queue, --paco_queue="
                        f"{config.paco_queue}; change one of them")
    if config.strategy != "none":
        raise UserError(f"--strategy={config.strategy}: --method=paco runs on one device, its queue is not shared; "
                        "leave it out")


METHOD = Method({"loss": "paco", "reweight": "none", "mix": "none", "drop_remainder": True},
                "contrast with class centres, a momentum encoder and a queue", "Cui et al., ICCV 2021",
                lambda config: [Contrast("paco")], "dvlab-research/Parametric-Contrastive-Learning fe56535")
