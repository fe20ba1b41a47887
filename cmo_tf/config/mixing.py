"""Flags: mixing of images, and what is drawn how often."""

import dataclasses

from cmo_tf.config.flag import flag
from cmo_tf.mixing import MIXERS
from cmo_tf.sampling.samplers import SAMPLERS


@dataclasses.dataclass(frozen=True)
class MixingFields:
    """Mixing of images, and what is drawn how often."""

    mix: str = flag("none", "mixer", choices=MIXERS)
    probability: float = flag(0.5, "probability that a batch is mixed; the paper's Algorithm 1 reads 1", low=0, high=1)
    alpha: float = flag(1.0, "parameter of Beta(alpha, alpha), which draws the share of the pasted area", above=0)
    per_image: bool = flag(False, "a plan (coin, share, box) a row instead of one a batch")
    mix_skip_first: int = flag(4, "epochs at the start without mixing", low=0)
    mix_skip_last: int = flag(3, "epochs at the end without mixing", low=0)
    mix_unmixed: str = flag("canvas", "what feeds unmixed batches of cmo_back and cmo_minor", choices=("canvas", "p"))
    remix_kappa: float = flag(3.0, "imbalance from which Remix leans its labels", low=1)
    remix_tau: float = flag(0.5, "share below which Remix gives up the larger class", low=0, high=0.5)
    sampler: str = flag("instance", "what an epoch of the training split is made of", choices=SAMPLERS)
    undersample_cap: int = flag(0, "images of a class that --sampler=undersample keeps, at most; 0: those of the "
                                "smallest", low=0)
    undersample_redraw: bool = flag(False, "let --sampler=undersample draw anew each epoch")
    q_power: float = flag(1.0, "r of Q, weight 1 / n^r", low=0)
    q_kind: str = flag("inverse", "weights of Q by count or by effective number", choices=("inverse", "effective"))
    q_level: str = flag("image", "Q weighs images (official code) or classes (Eq. 2 to the letter)",
                        choices=("image", "class"))
    q_source: str = flag("index", "how Q is drawn", choices=("index", "rejection", "interleave"))
