"""From a Config to the objects of a run: network, loss, optimizer, mixer, classifier, stream."""

import contextlib
import dataclasses
import functools

import keras

from cmo_tf import augment as augmentation
from cmo_tf import models
from cmo_tf.augment.views import Views
from cmo_tf.callbacks import WEIGHTINGS
from cmo_tf.callbacks.loss_phase import LossPhase
from cmo_tf.callbacks.loss_ramp import LossRamp
from cmo_tf.callbacks.radius import Radius
from cmo_tf.callbacks.reweight import Reweight
from cmo_tf.classifier.classifier import LongTailClassifier
from cmo_tf.classifier.evaluator import Evaluator
from cmo_tf.classifier.loss_scale import LossScale
from cmo_tf.core.errors import UserError
from cmo_tf.distribution import data_service, strategies
from cmo_tf.distribution.strategies import strategy
from cmo_tf.evaluation.prior import logit_offset
from cmo_tf.losses import LOSSES
from cmo_tf.losses.base import CountedLoss
from cmo_tf.mixing import MIXERS
from cmo_tf.models import blocks, heads, two_stage
from cmo_tf.models.weights.pretrained import IMAGENET
from cmo_tf.optim import SGD
from cmo_tf.pipeline import train_stream
from cmo_tf.sampling.samplers import BALANCED, UNDERSAMPLE

# Flags that single augmentations have of their own.
AUGMENT_FLAGS = ("cutout_size", "cutout_fill", "minority_max", "rand_n", "rand_m", "rand_std")
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def loss(config, counts):
    """The loss of a run, its class counts those of the training split. Flags of other losses are refused."""
    kind = LOSSES[config.loss]
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for other in LOSSES.values():
        idle = {*other.flags.values(), other.phase_flag} - {*kind.flags.values(), kind.phase_flag}
        for name in sorted(idle - {None}):
            if getattr(config, name) != defaults[name]:
                raise UserError(f"--{name}={getattr(config, name):g} does nothing with --loss={config.loss}; leave it "
                                "out or take another loss")
    if config.sampler == UNDERSAMPLE and issubclass(kind, CountedLoss):
        raise UserError(f"--sampler={UNDERSAMPLE}: --loss={config.loss} works with the class counts, which this "
                        "sampler makes equal; take another loss or another sampler")
    return kind.for_counts(counts, **{option: getattr(config, name) for option, name in kind.flags.items()})


def callbacks(config, counts, timeline):
    """What changes the loss of a run at an epoch: its class weights and its phase."""
    found = []
    if timeline.reweight_start is not None:
        weights = WEIGHTINGS[config.reweight].weights(counts, config.reweight_beta)
        found.append(Reweight(weights, timeline.reweight_start))
    if timeline.phase_start is not None:
        found.append(LossPhase(timeline.phase_start))
    if config.sam_rho:
        found.append(Radius(timeline.rho))
    if LOSSES[config.loss].ramps:
        found.append(LossRamp(config.epochs))
    return found


def evaluator(config, counts, network, objective):
    """The Evaluator of a run's network, trained with the loss `objective`: the same in training and `--mode=eval`."""
    prior_free = objective.prior_free or config.sampler in BALANCED
    offset = logit_offset(config.test_prior, counts, config.test_tau, prior_free)
    return Evaluator(network, objective.logit_scale, config.eval_batch_size, offset)


def normalisation(data):
    """Layer from raw pixels 0..255 to (x / 255 - mean) / std, a channel each."""
    scale = [1.0 / (255.0 * std) for std in data.std]
    offset = [-mean / std for mean, std in zip(data.mean, data.std, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="normalise")


def preprocess(config, data):
    """Layer from raw pixels to what the network of `--model` takes: its own constants where it has some."""
    return models.preprocess(config.model) or normalisation(data)


def network(config, data, objective):
    """A new network for a loss; its initial weights follow from `--seed` and `--init_weights` alone."""
    if objective.method:
        raise UserError(f"--loss={config.loss}: needs the network of --method={objective.method}; write that instead")
    head, features = head_of(config, objective), objective.needs_features
    if config.train == "head":
        made = two_stage.on_features(data.image_shape[-1], data.num_classes, head, config.seed, features)
        if head != "linear":
            heads.start_at_class_means(made.layers[-1], data.first_views, data.train.labels)
        return made
    bias = objective.head_bias(data.num_classes) if head == "linear" else None
    return _backbone(config, data, head=head, features=features, head_bias=bias)


def head_of(config, objective) -> str:
    """The head of a run by `--head` and by what its loss is made for: "linear", "normed" or "cosine"."""
    if config.head == "linear" and objective.head != "linear":
        raise UserError(f"--head=linear: --loss={config.loss} is made for cosines; leave one of them out")
    return "cosine" if config.head == "cosine" and objective.head == "linear" else objective.head


def _backbone(config, data, **options):
    """The network of `--model` with the weights of `--init_weights` below its head."""
    imagenet = config.init_weights == IMAGENET
    if config.upscale:
        options["upscale"] = config.upscale
    made = models.create(config.model, data.num_classes, data.image_shape, seed=config.seed,
                         weights=IMAGENET if imagenet else None, **options)
    if config.init_weights and not imagenet:
        from cmo_tf.models.weights import weight_files
        weight_files.load(made, config.init_weights)
    return made


def trunk(config, data):
    """The pretrained network from normalised images to features (B, D)."""
    return two_stage.trunk_of(_backbone(config, data))


def joined(config, data, head):
    """The pretrained network under a head that was trained on its features; it takes the place of a given network."""
    return two_stage.joined(trunk(config, data), head)


def on_pixels(config, data, model):
    """The network of a run from raw pixels to logits, with the frozen trunk that `--train=head` leaves out."""
    if config.train != "head":
        return model.network
    return LongTailClassifier(two_stage.joined(data.trunk, model.inner), preprocess=preprocess(config, data)).network


def classifier(config, data, given=None, kind=LongTailClassifier, lr_factors=None, **options):
    """The compiled classifier of a run or stage.

    Args:
        given: the network to train on, or a function of the loss that makes one; None for a new one.
        kind: LongTailClassifier or a subclass, called with `options` too.
        lr_factors: layer name -> factor of the rate, see `optim.SGD`.
    """
    keras.utils.set_random_seed(config.seed)
    with strategy(config).scope(), _precision(config.precision):
        objective = loss(config, data.counts)
        if given is None:
            given = network(config, data, objective)
        elif not isinstance(given, keras.Model):
            given = given(objective)
        if config.sync_bn:
            strategies.synchronise(given)
        if config.init_weights and config.train != "head":
            trunk_options, factors = fine_tuning(config, given)
            options, lr_factors = {**trunk_options, **options}, lr_factors or factors
        if config.gradient_accumulation > 1:
            check_accumulation(config, objective, given)
            options = {**options, "accumulation": config.gradient_accumulation}
        if config.sam_rho:
            options = {**options, "sam_rho": config.sam_rho, "sam_adaptive": config.sam_adaptive}
        rule = None if config.train == "head" else preprocess(config, data)
        model = kind(given, mixer=mixer(config, data), preprocess=rule, **options)
        optimizer = SGD(config.lr, momentum=config.momentum, l2=config.l2, nesterov=config.nesterov,
                        lr_factors=lr_factors)
        if config.precision == "float16":
            optimizer = LossScale(optimizer)
        # Not Keras' "auto", which is XLA on a GPU.
        model.compile(optimizer, objective, jit_compile=config.jit_compile, auto_scale_loss=False)
        model.optimizer.build(model.trainable_variables)
    return model


def fine_tuning(config, network):
    """(options of the classifier, layer name -> factor of its rate) for a network on pretrained weights."""
    below = [name for block in blocks.trunk_blocks(network) for name in block]
    options = {"shift_bn": False}
    if config.unfreeze is not None:
        above = [layer.name for layer in network.layers if layer.weights and layer.name not in below]
        options["learning"] = [*blocks.last_blocks(network, config.unfreeze), *above]
    return options, dict.fromkeys(below, config.trunk_lr_factor)


def check_accumulation(config, objective, network):
    """Refuses micro-batches for a loss that is no sum over rows, and for a network whose replicas talk meanwhile."""
    if objective.couples_rows:
        raise UserError(f"--gradient_accumulation={config.gradient_accumulation}: --loss={config.loss} compares the "
                        "rows of a batch with each other, which micro-batches cut apart; leave it out")
    if config.strategy != "none" and any(v.aggregation != "none" for v in network.non_trainable_variables):
        raise UserError(f"--gradient_accumulation={config.gradient_accumulation}: --method={config.method} brings "
                        "statistics of all replicas together in each forward pass; leave it or --strategy out")


def augment(config, data, name):
    """The augmentation policy of a name, with the flags that are its own."""
    return augmentation.create(name, data.size, base=data.base_augment, class_counts=data.counts, mean=data.mean,
                               **{flag: getattr(config, flag) for flag in AUGMENT_FLAGS})


def mixer(config, data):
    """The mixing layer of a run."""
    return MIXERS[config.mix].from_options(class_counts=data.counts, **vars(config))


def stream(config, data, timeline, start_step=0, **others):
    """The training stream of a run from a step on: the mixer says what canvases and partners are drawn from.

    `others` are arguments of `train_stream` that a method sets itself.
    """
    kind = MIXERS[config.mix]
    policy = Views(config.feature_views) if config.train == "head" else augment(config, data, data.augment)
    options = dict(
        batch_size=config.batch_size, seed=config.seed, start_step=start_step,
        q_power=config.q_power, q_kind=config.q_kind, q_level=config.q_level, q_source=config.q_source,
        probability=config.probability if kind.partner else 0.0, alpha=config.alpha, canvas=kind.canvas,
        partner=kind.partner or "q", plan=kind.plan, unmixed=config.mix_unmixed, sampler=config.sampler,
        sampler_options=sampler_options(config),
        epochs=config.epochs,
        per_image=config.per_image, augment=policy,
        mix_steps=timeline.mix_steps, drop_remainder=config.drop_remainder, class_counts=data.counts,
        **strategies.stream_options(config),
        decode=data.decode)
    make = functools.partial(train_stream, data.train.images, data.train.labels, **{**options, **others})
    return data_service.distributed(config.data_service, make) if config.data_service else make()


def sampler_options(config):
    """Options of the run's sampler, as a dict."""
    if config.sampler != UNDERSAMPLE:
        return {}
    return {"cap": config.undersample_cap or None, "redraw": config.undersample_redraw}


@contextlib.contextmanager
def _precision(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
