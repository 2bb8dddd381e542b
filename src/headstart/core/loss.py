"""Losses: what the loop minimises, ``loss(outputs, batch)``, and the mean that all of them are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from headstart.core.batch import Batch
from headstart.core.errors import ConfigError

__all__ = ["Loss", "checked_loss", "output_of", "weighted_mean"]

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
