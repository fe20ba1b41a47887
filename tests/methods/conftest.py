from tests.support.run_fixtures import determinism_of_runs, no_plots, small_networks  # noqa: F401
