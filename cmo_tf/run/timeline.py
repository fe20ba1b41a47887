"""What happens when: learning rate, mixing window and re-weighting as pure functions of the epoch."""

from dataclasses import dataclass

from cmo_tf.callbacks import WEIGHTINGS
from cmo_tf.losses import LOSSES
from cmo_tf.optim.radius import parse_steps, rho_at
from cmo_tf.optim.schedules import SCHEDULES, start_epoch
from cmo_tf.sampling.samplers import FOLLOWING, share_of_run


@dataclass(frozen=True)
class Timeline:
    """The course of a run, computed from its Config and the number of steps an epoch has.

    Epochs are 0-indexed. Rate drops and the start of re-weighting scale with `--epochs` by fraction; warm-up and the
    ends of the mixing window stay in epochs. `rate_factor` is on all rates, once `--on_nan=rollback` has lowered them.
    """

    config: object
    steps_per_epoch: int
    trains: bool = True
    rate_factor: float = 1.0

    @property
    def epochs(self) -> int:
        """Epochs of the run; 0 for a stage without steps."""
        return self.config.epochs if self.trains else 0

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, cut at `--max_steps`."""
        steps = self.epochs * self.steps_per_epoch
        return min(steps, self.config.max_steps or steps)

    @property
    def cut(self) -> bool:
        """Whether `--max_steps` ends it early."""
        return self.total_steps < self.epochs * self.steps_per_epoch

    @property
    def reweight_start(self) -> int | None:
        """First re-weighted epoch, or None."""
        if self.config.reweight == "none":
            return None
        start = self.config.reweight_start
        return start_epoch(WEIGHTINGS[self.config.reweight].start if start is None else start, self.config.epochs)

    @property
    def phase_start(self) -> int | None:
        """First epoch of the loss proper, for a loss with a warm-up phase, or None."""
        name = LOSSES[self.config.loss].phase_flag
        return None if name is None else start_epoch(getattr(self.config, name), self.config.epochs)

    @property
    def mix_epochs(self) -> tuple[int, int]:
        """(first, stop) epochs that may mix; equal where the run is too short for its window."""
        first, stop = self.config.mix_skip_first, self.config.epochs - self.config.mix_skip_last
        return (first, stop) if first < stop else (0, 0)

    @property
    def mix_steps(self) -> tuple[int, int]:
        """(first, stop) steps that may mix."""
        if self.config.mix == "none":
            return 0, 0
        first, stop = self.mix_epochs
        return first * self.steps_per_epoch, stop * self.steps_per_epoch

    def lr(self, epoch: int) -> float:
        """Learning rate of an epoch."""
        config = self.config
        options = dict(drops=config.lr_drops, factor=config.lr_factor) if config.schedule.startswith("step") else {}
        return self.rate_factor * SCHEDULES[config.schedule](
            epoch, base_lr=config.lr, epochs=config.epochs, warmup_epochs=config.warmup_epochs,
            warmup_start=config.warmup_start, **options)

    def rho(self, epoch: int) -> float:
        """rho of sharpness-aware minimisation in an epoch."""
        return rho_at(epoch, self.config.sam_rho, parse_steps(self.config.sam_steps))

    def course(self, epoch: int) -> tuple:
        """(learning rate, re-weighted, mixing, loss proper, share of the run where the sampler follows it, and where
        the loss does) of an epoch: what must not change under finished steps."""
        first, stop = self.mix_epochs
        mixing = self.config.mix != "none" and first <= epoch < stop
        reweighted, proper = (start is not None and epoch >= start for start in (self.reweight_start, self.phase_start))
        sampled = share_of_run(epoch, self.config.epochs) if self.config.sampler in FOLLOWING else None
        grown = epoch / self.config.epochs if LOSSES[self.config.loss].ramps else None
        return self.lr(epoch), reweighted, mixing, proper, sampled, grown

    def warnings(self) -> list[str]:
        """One clear line for everything that is asked for and will not happen in a run this short."""
        config, lines = self.config, []
        if not self.trains:
            return lines
        if config.mix != "none" and self.mix_epochs == (0, 0):
            lines.append(f"--mix={config.mix}: {config.epochs} epochs leave none between --mix_skip_first="
                         f"{config.mix_skip_first} and --mix_skip_last={config.mix_skip_last}; training unmixed")
        if config.warmup_epochs >= config.epochs and config.warmup_epochs:
            lines.append(f"--warmup_epochs={config.warmup_epochs}: the whole run of {config.epochs} epochs is warm-up")
        if self.reweight_start is not None and self.reweight_start >= config.epochs:
            lines.append(f"--reweight={config.reweight}: starts at epoch {self.reweight_start}, after the last one; "
                         "training unweighted (--reweight_start)")
        if self.phase_start is not None and self.phase_start >= config.epochs:
            lines.append(f"--loss={config.loss}: starts at epoch {self.phase_start}, after the last one; "
                         "training with cross-entropy")
        return lines
