"""pytest plug-in of tools.maintain.mutants: the seconds of each test, set-up included, into the file MUTANT_TIMES."""

import json
import os
import time

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    start = time.monotonic()
    result = yield
    with open(os.environ["MUTANT_TIMES"], "a", encoding="utf-8") as file:
        print(json.dumps({"test": item.nodeid, "seconds": time.monotonic() - start}), file=file)
    return result
