"""The program's flags: the fields of the subjects beside it -> absl flags -> one frozen Config -> `flags.cfg`, an exact
round trip."""

import dataclasses
import math

from absl import flags

from cmo_tf.config import conflicts, flagfile, flagtable
from cmo_tf.config.augmentation import AugmentationFields
from cmo_tf.config.checkpoints import CheckpointFields
from cmo_tf.config.data import DataFields
from cmo_tf.config.devices import DeviceFields
from cmo_tf.config.evaluation import EvaluationFields
from cmo_tf.config.losses import LossFields
from cmo_tf.config.methods import MethodFields
from cmo_tf.config.mixing import MixingFields
from cmo_tf.config.network import NetworkFields
from cmo_tf.config.program import MODES, ProgramFields
from cmo_tf.config.training import TrainingFields
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import check as check_dataset
from cmo_tf.evaluation.prior import check as check_test_prior
from cmo_tf.methods import METHODS, pretrained
from cmo_tf.mixing import DEFAULTS as MIXER_DEFAULTS

__all__ = ["MODES", "Config", "define", "parse"]


# By subject, in the order of `--help`: what most people set comes first.
SUBJECTS = (ProgramFields, DataFields, NetworkFields, MethodFields, LossFields, MixingFields, TrainingFields,
            AugmentationFields, EvaluationFields, CheckpointFields, DeviceFields)


@dataclasses.dataclass(frozen=True)
class Config(*reversed(SUBJECTS)):
    """Every setting of a run. Fields are the flags of the same names, those of the program first; see `--help`."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
            methods = field.metadata["methods"]
            if methods and self.method not in methods and getattr(self, field.name) != field.default:
                raise UserError(f"{_argument(field.name, getattr(self, field.name))} does nothing with "
                                f"--method={self.method}; leave it out or take --method={methods[0]}")
        check_dataset(self.dataset)
        check_test_prior(self.test_prior)
        for message in conflicts.all_of(self):
            raise UserError(message)
        if self.few_below > self.many_above + 1:
            raise UserError(f"--few_below={self.few_below} must be at most --many_above={self.many_above} plus 1")

    def arguments(self, everything: bool = False) -> list[str]:
        """The flags that give this Config again; without `everything`, those that `flags.cfg` holds."""
        fields = [f for f in dataclasses.fields(self) if everything or f.metadata["replay"]]
        return [_argument(f.name, getattr(self, f.name)) for f in fields if getattr(self, f.name) is not None]


def define(values: flags.FlagValues) -> flags.FlagValues:
    """Defines the flag of every field on `values`."""
    kinds = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string,
             tuple: flags.DEFINE_list}
    for field in dataclasses.fields(Config):
        meta = field.metadata
        default = [str(v) for v in field.default] if meta["kind"] is tuple else field.default
        text = meta["help"] + (f" ({', '.join(meta['choices'])})" if meta["choices"] else "")
        kinds[meta["kind"] or type(field.default)](field.name, default, text, flag_values=values)
    flags.DEFINE_string("flagfile", None, "read flags from this file, one --name=value a line", flag_values=values)
    flags.DEFINE_bool("help", False, "show the flags by subject", short_name="?", flag_values=values)
    flags.DEFINE_bool("show_flags", False, "show the flags that the command comes to, and end", flag_values=values)
    flags.DEFINE_bool("helpshort", False, "show the flags that most runs need", flag_values=values)
    flags.DEFINE_bool("helpfull", False, "show the flags with kind, range and methods", flag_values=values)
    return values


def parse(arguments: list[str], base: str = ".") -> tuple[Config, list[str], flags.FlagValues]:
    """Config of command-line arguments (without the program), the flag files they name, and the parsed values.

    Raises:
        UserError: an unknown, misspelt, contradictory or out-of-range flag, a stray word, a bad flag file.
    """
    flat, files = flagfile.expand(list(arguments), base)
    values = define(flags.FlagValues())
    try:
        stray = values(["cmo_tf", *flat])[1:]
    except (flags.Error, ValueError) as error:  # ValueError: --noflag=value
        raise flagfile.complaint(error, flat) from None
    if stray:
        raise UserError(f"{stray[0]!r} is no flag; write --name=value")
    given = {f.name: values[f.name].value for f in dataclasses.fields(Config) if values[f.name].present}
    try:
        if "lr_drops" in given:
            given["lr_drops"] = tuple(_number(v) for v in given["lr_drops"])
        config = Config(**_with_method(given))
        _check_row(config, files)
        return config, files, values
    except UserError as error:
        raise flagfile.complaint(error, flat) from None


def _check_row(config, files):
    """A UserError where a row of a paper's table would not start from random weights as printed."""
    row = next((file for file in files if flagtable.split(file)[1]), None)
    if row and config.init_weights and not config.allow_pretrained:
        raise UserError(f"--init_weights={config.init_weights}: {row} is a paper's row, whose figures come from random "
                        "weights; leave it out, or add --allow_pretrained and say so with the figures")


def _with_method(given):
    """Adds the flags that `--method`, `--mix` and `--init_weights` stand for; one that is given with another value
    than that of `--method` is a contradiction."""
    name = given.get("method", "plain")
    for key, value in METHODS[name].flags.items():
        if given.setdefault(key, value) != value:
            raise UserError(f"--method={name} stands for {_argument(key, value)} and contradicts "
                            f"{_argument(key, given[key])}; "
                            "leave one of them out")
    return {**pretrained.defaults(given), **MIXER_DEFAULTS.get(given.get("mix"), {}), **given}


def _number(text):
    try:
        return float(text)
    except ValueError:
        raise UserError(f"--lr_drops: {text!r} is no number; write fractions such as 0.8,0.9") from None


def _check(field, value):
    meta, name = field.metadata, field.name
    if value is None:
        return
    if meta["choices"] and value not in meta["choices"]:
        if hasattr(meta["choices"], "check"):
            meta["choices"].check(value, flag=name)
        raise UserError(f"--{name}={value}: there are {', '.join(meta['choices'])}")
    if isinstance(value, str) and name not in ("input", "output"):  # which no flags.cfg holds
        flagfile.check_value(name, value)
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            continue
        low, high, above = meta["low"], meta["high"], meta["above"]
        if not math.isfinite(number) or (low is not None and number < low) or (high is not None and number > high) \
                or (above is not None and number <= above):
            bounds = [f"at least {low}" if low is not None else "", f"more than {above}" if above is not None else "",
                      f"at most {high}" if high is not None else "", "finite"]
            raise UserError(f"--{name}={number:g} must be {' and '.join(b for b in bounds if b)}")


def _argument(name, value):
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    if isinstance(value, tuple):
        return f"--{name}={','.join(repr(v) for v in value)}"
    return f"--{name}={value!r}" if isinstance(value, float) else f"--{name}={value}"
