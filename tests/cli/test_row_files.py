"""The row files of the paper's tables: short, with the printed figure in their first line, and each trains."""

import pathlib
import re

import numpy as np
import pytest
from program import ROOT
from row_steps import two_steps

from cmo_tf import config

FILES = sorted(f for f in (ROOT / "flags").rglob("*.cfg") if f.parent.name != "flags")
NAMES = [str(f.relative_to(ROOT / "flags")) for f in FILES]
# One of each kind of row for the fast suite; all of them behind the slow marker.
FAST = ["table03/02_ce_ros.cfg", "table03/07_ce_drw_remix.cfg", "table09/01_cutmix.cfg", "table10/04_e_k.cfg",
        "table11/07_ldam_drw_cmo_back.cfg", "table12/01_cmo_w_gaussian_blur.cfg", "table12/03_cmo_w_mixup.cfg",
        "supp_figure01/01_ce_cmo_alpha_0_1.cfg"]


def settings(name, *others):
    return config.parse([f"--flagfile={ROOT / 'flags' / name}", *others])[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_short_and_starts_with_its_figure(name):
    lines = (ROOT / "flags" / name).read_text().splitlines()
    assert len(lines) <= 6 and max(map(len, lines)) <= 120
    table, data, _, figures = (part.strip() for part in lines[0].removeprefix("# ").split("|"))
    number = int(pathlib.Path(name).parent.name[-2:])
    kind = "Supplement" if name.startswith("supp") else "Paper"
    assert re.fullmatch(rf"{kind} (Table|Figure) {number}", table)
    assert re.match(r"all=\d\d\.\d", figures) or figures == "no number is printed"
    found = settings(name)
    stem = {"cifar100": "cifar100lt", "imagenet_lt": "imagenet_lt", "inaturalist2018": "inat2018"}[found.dataset]
    assert sum(line.startswith(f"--flagfile=../{stem}_") for line in lines) == 1
    named = f"CIFAR-100-LT ratio {found.imbalance_ratio or 0:g}"
    assert data == {"imagenet_lt": "ImageNet-LT", "inat2018": "iNaturalist 2018"}.get(stem, named)
    assert config.parse(found.arguments(everything=True))[0] == found


def check(name, tiny_flags):
    losses, moved = two_steps(settings(name, *tiny_flags(settings(name).dataset)))
    assert np.isfinite(losses).all()
    assert len(moved) > 50 and np.mean([m > 0 for m in moved]) > 0.9


@pytest.mark.parametrize("name", FAST)
def test_a_kind_of_row_takes_two_steps(name, tiny_flags):
    check(name, tiny_flags)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NAMES) - set(FAST)))
def test_every_row_takes_two_steps(name, tiny_flags):
    check(name, tiny_flags)
