"""Named methods (`--method`): combinations of flags, and later what needs more than a mixer and a loss."""

from cmo_tf.registry import Registry

METHODS = Registry("method", {
    "plain": "cmo_tf.methods.presets:PLAIN",
    "ce": "cmo_tf.methods.presets:CE",
    "ce_drw": "cmo_tf.methods.presets:CE_DRW",
    "ldam": "cmo_tf.methods.presets:LDAM",
    "ldam_drw": "cmo_tf.methods.presets:LDAM_DRW",
    "bs": "cmo_tf.methods.presets:BS",
    "logit_adjust": "cmo_tf.methods.presets:LOGIT_ADJUST",
    "lade": "cmo_tf.methods.presets:LADE",
    "focal": "cmo_tf.methods.presets:FOCAL",
    "cb_ce": "cmo_tf.methods.presets:CB_CE",
    "cb_focal": "cmo_tf.methods.presets:CB_FOCAL",
    "ib": "cmo_tf.methods.presets:IB",
}, flag="method")
