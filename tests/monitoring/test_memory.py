import subprocess
import sys

import numpy as np

from cmo_tf.monitoring.memory import peak_rss
from tests.support.program import ROOT


def test_it_grows_with_what_is_held():
    before = peak_rss()
    held = np.ones(300_000_000, np.uint8)
    assert peak_rss() >= max(before, held.nbytes)


def test_it_is_not_that_of_the_process_that_started_it():
    """ru_maxrss is: a run started from a large program would report that one's memory."""
    held = np.ones(400_000_000, np.uint8)
    code = "from cmo_tf.monitoring.memory import peak_rss; print(peak_rss())"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert 1_000_000 < int(out) < held.nbytes / 2
