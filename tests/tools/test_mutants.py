"""Mutants: every mutation is one small change that still compiles, and the runner tells killed from surviving."""

from queue import SimpleQueue

import pytest

from tests.support.program import ROOT
from tools.maintain import mutants
from tools.maintain.mutations import mutations

SOURCE = '''"""Text stays 3."""


def clipped(value: int = 3, *, low=0.5):
    if value < low and not low == 2:
        raise ValueError(f"{value + 1} is too low")
    log(value)
    return -value if low else value * [1, 2][
        0]
'''


def test_every_kind_of_change():
    changes = {(m.before, m.after) for m in mutations("x.py", SOURCE)}
    assert {("value < low", "(value <= low)"), ("low == 2", "(low != 2)"), ("log(value)", "pass"),
            ("3", "4"), ("0.5", "1.5"), ("-value", "(value)")} <= changes
    assert not [before for before, _ in changes if "Text" in before or "too low" in before and "if" not in before]


@pytest.mark.parametrize("path", ["cmo_tf/losses/ldam.py", "cmo_tf/long_tail.py", "cmo_tf/optim/sgd.py"])
def test_mutations_of_our_files_compile_and_keep_the_lines(path):
    source = (ROOT / path).read_text(encoding="utf-8")
    found = mutations(path, source)
    assert len(found) > 10
    for mutation in found:
        assert mutation.source != source and mutation.source.count("\n") == source.count("\n")
        compile(mutation.source, path, "exec")


@pytest.mark.parametrize("test, outcome", [("assert half(4) == 2", "killed"), ("assert half(0) == 0", "survived")])
def test_a_mutant_faces_its_tests(test, outcome, tmp_path):
    source = "def half(value):\n    return value / 2\n"
    (tmp_path / "half.py").write_text(source, encoding="utf-8")
    asking = f"from half import half\n\n\ndef test_half():\n    {test}\n"
    (tmp_path / "test_half.py").write_text(asking, encoding="utf-8")
    places = SimpleQueue()
    places.put(tmp_path)
    mutation = next(m for m in mutations("half.py", source) if m.after == "(value * 2)")
    assert mutants.face(mutation, ["test_half.py"], places) == outcome
    assert (tmp_path / "half.py").read_text(encoding="utf-8") == source
    assert mutants.face(mutation, [], places) == "untested"
    assert "1 of 2 mutants killed (50.0 %)" in mutants.report([(mutation, "killed"), (mutation, "survived")])


def test_the_tests_of_numbers_are_there():
    from tools.maintain import processors
    assert all((ROOT / path).exists() for path in processors.SENSITIVE)
    assert len(processors.SETTINGS) == 7
