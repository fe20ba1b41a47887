"""Flags: the network and the weights that it starts from."""

import dataclasses

from cmo_tf.config.flag import flag
from cmo_tf.models import MODELS


@dataclasses.dataclass(frozen=True)
class NetworkFields:
    """The network and the weights that it starts from."""

    model: str = flag("resnet32", "network", choices=MODELS)
    init_weights: str = flag(None, "weights for all layers but the classifier: imagenet (of efficientnet_lite0, "
                             "efficientnet_lite2 and keras:NAME), or a local file, .keras, .weights.h5 or .h5 of "
                             "Keras, or a PyTorch state dict as .npz", kind=str)
    freeze_backbone: bool = flag(False, "train the classifier alone, on the frozen network of --init_weights")
    init_from: str = flag(None, "run folder whose network a later stage starts from", kind=str)
