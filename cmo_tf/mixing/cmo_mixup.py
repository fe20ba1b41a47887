"""CMO with mixup in place of the paste (paper Table 12)."""

import keras

from cmo_tf.mixing.blend import Blend


@keras.saving.register_keras_serializable(package="cmo_tf")
class CMOMixup(Blend):
    """Images of P blended with foregrounds drawn from Q; coin and window of CMO.

    Not in the official code; read from section 4.4 of the paper.
    """

    partner = "q"
