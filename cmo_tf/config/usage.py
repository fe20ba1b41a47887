"""What `--help`, `--helpshort` and `--helpfull` print: the flags by subject, those that most runs need first."""

import dataclasses
import os
import shutil
import sys
import textwrap

from cmo_tf.config.config import SUBJECTS

USAGE = """Trains a classifier on long-tailed images, evaluates, inspects, predicts and exports.

    python -m cmo_tf.main --flagfile=flags/NAME.cfg [--flag=value ...]

--flagfile=FILE reads flags from a file, one --name=value a line; a later flag wins. --name switches a flag on, --noname
off. flags/ holds ready settings, docs/ explains them."""
COMMON = ("mode", "run_dir", "seed", "dataset", "data_dir", "imbalance_ratio", "image_size", "val_fraction", "model",
          "init_weights", "method", "loss", "mix", "sampler", "epochs", "batch_size", "lr", "augment", "strategy")


def asked(values) -> str | None:
    """The text that the parsed absl flags `values` ask for; None: none."""
    if values.helpfull:
        return text(_full)
    if values.helpshort:
        return text(_line, COMMON) + "\n--help lists all flags, --helpfull says what each of them takes.\n"
    return text(_line) + "\n--helpshort lists the most used ones, --helpfull says what each takes.\n" \
        if values.help else None


def show(shown: str) -> int:
    """Prints a text; a pipe that closes early (`| head`) is no error. Returns the exit code."""
    try:
        print(shown, end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def text(describe, only=None) -> str:
    """The flags by subject: a heading, then `describe(field)` of each, or of those whose names are in `only`."""
    parts = [USAGE]
    for subject in SUBJECTS:
        names = subject.__annotations__
        fields = [f for f in dataclasses.fields(subject) if f.name in names and (only is None or f.name in only)]
        if fields:
            parts.append("\n".join([f"{subject.__doc__.rstrip('.')}:", *map(describe, fields)]))
    return "\n\n".join(parts) + "\n"


def _line(field) -> str:
    choices = field.metadata["choices"]
    return _wrapped(_name(field), field.metadata["help"] + (f" ({', '.join(choices)})" if choices else ""))


def _full(field) -> str:
    """The same with kind, range and the methods that a flag is for."""
    meta = field.metadata
    kind = {int: "a whole number", float: "a number", tuple: "numbers with commas", bool: "on or off"}.get(
        meta["kind"] or type(field.default), "one of them" if meta["choices"] else "text")
    bounds = [f"{word} {_number(meta[key])}" for key, word in
              (("low", "at least"), ("above", "more than"), ("high", "at most")) if meta[key] is not None]
    methods = [f"for --method={', '.join(meta['methods'])}"] if meta["methods"] else []
    return _line(field) + "\n" + _wrapped(None, "; ".join([" ".join([kind, " and ".join(bounds)]).strip(), *methods]))


def _name(field) -> str:
    """`--epochs=200`, `--[no]download (on)`, `--run_dir` where nothing is set."""
    if isinstance(field.default, bool):
        return f"--[no]{field.name} ({'on' if field.default else 'off'})"
    if field.default is None:
        return f"--{field.name}"
    default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
    return f"--{field.name}={default}"


def _wrapped(name, words) -> str:
    """Name, and the text behind it, indented; below it where the name is long."""
    width, column = min(shutil.get_terminal_size((100, 24)).columns, 120), 26
    lines = textwrap.wrap(words, max(20, width - column), break_long_words=False, break_on_hyphens=False)
    head = "" if name is None else f"  {name}"
    first = [head.ljust(column) + lines.pop(0)] if len(head) < column else [head]
    return "\n".join(first + [" " * column + line for line in lines])


def _number(value) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
