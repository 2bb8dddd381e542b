"""`solve_linear`: a linear path from precomputed activations to the outputs, solved in seconds, not trained.

The head's other layers overfit where there are few images; a linear model whose penalty was chosen on held-out images
does not. Their mean is about as good as the better of them, on photos as well as on images unlike those.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from headstart.core.convex import minimise
from headstart.targets.held_out import HeldOut, best_strength
from headstart.targets.target import Target

__all__ = ["MOST_NUMBERS", "solve_linear"]

FOLDS = 3
"""Parts of the images, each of which is held out once."""

STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
"""How closely images are fitted: factors of the loss against half the square of the weights (scikit-learn's ``C``),
tried in this order until the loss on held-out images rises."""

MOST_NUMBERS = 1 << 27
"""Largest number of activations to learn from, half a gigabyte: of more images an even sample."""


def solve_linear(
    activations: Tensor, target: Target, encoded: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Solve the linear model of activations with the lowest loss on held-out images.

    The loss is the target's own, with half the squared weights of standardised activations as a penalty. A strong
    penalty makes outputs small, too: models are compared, and returned, with the temperature that suits the held-out
    images best.

    **Source:** of comparing calibrated models: Berta, Holzmüller, Jordan and Bach, "Rethinking Early Stopping: Refine,
    Then Calibrate" (2025).

    Args:
        activations: float32 ``(images, features)``; they are standardised in place.
        target: whose loss is minimised.
        encoded: encoded targets, ``(images, ...)``.
        weight: weight of each image in the loss, float ``(images,)``; None: all count the same.

    Returns:
        Weights ``(outputs, features)`` and bias ``(outputs,)`` for activations as they are, float32.
    """
    rows, features = activations.shape
    deviation, mean = torch.std_mean(activations, 0, correction=0)
    deviation = torch.where(deviation > 1e-6 * (mean.abs() + 1), deviation, torch.inf)
    activations.sub_(mean).div_(deviation)
    fold = torch.randperm(rows, generator=torch.Generator().manual_seed(0)) % FOLDS
    parts = HeldOut.of(target, encoded, fold, FOLDS, weight)
    outputs, models = target.outputs, parts.models
    weights, bias = torch.zeros(features, models * outputs), torch.zeros(models * outputs)

    def penalised(strength: float) -> tuple[Tensor, list[Tensor], Tensor]:
        scores = torch.addmm(bias, activations, weights).view(rows, models, outputs)
        loss, slopes = parts.loss_and_slopes(scores)
        gradient, penalty = slopes.flatten(1), 1 / (strength * rows)
        loss = loss + 0.5 * penalty * weights.square().sum()
        return loss, [(activations.T @ gradient).add_(weights, alpha=penalty), gradient.sum(0)], scores

    def solved(strength: float) -> tuple[float, tuple[Tensor, Tensor]]:
        held_out = parts.unseen(minimise([weights, bias], partial(penalised, strength)))
        temperature = target.temperature(held_out, encoded)
        slope, offset = weights.view(features, models, outputs)[:, -1], bias.view(models, outputs)[-1]
        return parts.loss(held_out / temperature), (slope / temperature, offset / temperature)

    _, (slope, offset) = best_strength(STRENGTHS, solved)
    slope = slope / deviation[:, None]
    return slope.T.contiguous(), offset - mean @ slope
