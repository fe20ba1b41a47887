"""Makes tests/golden/{bbn,causal_norm,paco}.npz by running official code from a checkout of its repository.

    python tools/maintain/golden/make_branches.py --name=paco --source=CHECKOUT [--golden=tests/golden]

Weights and images are rounded to float16 before anything is computed, so that the files stay small. PyTorch on CPU is
needed; tests/golden/README.md names repositories, commits and versions, and what the arrays are.
"""

import argparse
import importlib
import os
import sys
import tempfile
import types
from unittest import mock

import numpy as np
import torch

CLASSES, COUNTS = 7, np.array([50, 31, 20, 12, 7, 4, 2])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, choices=MAKERS)
    parser.add_argument("--source", required=True, help="checkout of the official repository")
    parser.add_argument("--golden", default=os.path.join("tests", "golden"))
    options = parser.parse_args()
    sys.argv = sys.argv[:1]
    torch.manual_seed(0)
    # The official code asks for a GPU in passing.
    torch.Tensor.cuda = lambda self, *args, **kwargs: self
    found = MAKERS[options.name](os.path.abspath(options.source))
    np.savez_compressed(os.path.join(options.golden, f"{options.name}.npz"), **found)


def bbn(source):
    sys.path.insert(0, os.path.join(source, "lib"))
    sys.modules.update({name: mock.MagicMock() for name in ("sklearn", "sklearn.metrics", "core.evaluate")})
    network, cifar = importlib.import_module("net.network"), importlib.import_module("backbone.resnet_cifar")
    network.bbn_res32_cifar = lambda *args, **kwargs: cifar.BBN_ResNet_Cifar(cifar.BasicBlock, [2, 2, 2])
    config = types.SimpleNamespace(
        RESUME_MODEL="", MODULE=types.SimpleNamespace(TYPE="GAP"),
        CLASSIFIER=types.SimpleNamespace(TYPE="FC", BIAS=True),
        BACKBONE=types.SimpleNamespace(TYPE="bbn_res32_cifar", PRETRAINED_MODEL=""))
    model = _rounded(network.Network(config, num_classes=CLASSES))
    images, images_r = _images(), _images()
    labels, labels_r = (torch.randint(0, CLASSES, (len(images),)) for _ in range(2))
    model.train()
    with torch.no_grad():  # statistics other than those of a new network
        model(_images())
    model = _rounded(model)
    found = {**_weights(model), "image": images, "image_r": images_r, "label": labels, "label_r": labels_r}
    found["logits_test"] = model.eval()(images)
    combiner, shown = _combiner(200), []

    def criterion(logits, target):
        shown.append(logits)
        return torch.nn.functional.cross_entropy(logits, target)

    model.train()
    for epoch in (1, 101, 200):
        combiner.reset_epoch(epoch)
        model.zero_grad()
        loss, _ = combiner.forward(model, criterion, images, labels, {"sample_image": images_r,
                                                                      "sample_label": labels_r})
        loss.backward()
        found |= {f"loss_{epoch}": loss, f"logits_{epoch}": shown[-1]}
        found |= {f"grad_{epoch}/{_bbn_name(k)}": dict(model.named_parameters())[k].grad
                  for k in ("backbone.conv1.weight", "backbone.cb_block.bn2.weight", "classifier.weight")}
        if epoch == 1:
            found |= {f"mean_after/{_bbn_name(k)}": v.clone() for k, v in model.state_dict().items()
                      if k.endswith("running_mean")}
    found["schedule"] = _bbn_schedule()
    return {name: _numpy(value) for name, value in found.items()}


def _combiner(epochs):
    core = importlib.import_module("core.combiner")
    core.accuracy = lambda *args: (0.0,)
    train = types.SimpleNamespace(COMBINER=types.SimpleNamespace(TYPE="bbn_mix"), MAX_EPOCH=epochs)
    return core.Combiner(types.SimpleNamespace(TRAIN=train), torch.device("cpu"))


def _bbn_schedule():
    """Rows of (epochs of the run, 1-indexed epoch, a), read off the features that the classifier gets."""
    rows = []

    def model(x, classifier_flag=False, **kwargs):
        if classifier_flag:
            rows.append([epochs, epoch, float(x[0, 0]) / 2])
        return x
    for epochs in (30, 90, 180, 200):
        combiner = _combiner(epochs)
        for epoch in (1, 2, epochs // 2, epochs):
            combiner.reset_epoch(epoch)
            one = torch.ones((1, 1), dtype=torch.float64)
            combiner.forward(model, lambda *args: 0.0, one, one, {"sample_image": one, "sample_label": one})
    return np.array(rows)


def _bbn_name(name):
    return name.removeprefix("backbone.").replace("classifier.", "linear.")


def causal_norm(source):
    sys.path.insert(0, os.path.join(source, "classification"))
    for name in ("matplotlib", "matplotlib.pyplot", "sklearn", "sklearn.metrics", "sklearn.decomposition", "tqdm",
                 "data", "data.dataloader", "data.ClassAwareSampler", "logger", "torchvision", "yaml"):
        sys.modules[name] = mock.MagicMock()
    classifier = importlib.import_module("models.CausalNormClassifier")
    batch_forward = importlib.import_module("run_networks").model.batch_forward
    head = _rounded(classifier.Causal_Norm_Classifier(CLASSES, 32, True, 2, 16.0, 1.5, 0.03125))
    features = torch.relu(torch.randn(4, 6, 32)) + 0.01
    given = torch.randn(6, CLASSES)
    run = types.SimpleNamespace(networks={"feat_model": lambda x: x, "classifier": head}, apply_pca=False, mu=0.9,
                                embed_mean=np.zeros(32))
    found, means = {"w/linear.weight": head.weight.detach(), "features": features, "given": given}, []
    head.train()
    for step, batch in enumerate(features):
        leaf = batch.clone().requires_grad_()
        head.zero_grad()
        batch_forward(run, leaf, phase="train")
        (run.logits * given).sum().backward()
        means.append(np.asarray(run.embed_mean, np.float32))
        if step == 0:
            found |= {"logits_train": run.logits, "grad_weight": head.weight.grad.clone(), "grad_features": leaf.grad}
    # Kept in float32, as ours is: a float64 average would make the official test form mix precisions.
    run.embed_mean = means[-1]
    head.eval()
    for alpha in (0.0, 1.5, 3.0):
        head.alpha = alpha
        batch_forward(run, features[0], phase="test")
        found[f"logits_test_{alpha:g}"] = run.logits
    return {**{name: _numpy(value) for name, value in found.items()}, "means": np.stack(means)}


def paco(source):
    sys.path.insert(0, os.path.join(source, "PaCo", "LT"))
    losses, builder = importlib.import_module("losses"), importlib.import_module("moco.builder")
    cifar = importlib.import_module("models.resnet_cifar")
    losses.torch = _without_gpu()
    found = _paco_loss(losses)
    _one_process()
    length, dim, momentum = 24, 16, 0.9
    model = builder.MoCo(lambda num_classes: cifar.ResNet_s(cifar.BasicBlock, [1, 1, 1], num_classes), dim, length,
                         momentum, 0.05, True, 64, False, num_classes=CLASSES)
    _rounded(model.encoder_q)
    _rounded(model.linear)
    model.encoder_k.load_state_dict(model.encoder_q.state_dict())
    weights = {**model.encoder_q.state_dict(), **{f"linear.{k}": v for k, v in model.linear.state_dict().items()}}
    found |= {f"w/{name}": _small(value) for name, value in weights.items() if "num_batches" not in name}
    found |= {"queue": model.queue.clone(), "queue_labels": model.queue_l.clone()}
    criterion = losses.PaCoLoss(alpha=0.01, temperature=0.05, K=length, num_classes=CLASSES)
    criterion.cal_weight_for_classes(COUNTS.tolist())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-3, momentum=0.9,
                                weight_decay=5e-4)
    images, views = (torch.stack([_images() for _ in range(4)]) for _ in range(2))
    labels, values, queries = torch.randint(0, CLASSES, images.shape[:2]), [], []
    found["logits_test"] = model.eval()(images[0])
    model.train()
    for step in range(4):  # the queue is three batches long: the fourth overwrites the first
        features, targets, logits = model(images[step], views[step], labels[step])
        loss = criterion(features, targets, logits)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            found |= {"grad/linear.weight": model.linear.weight.grad.clone(),
                      "grad/fc.3.weight": model.encoder_q.fc[3].weight.grad.clone(),
                      "grad/conv1.weight": model.encoder_q.conv1.weight.grad.clone()}
        optimizer.step()
        values.append(loss.item())
        queries.append(features[:images.shape[1]].detach())
        found |= {f"queue_{step}": model.queue.clone(), f"queue_labels_{step}": model.queue_l.clone(),
                  f"key_{step}/fc.3.weight": model.encoder_k.fc[3].weight.clone(),
                  f"key_{step}/conv1.weight": model.encoder_k.conv1.weight.clone()}
    found |= {"images": images, "views": views, "labels": labels, "losses": np.array(values, np.float32),
              "queries": torch.stack(queries)}
    return {name: _numpy(value) for name, value in found.items()}


def _paco_loss(losses):
    """Value and gradients of the loss alone; with all defaults, and with none."""
    rows, length, dim = 8, 16, 8
    bank = torch.nn.functional.normalize(torch.randn(2 * rows + length, dim), dim=1)
    logits, labels = torch.randn(rows, CLASSES) * 2, torch.randint(0, CLASSES, (rows,))
    queue_labels = torch.randint(0, CLASSES, (length,))
    found = {"loss/bank": bank, "loss/logits": logits, "loss/labels": labels, "loss/queue_labels": queue_labels}
    for name, options in (("plain", dict(alpha=0.01, temperature=0.05)),
                          ("other", dict(alpha=0.3, beta=0.5, gamma=0.7, supt=2.0, temperature=0.2))):
        loss = losses.PaCoLoss(K=length, num_classes=CLASSES, **options)
        loss.cal_weight_for_classes(COUNTS.tolist())
        query, z = bank[:rows].clone().requires_grad_(), logits.clone().requires_grad_()
        value = loss(torch.cat([query, bank[rows:]]), torch.cat([labels, labels, queue_labels]), z)
        value.backward()
        found |= {f"loss/{name}": value, f"loss/{name}_grad_query": query.grad, f"loss/{name}_grad_logits": z.grad}
    return found


def _without_gpu():
    """torch, with "cuda" standing for the CPU."""
    stand_in = types.SimpleNamespace(**{name: getattr(torch, name) for name in dir(torch) if not name.startswith("__")})
    stand_in.device = lambda name: torch.device("cpu")
    return stand_in


def _one_process():
    """The process group of one that the official code gathers over."""
    place = os.path.join(tempfile.mkdtemp(), "group")
    torch.distributed.init_process_group("gloo", init_method=f"file://{place}", rank=0, world_size=1)


def _images():
    return torch.randn(8, 3, 16, 16).half().float()


def _rounded(module):
    """The module with its floating numbers rounded to float16."""
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half().float())
    return module


def _weights(model):
    return {f"w/{_bbn_name(name)}": _small(value) for name, value in model.state_dict().items()
            if "num_batches" not in name}


def _small(value):
    return value.detach().numpy().astype(np.float16)


def _numpy(value):
    return value.detach().numpy().copy() if isinstance(value, torch.Tensor) else np.asarray(value)


MAKERS = {"bbn": bbn, "causal_norm": causal_norm, "paco": paco}

if __name__ == "__main__":
    main()
