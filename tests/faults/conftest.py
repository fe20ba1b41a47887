import pytest

from tests.support.run_fixtures import at_root, determinism_of_runs, networks, no_plots, small_networks, without_plots  # noqa: F401


@pytest.fixture(scope="package")
def whole(tmp_path_factory):
    """Folder of the uninterrupted run of fault_runs.SMALL. Nothing may change it."""
    from tests.support.fault_runs import small
    from tests.support.method_runs import add_small_networks
    run_dir = tmp_path_factory.mktemp("small") / "whole"
    with pytest.MonkeyPatch.context() as patch, without_plots():
        add_small_networks(patch)
        ended = small(run_dir)
    assert ended.code == 0, ended.err
    return run_dir
