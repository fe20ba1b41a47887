"""Flags: checkpoints, and what happens when numbers go wrong."""

import dataclasses

from cmo_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class CheckpointFields:
    """Checkpoints, and what happens when numbers go wrong."""

    checkpoint_every: int = flag(1, "epochs between checkpoints", low=1)
    checkpoint_every_steps: int = flag(0, "steps between checkpoints inside an epoch; 0: none", low=0)
    on_nan: str = flag("stop", "a loss or weights that are no longer finite end the run, or take it back, once, to its "
                       "last checkpoint and on from there at a lower rate", choices=("stop", "rollback"))
    nan_rate_factor: float = flag(0.1, "factor of all learning rates after --on_nan=rollback went back", above=0,
                                  high=1 - 1e-9)
