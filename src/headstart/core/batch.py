"""`Batch`: what one step of training, or of prediction, works on; and `Loss`, what the loop minimises on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from headstart.core.errors import ConfigError

__all__ = ["Batch", "Loss", "checked_loss", "output_of", "weighted_mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The inputs of one step, and what the loss needs beside them.

    The model is called as ``model(*batch.inputs)``; which tensor is the target is said here and guessed nowhere.

    Attributes:
        inputs: the model's arguments; the first axis of each is the batch.
        rows: the number of terms in the loss's mean: rows, tokens or pairs. The loop weighs batches by it.
        target: what the loss compares with, or None for a loss that needs none (pairs of items, say).
        weight: float, ``(batch,)``: the weight of each row in the loss, mean 1 over the training rows; None: all equal.
        rate: factor on this step's learning rate, for windows of varying length (AWD-LSTM, section 5).
        index: int64, ``(batch,)``: the rows' numbers in their table, by which predictions come back in its order.
    """

    inputs: tuple[Tensor, ...]
    rows: int
    target: Tensor | None = None
    weight: Tensor | None = None
    rate: float = 1.0
    index: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on ``device``; itself if they are there already."""
        held = (*self.inputs, self.target, self.weight, self.index)
        if all(tensor is None or tensor.device == device for tensor in held):
            return self

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=True)

        return replace(
            self,
            inputs=tuple(tensor.to(device, non_blocking=True) for tensor in self.inputs),
            target=move(self.target),
            weight=move(self.weight),
            index=move(self.index),
        )


Loss = Callable[[Any, Batch], Tensor]
"""``loss(outputs, batch)``: a scalar, the mean over ``batch.rows``; outputs are what the model returned."""


def checked_loss(loss: Loss | None) -> Loss | None:
    """The loss, if it is one of ours.

    Raises:
        ConfigError: one of torch's own, which take a target instead of a batch.
    """
    home = getattr(loss, "__module__", None) or ""
    if loss is not None and (not callable(loss) or home.startswith("torch.nn")):
        raise ConfigError(
            f"loss is called as loss(outputs, batch); for {loss!r} give"
            " lambda outputs, batch: torch_loss(outputs, batch.target)"
        )
    return loss


def weighted_mean(losses: Tensor, batch: Batch) -> Tensor:
    """The mean of each row's loss, ``(rows,)``, times its weight if there are weights (whose own mean is 1)."""
    return losses.mean() if batch.weight is None else (losses * batch.weight).mean()


def output_of(outputs: Any) -> Tensor:
    """What a model returned, or the first of it, if it returned a tuple."""
    found: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return found
