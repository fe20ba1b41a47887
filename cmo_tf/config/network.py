"""Flags: the network and the weights that it starts from."""

import dataclasses

from cmo_tf.config.flag import flag
from cmo_tf.methods.pretrained import TRAIN
from cmo_tf.models import MODELS


@dataclasses.dataclass(frozen=True)
class NetworkFields:
    """The network and the weights that it starts from."""

    model: str = flag("resnet32", "network", choices=MODELS)
    init_weights: str = flag(None, "weights for all layers but the classifier: imagenet (of efficientnet_lite0, "
                             "efficientnet_lite2 and keras:NAME), or a local file, .keras, .weights.h5 or .h5 of "
                             "Keras, or a PyTorch state dict as .npz", kind=str)
    train: str = flag("all", "what learns: the head alone on frozen features (default with --init_weights), all of the "
                      "network, or first the head and then all", choices=TRAIN)
    head: str = flag(None, "classifier on the features: cosine, which starts at the class means of frozen features "
                     "(default there), or linear; default by the loss", kind=str, choices=("linear", "cosine"))
    upscale: int = flag(None, "side to which the network resizes its images, bilinearly: for small pictures before "
                        "pretrained weights", kind=int, low=32, high=1024)
    unfreeze: int = flag(None, "blocks of the trunk, counted from its end, that learn with --train=all and "
                         "head_then_all; default all", kind=int, low=0)
    trunk_lr_factor: float = flag(0.05, "rate of the pretrained trunk as a factor of --lr", above=0)
    feature_views: int = flag(1, "views of each training picture that --train=head draws from: the picture itself, "
                              "the others augmented", low=1, high=64)
    allow_pretrained: bool = flag(False, "let --init_weights start a run of ImageNet-LT or of a paper's row, whose "
                                  "printed figures come from random weights")
    features_dir: str = flag(None, "folder in which frozen features are kept for other runs; default "
                             "cmo_tf/features in $XDG_CACHE_HOME or ~/.cache", kind=str, replay=False)
    init_from: str = flag(None, "run folder whose network a later stage starts from", kind=str)
