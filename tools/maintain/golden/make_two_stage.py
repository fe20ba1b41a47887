"""Makes tests/golden/two_stage_<name>.npz by running official second stages from a checkout of their repository.

    python tools/maintain/golden/make_two_stage.py --name=decouple --source=CHECKOUT [--golden=tests/golden]
    python tools/maintain/golden/make_two_stage.py --name=mislas --source=CHECKOUT [--golden=tests/golden]

decouple: logits, gradients and steps of the LWS classifier, the weights that tau_norm.py makes and the accuracies that
it prints, the learning rates of a second stage. mislas: label-aware smoothing on the logits of losses_ir100.npz, and
two epochs of the official `train` of its second stage on a ResNet-8. PyTorch and numpy are needed; what the scripts
import beside and do not use for this is replaced by nothing. tests/golden/README.md names the commits.
"""

import argparse
import contextlib
import importlib.machinery
import io
import os
import pickle  # nosec B403
import runpy
import sys
import tempfile
import types
from unittest import mock

import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, choices=MAKERS)
    parser.add_argument("--source", required=True, help="checkout of the official repository")
    parser.add_argument("--golden", default=os.path.join("tests", "golden"))
    options = parser.parse_args()
    with np.load(os.path.join(options.golden, "losses_ir100.npz"), allow_pickle=False) as file:
        given = dict(file)
    source = os.path.abspath(options.source)
    sys.path.insert(0, source)
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(1)
    found = MAKERS[options.name](source, given)
    found = {k: v.detach().numpy() if isinstance(v, torch.Tensor) else np.asarray(v) for k, v in found.items()}
    np.savez_compressed(os.path.join(options.golden, f"two_stage_{options.name}.npz"), **found)


def without(*modules):
    """Puts empty stand-ins where modules would be imported."""
    for name in modules:
        sys.modules[name] = mock.MagicMock(__spec__=importlib.machinery.ModuleSpec(name, None))


def decouple(source, given):
    without("pylab", "matplotlib", "matplotlib.pyplot", "sklearn", "sklearn.cluster", "sklearn.metrics")
    random = np.random.default_rng(0)
    features = np.maximum(random.normal(size=(64, 16)), 0).astype("float32")
    data = {"features": features, "labels": given["labels"], "class_counts": given["class_counts"]}
    return {**data, **learned_scales(features, given["labels"]), **tau_script(source, random)}


def learned_scales(features, labels):
    """LWS: logits, gradient and four epochs of a step each, the rate stepped before each as run_networks.py does."""
    import torch
    from models.TauNormClassifier import DotProduct_Classifier
    model = DotProduct_Classifier(num_classes=100, feat_dim=16)
    x, y = torch.tensor(features), torch.tensor(labels)
    with torch.no_grad():
        model.scales.copy_(torch.linspace(0.5, 1.5, 100))
    found = {"lws_weight": model.fc.weight, "lws_bias": model.fc.bias, "lws_scales": model.scales.detach().clone(),
             "lws_logits": model(x)[0]}
    optimizer = torch.optim.SGD([{"params": model.parameters(), "lr": 0.2, "momentum": 0.9, "weight_decay": 5e-4}])
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4, eta_min=0.0)
    rates, course = [], []
    for _ in range(4):
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x)[0], y).backward()
        found.setdefault("lws_grad", model.scales.grad.clone())
        optimizer.step()
        course.append(model.scales.detach().clone())
    return {**found, "lws_rates": rates, "lws_course": torch.stack(course)}


def tau_script(source, random):
    """tau_norm.py on features of ten classes: weights at tau 0.7 and the mean accuracy it prints for each tau."""
    import torch
    classes, labels = 10, np.repeat(np.arange(10), 30)
    centres = random.normal(size=(classes, 16))
    features = np.maximum(centres[labels] + random.normal(size=(300, 16)), 0).astype("float32")
    size = 3.0 * 0.7 ** np.arange(classes)
    weight = (size[:, None] * (centres + 0.2 * random.normal(size=(classes, 16)))).astype("float32")
    state = {"module.fc.weight": torch.tensor(weight), "module.fc.bias": torch.zeros(classes)}
    with tempfile.TemporaryDirectory() as root:
        for name in ("trainfeat_all.pkl", "testfeat_all.pkl"):
            with open(os.path.join(root, name), "wb") as file:
                pickle.dump({"feats": features, "labels": labels}, file)
        torch.save({"state_dict_best": {"classifier": state}}, os.path.join(root, "final_model_checkpoint.pth"))
        printed = io.StringIO()
        with mock.patch.object(sys, "argv", ["tau_norm.py", "--root", root]), contextlib.redirect_stdout(printed), \
                np.errstate(all="ignore"):
            script = runpy.run_path(os.path.join(source, "tau_norm.py"))
    normalised = script["pnorm"](torch.tensor(weight), 0.7)
    return {"tau_features": features, "tau_labels": labels, "tau_weight": weight, "tau_normalised": normalised,
            "tau_logits": script["dotproduct_similarity"](torch.tensor(features), normalised),
            "tau_accuracies": [float(line.split()[-1]) for line in printed.getvalue().splitlines()]}


def mislas(source, given):
    without("datasets", *(f"datasets.{name}" for name in ("cifar10", "cifar100", "places", "imagenet", "ina2018")),
            "utils", "models.resnet", "models.resnet_places")
    return {**smoothing(given), **stage_two(True), **{f"still_{k}": v for k, v in stage_two(False).items()
                                                      if not k.startswith("w/")}}


def smoothing(given):
    """Values and gradients of the loss, plain and mixed, and the smoothing of each class by every shape."""
    import torch
    from methods import LabelAwareSmoothing
    counts, lam = given["class_counts"].tolist(), float(given["lam"])
    labels, labels_f = (torch.tensor(given[key]) for key in ("labels", "labels_f"))
    found = {f"smooth_{shape}": LabelAwareSmoothing(counts, 0.4, 0.1, shape, power).smooth
             for shape, power in (("concave", None), ("linear", None), ("convex", None), ("exp", 2.0))}
    for name, head, tail in (("las", 0.4, 0.1), ("las_0.3_0", 0.3, 0.0)):
        loss = LabelAwareSmoothing(counts, head, tail)
        for key in (name, f"{name}_mixed"):
            logits = torch.tensor(given["logits"]).requires_grad_()
            value = loss(logits, labels)
            if key != name:
                value = lam * value + (1.0 - lam) * loss(logits, labels_f)
            value.backward()
            found |= {key: value, f"{key}_grad": logits.grad}
    return found


class Loader(list):
    """Batches as `train` wants them."""

    batch_size = 12

    @property
    def dataset(self):
        return range(self.batch_size * (len(self) - 1))  # `train` takes one batch more than an epoch has


def stage_two(shift_bn):
    """Two epochs of three batches: the network before, its logits, head, scale and moving statistics after."""
    import torch
    import train_stage2
    from methods import LabelAwareSmoothing, LearnableWeightScaling
    from models import resnet_cifar
    torch.manual_seed(1)
    config = types.SimpleNamespace(shift_bn=shift_bn, mixup=False, print_freq=100, gpu=None, dataset="cifar100", lr=0.1,
                                   lr_factor=0.2, num_epochs=2)
    trunk = resnet_cifar.ResNet_fe(resnet_cifar.BasicBlock, [1, 1, 1])
    classifier, scale = resnet_cifar.Classifier(64, 10), LearnableWeightScaling(10)
    found = {f"w/{k}": v.clone() for k, v in trunk.state_dict().items()}
    found |= {f"w/linear.{k}": v.clone() for k, v in classifier.fc.state_dict().items()}
    images, labels = torch.randn(36, 3, 16, 16), torch.arange(36) * 7 % 10
    counts = (40 * 0.6 ** np.arange(10)).astype(int).tolist()
    batches = Loader(zip(images.split(12), labels.split(12), strict=True))
    optimizer = torch.optim.SGD([{"params": classifier.parameters()}, {"params": scale.parameters()}], config.lr,
                                momentum=0.9, weight_decay=2e-4)
    train_stage2.accuracy = lambda *_, **__: (torch.zeros(1), torch.zeros(1))
    for epoch in range(2):
        train_stage2.adjust_learning_rate(optimizer, epoch, config)
        train_stage2.train(batches, trunk, classifier, scale, LabelAwareSmoothing(counts, 0.4, 0.1), optimizer, epoch,
                           config, mock.MagicMock())
    trunk.eval()
    with torch.no_grad():
        logits = scale(classifier(trunk(images)))
    after = {k: v for k, v in trunk.state_dict().items() if "running" in k}
    return {**found, "w/images": images, "w/labels": labels, "w/counts": counts, "after_logits": logits,
            "after_weight": classifier.fc.weight, "after_bias": classifier.fc.bias,
            "after_scale": scale.learned_norm[0], **{f"after/{k}": v for k, v in after.items()}}


MAKERS = {"decouple": decouple, "mislas": mislas}

if __name__ == "__main__":
    main()
