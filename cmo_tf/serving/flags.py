"""Which flags go with which mode; asked before TensorFlow is imported."""

from cmo_tf.core.errors import UserError
from cmo_tf.serving.formats import FORMATS, check_installed

# Flag -> the modes that it is for. All others are for training, and describe the run that a mode reads or looks at.
OWN = {"input": ("predict",), "top": ("predict",), "output": ("predict", "export"), "format": ("export",)}
EVERYWHERE = {"mode", "run_dir", "eval_batch_size", "test_prior", "test_tau"}
# A mode that reads a finished run takes its flags from there: others on the command line would do nothing.
TAKES = {"predict": {*EVERYWHERE, "input", "output", "top"},
         "export": {*EVERYWHERE, "output", "format", "data_dir", "data_format", "download"}}
NEEDS = {"predict": {"run_dir": "runs/NAME", "input": "FILE_OR_FOLDER"},
         "export": {"run_dir": "runs/NAME", "format": ",".join(FORMATS)}}


def check(config, given) -> None:
    """A UserError for a flag that `--mode` needs and is not `given`, or that does nothing with it.

    Args:
        config: the Config of the command line.
        given: names of the flags that stand on it or in its flag files.
    """
    mode = config.mode
    for name, modes in OWN.items():
        if name in given and mode not in modes:
            raise UserError(f"--{name}={getattr(config, name)}: is for --mode={' and --mode='.join(modes)}; leave it "
                            f"out or change --mode={mode}")
    for name, example in NEEDS.get(mode, {}).items():
        if not getattr(config, name):
            raise UserError(f"--mode={mode}: --{name} is missing; add --{name}={example}")
    idle = sorted(set(given) - TAKES.get(mode, set(given)))
    if idle:
        raise UserError(f"--{idle[0]}: does nothing with --mode={mode}, which takes the flags of --run_dir; leave it "
                        "out")
    if mode == "export":
        check_installed(formats(config.format))


def formats(text: str) -> list[str]:
    """The formats that `--format` lists, each once."""
    found = list(dict.fromkeys(text.split(",")))
    for name in found:
        FORMATS.check(name)
    return found
