"""CMO-back: the ablation that turns the roles round (paper Table 11)."""

import keras

from cmo_tf.mixing.cmo import CMO


@keras.saving.register_keras_serializable(package="cmo_tf")
class CMOBack(CMO):
    """Patches of the original distribution P pasted onto canvases drawn from Q. Everything else as `CMO`.

    Unmixed batches come from the canvas' distribution by default (`--mix_unmixed`), so half of all batches are plain
    class-balanced over-sampling. Not in the official code; read from the text of the paper.
    """

    canvas, partner = "q", "p"
