"""Flags that do not go together, a line each."""

from cmo_tf.datasets import OWN
from cmo_tf.methods import METHODS
from cmo_tf.methods.pretrained import LINEAR_HEAD
from cmo_tf.models.applications import PREFIX
from cmo_tf.models.weights.pretrained import FILES, IMAGENET
from cmo_tf.optim.radius import parse_steps
from cmo_tf.sampling.samplers import UNDERSAMPLE

# Methods of more than one stage that begin with ordinary training of --model.
ORDINARY_FIRST = ("crt", "lws", "tau_norm", "las", "mislas", "fsa", "smote", "borderline_smote", "safe_level_smote",
                  "meta_sampler")


def all_of(config) -> list[str]:
    """A line for each contradiction of a Config; none where all is well."""
    # People's own pictures may bring a validation set, which is known when they are listed.
    own = config.dataset.partition(":")[0] in OWN
    return [*devices(config), *(() if own else validation(config)), *training(config), *undersampling(config),
            *fine_tuning(config), *sharpness(config)]


def validation(config) -> list[str]:
    """Of what needs validation images, for a set that brings none."""
    checks = (
        (config.early_stop, f"--early_stop={config.early_stop}: looks at validation images; add --val_fraction=0.1"),
        (config.keep == "best", "--keep=best: the best epoch is that on validation images; "
         "add --val_fraction=0.1"),
        (config.calibrate != "none", f"--calibrate={config.calibrate}: is fitted on validation images; "
         "add --val_fraction=0.1"),
    )
    return [line for wrong, line in checks if wrong and not config.val_fraction]


def devices(config) -> list[str]:
    """Of devices and precision."""
    several, accumulation = config.strategy == "multiworker", config.gradient_accumulation
    checks = (
        (config.num_devices and config.strategy != "mirrored",
         f"--num_devices={config.num_devices}: is for --strategy=mirrored; leave it out"
         + (" and set CUDA_VISIBLE_DEVICES" if several else "")),
        (not several and config.worker_hosts, f"--worker_hosts={config.worker_hosts}: is for --strategy=multiworker"),
        (config.sync_bn and config.strategy == "none", "--sync_bn: is for several devices, --strategy=mirrored or "
         "multiworker; leave it out"),
        (config.sync_bn and accumulation > 1, f"--gradient_accumulation={accumulation}: cuts the batches that "
         "--sync_bn puts together; leave one of them out"),
        (config.batch_size % accumulation, f"--gradient_accumulation={accumulation}: does not divide --batch_size="
         f"{config.batch_size}"),
        (config.jit_compile and not config.drop_remainder, "--jit_compile: XLA compiles for one size of batch; add "
         "--drop_remainder"),
        (config.jit_compile and config.deterministic, "--deterministic: Keras compiles nothing with XLA under it; "
         "leave it or --jit_compile out"),
        (config.jit_compile and config.strategy != "none", f"--jit_compile: does not go with --strategy="
         f"{config.strategy}; leave one of them out"),
    )
    return [line for wrong, line in checks if wrong]


def sharpness(config) -> list[str]:
    """Of sharpness-aware minimisation."""
    parse_steps(config.sam_steps)
    without = not config.sam_rho
    own = config.method == "meta_weight_net" or config.method == "metasaug" and config.metasaug_form == "network"
    checks = (
        (without and config.sam_steps, f"--sam_steps={config.sam_steps}: changes --sam_rho, which is 0; add "
         "--sam_rho=0.05"),
        (without and config.sam_adaptive, "--sam_adaptive: is for sharpness-aware minimisation; add --sam_rho=0.5"),
        (config.sam_rho and config.method == "paco", f"--sam_rho={config.sam_rho:g}: runs each batch twice, and "
         "--method=paco would put its keys into the queue twice; leave it out"),
        (config.sam_rho and config.loss == "isda", f"--sam_rho={config.sam_rho:g}: runs each batch twice, and "
         "--loss=isda would learn from it twice; leave it out"),
        (config.sam_rho and own, f"--sam_rho={config.sam_rho:g}: --method={config.method} has a step of its own; leave "
         "it out"),
    )
    return [line for wrong, line in checks if wrong]


def undersampling(config) -> list[str]:
    """Of a sampler that leaves images out."""
    cap, under = config.undersample_cap, config.sampler == UNDERSAMPLE
    checks = (
        (cap and not under, f"--undersample_cap={cap}: is for --sampler={UNDERSAMPLE}; leave it out"),
        (config.undersample_redraw and not under,
         f"--undersample_redraw: is for --sampler={UNDERSAMPLE}; leave it out"),
        (under and config.reweight != "none", f"--reweight={config.reweight}: weighs by the class counts, which "
         f"--sampler={UNDERSAMPLE} makes equal; leave it or the sampler out"),
        (cap and config.test_prior != "none", f"--test_prior={config.test_prior}: starts from the class counts, which "
         "--undersample_cap changes; leave one of them out"),
    )
    return [line for wrong, line in checks if wrong]


def training(config) -> list[str]:
    """Of fine-tuning, early stopping and methods."""
    stages = METHODS[config.method].stages is not None
    several = f"--method={config.method}" if stages else f"--train={config.train}" * (config.train == "head_then_all")
    checks = (
        (config.early_stop and several, f"--early_stop={config.early_stop}: the stages of {several} have a fixed "
         "length; leave it out"),
        (config.keep == "best" and several, f"--keep=best: what {several} leaves is that of its last stage; leave it "
         "out"),
        ((config.early_stop or config.keep == "best") and config.strategy == "multiworker",
         f"--{'early_stop' if config.early_stop else 'keep'}: the chief alone evaluates with --strategy=multiworker; "
         "leave it out"),
        (config.init_weights and stages and config.method not in ORDINARY_FIRST,
         f"--init_weights: --method={config.method} makes its own network; leave it out"),
        (config.init_weights and config.init_from, "--init_weights: --init_from gives the network already; leave one "
         "of them out"),
    )
    return [line for wrong, line in checks if wrong]


def fine_tuning(config) -> list[str]:
    """Of training on pretrained weights."""
    imagenet, train = config.init_weights == IMAGENET, config.train
    known = config.model in FILES or config.model.startswith(PREFIX)
    stages = METHODS[config.method].stages is not None
    checks = (
        (imagenet and not known, f"--init_weights={IMAGENET}: there are none for --model={config.model}; take one of "
         f"{', '.join(FILES)}, {PREFIX}NAME"),
        (imagenet and config.model.startswith(PREFIX) and not config.download,
         f"--nodownload: --init_weights={IMAGENET} of --model={config.model} is fetched by Keras; leave one of them "
         f"out, or take --model={min(FILES)}, whose weights are a package"),
        (config.init_weights and config.dataset == "imagenet_lt" and not config.allow_pretrained,
          f"--init_weights={config.init_weights}: such weights may have seen the pictures that --dataset=imagenet_lt "
         "tests on; leave it out, or add --allow_pretrained and say so with the figures"),
        (config.upscale and not known, f"--upscale={config.upscale}: is for {', '.join(FILES)} and {PREFIX}NAME; leave "
         "it out"),
        (train != "all" and not config.init_weights, f"--train={train}: a trunk that learns nothing needs weights; add "
         f"--init_weights={IMAGENET} or a file"),
        (train == "head" and config.mix != "none", f"--mix={config.mix}: mixes pictures, and --train=head sees their "
         "features; take --train=head_then_all, or --train=all --unfreeze=0"),
        (train == "head" and stages and config.method not in LINEAR_HEAD,
         f"--method={config.method}: works on more than frozen features; take --train=all"),
        (train == "head_then_all" and stages, f"--train=head_then_all: --method={config.method} has stages of its own; "
         "take --train=head or all"),
        (train == "head" and config.data_service, "--data_service: there is nothing to decode with --train=head; leave "
         "it out"),
        ((train == "head" or not config.init_weights) and config.unfreeze is not None,
         f"--unfreeze={config.unfreeze}: is for --train=all and head_then_all on --init_weights; leave it out"),
        ((train == "head" or not config.init_weights) and config.trunk_lr_factor != 0.05,
         f"--trunk_lr_factor={config.trunk_lr_factor}: is for --train=all and head_then_all on --init_weights; leave "
         "it out"),
        (train == "all" and config.feature_views > 1, f"--feature_views={config.feature_views}: is for --train=head "
         "and head_then_all; leave it out"),
    )
    return [line for wrong, line in checks if wrong]
