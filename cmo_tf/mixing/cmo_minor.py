"""CMO-minor: rare images on rare images, the ablation without rich contexts (paper Table 11)."""

import keras

from cmo_tf.mixing.cmo import CMO


@keras.saving.register_keras_serializable(package="cmo_tf")
class CMOMinor(CMO):
    """Canvas and patch are two independent draws from Q. Everything else as `CMO`, unmixed batches as `CMOBack`.

    Not in the official code; read from the text of the paper.
    """

    canvas, partner = "q", "q"
