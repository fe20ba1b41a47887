from tests.support.run_fixtures import determinism_of_runs  # noqa: F401
