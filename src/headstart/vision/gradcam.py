"""Grad-CAM: where in a picture the model saw what it says.

**Source:** Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (2017),
equations 1 and 2. We differ in adding the maps of all stages that the head sees, and in scaling each picture's map to a
largest value of 1. Each stage's is cut at 0 before, so that what one sees is not undone by another.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.vision.models.network import ImageModel

__all__ = ["grad_cam"]


def grad_cam(model: ImageModel, images: Tensor, classes: Tensor) -> Tensor:
    """How much each place of each picture speaks for a class.

    Args:
        model: in evaluation mode afterwards; its weights and their gradients are left as they are.
        images: uint8, or float from 0 to 1, ``(batch, 3, height, width)``.
        classes: int64 ``(batch,)``: for each picture the number of the output that is asked about.

    Returns:
        Float from 0 to 1, ``(batch, height, width)``; 0 throughout where nothing speaks for the class.
    """
    model.eval()
    with torch.no_grad():
        found = model.maps(images)
    with torch.enable_grad():
        stages = [maps.detach().float().requires_grad_() for maps in found]
        outputs = model.head(model.pool(stages))
        asked = outputs.gather(1, classes[:, None]).sum()
        slopes = torch.autograd.grad(asked, stages)
    seen = torch.zeros(len(images), *images.shape[2:], device=images.device)
    for maps, slope in zip(stages, slopes, strict=True):
        seen += _enlarged(
            (slope.sum((2, 3), keepdim=True) * maps.detach()).sum(1, keepdim=True).relu(), images.shape[2:]
        )
    return seen / seen.amax((1, 2), keepdim=True).clamp_min(1e-12)


def _enlarged(seen: Tensor, size: torch.Size) -> Tensor:
    """A map per picture, ``(batch, 1, height, width)``, at the pictures' size, ``(batch, height, width)``."""
    if seen.shape[3] == 1 and seen.shape[2] > 1:  # a transformer's tokens, row by row
        side = math.isqrt(seen.shape[2])
        if side * side == seen.shape[2]:
            seen = seen.reshape(len(seen), 1, side, side)
    return F.interpolate(seen, size=size, mode="bilinear", align_corners=False).squeeze(1)
