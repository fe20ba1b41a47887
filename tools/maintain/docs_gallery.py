"""The entries of docs/methods.md, from the registries: one a method, loss, mixer, sampler and re-weighting."""

import dataclasses
import inspect
from pathlib import Path

from cmo_tf.callbacks import WEIGHTINGS
from cmo_tf.config import Config
from cmo_tf.losses import LOSSES
from cmo_tf.methods import METHODS
from cmo_tf.mixing import MIXERS
from cmo_tf.sampling.samplers import SAMPLERS
from tools.maintain import method_figures

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {field.name: field for field in dataclasses.fields(Config)}
DRAWN = {"p": "the training set P", "q": "Q", "permuted": "other rows of the batch"}


def methods() -> list[str]:
    """`--method`: paper, what it stands for, flags of its own, where it is written, figures."""
    printed, rows = method_figures.printed(), method_figures.row_files()
    lines = []
    for name, method in METHODS.items():
        figures = [f"{label} {found}" for data, label in (("digits", "digits"), ("cifar10lt", "CIFAR-10-LT"))
                   if (found := method_figures.measured(data, name)) not in ("", "not run")]
        own = [field for field in FIELDS.values() if name in (field.metadata["methods"] or ())]
        lines += _entry(name, f"{method.summary[0].upper()}{method.summary[1:]}.", {
            "paper": method.paper,
            "stands for": " ".join(f"`--{key}={_value(value)}`" for key, value in method.flags.items()),
            "flags of its own": "; ".join(map(_flag, own)),
            "written in": _link(method_place(name, method)),
            "checked against": method.checked,
            "row": f"`{rows[name]}`" if name in rows else "",
            "printed, all classes": printed.get(name, ""),
            "measured here, all classes": ", ".join(figures),
        })
    return lines


def method_place(name, method) -> str:
    """Where a method is written: its own module, or for a combination of flags the loss."""
    return METHODS.place(name) if method.stages or not method.flags else LOSSES.place(method.flags["loss"])


def losses() -> list[str]:
    """`--loss`: equation, source, flags, head."""
    lines = []
    for name, loss in LOSSES.items():
        what, source = _described(loss)
        lines += _entry(name, what, {
            "class": f"`cmo_tf.losses.{loss.__name__}`",
            "flags of its own": "; ".join(_flag(FIELDS[flag]) for flag in loss.flags.values() if flag in FIELDS),
            "head": "cosine" if loss.head == "normed" else "linear",
            "of one method": f"`--method={loss.method}`" if loss.method else "",
            "written in": _link(LOSSES.place(name)),
            "source": source,
        })
    return lines


def mixers() -> list[str]:
    """`--mix`: what is mixed with what."""
    lines = []
    for name, mixer in MIXERS.items():
        what, source = _described(mixer)
        lines += _entry(name, what.removeprefix("`--mix=none`: "), {
            "class": f"`{mixer.__module__}.{mixer.__name__}`",
            "images from": DRAWN[mixer.canvas],
            "mixed with": DRAWN.get(mixer.partner, ""),
            "label share": "" if mixer.partner is None else
                           "pixels that the box leaves" if mixer.plan == "box" else "as drawn",
            "written in": _link(MIXERS.place(name)),
            "source": source,
        })
    return lines


def samplers() -> list[str]:
    """`--sampler`: what an epoch is made of."""
    return [line for name, sampler in SAMPLERS.items()
            for line in _entry(name, _described(sampler)[0], {"written in": _link(SAMPLERS.place(name)),
                                                              "source": _described(sampler)[1]})]


def weightings() -> list[str]:
    """`--reweight`: class weights, and from when."""
    return [line for name, weighting in WEIGHTINGS.items()
            for line in _entry(name, f"{weighting.summary[0].upper()}{weighting.summary[1:]}.",
                               {"from epoch": f"{weighting.start:g} of the run" if weighting.start else ""})]


def _entry(name, text, facts) -> list[str]:
    told = [f"- {key}: {value}" for key, value in facts.items() if value]
    return ["", f"### `{name}`", "", text, *(["", *told] if told else [])]


def _described(entry) -> tuple[str, str]:
    """(first paragraph, source) of a docstring."""
    paragraphs = [" ".join(part.split()) for part in (inspect.getdoc(entry) or "").split("\n\n")]
    source = next((part.removeprefix("Source: ") for part in paragraphs if part.startswith("Source: ")), "")
    return paragraphs[0], source


def _flag(field) -> str:
    default = "" if field.default is None else f"={_value(field.default)}"
    return f"`--{field.name}{default}` {' '.join(field.metadata['help'].split())}"


def _value(value) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _link(place: str) -> str:
    path = place.partition(":")[0].replace(".", "/") + ".py"
    return f"[{path}](../{path})"



TABLES = {"gallery-methods": methods, "gallery-losses": losses, "gallery-mixers": mixers,
          "gallery-samplers": samplers, "gallery-weightings": weightings}
