"""Flags and Config: every field round-trips, every bad value is one clear line, --help knows every flag."""

import dataclasses
import re
import subprocess
import sys
import typing

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from cmo_tf import config
from cmo_tf.config import Config
from cmo_tf.core.errors import UserError
from cmo_tf.methods import METHODS
from cmo_tf.mixing import DEFAULTS as MIXER_DEFAULTS
from tests.support.program import ROOT

FIELDS = {field.name: field for field in dataclasses.fields(Config)}
TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=20)
PREFIXED = {"dataset": st.sampled_from(["digits", "cifar10", "tfds:mnist"]) | TEXT.map(lambda path: f"folder:{path}"),
            "test_prior": st.sampled_from(["none", "uniform", "train"])}


def kind(field):
    return field.metadata["kind"] or type(field.default)


def values(field):
    """Strategy of the values that a field takes, its default among them."""
    meta, of = field.metadata, kind(field)
    low, high, above = meta["low"], meta["high"], meta["above"]
    if field.name in PREFIXED:
        found = PREFIXED[field.name]
    elif meta["choices"]:
        found = st.sampled_from(sorted(meta["choices"]))
    elif of is bool:
        found = st.booleans()
    elif of is int:
        found = st.integers(low, high)
    elif of is str:
        found = TEXT
    else:
        bottom = low if above is None else above
        numbers = st.floats(bottom, high, exclude_min=above is not None, allow_nan=False, allow_infinity=False)
        found = st.lists(numbers, max_size=4).map(tuple) if of is tuple else numbers
    return found | st.just(field.default)


FREE = [f for f in FIELDS.values() if f.name != "method" and not f.metadata["methods"]]


def assert_round_trip(made, tmp_path):
    assert config.parse(made.arguments(everything=True))[0] == made
    kept = {f.name: getattr(made, f.name) for f in FIELDS.values() if f.metadata["replay"]}
    path = tmp_path / "flags.cfg"
    path.write_text("\n".join(made.arguments()) + "\n", encoding="utf-8")
    again = config.parse([f"--flagfile={path}"])[0]
    assert again == dataclasses.replace(Config(), **kept)
    assert all(type(getattr(again, name)) is type(value) for name, value in kept.items())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_every_config_round_trips(tmp_path, data):
    chosen = data.draw(st.lists(st.sampled_from(FREE), unique=True, max_size=12))
    given = {field.name: data.draw(values(field), label=field.name) for field in chosen}
    try:
        made = Config(**given)
    except UserError as error:
        assert str(error).startswith("--") and "\n" not in str(error)
        reject()
    assert_round_trip(made, tmp_path)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_round_trips(method, tmp_path):
    made, _, _ = config.parse([f"--method={method}"])
    assert {name: getattr(made, name) for name in METHODS[method].flags} == dict(METHODS[method].flags)
    # The flags that only this method has, each away from its default.
    for field in FIELDS.values():
        if method in (field.metadata["methods"] or ()):
            low, high, choices = (field.metadata[name] for name in ("low", "high", "choices"))
            value = {bool: not field.default, int: (low or 0) + 1,
                     str: sorted(choices)[0] if choices else "my runs/of 2024",
                     float: (low or 0) + 0.25 if high is None else ((low or 0) + high) / 2}[kind(field)]
            value = value + 1 if kind(field) is int and value == field.default else value
            made = dataclasses.replace(made, **{field.name: value})
            assert getattr(made, field.name) != field.default
    assert_round_trip(made, tmp_path)


def test_exact_numbers():
    for text in ("0.1", "1e-7", "0.30000000000000004", "3"):
        made = config.parse([f"--lr={text}"])[0]
        assert made.lr == float(text) and config.parse(made.arguments())[0].lr == float(text)
    assert config.parse(["--lr_drops="])[0].lr_drops == () and config.parse([])[0].lr_drops == (0.8, 0.9)
    assert config.parse(["--lr_drops=0.5, 0.7"])[0].lr_drops == (0.5, 0.7)


def test_defaults_are_those_of_the_published_recipe():
    made = Config()
    assert config.parse([])[0] == made
    recipe = dict(
        epochs=200, batch_size=128, drop_remainder=False, lr=0.1, momentum=0.9, l2=2e-4, nesterov=False,
        warmup_epochs=5, lr_drops=(0.8, 0.9), lr_factor=0.01, probability=0.5, alpha=1.0, per_image=False,
        mix_skip_first=4, mix_skip_last=3, q_power=1.0, q_kind="inverse", q_level="image", many_above=100,
        few_below=20, split_seed=0, val_fraction=0.0, imbalance_ratio=None)
    assert {name: getattr(made, name) for name in recipe} == recipe
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.lr = 1.0


def test_flag_kinds_match_the_annotations():
    hints = typing.get_type_hints(Config)
    for field in FIELDS.values():
        assert hints[field.name] is kind(field), field.name
        assert field.metadata["help"] and field.default is None or type(field.default) is kind(field)


# What a flag of pretrained weights needs beside it.
WITH = {"upscale": ["--model=efficientnet_lite0"], "feature_views": ["--init_weights=w.h5"],
        "unfreeze": ["--init_weights=w.h5", "--train=all"]}


@pytest.mark.parametrize("name", [f.name for f in FIELDS.values() if kind(f) in (int, float, tuple)])
def test_ranges(name):
    meta, of = FIELDS[name].metadata, kind(FIELDS[name])
    assert meta["low"] is not None or meta["above"] is not None, "a number without a lower bound"
    method = [f"--method={meta['methods'][0]}"] if meta["methods"] else WITH.get(name, [])
    bad = [meta["above"], meta["above"] - 1] if meta["above"] is not None else [meta["low"] - 1]
    bad += [meta["high"] + 1] if meta["high"] is not None else []
    bad += [] if of is int else ["nan", "inf", "-inf"]
    for value in bad:
        with pytest.raises(UserError, match=f"^--{name}=.* must be .*(at least|more than)") as error:
            config.parse([*method, f"--{name}={value}"])
        assert "\n" not in str(error.value)
    for good in (meta["low"], meta["high"]):
        if good is not None and name not in ("many_above", "few_below"):
            config.parse([*method, f"--{name}={good}"])


@pytest.mark.parametrize("name", [f.name for f in FIELDS.values() if f.metadata["choices"]])
def test_choices(name):
    first = sorted(FIELDS[name].metadata["choices"])[0]
    with pytest.raises(UserError, match=f"^--{name}={first}x: .*({first}|there are)"):
        config.parse([f"--{name}={first}x"])


@pytest.mark.parametrize("arguments, message", [
    (["--epoch=3"], "--epoch: no such flag. Did you mean --epochs?"),
    (["--qwertz"], "--qwertz: no such flag."),
    (["--epochs"], "--epochs: the value is missing"),
    (["--epochs=abc"], "--epochs=abc: a whole number is needed"),
    (["--epochs=1.5"], "--epochs=1.5: a whole number is needed"),
    (["--lr=fast"], "--lr=fast: a number is needed"),
    (["--drop_remainder=maybe"], "--drop_remainder=maybe: write true or false"),
    (["--nodrop_remainder=true"], "--nodrop_remainder=true does not take an argument"),
    (["--epochs=3", "digits"], "'digits' is no flag; write --name=value"),
    (["--", "--epochs=3"], "'--epochs=3' is no flag; write --name=value"),
    (["--mix=cnmo"], "--mix=cnmo: no such mixer; did you mean 'cmo'?"),
    (["--model=resnet23"], "--model=resnet23: no such model; did you mean"),
    (["--dataset=cifar1000"], "--dataset=cifar1000: no such data set; did you mean 'cifar100'?"),
    (["--dataset=folder:"], "--dataset=folder:: something must follow the colon"),
    (["--lr_drops=0.8;0.9"], "--lr_drops: '0.8;0.9' is no number"),
    (["--few_below=50", "--many_above=20"], "--few_below=50 must be at most --many_above=20 plus 1"),
    (["--method=ce_drw", "--loss=bs"], "--method=ce_drw stands for --loss=ce and contradicts --loss=bs"),
    (["--reweight=drw", "--method=ldam"], "--method=ldam stands for --reweight=none and contradicts --reweight=drw"),
    (["--data_dir=/a #1"], "--data_dir='/a #1': a comment behind a flag"),
    (["--data_dir=/a\nb"], "--data_dir='/a\\nb': begins or ends with a blank or holds a line break"),
])
def test_complaints(arguments, message):
    with pytest.raises(UserError) as error:
        config.parse(arguments)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert "Error" not in str(error.value) and "literal" not in str(error.value)


def test_methods_and_mixers_bring_their_flags():
    made = config.parse(["--method=ldam_drw", "--mix=cmo", "--loss=ldam"])[0]
    assert (made.loss, made.reweight, made.mix, made.probability) == ("ldam", "drw", "cmo", 0.5)
    for mixer, flags in MIXER_DEFAULTS.items():
        made = config.parse([f"--mix={mixer}"])[0]
        assert {name: getattr(made, name) for name in flags} == dict(flags)
        name, value = "probability", 0.25  # what is given stands
        assert getattr(config.parse([f"--mix={mixer}", f"--{name}={value}"])[0], name) == value


def test_later_flags_win_and_files_are_named(tmp_path):
    path = tmp_path / "base.cfg"
    path.write_text("--epochs=5\n--nodownload\n")
    made, files, parsed = config.parse(["--epochs=2", f"--flagfile={path}", "--seed=3"])
    assert (made.epochs, made.download, made.seed, files) == (5, False, 3, [str(path)]) and not parsed.help
    assert config.parse([f"--flagfile={path}", "--epochs=9", "--download"])[0].epochs == 9


def test_parsing_leaves_no_global_flags():
    from absl import flags
    config.parse(["--epochs=3"])
    assert "epochs" not in flags.FLAGS and config.parse([])[0].epochs == 200


@pytest.mark.parametrize("flag", ["--help", "--helpfull", "-?"])
def test_help_mentions_every_flag_under_its_subject(flag, capsys):
    from cmo_tf import main
    assert main.main([flag]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for subject in config.SUBJECTS:
        heading = text.index(subject.__doc__.rstrip(".") + ":")
        for name in subject.__annotations__:
            start = re.search(rf"--(\[no\])?{name}[ =]", text[heading:]).end() + heading
            assert FIELDS[name].metadata["help"][:30] in text[start:start + 120], name
    assert "--flagfile=" in text


def test_short_help_names_what_most_runs_need(capsys):
    from cmo_tf import main
    from cmo_tf.config import usage
    assert main.main(["--helpshort"]) == 0
    text = capsys.readouterr().out
    assert set(re.findall(r"^  --(\w+)", text, re.MULTILINE)) == set(usage.COMMON)
    assert "--helpfull" in text


def test_help_into_a_pipe_that_closes():
    """`--help | head -1`, as people type it."""
    command = f"{sys.executable} -m cmo_tf.main --helpfull | head -1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stderr == "" and ended.stdout.count("\n") == 1
