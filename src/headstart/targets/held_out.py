"""`HeldOut`: models that each leave out a part of the rows, solved at once with that of all rows; `best_strength`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from headstart.core.batch import Batch
from headstart.targets.target import Target

__all__ = ["HeldOut", "best_strength"]

Solution = TypeVar("Solution")


@dataclass(frozen=True)
class HeldOut:
    """Rows in folds: a model for each fold, which does not learn from its rows, and as the last one that of all rows.

    Attributes:
        target: whose loss the models minimise.
        encoded: encoded targets, ``(rows, ...)``.
        folds: fold of each row, int64 ``(rows,)``.
        weights: weight of each row in each model's loss, float32 ``(rows, models)``: 0 for the rows of its fold.
    """

    target: Target
    encoded: Tensor
    folds: Tensor
    weights: Tensor

    @classmethod
    def of(cls, target: Target, encoded: Tensor, folds: Tensor, count: int, weight: Tensor | None = None) -> HeldOut:
        """Return the models of rows in folds.

        Args:
            target: whose loss they minimise.
            encoded: encoded targets, ``(rows, ...)``.
            folds: fold of each row, int64 ``(rows,)``, from 0.
            count: number of folds.
            weight: weight of each row in the loss, float ``(rows,)``; None: all count the same.
        """
        used = torch.ones(len(folds), count + 1)
        used[torch.arange(len(folds)), folds] = 0
        return cls(target, encoded, folds, used if weight is None else used * weight[:, None].float())

    @property
    def models(self) -> int:
        """Number of models: one more than there are folds."""
        return self.weights.shape[1]

    def loss_and_slopes(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the models' losses, and its gradient by their outputs, ``(rows, models, outputs)``."""
        outputs = outputs.detach().requires_grad_()
        with torch.enable_grad():
            total = torch.zeros(())
            for model in range(self.models):
                total = total + self._loss(outputs[:, model], model)
            (slopes,) = torch.autograd.grad(total, outputs)
        return total.detach(), slopes

    def unseen(self, outputs: Tensor) -> Tensor:
        """Return of the models' outputs, ``(rows, models, outputs)``, those for the rows that each leaves out.

        Returns:
            Outputs ``(rows, outputs)``, each by the model that has not learnt from the row.
        """
        return outputs[torch.arange(len(self.folds)), self.folds]

    def loss(self, outputs: Tensor) -> float:
        """Return the loss of outputs ``(rows, outputs)`` over all rows."""
        return float(self._loss(outputs, self.models - 1))

    def _loss(self, outputs: Tensor, model: int) -> Tensor:
        rows = len(self.folds)
        batch = Batch(inputs=(), rows=rows, target=self.encoded, weight=self.weights[:, model])
        return self.target.loss(outputs, batch)


def best_strength(
    strengths: Sequence[float], solve: Callable[[float], tuple[float, Solution]]
) -> tuple[float, Solution]:
    """Return the strength with the lowest loss on rows that were held out, and the solution for it.

    Args:
        strengths: in the order in which they are tried until the loss no longer falls; at least one.
        solve: returns the loss on held-out rows, and the solution.
    """
    loss, solution = solve(strengths[0])
    best = strengths[0], solution
    for strength in strengths[1:]:
        next_loss, solution = solve(strength)
        if next_loss >= loss:
            break
        loss, best = next_loss, (strength, solution)
    return best
