"""What TensorBoard's HParams page shows of a run: its flags, and when and how it ended.

TensorBoard on a folder of runs makes a table of them from this alone: a column a flag, and a column for each scalar,
the final accuracies among them. It finds the flags and their types in the runs, so no list of them is written.
"""

import dataclasses
import hashlib
import json
import time


def began(config, name: str):
    """The summary of a run's flags: those that `flags.cfg` holds, without this machine's paths.

    The row bears the run's `name` and a digest of the flags: runs of one name alone, in other folders, would be shown
    as one.
    """
    from tensorboard.plugins.hparams import api

    flags = values(config)
    digest = hashlib.sha256(json.dumps(flags, sort_keys=True).encode()).hexdigest()
    return api.hparams_pb(flags, trial_id=f"{name} {digest[:6]}")


def ended():
    """The summary that says that a run has ended well; a stopped or broken one has none."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    found = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=found))
    return Summary(value=[Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=about,
                                        tensor=metadata.NULL_TENSOR)])


def values(config) -> dict:
    """Flag -> bool, number or text. A flag that is not set is left out: as a text it would make a column of numbers one
    of texts."""
    names = (f.name for f in dataclasses.fields(config) if f.metadata["replay"] and f.name != "data_dir")
    return {name: _plain(value) for name in names if (value := getattr(config, name)) is not None}


def _plain(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else value
