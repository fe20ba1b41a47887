"""Makes tests/golden/ride_loss.npz and ride_network.npz by running RIDE's official code from a checkout.

    python tools/maintain/golden/make_ride.py --source=CHECKOUT [--golden=tests/golden]

Needs PyTorch; tests/golden/README.md names repository, commit and version. Weights and inputs are rounded, so that the
files compress well.
"""

import argparse
import os
import sys

import numpy as np
import torch

EXPERTS, ROWS = 3, 24


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="checkout of frank-xwang/RIDE-LongTailRecognition")
    parser.add_argument("--golden", default=os.path.join("tests", "golden"))
    options = parser.parse_args()
    sys.path.insert(0, os.path.abspath(options.source))
    # The code is for a GPU and for a torch.where that took bytes as conditions.
    torch.Tensor.cuda = lambda self, *args, **kwargs: self
    where = torch.where
    torch.where = lambda condition, *others: where(condition.bool(), *others)
    with np.load(os.path.join(options.golden, "losses_ir100.npz"), allow_pickle=False) as file:
        given = {key: file[key] for key in ("labels", "labels_f", "lam", "class_counts")}
    np.savez_compressed(os.path.join(options.golden, "ride_loss.npz"), **losses(given))
    np.savez_compressed(os.path.join(options.golden, "ride_network.npz"), **networks())


def losses(given):
    """Values and gradients by the experts' logits of RIDELoss before (160) and after the re-weighting epoch."""
    from model.loss import RIDELoss, RIDELossWithDistill
    random = np.random.default_rng(0)
    labels, labels_f, lam = given["labels"][:ROWS], given["labels_f"][:ROWS], float(given["lam"])
    found = {"experts": _rounded(random.normal(0, 4, (EXPERTS, ROWS, 100)), 64), "labels": labels,
             "labels_f": labels_f, "lam": given["lam"], "class_counts": given["class_counts"],
             "teacher": _rounded(random.normal(0, 4, (ROWS, 100)), 64)}
    counts, teacher = [int(n) for n in given["class_counts"]], torch.tensor(found["teacher"])
    for name, kind, factor, reweight_factor, epoch in (
            ("before", RIDELoss, -0.45, 0.05, 160), ("after", RIDELoss, -0.45, 0.05, 161),
            ("imagenet", RIDELoss, -0.2, 0.02, 161), ("collaborative", RIDELoss, 0.0, 0.05, 161),
            ("distilled", RIDELossWithDistill, -0.45, 0.05, 161)):
        options = {"distill_temperature": 1.5} if kind is RIDELossWithDistill else {}
        loss = kind(cls_num_list=counts, additional_diversity_factor=factor, reweight=True, reweight_epoch=160,
                    reweight_factor=reweight_factor, **options)
        loss._hook_before_epoch(epoch)
        for mixed in (False, True):
            experts = torch.tensor(found["experts"], requires_grad=True)
            mean = torch.stack(list(experts), dim=1).mean(dim=1)

            def official(target, loss=loss, mean=mean, experts=experts, options=options):
                target, info = torch.tensor(target), {"logits": list(experts)}
                return loss(mean, target, teacher, info) if options else loss(mean, target, info)

            value = lam * official(labels) + (1 - lam) * official(labels_f) if mixed else official(labels)
            value.backward()
            key = f"{name}_mixed" if mixed else name
            found[key], found[f"{key}_grad"] = value.detach().numpy(), experts.grad.numpy()
        if name in ("after", "imagenet"):
            found[f"{name}_temperatures"] = loss.per_cls_weights_enabled_diversity.numpy()
    return found


def networks():
    """ResNet-20 with three experts and a router, and an unreduced ResNet-8 with two, on random weights."""
    from model.ldam_drw_resnets import ea_resnet_cifar, ride_resnet_cifar
    random = np.random.default_rng(1)
    # Bright, dark, flat and busy images, or all would look the same to random weights.
    offset, spread = random.normal(0, 2, (16, 3, 1, 1)), random.uniform(0.1, 3, (16, 3, 1, 1))
    x = _rounded(offset + spread * random.normal(size=(16, 3, 32, 32)), 16)
    plain = ride_resnet_cifar.ResNet_s(ride_resnet_cifar.BasicBlock, [3, 3, 3], EXPERTS, num_classes=10,
                                       reduce_dimension=True, use_norm=True)
    routed = ea_resnet_cifar.ResNet_s(ea_resnet_cifar.BasicBlock, [3, 3, 3], EXPERTS, num_classes=10, pos_weight=100,
                                      reduce_dimension=True, top_choices_num=5, use_norm=True)
    wide = ride_resnet_cifar.ResNet_s(ride_resnet_cifar.BasicBlock, [1, 1, 1], 2, num_classes=10, use_norm=True)
    weights = _weights(routed, random)
    _load(plain, weights)
    _make_opinions_differ(weights, plain, x)
    _load(plain, weights)
    _load(routed, weights)
    _make_needs_differ(weights, routed, x)
    _load(routed, weights)
    found = {"x_nchw": x, **{f"w/{name}": array for name, array in weights.items() if "num_batches" not in name}}
    found |= _forward(plain, x, "") | _router(routed, x, random)
    weights = _weights(wide, random)
    _load(wide, weights)
    found |= {f"wide/{name}": array for name, array in weights.items() if "num_batches" not in name}
    return found | _forward(wide, x[:4], "wide_")


def _load(network, weights):
    network.load_state_dict({name: torch.tensor(weights[name]) for name in network.state_dict()})


def _make_opinions_differ(weights, network, x):
    """Random features of all images point the same way; the heads are turned square to it."""
    network.eval()
    with torch.no_grad():
        network(torch.tensor(x))
    for number, features in enumerate(network.feat.mean(dim=0).numpy()):
        towards, name = features / np.linalg.norm(features), f"linears.{number}.weight"
        weights[name] = _rounded(weights[name] - np.outer(towards, towards @ weights[name]), 1024)


def _make_needs_differ(weights, network, x):
    """Has the router look at the logits, and moves its last bias so that half of its first answers are yes."""
    weights["expert_help_pred_fc.weight"][:, :5] *= 64
    _load(network, weights)
    answers, ask = [], network.pred_expert_help
    network.pred_expert_help = lambda given, number: answers.append(ask(given, number)) or answers[-1]
    network.eval()
    with torch.no_grad():
        network(torch.tensor(x), torch.zeros(len(x), dtype=torch.int64))
    del network.pred_expert_help
    weights["expert_help_pred_fc.bias"] -= _rounded(np.median(answers[0].numpy()), 1024)


def _forward(network, x, prefix):
    found, x = {}, torch.tensor(x)
    with torch.no_grad():
        for mode in ("eval", "train"):
            network.train(mode == "train")
            mean = network(x).numpy()
            found |= {f"{prefix}logits_{mode}": mean, f"{prefix}features_{mode}": network.feat.numpy(),
                      f"{prefix}experts_{mode}": torch.stack(network.logits, dim=1).numpy()}
    return found


def _router(network, x, random):
    """Loss and gradients of the router's training, with BatchNorm in evaluation mode, and the routed logits."""
    x, labels = torch.tensor(x), torch.tensor(random.integers(0, 10, len(x)))
    network.train()
    network._hook_before_iter()
    with torch.no_grad():  # half of the labels are what the experts together say, so that there is help to be had
        labels[::2] = network(x, labels)[0].argmax(1)[::2]
    _, loss = network(x, labels)
    loss.sum().backward()
    found = {"labels": labels.numpy(), "router_loss": loss.detach().numpy()}
    found |= {f"router_grad/{name}": parameter.grad.numpy() for name, parameter in network.named_parameters()
              if parameter.requires_grad}
    network.eval()
    with torch.no_grad():
        logits, used = network(x)
    return {**found, "routed_logits": logits.numpy(), "routed_experts": used.numpy()}


def _weights(network, random):
    """Random, rounded values for a state dict, of the sizes that training would give them."""
    found = {}
    for name, tensor in network.state_dict().items():
        shape = tuple(tensor.shape)
        if name.endswith("num_batches_tracked"):
            found[name] = np.array(0)
        elif len(shape) > 1:
            fan_in = shape[0] if name.startswith("linears") else int(np.prod(shape[1:]))
            found[name] = _rounded(random.normal(0, (2 / fan_in) ** 0.5, shape), 64)
        elif name.endswith("running_var") or (".bn" in name or name.startswith("bn")) and name.endswith("weight"):
            found[name] = _rounded(random.uniform(0.5, 1.5, shape), 64)
        else:
            found[name] = _rounded(random.normal(0, 0.1, shape), 64)
    return found


def _rounded(array, steps):
    return (np.round(array * steps) / steps).astype("float32")


if __name__ == "__main__":
    main()
