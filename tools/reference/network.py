"""ResNets for small images in PyTorch, with a linear or a cosine classifier."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """Basic block with the shortcut without parameters: every second pixel, new channels zero on either side."""

    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
        self.conv2, self.bn2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
        self.stride, self.margin = stride, (outside - inside) // 2

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.margin, self.margin))
        return F.relu(out + x)


class NormedLinear(nn.Module):
    """Cosines of features (B, inside) with the columns of a weight (inside, outside)."""

    def __init__(self, inside, outside):
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.empty(inside, outside).uniform_(-1, 1), dim=0))

    def forward(self, x):
        return F.normalize(x, dim=1) @ F.normalize(self.weight, dim=0)


class ResNet(nn.Module):
    """ResNet of 6n + 2 layers: images (B, 3, H, W) -> logits, or cosines where `normed`, (B, num_classes)."""

    def __init__(self, depth, num_classes=10, normed=False):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        width = 16
        for stage, channels in enumerate((16, 32, 64), start=1):
            blocks = [Block(width if k == 0 else channels, channels, 2 if stage > 1 and k == 0 else 1)
                      for k in range((depth - 2) // 6)]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            width = channels
        self.linear = NormedLinear(64, num_classes) if normed else nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))
