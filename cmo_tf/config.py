"""The program's flags: one table of fields -> absl flags -> one frozen Config -> `flags.cfg`, an exact round trip."""

import dataclasses
import math

from absl import flags

from cmo_tf import checks as own_checks
from cmo_tf import contradictions, flagfile
from cmo_tf.augment import AUGMENTATIONS
from cmo_tf.callbacks import WEIGHTINGS
from cmo_tf.datasets import BIG, DATA_FORMATS, DATASETS
from cmo_tf.datasets import check as check_dataset
from cmo_tf.datasets.bad_images import ACTIONS as BAD_IMAGES
from cmo_tf.errors import UserError
from cmo_tf.evaluation.prior import check as check_test_prior
from cmo_tf.losses import LOSSES
from cmo_tf.methods import METHODS
from cmo_tf.mixing import DEFAULTS as MIXER_DEFAULTS
from cmo_tf.mixing import MIXERS
from cmo_tf.models import MODELS
from cmo_tf.samplers import SAMPLERS
from cmo_tf.schedules import SCHEDULES

MODES = ("train", "eval", "inspect", "predict", "export", "preview")
TWO_STAGE = ("crt", "lws", "las", "mislas")
SMOTE = ("smote", "borderline_smote")
SECOND_STAGE = (*TWO_STAGE, "fsa", *SMOTE)


def flag(default, text, *, choices=None, low=None, high=None, kind=None, above=None, replay=True, methods=None):
    """A field of Config: default and help text, its choices or range (`above` excludes the bound), whether it is part
    of what `flags.cfg` replays, and the methods that it is for, if not for all."""
    return dataclasses.field(default=default, metadata=dict(
        help=text, choices=choices, low=low, high=high, above=above, replay=replay, kind=kind, methods=methods))


@dataclasses.dataclass(frozen=True)
class Config:
    """Every setting of a run. Fields are the flags of the same names; see `--help`."""

    mode: str = flag("train", "what to do", choices=MODES, replay=False)
    run_dir: str = flag(None, "run folder; default runs/<flagfile>-s<seed>", kind=str, replay=False)
    input: str = flag(None, "predict: pictures and folders of them, with commas", kind=str, replay=False)
    output: str = flag(None, "predict: CSV file, default standard output; export: folder, default export in the run's",
                       kind=str, replay=False)
    top: int = flag(5, "predict: classes named for each picture", low=1, replay=False)
    format: str = flag(None, "export: keras, savedmodel, onnx, litert or litert_int8, with commas", kind=str,
                       replay=False)
    dataset: str = flag("digits", f"{', '.join(DATASETS)}, tfds:NAME or folder:DIR")
    data_dir: str = flag(None, "TensorFlow Datasets directory (default ~/tensorflow_datasets), or of a set's lists and "
                         "pictures", kind=str)
    data_format: str = flag("auto", f"what {' and '.join(BIG)} are read from: files with the published lists, records of "
                            "TensorFlow Datasets, or (auto) what is in --data_dir", choices=DATA_FORMATS)
    cache: str = flag("none", "what of a set read from files or records is kept in memory: encoded pictures (for slow "
                      "disks; they are decoded all the same), the pixels of evaluations, or both",
                      choices=("none", "encoded", "eval", "all"))
    data_service: str = flag(None, "host:port of processes that make the training batches, with commas; "
                             "tools/data_service.py starts them", kind=str, replay=False)
    download: bool = flag(True, "download small sets that are missing (big ones never by themselves)")
    image_size: int = flag(None, "height and width of the network's input; default the set's own", kind=int, low=4)
    imbalance_ratio: float = flag(None, "largest over smallest class; default the set's own", kind=float, low=1)
    profile: str = flag("exp", "shape of the long tail", choices=("exp", "step"))
    max_per_class: int = flag(None, "cap of the largest class (a prefix of the same shuffles)", kind=int, low=1)
    val_fraction: float = flag(0.0, "validation images in parts of the training split", low=0, high=0.5)
    bad_images: str = flag("error", "what a picture of folder:DIR that cannot be read does: ends the run, or is left out "
                           "and listed in skipped.txt of the run folder", choices=BAD_IMAGES)
    max_bad: float = flag(0.05, "with --bad_images=skip: the most that may be left out; below 1 a share of all", low=0)
    split_seed: int = flag(0, "seed of the long-tailed split (0: the published one)", low=0, high=2**32 - 1)
    many_above: int = flag(100, "many-shot classes have more training images than this", low=0)
    few_below: int = flag(20, "few-shot classes have fewer training images than this", low=0)
    model: str = flag("resnet32", "network", choices=MODELS)
    method: str = flag("plain", "named combination of the flags below", choices=METHODS)
    init_weights: str = flag(None, "local file of weights for all layers but the classifier: .keras, .weights.h5 or .h5 "
                             "of Keras, or a PyTorch state dict as .npz", kind=str)
    freeze_backbone: bool = flag(False, "train the classifier alone, on the frozen network of --init_weights")
    init_from: str = flag(None, "run folder whose network a later stage starts from", kind=str)
    mix: str = flag("none", "mixer", choices=MIXERS)
    probability: float = flag(0.5, "of mixing a batch; the paper's Algorithm 1 reads 1", low=0, high=1)
    alpha: float = flag(1.0, "of Beta(alpha, alpha)", above=0)
    per_image: bool = flag(False, "a plan (coin, share, box) a row instead of one a batch")
    mix_skip_first: int = flag(4, "epochs at the start without mixing", low=0)
    mix_skip_last: int = flag(3, "epochs at the end without mixing", low=0)
    mix_unmixed: str = flag("canvas", "what feeds unmixed batches of cmo_back and cmo_minor", choices=("canvas", "p"))
    remix_kappa: float = flag(3.0, "imbalance from which Remix leans its labels", low=1)
    remix_tau: float = flag(0.5, "share below which Remix gives up the larger class", low=0, high=0.5)
    sampler: str = flag("instance", "what an epoch of the training split is made of", choices=SAMPLERS)
    q_power: float = flag(1.0, "r of Q, weight 1 / n^r", low=0)
    q_kind: str = flag("inverse", "weights of Q by count or by effective number", choices=("inverse", "effective"))
    q_level: str = flag("image", "Q weighs images (official code) or classes (Eq. 2 to the letter)",
                        choices=("image", "class"))
    q_source: str = flag("index", "how Q is drawn", choices=("index", "rejection", "interleave"))
    loss: str = flag("ce", "loss", choices=LOSSES)
    reweight: str = flag("none", "class weights of the loss", choices=WEIGHTINGS)
    reweight_start: float = flag(None, "first epoch of re-weighting; below 1 a fraction of --epochs; default 0.8 for "
                                 "drw, 0 for the others", kind=float, low=0)
    reweight_beta: float = flag(0.9999, "of the effective number", low=0, high=1 - 1e-12)
    ldam_margin: float = flag(0.5, "largest margin of LDAM", above=0)
    ldam_scale: float = flag(30.0, "scale of LDAM's cosines", above=0)
    label_smoothing: float = flag(0.0, "of cross-entropy: share of the label that goes to all classes", low=0,
                                  high=1 - 1e-9)
    focal_gamma: float = flag(1.0, "focus of focal and focal_sigmoid", low=0)
    focal_factor: float = flag(1.0, "factor of focal; 10 in the IB and CMO code", above=0)
    la_tau: float = flag(1.0, "weight of the log prior in logit_adjust", low=0)
    lade_alpha: float = flag(0.1, "weight of LADE's regulariser", low=0)
    lade_rho: float = flag(0.01, "weight of the square in LADE's regulariser", low=0)
    ib_alpha: float = flag(1000.0, "factor of the influence-balanced loss", above=0)
    ib_epsilon: float = flag(1e-3, "added to the influence it divides by", above=0)
    ib_start: float = flag(0.5, "first epoch of the influence-balanced loss, cross-entropy before; below 1 a fraction "
                           "of --epochs", low=0)
    las_smooth_head: float = flag(0.4, "label-aware smoothing of the largest class (las, mislas)", low=0, high=1)
    las_smooth_tail: float = flag(0.1, "label-aware smoothing of the smallest class (las, mislas)", low=0, high=1)
    las_lr_factor: float = flag(0.2, "rate of the classifier by that of the scale in stage 2 of las and mislas",
                                above=0, methods=("las", "mislas"))
    stage2_epochs: int = flag(None, "length of the second stage; default lws 5, the others 10", kind=int, low=1,
                              methods=SECOND_STAGE)
    stage2_lr: float = flag(None, "base rate of the second stage; default crt and lws 0.2 (at batch 512), las, mislas "
                            "and smote 0.1, fsa 0.0005", kind=float, above=0, methods=SECOND_STAGE)
    shift_bn: bool = flag(True, "statistics of BatchNorm follow the batches of a second stage",
                          methods=(*TWO_STAGE, "fsa"))
    fsa_blocks: int = flag(1, "residual blocks behind fsa's fused map, which learn", low=0, methods=("fsa",))
    fsa_confusing: int = flag(3, "head classes fused with a tail class; 15 for large sets", low=1, methods=("fsa",))
    fsa_fused: int = flag(3, "new images of each tail image in a batch; 15 for large sets", low=1, methods=("fsa",))
    fsa_specific: float = flag(0.8, "activation above which cells are specific", low=0, high=1, methods=("fsa",))
    fsa_generic: float = flag(0.2, "activation below which cells are generic", low=0, high=1, methods=("fsa",))
    smote_space: str = flag("pixels", "what SMOTE interpolates", choices=("pixels", "features"), methods=SMOTE)
    smote_neighbors: int = flag(5, "neighbours that SMOTE draws one of", low=1, methods=SMOTE)
    borderline_kind: int = flag(1, "Borderline-SMOTE 1 or 2", low=1, high=2, methods=("borderline_smote",))
    borderline_context: int = flag(10, "neighbours that show what is borderline", low=1, methods=("borderline_smote",))
    tau: float = flag(None, "of tau_norm; default the best of 0 to 2 on the validation split", kind=float, low=0,
                      methods=("tau_norm",))
    tde_heads: int = flag(2, "parts that the head of causal_norm cuts the features into", low=1,
                          methods=("causal_norm",))
    tde_tau: float = flag(16.0, "scale of causal_norm's cosines", above=0, methods=("causal_norm",))
    tde_gamma: float = flag(1 / 32, "added to the norms of causal_norm's weights", low=0, methods=("causal_norm",))
    tde_alpha: float = flag(1.5, "strength of causal_norm's subtraction at inference: 1 CIFAR-10, 3 ImageNet-LT",
                            low=0, methods=("causal_norm",))
    tde_follow_lr: bool = flag(False, "tie causal_norm's moving mean to the rate, as its code does on sets other than "
                               "CIFAR", methods=("causal_norm",))
    paco_alpha: float = flag(0.01, "weight of PaCo's positives other than the class centre; 0.05 for large sets", low=0)
    paco_temperature: float = flag(0.05, "of PaCo's contrast; 0.2 for large sets", above=0)
    paco_beta: float = flag(1.0, "weight of PaCo's class centre", above=0)
    paco_supt: float = flag(1.0, "temperature of PaCo's class centres", above=0)
    paco_dim: int = flag(32, "size of PaCo's projections; 128 for large sets", low=1, methods=("paco",))
    paco_queue: int = flag(1024, "keys that PaCo keeps, a multiple of the batch; 8192 for large sets", low=1,
                           methods=("paco",))
    paco_momentum: float = flag(0.999, "of PaCo's key encoder", low=0, high=1, methods=("paco",))
    augment2: str = flag(None, "augmentation of PaCo's second view; default that of the first", kind=str,
                         choices=AUGMENTATIONS, methods=("paco",))
    experts: int = flag(3, "experts of ride", low=2, high=64, methods=("ride",))
    ride_reduced: bool = flag(True, "give ride's private stages three quarters of the channels", methods=("ride",))
    ride_diversity: float = flag(-0.45, "factor of ride's divergence, negative for experts that differ; -0.2 for large "
                                 "sets", low=-100, high=100)
    ride_tempering: float = flag(0.05, "how far ride's temperatures follow the prior; 0.02 for ImageNet-LT, 0.015 for "
                                 "iNaturalist", low=0, high=1)
    ride_router: bool = flag(False, "second stage of ride: a router decides how many experts an image needs",
                             methods=("ride",))
    router_epochs: int = flag(5, "length of the router's stage", low=1, methods=("ride",))
    router_top: int = flag(30, "largest logits that the router looks at; 50 for large networks", low=1,
                           methods=("ride",))
    router_pos_weight: float = flag(100.0, "weight of images that the next expert helps", above=0)
    distill_from: str = flag(None, "run folder whose network ride also learns from", kind=str, methods=("ride",))
    distill_temperature: float = flag(1.5, "of --distill_from", above=0)
    test_prior: str = flag("none", "class distribution that logits are moved to at evaluation: none, uniform (post-hoc "
                           "logit adjustment), train or file:PATH, one number a class")
    test_tau: float = flag(1.0, "weight of the training prior that --test_prior takes out", low=0)
    augment: str = flag(None, "augmentation; default the set's own", kind=str, choices=AUGMENTATIONS)
    cutout_size: int = flag(None, "side of Cutout's hole; default 16 (8 in the original on CIFAR-100)", kind=int, low=1)
    cutout_fill: str = flag(None, "Cutout's hole; default black", kind=str, choices=("black", "mean"))
    minority_max: int = flag(None, "largest class that the minority augmentations touch; default 100", kind=int, low=1)
    rand_n: int = flag(None, "operations of RandAugment; default 2", kind=int, low=1)
    rand_m: float = flag(None, "level of RandAugment; default 10", kind=float, low=0, high=10)
    rand_std: float = flag(None, "spread of that level; default 0.5", kind=float, low=0)
    epochs: int = flag(200, "length of the run", low=1)
    max_steps: int = flag(None, "stop after this many steps, with a report", kind=int, low=1)
    batch_size: int = flag(128, "global batch", low=1)
    drop_remainder: bool = flag(False, "leave out the short last batch of an epoch")
    lr: float = flag(0.1, "base learning rate", above=0)
    schedule: str = flag("step", "of the learning rate", choices=SCHEDULES)
    lr_drops: tuple = flag((0.8, 0.9), "fractions of --epochs at which the rate drops", kind=tuple, low=0, high=1)
    lr_factor: float = flag(0.01, "of each drop", above=0, high=1)
    warmup_epochs: int = flag(5, "of linear warm-up", low=0)
    warmup_start: float = flag(0.0, "share of --lr that the warm-up climbs from", low=0, high=1)
    momentum: float = flag(0.9, "of SGD", low=0, high=1 - 1e-9)
    nesterov: bool = flag(False, "Nesterov momentum")
    l2: float = flag(2e-4, "added to the gradient of every weight, as PyTorch's weight_decay", low=0)
    seed: int = flag(0, "of the run: initial weights, order, draws", low=0, high=2**31 - 1)
    eval_every: int = flag(1, "epochs between evaluations (the last one is always evaluated)", low=1)
    eval_batch_size: int = flag(500, "images evaluated at once", low=1)
    early_stop: int = flag(0, "stop after this many epochs without a better mean accuracy over classes on the validation "
                           "images; 0: never", low=0)
    keep: str = flag("last", "epoch whose weights model.keras and the results are of, the last or the best on the "
                     "validation images", choices=("last", "best"))
    checkpoint_every: int = flag(1, "epochs between checkpoints", low=1)
    checkpoint_every_steps: int = flag(0, "steps between checkpoints inside an epoch; 0: none", low=0)
    precision: str = flag("float32", "of the network's arithmetic; losses stay in float32",
                          choices=("float32", "bfloat16", "float16"))
    jit_compile: bool = flag(False, "compile the training step with XLA, on one device and with --drop_remainder")
    gradient_accumulation: int = flag(1, "micro-batches that a step works through one after another, for batches "
                                      "larger than the memory; BatchNorm sees a micro-batch", low=1)
    strategy: str = flag("none", "distribution: all devices of this machine, or of several",
                         choices=("none", "mirrored", "multiworker"))
    num_devices: int = flag(0, "devices of --strategy=mirrored; 0: all", low=0)
    worker_hosts: str = flag(None, "host:port of each worker of --strategy=multiworker, the chief first, with commas; "
                             "default by TF_CONFIG", kind=str, replay=False)
    worker_index: int = flag(None, "place of this worker in --worker_hosts, from 0", kind=int, low=0, replay=False)
    worker_timeout: float = flag(60.0, "seconds after which a silent worker counts as lost; all start within ten times "
                                 "that", low=1, replay=False)
    sync_bn: bool = flag(False, "statistics of BatchNorm over all replicas; default of each for itself, as published")
    deterministic: bool = flag(None, "bit-identical repeats; default on for CPU, off for GPU", kind=bool)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
            methods = field.metadata["methods"]
            if methods and self.method not in methods and getattr(self, field.name) != field.default:
                raise UserError(f"{_argument(field.name, getattr(self, field.name))} does nothing with "
                                f"--method={self.method}; leave it out or take --method={methods[0]}")
        check_dataset(self.dataset)
        check_test_prior(self.test_prior)
        for message in contradictions.devices(self):
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
    flags.DEFINE_bool("help", False, "show the flags", short_name="?", flag_values=values)
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
        return Config(**_with_method(given)), files, values
    except UserError as error:
        raise flagfile.complaint(error, flat) from None


def _with_method(given):
    """Adds the flags that `--method` stands for; one that is given with another value is a contradiction."""
    name = given.get("method", "plain")
    for key, value in METHODS[name].flags.items():
        if given.setdefault(key, value) != value:
            raise UserError(f"--method={name} stands for {_argument(key, value)} and contradicts "
                            f"{_argument(key, given[key])}; "
                            "leave one of them out")
    return {**MIXER_DEFAULTS.get(given.get("mix"), {}), **given}


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
