"""The tables of flags/paper: headed by the printed figures, each row a run, and each kind of row trains."""

import re

import numpy as np
import pytest

from cmo_tf import config
from cmo_tf.config import flagfile
from cmo_tf.run.folder import default_run_dir
from tests.support.program import ROOT, program
from tests.support.row_steps import combination, two_steps

FILES = sorted((ROOT / "flags/paper").glob("*.cfg"))
ROWS = {f"{path.stem}.cfg:{row.name}": row for path in FILES for row in flagfile.table(str(path))}
# One of each kind of row for the fast suite; all other combinations of choices behind the slow marker.
FAST = ["table03.cfg:ce_ros", "table03.cfg:ldam_drw_remix", "table09.cfg:cutmix", "table10.cfg:e_k",
        "table11.cfg:ldam_drw_cmo_back", "table12.cfg:cmo_w_gaussian_blur", "table12.cfg:cmo_w_mixup",
        "supp_figure01.cfg:ce_cmo_alpha_0_1"]


def settings(place, *others):
    return config.parse([f"--flagfile={ROOT}/flags/paper/{place}", *others])[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_table_is_named_and_narrow(path):
    lines = path.read_text().splitlines()
    assert max(map(len, lines)) <= 120
    kind, number = re.fullmatch(r"(supp_|)(?:table|figure)(\d\d)", path.stem).groups()
    assert re.match(rf"# {'Supplement' if kind else 'Paper'} (Table|Figure) {int(number)} \| ", lines[0])


@pytest.mark.parametrize("place", ROWS)
def test_a_row_says_its_data_and_figure(place):
    row, expected = ROWS[place], settings(place)
    large = {"imagenet_lt": "ImageNet-LT", "inaturalist2018": "iNaturalist 2018"}
    assert len(row.lines) <= 7 and ("all" in row.printed or row.figures == "no number is printed")
    ratio = f"CIFAR-100-LT ratio {expected.imbalance_ratio or 0:g}"
    assert row.data == large.get(expected.dataset, ratio)
    assert config.parse(expected.arguments(everything=True))[0] == expected


def test_rows_that_say_the_same_say_it_once():
    first = {}
    for place in sorted(ROWS, key=lambda place: (place.startswith("supp"), place)):
        refers = any(re.fullmatch(r"--flagfile=\w+\.cfg:\w+", line.strip()) for _, line in ROWS[place].lines)
        assert refers == (settings(place) in first), place
        first.setdefault(settings(place), place)


def check(place, tiny_flags):
    losses, moved = two_steps(settings(place, *tiny_flags(settings(place).dataset)))
    assert np.isfinite(losses).all()
    assert len(moved) > 50 and np.mean([m > 0 for m in moved]) > 0.9


@pytest.mark.parametrize("place", FAST)
def test_a_kind_of_row_takes_two_steps(place, tiny_flags):
    check(place, tiny_flags)


@pytest.mark.slow
@pytest.mark.parametrize("place", sorted({combination(settings(place)): place for place in ROWS}.values()))
def test_every_combination_of_choices_takes_two_steps(place, tiny_flags):
    check(place, tiny_flags)


def test_a_row_by_the_program():
    place = f"{ROOT}/flags/paper/table10.cfg"
    ended = program(f"--flagfile={place}:q_2", "--show_flags")
    assert ended.code == 0 and {"--q_power=2.0", "--mix=cmo", "--dataset=cifar100"} <= set(ended.out.split())
    assert config.parse(ended.out.split())[0] == config.parse([f"--flagfile={place}:q_2"])[0]
    assert default_run_dir(config.parse([f"--flagfile={place}:q_2"])[1], 3) == "runs/table10-q_2-s3"


def test_without_a_row_they_are_listed():
    place = f"{ROOT}/flags/paper/table10.cfg"
    ended = program(f"--flagfile={place}")
    lines = ended.err.splitlines()
    assert ended.code == 2
    assert lines[0].endswith(f"table10.cfg: is a table; name one of its rows, --flagfile={place}:q_1_2")
    assert len(lines) == 5 and "q(2) | CIFAR-100-LT ratio 100 | all=40.1" in lines[3]


@pytest.mark.parametrize("lines, place, said", [
    (["[a] A | all=1"], ":b", "no such row. Did you mean {path}:a?"),
    (["--epochs=3"], ":b", "{path}:b: no such row. It is no table; leave the row out"),
    (["[a] A | all=1", "[a] B | all=2"], ":a", "{path}:2: [a] is in line 1 already"),
    (["[a] A"], ":a", "{path}:1: a heading is [name] title | figures"),
    (["[a] A | all=1", "--flagfile={path}:a"], ":a", "includes itself"),
    (["[a] A | all=1", "--epoch=3"], ":a", "{path}:2: --epoch: no such flag. Did you mean --epochs?")])
def test_what_is_no_table_or_row_is_named(lines, place, said, tmp_path):
    path = tmp_path / "table.cfg"
    path.write_text("".join(line.format(path=path) + "\n" for line in lines))
    ended = program(f"--flagfile={path}{place}")
    assert ended.code == 2 and ended.err.count("\n") == 1 and said.format(path=path) in ended.err
