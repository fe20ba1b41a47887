"""The published training of a row in PyTorch: an epoch, its rate and weights, the paste, the test."""

import numpy as np
import torch

from cmo_tf.sampling.epoch_plan import epoch_plan
from tools.reference.losses import LOSSES, drw_weights, mixed
from tools.reference.network import ResNet

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
BATCH, SIZE, PAD = 128, 32, 4
RATE, MOMENTUM, DECAY = 0.1, 0.9, 2e-4
COLUMNS = ("index", "index_q", "corner", "corner_q", "flip", "flip_q", "box")


def rate(epoch, epochs):
    """Linear warm-up in five epochs, then a tenth of a thousandth and a thousandth of that in the last two tenths."""
    if epoch < 5:
        return RATE * (epoch + 1) / 5
    return RATE * (1e-4 if epoch >= round(0.9 * epochs) else 1e-2 if epoch >= round(0.8 * epochs) else 1)


def mixes(row, epoch, epochs):
    """Whether the published window has CMO in an epoch."""
    return row.cmo and 3 < epoch < epochs - 3


class Trainer:
    """Network, optimiser and data of one row on one device.

    Args:
        row: with `loss` ("ce", "bs", "ldam"), `drw`, `cmo`, `depth`, `epochs`, `seed`.
        images: uint8 (N, 32, 32, 3); labels: ints (N,).
        device: of PyTorch.
    """

    def __init__(self, row, images, labels, device="cpu"):
        torch.manual_seed(row.seed)
        self.row, self.device, self.labels = row, device, np.asarray(labels)
        counts = torch.from_numpy(np.bincount(labels)).to(device).float()
        self.network = ResNet(row.depth, len(counts), row.loss == "ldam").to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.network.parameters(), RATE, momentum=MOMENTUM, weight_decay=DECAY)
        self.loss, self.drw = LOSSES[row.loss](counts), drw_weights(counts)
        self.weights = torch.ones_like(counts)
        padded = np.pad(images, [(0, 0), (PAD, PAD), (PAD, PAD), (0, 0)])
        self.pixels = torch.from_numpy(padded.reshape(-1, 3)).to(device)
        self.targets = torch.from_numpy(self.labels).to(device).long()
        self.side = torch.arange(SIZE, device=device)
        self.mean, self.std = (torch.tensor(values, device=device) for values in (MEAN, STD))

    def begin(self, epoch):
        """Rate and class weights of an epoch; returns its plan as tensors, (N, ...) each."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate(epoch, self.row.epochs)
        deferred = self.row.drw and epoch >= round(0.8 * self.row.epochs)
        self.weights.copy_(self.drw if deferred else torch.ones_like(self.drw))
        self.network.train()
        plan = epoch_plan(self.labels, epoch, batch_size=BATCH, seed=self.row.seed,
                          probability=0.5 * mixes(self.row, epoch, self.row.epochs))
        tensors = {name: torch.from_numpy(np.ascontiguousarray(plan[name])).to(self.device) for name in COLUMNS}
        return {name: column if column.dtype == torch.bool else column.long() for name, column in tensors.items()}

    def normalise(self, pixels):
        """Pixels (B, 32, 32, 3) as the network takes them, (B, 3, 32, 32) in channels-last order."""
        return ((pixels.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)

    def crop(self, index, corner, flip):
        """Pixels of pictures cropped from their padded frame, mirrored where `flip`."""
        rows = corner[:, :1] + self.side
        columns = corner[:, 1:] + torch.where(flip[:, None], SIZE - 1 - self.side, self.side)
        frame = SIZE + 2 * PAD
        return self.pixels[(index[:, None] * frame + rows)[:, :, None] * frame + columns[:, None, :]]

    def batch(self, rows):
        """(images, labels, labels_q, share): the batch that rows of a plan stand for, its one box pasted (Eq. 1)."""
        images, labels = self.crop(rows["index"], rows["corner"], rows["flip"]), self.targets[rows["index"]]
        labels_q = self.targets[rows["index_q"]]
        y0, x0, y1, x1 = rows["box"][0]
        inside = ((self.side >= y0) & (self.side < y1))[:, None] & ((self.side >= x0) & (self.side < x1))
        foreground = self.crop(rows["index_q"], rows["corner_q"], rows["flip_q"])
        images = torch.where(inside[..., None], foreground, images)
        return self.normalise(images), labels, labels_q, 1 - (y1 - y0) * (x1 - x0) / SIZE ** 2

    def step(self, rows):
        """One step on the rows of a batch; the loss as a tensor."""
        images, labels, labels_q, share = self.batch(rows)
        loss = mixed(self.loss, self.network(images), labels, labels_q, share, self.weights)
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def epoch(self, epoch, steps=None):
        """Trains an epoch (its first `steps` batches, where given); the mean of its losses."""
        plan, losses = self.begin(epoch), []
        for start in list(range(0, len(self.labels), BATCH))[:steps]:
            losses.append(self.step({name: column[start:start + BATCH] for name, column in plan.items()}))
        return float(torch.stack(losses).mean())

    @torch.no_grad()
    def logits(self, images):
        """Logits (N, C) of test pictures, numpy; cosines for LDAM."""
        self.network.eval()
        batches = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).split(500)
        return torch.cat([self.network(self.normalise(batch)) for batch in batches]).cpu().numpy()
