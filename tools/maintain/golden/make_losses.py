"""Makes tests/golden/losses_<name>.npz by running an official implementation from a checkout of its repository.

    python tools/maintain/golden/make_losses.py --name=lade --source=CHECKOUT [--golden=tests/golden]

Inputs are the logits, labels, lam and class counts of losses_ir100.npz. For every case CASE of a name the file has the
value CASE, its gradient CASE_grad, and both for lam * L(labels) + (1 - lam) * L(labels_f) as CASE_mixed and
CASE_mixed_grad; `ib` also has `features` and the gradients by them. PyTorch is needed for ldam_drw, lade, ib and
torch, TensorFlow for cb and logit_adjustment; tests/golden/README.md names repositories, commits and versions.
"""

import argparse
import os
import sys
import types
from unittest import mock

import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, choices=MAKERS)
    parser.add_argument("--source", default=".", help="checkout of the official repository")
    parser.add_argument("--golden", default=os.path.join("tests", "golden"))
    options = parser.parse_args()
    with np.load(os.path.join(options.golden, "losses_ir100.npz"), allow_pickle=False) as file:
        given = dict(file)
    sys.argv = sys.argv[:1]
    found = MAKERS[options.name](os.path.abspath(options.source), given)
    np.savez_compressed(os.path.join(options.golden, f"losses_{options.name}.npz"), **found)


def ldam_drw(source, given):
    losses, weights = _torch_module(source, "losses"), _tensor(given["drw_weights"])
    return _run_torch(given, {
        "focal_g1": losses.FocalLoss(gamma=1),
        "focal_g2_drw": losses.FocalLoss(weight=weights, gamma=2),
    })


def lade(source, given):
    import torch
    # The repository's utils import plotting and metrics, which the losses do not use.
    for name in ("matplotlib", "matplotlib.pyplot", "sklearn", "sklearn.metrics"):
        sys.modules[name] = mock.MagicMock()
    torch.Tensor.cuda = lambda self, *args, **kwargs: self
    sys.path.insert(0, source)
    regulariser, prior = _torch_module(source, "loss.LADELoss"), _torch_module(source, "loss.PriorCELoss")
    data = dict(num_classes=100, img_max=500, prior=0.01)
    ce, cases = prior.create_loss(**data), {}
    if not (ce.img_num_per_cls.numpy() == given["class_counts"]).all():
        raise RuntimeError("the official code counts the classes in another way")
    for alpha, rho in ((0.1, 0.01), (0.05, 0.5)):
        term = regulariser.create_loss(**data, remine_lambda=rho)
        cases[f"lade_a{alpha:g}_r{rho:g}"] = lambda z, y, a=alpha, term=term: ce(z, y) + a * term(z, y)
    return _run_torch(given, cases)


def ib(source, given):
    import torch
    sys.argv += ["--dataset", "cifar100"]
    losses = _torch_module(source, "losses")
    counts = given["class_counts"]
    weights = _tensor(1.0 / counts / (1.0 / counts).sum() * len(counts))
    features = np.maximum(np.random.default_rng(0).normal(size=(64, 64)), 0).astype("float32")

    def case(loss):
        # What the official network returns beside its logits.
        return lambda z, y, h: loss(z, y, torch.sum(torch.abs(h), 1).reshape(-1, 1))

    cases = {"ib": case(losses.IBLoss(alpha=1000)), "ib_inverse": case(losses.IBLoss(weights, alpha=1000))}
    return {"features": features, **_run_torch(given, cases, features)}


def torch_smoothing(source, given):
    from torch.nn.functional import cross_entropy
    weights = _tensor(given["drw_weights"])
    return _run_torch(given, {
        "ce_smooth": lambda z, y: cross_entropy(z, y, label_smoothing=0.1),
        "ce_smooth_drw": lambda z, y: cross_entropy(z, y, weight=weights, label_smoothing=0.1),
    })


def class_balanced(source, given):
    import tensorflow
    tf = tensorflow.compat.v1
    tf.disable_eager_execution()
    # The training script is for TensorFlow 1; network and data are not wanted here.
    sys.modules.update({name: mock.MagicMock() for name in ("cifar", "cifar_model", "cifar_utils", "data_utils")})
    sys.modules["tensorflow"] = tf
    sys.path.insert(0, os.path.join(source, "src"))
    import cifar_main
    network = types.SimpleNamespace(forward_pass=lambda x, input_data_format: x)
    cifar_main.cifar_model.ResNetCifar = lambda *args, **kwargs: network
    logits = tf.get_variable("logits", initializer=given["logits"])

    def official(kind, gamma, labels):
        labels = tf.constant(labels, tf.int32)
        return cifar_main._tower_fn(True, 0.0, logits, labels, "100", "channels_last", 32, 0.9, 1e-5, "v1", kind, gamma,
                                    given["drw_weights"])[0][0]

    found = {}
    with tf.Session() as session:
        for name, kind, gamma in (("cb_softmax", "softmax", 0.0), ("cb_sigmoid", "sigmoid", 0.0),
                                  ("cb_focal_g0.5", "focal", 0.5), ("cb_focal_g2", "focal", 2.0)):
            first, second = (official(kind, gamma, given[key]) for key in ("labels", "labels_f"))
            mixed = given["lam"] * first + (1.0 - given["lam"]) * second
            session.run(tf.global_variables_initializer())
            for key, value in ((name, first), (f"{name}_mixed", mixed)):
                found[key], found[f"{key}_grad"] = session.run([value, tf.gradients(value, logits)[0]])
    return found


def logit_adjustment(source, given):
    import tensorflow as tf
    sys.path.insert(0, source)
    from logit_adjustment import utils
    prior, found = given["class_counts"] / given["class_counts"].sum(), {}
    for tau in (1.0, 2.0):
        loss, logits, lam = utils.build_loss_fn(True, prior, tau), tf.Variable(given["logits"]), given["lam"]
        with tf.GradientTape(persistent=True) as tape:
            plain = loss(given["labels"], logits)
            mixed = lam * plain + (1.0 - lam) * loss(given["labels_f"], logits)
        for key, value in ((f"logit_adjust_t{tau:g}", plain), (f"logit_adjust_t{tau:g}_mixed", mixed)):
            found[key], found[f"{key}_grad"] = value.numpy(), tape.gradient(value, logits).numpy()
    return found


def _torch_module(source, name):
    import importlib

    import torch
    torch.cuda.FloatTensor = torch.FloatTensor
    if source not in sys.path:
        sys.path.insert(0, source)
    return importlib.import_module(name)


def _tensor(array):
    import torch
    return torch.tensor(array, dtype=torch.float32)


def _run_torch(given, cases, features=None):
    """Values and gradients of losses (logits, labels[, features])."""
    import torch
    found, lam = {}, float(given["lam"])
    labels, labels_f = (torch.tensor(given[key]) for key in ("labels", "labels_f"))
    for name, loss in cases.items():
        for mixed in (False, True):
            leaves = [_tensor(x).requires_grad_() for x in (given["logits"], features) if x is not None]
            value = loss(leaves[0], labels, *leaves[1:])
            if mixed:
                value = lam * value + (1.0 - lam) * loss(leaves[0], labels_f, *leaves[1:])
            value.backward()
            key = f"{name}_mixed" if mixed else name
            found |= {key: value.detach().numpy(), f"{key}_grad": leaves[0].grad.numpy()}
            if features is not None:
                found[f"{key}_features_grad"] = leaves[1].grad.numpy()
    return found


MAKERS = {"ldam_drw": ldam_drw, "lade": lade, "ib": ib, "torch": torch_smoothing, "cb": class_balanced,
          "logit_adjustment": logit_adjustment}

if __name__ == "__main__":
    main()
