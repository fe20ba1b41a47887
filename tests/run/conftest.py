from tests.support.run_fixtures import at_root, determinism_of_runs, small_networks  # noqa: F401
