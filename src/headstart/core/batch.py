"""`Batch`: what one step of training, or of prediction, works on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Batch"]


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
