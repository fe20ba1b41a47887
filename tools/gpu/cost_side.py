"""The two sides of cost.py: a process trains steps of one network, ours on JAX or the reference's in PyTorch.

    python tools/gpu/cost_side.py ours '{"model": "resnet32", "size": 32, "batch": 128, "classes": 10, "steps": 50}'
"""

import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

KINDS = ("plain", "cmo")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def pairs(case, seed=0):
    """Two batches of random pictures (B, S, S, 3) uint8, their labels, and a box of a quarter of the side's square."""
    import numpy as np
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, case["batch"], case["size"], case["size"], 3), dtype=np.uint8)
    labels = rng.integers(0, case["classes"], (2, case["batch"]))
    side = case["size"]
    return images, labels, np.array([side // 4, side // 4, 3 * side // 4, 3 * side // 4], np.int32)


class Ours:
    """Steps of a network of cmo_tf on JAX: `run(kind)` trains `steps` of them as one program, and waits."""

    def __init__(self, case):
        os.environ["KERAS_BACKEND"] = "jax"
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        import jax
        import keras

        from cmo_tf import CMO, losses, models, optim
        self.case, size = case, case["size"]
        network = models.create(case["model"], case["classes"], (size, size, 3), seed=0)
        normalize = keras.layers.Rescaling([1 / 255 / s for s in STD], [-m / s for m, s in zip(MEAN, STD, strict=True)])
        self.model = keras.Sequential([keras.Input((size, size, 3), dtype="uint8"), normalize, network])
        self.loss, self.optimizer, self.cmo = losses.CrossEntropy(num_classes=case["classes"]), optim.SGD(
            1e-3, momentum=0.9, l2=2e-4), CMO()
        self.loss.build(case["classes"])  # its weights would be born inside of the program otherwise
        self.mixed = losses.Mixed(self.loss)
        self.optimizer.build(self.model.trainable_variables)
        images, labels, box = pairs(case)
        self.batch = {"image": jax.numpy.asarray(images[0]), "image_q": jax.numpy.asarray(images[1]),
                      "label": jax.numpy.asarray(labels[0]), "label_q": jax.numpy.asarray(labels[1]),
                      "box": jax.numpy.tile(jax.numpy.asarray(box), (case["batch"], 1))}
        kinds = (self.model.trainable_variables, self.model.non_trainable_variables, self.optimizer.variables)
        self.state = tuple([variable.value for variable in kind] for kind in kinds)
        self.programs = {kind: jax.jit(self.steps(kind)) for kind in KINDS}
        self.versions = {"jax": jax.__version__, "keras": keras.__version__, "device": jax.devices()[0].device_kind}

    def steps(self, kind):
        """The function (state, batch) -> (state, loss) of `steps` steps."""
        import jax

        def objective(trainable, other, batch):
            image, *targets = self.cmo.pack(self.cmo(batch, training=True)) if kind == "cmo" else (
                batch["image"], batch["label"])
            logits, other = self.model.stateless_call(trainable, other, image, training=True)
            return (self.mixed if kind == "cmo" else self.loss)(targets[0], logits, *targets[1:]), other

        def step(state, batch):
            gradient = jax.value_and_grad(objective, has_aux=True)
            (loss, other), gradients = gradient(state[0], state[1], batch)
            trainable, optimizer = self.optimizer.stateless_apply(state[2], gradients, state[0])
            return (trainable, other, optimizer), loss

        def all_steps(state, batch):
            return jax.lax.scan(lambda state, _: step(state, batch), state, length=self.case["steps"])
        return all_steps

    def run(self, kind):
        """Trains and waits."""
        self.state, losses = self.programs[kind](self.state, self.batch)
        return float(losses[-1])


class Theirs:
    """The same steps in PyTorch, channels last, as one CUDA graph a step where there is a card."""

    def __init__(self, case):
        import torch

        from tools.reference.network import ResNet
        self.case, self.cuda = case, torch.cuda.is_available()
        device = "cuda" if self.cuda else "cpu"
        torch.backends.cudnn.benchmark = True
        if case["model"] == "resnet50":
            from torchvision.models import resnet50
            network = resnet50(num_classes=case["classes"])
        else:
            network = ResNet(int(case["model"].removeprefix("resnet")), case["classes"])
        self.network = network.to(device, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.SGD(self.network.parameters(), 1e-3, momentum=0.9, weight_decay=2e-4)
        images, labels, box = pairs(case)
        self.images, self.labels = (torch.from_numpy(a).to(device) for a in (images, labels))
        self.box, self.side = torch.from_numpy(box).to(device), torch.arange(case["size"], device=device)
        self.mean, self.std = (torch.tensor(values, device=device) for values in (MEAN, STD))
        self.graphs, name = {}, torch.cuda.get_device_name() if self.cuda else "cpu"
        self.versions = {"torch": torch.__version__, "device": name}

    def step(self, kind):
        """One step; the loss as a tensor."""
        import torch
        import torch.nn.functional as F
        images = self.images[0]
        if kind == "cmo":
            y0, x0, y1, x1 = self.box
            inside = ((self.side >= y0) & (self.side < y1))[:, None] & ((self.side >= x0) & (self.side < x1))
            images = torch.where(inside[..., None], self.images[1], images)
        logits = self.network(((images.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2))
        loss = F.cross_entropy(logits, self.labels[0])
        if kind == "cmo":
            share = 1 - (y1 - y0) * (x1 - x0) / self.case["size"] ** 2
            loss = share * loss + (1 - share) * F.cross_entropy(logits, self.labels[1])
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def run(self, kind):
        """Trains and waits."""
        import torch
        if self.cuda and kind not in self.graphs:
            for _ in range(3):
                self.step(kind)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                loss = self.step(kind)
            self.graphs[kind] = graph, loss
        for _ in range(self.case["steps"]):
            if self.cuda:
                self.graphs[kind][0].replay()
            else:
                loss = self.step(kind)
        return float(self.graphs[kind][1] if self.cuda else loss)


def serve(side, case):
    """A side of the comparison: answers each line of standard input, a kind of step, with milliseconds a step."""
    worker = {"ours": Ours, "torch": Theirs}[side](case)
    for kind in KINDS:
        worker.run(kind)
    print(json.dumps(worker.versions), flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        loss = worker.run(line.strip())
        print(json.dumps({"ms": 1e3 * (time.perf_counter() - began) / case["steps"], "loss": loss}), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
