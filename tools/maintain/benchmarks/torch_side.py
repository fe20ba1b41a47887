"""The PyTorch side of `--against=torch`: a process that runs a stretch for each line it reads.

    python torch_side.py '{"depth": 32, "batch_size": 128, "steps": 20, "threads": 2, ...}'

Needs torch, numpy and Pillow, and nothing of this project. The network, SGD and CMO are written as the published code
writes them; the stream is two DataLoaders with pad-crop-flip on Pillow images, one of them with a weighted sampler.
"""

import json
import random
import resource
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import nn

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


class Block(nn.Module):
    """Basic block with the shortcut without parameters."""

    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
        self.conv2, self.bn2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
        self.stride, self.missing = stride, outside - inside

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.missing // 2, self.missing // 2))
        return F.relu(out + x)


class ResNet(nn.Module):
    """ResNet of 6n + 2 layers for small images, ten classes."""

    def __init__(self, depth):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [16] + [16, 32, 64]
        blocks = [Block(widths[stage if k == 0 else stage + 1], widths[stage + 1], 2 if stage and not k else 1)
                  for stage in range(3) for k in range((depth - 2) // 6)]
        self.blocks, self.linear = nn.Sequential(*blocks), nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return self.linear(x.mean((2, 3)))


def train(options, threads):
    """A side that trains with CMO on half of the batches. Batches are ready in memory: no loader is in the figure."""
    network = ResNet(options["depth"]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=2e-4)
    size = options["batch_size"]
    images, others = (torch.randn(size, 3, 32, 32).to(memory_format=torch.channels_last) for _ in range(2))
    labels, other_labels = (torch.randint(0, 10, (size,)) for _ in range(2))

    def step():
        if random.random() < 0.5:
            lam = np.random.beta(1, 1)
            top, bottom, left, right = box(lam)
            mixed = images.clone()
            mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
            lam = 1 - (bottom - top) * (right - left) / 1024
            outputs = network(mixed)
            loss = F.cross_entropy(outputs, labels) * lam + F.cross_entropy(outputs, other_labels) * (1 - lam)
        else:
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def run():
        for _ in range(options["steps"]):
            step()
        return options["steps"] * size

    def start():
        torch.set_num_threads(threads)
        return run
    return start


def box(lam, side=32):
    """The published box of a share lam."""
    cut = int(side * np.sqrt(1 - lam))
    y, x = np.random.randint(side), np.random.randint(side)
    return (*np.clip([y - cut // 2, y + cut // 2], 0, side), *np.clip([x - cut // 2, x + cut // 2], 0, side))


class Images(torch.utils.data.Dataset):
    """Images in memory, each padded, cropped, flipped, made a tensor and normalised when it is read."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels
        self.mean, self.std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = ImageOps.expand(Image.fromarray(self.images[index]), 4)
        top, left = random.randint(0, 8), random.randint(0, 8)
        image = image.crop((left, top, left + 32, top + 32))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(255)
        return tensor.sub_(self.mean).div_(self.std), int(self.labels[index])


def load(options, workers):
    """A side that reads pairs of batches from two loaders, with `workers` processes each, started before it counts."""
    counts, size = options["counts"], options["batch_size"]
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.random.RandomState(0).randint(0, 256, (len(labels), 32, 32, 3), np.uint8)
    data, number = Images(images, labels), size * (options["steps"] + 1)
    samplers = (torch.utils.data.RandomSampler(data, replacement=True, num_samples=number),
                torch.utils.data.WeightedRandomSampler(1.0 / np.asarray(counts)[labels], number))

    def start():
        pairs = zip(*(iter(torch.utils.data.DataLoader(data, size, sampler=sampler, num_workers=workers))
                      for sampler in samplers), strict=True)
        next(pairs)

        def run():
            for _ in range(options["steps"]):
                next(pairs)
            return options["steps"] * size
        return run
    return start


def processor_seconds():
    """Of this process and its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(text):
    """Runs the sides that standard input names, one a line."""
    options = json.loads(text)
    sides = {"train": train(options, options["threads"]), "train alone": train(options, 1),
             "load 0": load(options, 0), "load 1": load(options, 1)}
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        processor = processor_seconds()
        run = sides[line.strip()]()
        began = time.perf_counter()
        units = run()
        wall = time.perf_counter() - began
        del run  # ends the loaders' processes
        print(json.dumps([units, wall, processor_seconds() - processor]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
