"""Grad-CAM: where in an image the model sees the class that it predicts.

**Source:** Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (2017),
equations 1 and 2. We differ in adding the maps of all stages that the head sees, and in scaling each image's map to a
largest value of 1. Each stage's map is cut at 0 first, so that evidence seen by one is not undone by another.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.vision.models.network import ImageModel

__all__ = ["grad_cam"]


def grad_cam(model: ImageModel, images: Tensor, classes: Tensor) -> Tensor:
    """Return how much each position of each image is evidence for a class.

    Args:
        model: is left in evaluation mode; its weights and their gradients are left as they are.
        images: uint8, or float from 0 to 1, ``(batch, 3, height, width)``.
        classes: for each image the number of the output to explain, int64 ``(batch,)``.

    Returns:
        Float from 0 to 1, ``(batch, height, width)``; 0 throughout where there is no evidence for the class.
    """
    model.eval()
    with torch.no_grad():
        maps = model.maps(images)
    with torch.enable_grad():
        stages = [stage.detach().float().requires_grad_() for stage in maps]
        outputs = model.head(model.pool(stages))
        chosen = outputs.gather(1, classes[:, None]).sum()
        slopes = torch.autograd.grad(chosen, stages)
    evidence = torch.zeros(len(images), *images.shape[2:], device=images.device)
    for stage, slope in zip(stages, slopes, strict=True):  # (batch, channels, height, width)
        weighted = (slope.sum((2, 3), keepdim=True) * stage.detach()).sum(1, keepdim=True)
        evidence += _enlarged(weighted.relu(), images.shape[2:])
    return evidence / evidence.amax((1, 2), keepdim=True).clamp_min(1e-12)


def _enlarged(evidence: Tensor, size: torch.Size) -> Tensor:
    """Return maps ``(batch, 1, height, width)`` at the images' size, ``(batch, height, width)``."""
    if evidence.shape[3] == 1 and evidence.shape[2] > 1:  # a transformer's tokens, row by row
        side = math.isqrt(evidence.shape[2])
        if side * side == evidence.shape[2]:
            evidence = evidence.reshape(len(evidence), 1, side, side)
    return F.interpolate(evidence, size=size, mode="bilinear", align_corners=False).squeeze(1)
