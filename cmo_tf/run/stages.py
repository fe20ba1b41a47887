"""The course of a run: its stages one after another, each with its Config, timeline and place among all steps."""

import dataclasses

from cmo_tf.core.errors import UserError
from cmo_tf.distribution import strategies
from cmo_tf.methods import METHODS
from cmo_tf.methods.stage import Stage, stages_of
from cmo_tf.pipeline import steps_per_epoch
from cmo_tf.run.timeline import Timeline


@dataclasses.dataclass(frozen=True)
class Leg:
    """One stage in a run: `first_step` and `first_epoch` are what all stages before it take."""

    stage: Stage
    config: object
    timeline: Timeline
    first_step: int
    first_epoch: int


def whole_steps(config, num_images: int) -> int:
    """Steps of all stages, whatever `--max_steps` cuts off."""
    last = legs(dataclasses.replace(config, max_steps=None), num_images)[-1]
    return last.first_step + last.timeline.total_steps


def legs(config, num_images: int, rate_factor: float = 1.0) -> list[Leg]:
    """The legs of a run on `num_images` training images; `--max_steps` cuts off those at the end. `rate_factor` is on
    all their learning rates."""
    found, step, epoch = [], 0, 0
    stages = stages_of(METHODS[config.method], config)
    # Another run's network stands for the first stage of a method that has more.
    for stage in stages[1:] if config.init_from and len(stages) > 1 else stages:
        left = None if config.max_steps is None else config.max_steps - step
        if found and (found[-1].timeline.cut or (left == 0 and stage.trains)):
            break
        own = dataclasses.replace(config, **{**stage.flags, "max_steps": left or None})
        per_epoch = steps_per_epoch(num_images, own.batch_size, own.drop_remainder)
        if not per_epoch:
            raise UserError(f"--batch_size={own.batch_size}: the training split has {num_images} images and "
                            "--drop_remainder leaves no batch; lower one or drop the other")
        strategies.check(own, num_images)
        timeline = Timeline(own, per_epoch, stage.trains, rate_factor)
        found.append(Leg(stage, own, timeline, step, epoch))
        step, epoch = step + timeline.total_steps, epoch + timeline.epochs
    return found
