"""Flags: what to do, and where results go."""

import dataclasses

from cmo_tf.config.flag import flag

MODES = ("train", "eval", "inspect", "predict", "export", "preview")


@dataclasses.dataclass(frozen=True)
class ProgramFields:
    """What to do, and where results go."""

    mode: str = flag("train", "what to do", choices=MODES, replay=False)
    run_dir: str = flag(None, "run folder; default runs/<flagfile>-s<seed>", kind=str, replay=False)
    seed: int = flag(0, "seed of the run: initial weights, order, draws", low=0, high=2**31 - 1)
    max_steps: int = flag(None, "stop after this many steps, with a report", kind=int, low=1)
    input: str = flag(None, "predict: pictures and folders of them, with commas", kind=str, replay=False)
    output: str = flag(None, "predict: CSV file, default standard output; export: folder, default export in the run's",
                       kind=str, replay=False)
    top: int = flag(5, "predict: classes named for each picture", low=1, replay=False)
    format: str = flag(None, "export: keras, savedmodel, onnx, litert or litert_int8, with commas", kind=str,
                       replay=False)
