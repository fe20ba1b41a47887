"""CutMix (Yun et al., ICCV 2019), with the schedule of CMO unless flags say otherwise (paper Table 9)."""

import keras

from cmo_tf.mixing.cmo import CMO


@keras.saving.register_keras_serializable(package="cmo_tf")
class CutMix(CMO):
    """The patch comes from another row of the same batch, one permutation for all. Everything else as `CMO`.

    A batch without `image_q` is permuted by the layer itself. Source: clovaai/CutMix-PyTorch.
    """

    partner = "permuted"
