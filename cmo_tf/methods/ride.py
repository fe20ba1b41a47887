"""RIDE, routing diverse distribution-aware experts (Wang et al., "Long-tailed Recognition by Routing Diverse
Distribution-Aware Experts", ICLR 2021).

Stage 1 trains `--experts` networks that share their early stages with the loss `losses.ride.RIDE`; from the epoch of
deferred re-weighting on, its temperatures too are by class. Evaluation takes the mean of the experts' logits. With
`--ride_router` stage 2 freezes all of it and trains a router, which decides after each expert whether an image needs
the next one; model.keras then answers with the experts that the router calls, and `methods.early_exit.EarlyExit` runs
only those. With `--distill_from` stage 1 learns from the experts (six in the published runs) of another run too.

Official settings: CIFAR flags/cifar100lt_ride_recipe.cfg (--warmup_epochs=20 with distillation); ImageNet-LT
--ride_diversity=-0.2 --ride_tempering=0.02 --l2=2e-4; iNaturalist -0.2, 0.015, --lr=0.2 and 2e-4. The router: 5
epochs at batch 512 from rate 0.01 by a cosine, L2 5e-4, Nesterov, balanced classes. Other than there, the cycles of the
balanced sampler begin anew each epoch.
"""

import os
from dataclasses import dataclass

from cmo_tf.core.errors import UserError
from cmo_tf.methods.presets import Method
from cmo_tf.methods.second_stage import first, plain_flags
from cmo_tf.methods.stage import Stage

ROUTER = {"batch_size": 512, "sampler": "balanced_buckets", "undersample_cap": 0,
          "undersample_redraw": False, "l2": 5e-4, "nesterov": True}


@dataclass(frozen=True)
class Experts(Stage):
    """Stage 1: all experts together."""

    def classifier(self, build, config, data, previous):
        from cmo_tf import models

        def network(objective):
            return previous or models.create_experts(
                config.model, data.num_classes, data.image_shape, experts=config.experts, reduced=config.ride_reduced,
                scale=config.ldam_scale, seed=config.seed)

        def kind(inner, **parts):
            return distilled(build.LongTailClassifier, teacher(config, data))(inner, **parts)
        return build.classifier(config, data, network, kind=kind if config.distill_from else build.LongTailClassifier)

    def callbacks(self, build, config, data, timeline, model):
        from cmo_tf.callbacks import LossPhase
        found, start = super().callbacks(build, config, data, timeline, model), timeline.reweight_start
        return found if start is None else [*found, LossPhase(start)]


@dataclass(frozen=True)
class Router(Stage):
    """Stage 2: expert assignment."""

    def classifier(self, build, config, data, previous):
        from cmo_tf.models.router import with_router
        return build.classifier(config, data, lambda objective: with_router(previous, config.router_top, config.seed))

    def finish(self, build, config, data, model):
        from cmo_tf.methods import early_exit
        return early_exit.measure(model.network, data, config.eval_batch_size)


def distilled(kind, known):
    """The classifier `kind` with logits of a teacher among its outputs in training.

    Args:
        kind: LongTailClassifier.
        known: function raw images -> logits. A function, so that the teacher's weights are no part of the checkpoints.
    """
    class Distilled(kind):
        def _forward(self, mixed):
            return {**super()._forward(mixed), "teacher": known(mixed["image"])}
    return Distilled


def teacher(config, data):
    """Function raw images -> logits of the run in `--distill_from`.

    BatchNorm works on the batch at hand: the official code never puts its teacher into evaluation mode.
    """
    import keras

    from cmo_tf.models.weights import saved_file
    path = os.path.join(config.distill_from, "model.keras")
    if not os.path.exists(path):
        raise UserError(f"--distill_from={config.distill_from}: no model.keras there; name the folder of a finished "
                        "run")
    network = saved_file.load(path)
    shape = network.compute_output_shape(network.input_shape)
    classes = (shape["logits"] if isinstance(shape, dict) else shape)[-1]
    if tuple(network.input_shape[1:]) != data.image_shape or classes != data.num_classes:
        raise UserError(f"--distill_from={config.distill_from}: its network is for {classes} classes and images of "
                        f"{tuple(network.input_shape[1:])}, this run has {data.num_classes} and {data.image_shape}")

    def known(images):
        outputs = network(images, training=True)
        return keras.ops.stop_gradient(outputs["logits"] if isinstance(outputs, dict) else outputs)
    return known


def stages(config):
    """The experts, then the router if it is wanted."""
    found = [Experts("experts", first(config, "ride_router").flags)]
    if config.ride_router:
        flags = plain_flags(config, "ride_router", epochs=config.router_epochs, lr=0.01, schedule="cosine")
        found.append(Router("router", {**flags, **ROUTER}))
    return found


METHOD = Method({"loss": "ride", "reweight": "drw"}, "several experts that are made to differ, and a router",
                "Wang et al., ICLR 2021", stages, "frank-xwang/RIDE-LongTailRecognition ab8be5c")
