"""Flags: network, method, mixing and sampling."""

import dataclasses

from cmo_tf.fields.flag import flag
from cmo_tf.methods import METHODS
from cmo_tf.mixing import MIXERS
from cmo_tf.models import MODELS
from cmo_tf.samplers import SAMPLERS


@dataclasses.dataclass(frozen=True)
class MixingFields:
    """Network, method, mixing and sampling."""

    model: str = flag("resnet32", "network", choices=MODELS)
    method: str = flag("plain", "named combination of the flags below", choices=METHODS)
    init_weights: str = flag(None, "local file of weights for all layers but the classifier: .keras, .weights.h5 or "
                             ".h5 of Keras, or a PyTorch state dict as .npz", kind=str)
    freeze_backbone: bool = flag(False, "train the classifier alone, on the frozen network of --init_weights")
    init_from: str = flag(None, "run folder whose network a later stage starts from", kind=str)
    mix: str = flag("none", "mixer", choices=MIXERS)
    probability: float = flag(0.5, "of mixing a batch; the paper's Algorithm 1 reads 1", low=0, high=1)
    alpha: float = flag(1.0, "of Beta(alpha, alpha)", above=0)
    per_image: bool = flag(False, "a plan (coin, share, box) a row instead of one a batch")
    mix_skip_first: int = flag(4, "epochs at the start without mixing", low=0)
    mix_skip_last: int = flag(3, "epochs at the end without mixing", low=0)
    mix_unmixed: str = flag("canvas", "what feeds unmixed batches of cmo_back and cmo_minor", choices=("canvas", "p"))
    remix_kappa: float = flag(3.0, "imbalance from which Remix leans its labels", low=1)
    remix_tau: float = flag(0.5, "share below which Remix gives up the larger class", low=0, high=0.5)
    sampler: str = flag("instance", "what an epoch of the training split is made of", choices=SAMPLERS)
    q_power: float = flag(1.0, "r of Q, weight 1 / n^r", low=0)
    q_kind: str = flag("inverse", "weights of Q by count or by effective number", choices=("inverse", "effective"))
    q_level: str = flag("image", "Q weighs images (official code) or classes (Eq. 2 to the letter)",
                        choices=("image", "class"))
    q_source: str = flag("index", "how Q is drawn", choices=("index", "rejection", "interleave"))
