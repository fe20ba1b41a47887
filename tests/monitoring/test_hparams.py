"""A folder of runs in TensorBoard's HParams page, read as TensorBoard itself reads it."""

from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

from cmo_tf import config
from cmo_tf.monitoring import hparams
from cmo_tf.monitoring.tensorboard import Board

DATA = SimpleNamespace(counts=np.array([5, 2]), class_names=("a", "b"), num_classes=2,
                       groups={"many": np.array([0]), "medium": np.array([], int), "few": np.array([1])})
ROWS = [{"epoch": e, "loss": 1.0 / e, "lr": 0.1, "all": 30.0 + e, "few": None} for e in (1, 2, 3)]


def write(folder, flags, *, epochs=3, ends=True):
    """What a session of a run writes up to an epoch."""
    settings, _, _ = config.parse(flags)
    board = Board(str(folder / "tensorboard"), settings, DATA)
    board.restart()
    board.write(ROWS[:epochs])
    if ends:
        board.finish({"all": 33.0 + settings.seed, "many": 60.0, "medium": None, "few": 6.5})
    else:
        board.file.close()


def page(folder):
    """(experiment, session groups) of TensorBoard on a folder."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    asked = RequestContext()
    found = context.experiment_from_metadata(
        asked, "", True, context.hparams_metadata(asked, ""), context.hparams_from_data_provider(asked, "", None))
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=100, allowed_statuses=list(api_pb2.Status.values()), include_metrics=True,
        col_params=[api_pb2.ColParams(metric=info.name) for info in found.metric_infos])
    groups = list_session_groups.Handler(asked, context, "", request).run()
    return get_experiment.Handler(asked, context, "", api_pb2.GetExperimentRequest()).run(), groups.session_groups


@pytest.fixture
def sweep(tmp_path):
    """Two runs, one of which was killed after an epoch and resumed."""
    write(tmp_path / "ce-s0", ["--epochs=3", "--dataset=digits"])
    write(tmp_path / "ce_cmo-s1", ["--epochs=3", "--mix=cmo", "--seed=1", "--max_per_class=9"], epochs=1, ends=False)
    write(tmp_path / "ce_cmo-s1", ["--epochs=3", "--mix=cmo", "--seed=1", "--max_per_class=9"])
    return tmp_path


def test_flags_and_accuracies_of_every_run_once(sweep):
    experiment, groups = page(sweep)
    assert len(groups) == 2 and all(len(group.sessions) == 1 for group in groups)
    columns = {info.name: info.type for info in experiment.hparam_infos}
    assert columns["lr"] == columns["max_per_class"] == columns["seed"] == api_pb2.DATA_TYPE_FLOAT64
    assert columns["mix"] == api_pb2.DATA_TYPE_STRING and columns["download"] == api_pb2.DATA_TYPE_BOOL
    first, second = sorted(groups, key=lambda group: group.hparams["seed"].number_value)
    assert first.name.startswith("ce-s0 ") and second.name.startswith("ce_cmo-s1 ")
    assert (first.hparams["mix"].string_value, second.hparams["mix"].string_value) == ("none", "cmo")
    assert second.hparams["max_per_class"].number_value == 9 and "max_per_class" not in first.hparams
    assert first.hparams["lr_drops"].string_value == "0.8,0.9"
    values = [{value.name.tag: value.value for value in group.metric_values} for group in (first, second)]
    assert [v["final/all"] for v in values] == [33.0, 34.0] and values[1]["final/few"] == 6.5
    assert values[1]["accuracy/all"] == 33.0 and "final/medium" not in values[1]
    assert {g.sessions[0].status for g in groups} == {api_pb2.STATUS_SUCCESS}


def test_a_run_that_goes_on_is_listed_as_such(sweep):
    write(sweep / "begun", ["--seed=7"], epochs=1, ends=False)
    _, groups = page(sweep)
    (begun,) = [group for group in groups if group.hparams["seed"].number_value == 7]
    assert begun.sessions[0].status == api_pb2.STATUS_UNKNOWN and len(groups) == 3


def test_equal_names_in_other_folders_stay_apart(sweep):
    write(sweep / "more" / "ce-s0", ["--epochs=3", "--dataset=digits", "--lr=0.2"])
    assert len(page(sweep)[1]) == 3


def test_what_is_this_machines_stays_out():
    settings, _, _ = config.parse(["--data_dir=/here", "--run_dir=/there", "--seed=2"])
    found = hparams.values(settings)
    assert {"data_dir", "run_dir", "mode", "input", "worker_index"}.isdisjoint(found) and found["seed"] == 2
    assert len(found) > 50
