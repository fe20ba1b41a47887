"""Promise 15, second part: files damaged at random are read, or refused in one line; nothing else happens.

The default suite tries some hundred inputs a kind, always the same; `make faults` runs each kind for a minute from a
new seed and prints how many it tried. CMO_TF_FUZZ_SECONDS and CMO_TF_FUZZ_SEED change that.
"""

import os
import secrets
import time
import warnings

import pytest

from cmo_tf.core.errors import UserError
from tests.support.fuzz_targets import TARGETS
from tests.support.mutations import mutated

SECONDS = float(os.environ.get("CMO_TF_FUZZ_SECONDS", 60))


def fuzz(target, folder, first, inputs, seconds=float("inf")) -> tuple[int, int]:
    """(inputs tried, inputs read as good) from the seed `first` on."""
    seeds, path = target.seeds(folder), str(folder / target.name)
    began, good, tried = time.monotonic(), 0, 0
    while tried < inputs and time.monotonic() - began < seconds:
        data = mutated(seeds, list(target.words), first + tried)
        with open(path, "wb") as file:
            file.write(data)
        try:
            target.read(folder, path)
            good += 1
        except UserError as error:
            assert "\n" not in str(error), (first + tried, error)
        except BaseException as error:
            error.add_note(f"input {first + tried} of {type(target).__name__}: {data[:2000]!r}")
            raise
        tried += 1
    return tried, good


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


INPUTS = {"flag files": 120, "pictures of published sets": 60, "models": 200, "packages": 150}


@pytest.mark.parametrize("kind", TARGETS)
def test_some_hundred_inputs(kind, tmp_path):
    tried, good = fuzz(TARGETS[kind](), tmp_path, 0, INPUTS.get(kind, 300))
    print(f"{kind}: {tried} inputs tried, {good} of them read")
    assert good < tried


@pytest.mark.faults
@pytest.mark.parametrize("kind", TARGETS)
def test_a_minute_of_inputs(kind, tmp_path, capsys):
    first = int(os.environ.get("CMO_TF_FUZZ_SEED", secrets.randbelow(2**40)))
    tried, good = fuzz(TARGETS[kind](), tmp_path, first, 10**9, SECONDS)
    with capsys.disabled():
        print(f"\nfuzz {kind}: {tried:,} inputs tried in {SECONDS:.0f} s from seed {first}, {good:,} read, "
              f"{tried - good:,} refused in a line")
