"""Operations that need not be deterministic, whatever a run in the same process has switched on before."""

import pytest
from tensorflow.python.framework import config


@pytest.fixture
def any_operations():
    """XLA compiles everything only where determinism is off; TensorFlow has no public way to switch it off again."""
    before = config.is_op_determinism_enabled()
    config.disable_op_determinism()
    yield
    if before:
        config.enable_op_determinism()
