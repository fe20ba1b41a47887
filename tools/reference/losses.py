"""The losses of the published rows in PyTorch: functions (logits, labels, class weights) -> scalar."""

import torch
import torch.nn.functional as F

LDAM_SCALE, LDAM_MARGIN, DRW_BETA = 30.0, 0.5, 0.9999


def cross_entropy(counts):
    """Softmax cross-entropy; class weights weigh rows and their mean."""
    return F.cross_entropy


def balanced_softmax(counts):
    """Cross-entropy on logits raised by the logarithms of the class counts (Ren et al., 2020, Eq. 3)."""
    offset = counts.log()
    return lambda logits, labels, weights: F.cross_entropy(logits + offset, labels, weights)


def ldam(counts):
    """Cross-entropy on cosines less a margin of the own class that falls with n^(1/4) (Cao et al., 2019, Eq. 12)."""
    margins = counts ** -0.25
    margins = margins * (LDAM_MARGIN / margins.max())

    classes = torch.arange(len(counts), device=counts.device)

    def loss(logits, labels, weights):
        shift = (labels[:, None] == classes) * margins
        return F.cross_entropy(LDAM_SCALE * (logits - shift), labels, weights)
    return loss


LOSSES = {"ce": cross_entropy, "bs": balanced_softmax, "ldam": ldam}


def drw_weights(counts):
    """Weights by the effective number of pictures, (1 - beta) / (1 - beta^n), summing to the number of classes."""
    weights = (1 - DRW_BETA) / (1 - DRW_BETA ** counts.double())
    return (weights / weights.sum() * len(counts)).float()


def mixed(loss, logits, labels, labels_q, share, weights):
    """`share * L(labels) + (1 - share) * L(labels_q)` (CMO paper, Eq. 5); `share` of background pixels is a scalar."""
    return share * loss(logits, labels, weights) + (1 - share) * loss(logits, labels_q, weights)
