"""Named methods (`--method`): combinations of flags, and what needs more than a mixer and a loss.

Methods that learn to weigh or draw by a balanced set, and those that generate images, have their place here too: a file
each, with a Stage whose classifier has a `train_step` of its own or whose stream brings the second batch.
"""

from cmo_tf.core.registry import Registry

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
    "isda": "cmo_tf.methods.presets:ISDA",
    "crt": "cmo_tf.methods.crt:METHOD",
    "lws": "cmo_tf.methods.lws:METHOD",
    "tau_norm": "cmo_tf.methods.tau_norm:METHOD",
    "mislas": "cmo_tf.methods.mislas:MISLAS",
    "las": "cmo_tf.methods.mislas:LAS",
    "fsa": "cmo_tf.methods.fsa:METHOD",
    "smote": "cmo_tf.methods.smote:SMOTE",
    "borderline_smote": "cmo_tf.methods.smote:BORDERLINE",
    "safe_level_smote": "cmo_tf.methods.smote:SAFE_LEVEL",
    "bbn": "cmo_tf.methods.bbn:METHOD",
    "causal_norm": "cmo_tf.methods.causal_norm:METHOD",
    "m2m": "cmo_tf.methods.m2m:METHOD",
    "meta_sampler": "cmo_tf.methods.meta_sampler:METHOD",
    "meta_weight_net": "cmo_tf.methods.meta_weighting:METHOD",
    "metasaug": "cmo_tf.methods.metasaug:METHOD",
    "paco": "cmo_tf.methods.paco:METHOD",
    "ride": "cmo_tf.methods.ride:METHOD",
}, flag="method")
