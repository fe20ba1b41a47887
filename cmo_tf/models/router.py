"""RIDE's expert assignment: a small head that decides, after each expert, whether an image needs the next one."""

import keras
from keras import ops

from cmo_tf.models.heads import linear_of, unit_norm
from cmo_tf.models.ride import parts

HIDDEN = 16


def with_router(network, top=30, seed=None):
    """A network of experts with a router on top, everything but the router frozen (BatchNorm in evaluation too).

    Args:
        network: of `models.create_experts`; its layers are shared with the result, and frozen.
        top: t, how many of the largest logits the router looks at, at most C of them.
        seed: an int for repeatable initial weights.

    Returns:
        keras.Model, images -> float32 {"logits": mean over the experts that the router calls (B, C), "experts":
        (B, K, C), "help": the router's answers (B, K-1), "used": experts called (B,)}. All experts are computed;
        `methods.early_exit.EarlyExit` runs only those that are called.

    Source: RIDE, section 3.3; official code, `ea_resnet_cifar.ResNet_s`.
    """
    shared, experts = parts(network)
    for part in (shared, *experts):
        part.trainable = False
    images = keras.Input(network.input_shape[1:], name="image")
    maps = shared(images)
    opinions = [expert(maps) for expert in experts]
    classes, width = (tensor.shape[-1] for tensor in opinions[0])
    top = min(top, classes)
    linear = linear_of(shared)
    last = linear(1, top + HIDDEN, "expert_help_pred_fc", seed)
    total, answers = 0.0, []
    for number, (logits, features) in enumerate(opinions[:-1]):
        total = total + logits
        hidden = linear(HIDDEN, width, f"expert_help_pred_hidden_fcs.{number}", seed)
        answers.append(ask(hidden, last, top, total / (number + 1), features))
    answers = ops.concatenate(answers, axis=1)
    logits = ops.stack([logits for logits, _ in opinions], axis=1)
    yes, called = ops.cast(wanted(answers), "float32"), [ops.ones_like(answers[:, :1])]
    for number in range(answers.shape[1]):  # not cumprod, which LiteRT does not have
        called.append(called[-1] * yes[:, number:number + 1])
    called = ops.concatenate(called, axis=1)
    used = ops.sum(called, axis=1)
    mean = ops.sum(logits * ops.expand_dims(called, -1), axis=1) / ops.expand_dims(used, -1)
    return keras.Model(images, {"logits": mean, "experts": logits, "help": answers, "used": used},
                       name=f"{network.name}_router")


def ask(hidden, last, top, logits, features):
    """The router's answer after an expert, (B, 1): a logit of "the next expert would help".

    Args:
        hidden: dense layer of this boundary. last: dense layer of all boundaries.
        top: t.
        logits: mean over the experts so far (B, C).
        features: pooled ones of the last expert (B, D).
    """
    feeling = ops.relu(hidden(unit_norm(features, axis=-1)))
    confidence, _ = ops.top_k(logits, top)
    return last(ops.concatenate([confidence, feeling], axis=-1))


def wanted(answers):
    """Whether the next expert is called, bool."""
    return ops.sigmoid(answers) > 0.5
