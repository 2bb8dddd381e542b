"""Predictions for rows by models that did not see them, by which wrong labels are found."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from headstart.checks.features import Features
from headstart.core.batch import Batch
from headstart.core.convex import minimise
from headstart.targets.target import AnyTarget

__all__ = ["out_of_fold"]

DECAYS = (1e-3, 1e-4, 1e-5, 1e-6)
"""Penalties on the squared weights, from which the best on the rows left out first is taken."""

FOLDS = 5
STEPS = 60
"""Largest number of steps of L-BFGS."""

Weights: TypeAlias = tuple[Tensor, Tensor]
"""Weight ``(features, outputs)`` and bias ``(outputs,)``."""


def out_of_fold(features: Features, target: AnyTarget, encoded: Tensor, *, seed: int = 0) -> Tensor:
    """Return each row's prediction by a linear model that was solved on the other rows, ``(rows, ...)``.

    The rows are split into five folds, and the rows of each are predicted by a model of the others: penalised, solved
    by L-BFGS. The penalty is the best for the first fold.

    Args:
        features: of the rows.
        target: what is predicted.
        encoded: the encoded targets, ``(rows, ...)``.
        seed: seed of the folds.
    """
    rows = len(features)
    fold = torch.from_numpy(np.random.default_rng(seed).permutation(rows) % FOLDS)
    weights: Weights = (torch.zeros(features.width, target.outputs), torch.zeros(target.outputs))
    outputs = torch.zeros(rows, target.outputs)
    best, decay, start = float("inf"), DECAYS[0], weights
    first = fold == 0
    for candidate in DECAYS:
        weights, solved = _solved(features, target, encoded, ~first, candidate, weights)
        loss = float(_loss(target, solved, encoded, first))
        if loss >= best:
            break
        best, decay, start, outputs = loss, candidate, weights, solved
    for number in range(1, FOLDS):
        held_out = fold == number
        _, solved = _solved(features, target, encoded, ~held_out, decay, start)
        outputs[held_out] = solved[held_out]
    return target.prediction(outputs)


def _solved(
    features: Features, target: AnyTarget, encoded: Tensor, used: Tensor, decay: float, start: Weights
) -> tuple[Weights, Tensor]:
    """Return the weights that minimise loss and penalty over the used rows, and their outputs for all rows."""
    weight, bias = (part.clone() for part in start)

    def penalised() -> tuple[Tensor, list[Tensor], Tensor]:
        outputs = (features.matrix @ weight + bias).requires_grad_()
        with torch.enable_grad():
            loss = _loss(target, outputs, encoded, used)
        (slope,) = torch.autograd.grad(loss, outputs)
        value = loss.detach().double() + decay * weight.square().sum().double()
        return value, [features.transposed @ slope + 2 * decay * weight, slope.sum(0)], outputs.detach()

    outputs = minimise(
        [weight, bias], penalised, iterations=STEPS, history=8, smallest_gradient=1e-7, smallest_change=1e-9
    )
    return (weight, bias), outputs


def _loss(target: AnyTarget, outputs: Tensor, encoded: Tensor, used: Tensor) -> Tensor:
    """Return the mean loss over the rows that a mask marks."""
    weight = used * (len(used) / used.sum())
    return target.loss(outputs, Batch(inputs=(), rows=len(outputs), target=encoded, weight=weight))
