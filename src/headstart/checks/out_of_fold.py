"""Predictions for rows by a model that did not see them, by which wrong labels are found and two parts told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from headstart.checks.features import Features
from headstart.core.batch import Batch

__all__ = ["Predicted", "out_of_fold"]

DECAYS = (1e-3, 1e-4, 1e-5, 1e-6)
"""Penalties on the squared weights, from which the best on the rows left out first is taken."""

FOLDS = 5
STEPS = 60


class Predicted(Protocol):
    """What is predicted: a `headstart.targets.target.Target` is one."""

    @property
    def outputs(self) -> int:
        """Number of outputs."""

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the mean loss over the rows."""

    def prediction(self, outputs: Tensor) -> Tensor:
        """Return predictions of outputs."""


@dataclass
class _Weights:
    weight: Tensor  # (features, outputs)
    bias: Tensor  # (outputs,)


def out_of_fold(features: Features, target: Predicted, encoded: Tensor, *, seed: int = 0) -> Tensor:
    """Return each row's prediction by a linear model that was trained on the other rows, ``(rows, ...)``.

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
    weights = _Weights(torch.zeros(features.width, target.outputs), torch.zeros(target.outputs))
    outputs = torch.zeros(rows, target.outputs)
    best, decay = (float("inf"), weights), DECAYS[0]
    first = (fold == 0).float()
    for candidate in DECAYS:
        weights = _solved(features, target, encoded, 1 - first, candidate, weights)
        loss = float(_loss(target, _outputs(features, weights), encoded, first))
        if loss >= best[0]:
            break
        best, decay = (loss, weights), candidate
    for number in range(FOLDS):
        held_out = (fold == number).float()
        solved = best[1] if number == 0 else _solved(features, target, encoded, 1 - held_out, decay, best[1])
        outputs[held_out.bool()] = _outputs(features, solved)[held_out.bool()]
    return target.prediction(outputs)


def _solved(
    features: Features, target: Predicted, encoded: Tensor, counts: Tensor, decay: float, start: _Weights
) -> _Weights:
    """Return the weights that minimise loss and penalty over the rows that count."""
    weight, bias = start.weight.clone(), start.bias.clone()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, history_size=8, line_search_fn="strong_wolfe")

    def closure() -> float:
        outputs = _outputs(features, _Weights(weight, bias)).requires_grad_()
        loss = _loss(target, outputs, encoded, counts)
        (slope,) = torch.autograd.grad(loss, outputs)
        weight.grad = features.transposed @ slope + 2 * decay * weight
        bias.grad = slope.sum(0)
        return float(loss.detach()) + decay * float(weight.square().sum())

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch does not type it
    return _Weights(weight, bias)


def _outputs(features: Features, weights: _Weights) -> Tensor:
    return features.matrix @ weights.weight + weights.bias


def _loss(target: Predicted, outputs: Tensor, encoded: Tensor, counts: Tensor) -> Tensor:
    """Return the mean loss over the rows whose count is 1, and not 0."""
    weight = counts * (len(counts) / counts.sum())
    return target.loss(outputs, Batch(inputs=(), rows=len(outputs), target=encoded, weight=weight))
