"""Converters talk on stderr from Python and C++ alike; nothing of it is shown, an error is told in one line."""

import contextlib
import logging
import os
import sys
import tempfile
import warnings

from cmo_tf.core.errors import UserError
from cmo_tf.run.signals import Stopped


@contextlib.contextmanager
def converting(name: str):
    """Silences stderr, logging and warnings in the block; an error in it becomes a UserError that names the format."""
    sys.stderr.flush()
    level, stderr = logging.root.manager.disable, os.dup(2)
    with tempfile.TemporaryFile() as said, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        os.dup2(said.fileno(), 2)
        try:
            yield
        except (UserError, Stopped):
            raise
        except Exception as error:  # each converter has kinds of its own
            reason = next(iter(str(error).strip().split("\n")), "")[:300]
            raise UserError(f"--format={name}: its converter refuses this network or these package versions "
                            f"({type(error).__name__}: {reason}); take another format, or the versions of "
                            "requirements-export.txt") from error
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            logging.disable(level)
