"""Makes tests/golden/resnet_large.npz: outputs and gradients of large ResNets under PyTorch, on weights made by rule.

    python tools/maintain/golden/make_resnet.py --ride=CHECKOUT --bbn=CHECKOUT [--golden=tests/golden]

Needs PyTorch and torchvision; tests/golden/README.md names repositories, commits and versions. The weights are those of
tests/support/seeded_weights.py, so that only names and shapes are stored. Everything is computed in float64.
"""

import argparse
import contextlib
import os
import sys
import types

import numpy as np
import torch
from torchvision.models import resnet

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", ".."))
from tests.support.seeded_weights import images, tensors  # noqa: E402

CLASSES, SHAPE = 7, (2, 3, 64, 56)
PLAIN = {
    "resnet10": lambda: resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES),
    "resnet50": lambda: resnet.resnet50(num_classes=CLASSES),
    "resnet101": lambda: resnet.resnet101(num_classes=CLASSES),
    "resnet152": lambda: resnet.resnet152(num_classes=CLASSES),
    "wide_resnet50_2": lambda: resnet.wide_resnet50_2(num_classes=CLASSES),
    "resnext50_32x4d": lambda: resnet.resnext50_32x4d(num_classes=CLASSES),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ride", required=True, help="checkout of frank-xwang/RIDE-LongTailRecognition")
    parser.add_argument("--bbn", required=True, help="checkout of megvii-research/BBN")
    parser.add_argument("--golden", default=os.path.join("tests", "golden"))
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    found = {}
    for name, make in PLAIN.items():
        found |= _prefixed(name, plain(make()))
    for name, network in ride(options.ride).items():
        found |= _prefixed(name, experts(network))
    found |= _prefixed("bbn", bbn(options.bbn))
    np.savez_compressed(os.path.join(options.golden, "resnet_large.npz"), **found)


def plain(network):
    """Features and logits in both modes, and gradients of the cross-entropy in training mode."""
    found, x, features = _load(network), torch.tensor(images("x", SHAPE)).double(), []
    network.fc.register_forward_pre_hook(lambda module, given: features.append(given[0].detach().numpy()))
    for mode in ("eval", "train"):
        network.train(mode == "train")
        logits = network(x)
        found |= {f"logits_{mode}": logits.detach().numpy(), f"features_{mode}": features[-1][:, :256]}
    torch.nn.functional.cross_entropy(logits, torch.tensor([1, 4])).backward()
    wanted = ("conv1.weight", "layer1.0.conv2.weight", "layer3.0.downsample.0.weight", "layer4.0.bn2.weight",
              "fc.weight")
    parameters = dict(network.named_parameters())
    for name in wanted:
        gradient = parameters[name].grad.numpy()
        found |= {f"norm/{name}": np.linalg.norm(gradient), f"grad/{name}": gradient.ravel()[:64]}
    return found


def ride(source):
    """Experts on networks of one block a stage, reduced and not, plain and grouped."""
    sys.path.insert(0, os.path.abspath(source))
    # Its own `utils` has half precision, which is off by default, and needs pandas.
    sys.modules["utils"] = types.SimpleNamespace(autocast=contextlib.nullcontext)
    from model.fb_resnets import RIDEResNet, RIDEResNeXt
    options = dict(num_experts=2, num_classes=CLASSES, use_norm=True, returns_feat=True)
    return {
        "ride_resnet": RIDEResNet.ResNet(RIDEResNet.Bottleneck, [1, 1, 1, 1], reduce_dimension=True, **options),
        "ride_wide": RIDEResNet.ResNet(RIDEResNet.Bottleneck, [1, 1, 1, 1], **options),
        "ride_resnext": RIDEResNeXt.ResNext(RIDEResNeXt.Bottleneck, [1, 1, 1, 1], groups=32, width_per_group=4,
                                            reduce_dimension=True, **options)}


def experts(network):
    """Mean, experts' logits and features in evaluation mode. The pool is for maps of 7x7 pixels, images of 224."""
    found = _load(network.eval())
    network.avgpool = torch.nn.AdaptiveAvgPool2d(1)
    with torch.no_grad():
        outputs = network(torch.tensor(images("x", SHAPE)).double())
    names = {"logits": "output", "experts": "logits", "features": "feat"}
    return found | {ours: outputs[theirs].numpy()[..., :256] for ours, theirs in names.items()}


def bbn(source):
    """The two-branch ResNet with 1, 1, 1 and 2 blocks: the test form, and the training form with a = 0.3."""
    sys.path.insert(0, os.path.join(os.path.abspath(source), "lib"))
    from backbone.resnet import BBN_ResNet, BottleNeck
    network = BBN_ResNet(None, BottleNeck, [1, 1, 1, 2])
    network.linear = torch.nn.Linear(4096, CLASSES)
    found = _load(network.eval())
    x, other = (torch.tensor(images(name, SHAPE)).double() for name in ("x", "other"))

    def pooled(maps):
        return maps.mean(dim=(2, 3))
    with torch.no_grad():
        first, second = pooled(network(x, feature_cb=True)), pooled(network(other, feature_rb=True))
        mixed = 2 * torch.cat((0.3 * first, 0.7 * second), dim=1)
        return found | {"logits": network.linear(pooled(network(x))).numpy(), "mixed": network.linear(mixed).numpy()}


def _load(network):
    """Loads the weights by rule; returns names and shapes."""
    state = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    names = np.array(list(state))
    shapes = np.array([(*tensor.shape, 0, 0, 0, 0)[:4] for tensor in state.values()], dtype="int32")
    given = tensors(names, shapes)
    network.load_state_dict({name: torch.tensor(array) for name, array in given.items()}, strict=False)
    return {"names": names, "shapes": shapes}


def _prefixed(prefix, arrays):
    """Arrays under longer names, stored in float32."""
    return {f"{prefix}/{name}": np.float32(array) if np.asarray(array).dtype == "float64" else array
            for name, array in arrays.items()}


if __name__ == "__main__":
    main()
