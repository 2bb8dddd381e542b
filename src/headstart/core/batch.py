"""`Batch`: the tensors of one step of training or prediction; `Loss`: the function that training minimises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from headstart.core.errors import ConfigError

__all__ = ["Batch", "Loss", "checked_loss", "output_of", "to_device", "weighted_mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The inputs of one step, and what the loss needs besides.

    The model is called as ``model(*batch.inputs)``. The target is declared here, so that no code has to guess it.

    Attributes:
        inputs: arguments of the model, each ``(batch, ...)``.
        rows: number of terms in the mean loss: rows, tokens or pairs. Training weights batches by it.
        target: what the loss compares outputs with, ``(batch, ...)``; None for a loss without a target, such as BPR's.
        weight: float, ``(batch,)``: weight of each row in the loss, with mean 1 over the training rows; None: all 1.
        rate: factor on the learning rate of this step, for windows of varying length (AWD-LSTM, section 5).
        index: int64, ``(batch,)``: position of each row in its table, by which predictions are put in order.
    """

    inputs: tuple[Tensor, ...]
    rows: int
    target: Tensor | None = None
    weight: Tensor | None = None
    rate: float = 1.0
    index: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on ``device``; the same object if they are already there."""
        tensors = (*self.inputs, self.target, self.weight, self.index)
        if all(tensor is None or tensor.device == device for tensor in tensors):
            return self

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else to_device(tensor, device)

        return replace(
            self,
            inputs=tuple(to_device(tensor, device) for tensor in self.inputs),
            target=move(self.target),
            weight=move(self.weight),
            index=move(self.index),
        )


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device without waiting for it: an NVIDIA GPU copies from pinned memory while it computes."""
    if device.type == "cuda" and tensor.device.type == "cpu" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


Loss = Callable[[Any, Batch], Tensor]
"""``loss(outputs, batch)``, where ``outputs`` is what the model returned: a scalar, the mean over ``batch.rows``."""


def checked_loss(loss: Loss | None) -> Loss | None:
    """Return the loss if it can be called as ``loss(outputs, batch)``.

    Raises:
        ConfigError: it is not a function, or is one of torch's losses, which take a target instead of a batch.
    """
    module = getattr(loss, "__module__", None) or ""
    if loss is not None and (not callable(loss) or module.startswith("torch.nn")):
        raise ConfigError(
            f"loss is called as loss(outputs, batch); for {loss!r} give"
            " lambda outputs, batch: torch_loss(outputs, batch.target)"
        )
    return loss


def weighted_mean(losses: Tensor, batch: Batch) -> Tensor:
    """Return the mean of the rows' losses, each multiplied by its weight if the batch has weights.

    Args:
        losses: float, ``(batch,)``.
        batch: its weights have mean 1 over the training rows.
    """
    return losses.mean() if batch.weight is None else (losses * batch.weight).mean()


def output_of(outputs: Any) -> Tensor:
    """Return a model's output: the first element if it returned a tuple."""
    output: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return output
