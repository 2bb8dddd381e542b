"""`AverageWeights`: a running mean of the weights, which makes a fit at a constant rate as good as one that ends it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from headstart.core.batch import Batch
from headstart.core.errors import ConfigError
from headstart.training.callbacks import Callback
from headstart.training.progress import Progress

__all__ = ["AverageWeights"]


class AverageWeights(Callback):
    """Evaluate, and have after the fit, a running mean of the weights; training goes on from the weights themselves.

    At a constant learning rate, weights move around a minimum, to which their mean comes close: as close as by letting
    the rate go to 0, but after every epoch, so that the fit can be stopped at any of them. Early weights fade out:
    after any number of steps, the last tenth of them has about two thirds of the mean, at the default decay. Statistics
    of batch norms are averaged, too.

    **Source:** Shamir and Zhang, "Stochastic Gradient Descent for Non-smooth Optimization" (2013), section 4:
    polynomial-decay averaging.

    Args:
        decay: how much faster than an equal mean the mean forgets early weights, at least 0; 0: all weigh the same.

    Raises:
        ConfigError: ``decay`` is not a number of at least 0.
    """

    def __init__(self, decay: float = 9.0) -> None:
        if not (isinstance(decay, int | float) and decay >= 0):
            raise ConfigError(f"decay must be a number of at least 0; got {decay!r}")
        self.decay, self.steps = decay, 0
        self._mean: list[Tensor] = []
        self._weights: list[Tensor] = []  # those that train, while the model has the mean

    def on_fit_start(self, progress: Progress) -> None:
        """Discard the mean of an earlier fit, unless this fit is resumed."""
        if progress.epoch == 0:
            self.steps, self._mean, self._weights = 0, [], []

    def on_batch(self, progress: Progress, batch: Batch) -> Batch:
        """Go on from the weights themselves, if the model has the mean, which an evaluation looked at."""
        if self._weights:
            self._mean = _copies(progress.model)
            _assign(progress.model, self._weights)
            self._weights = []
        return batch

    def on_step_end(self, progress: Progress) -> None:
        """Add the weights to the mean, and give the model the mean at the end of an epoch."""
        self.steps += 1
        if self.steps == 1:
            self._mean = _copies(progress.model)
        else:
            share = (self.decay + 1.0) / (self.steps + self.decay)
            torch._foreach_lerp_(self._mean, _averaged(progress.model), share)
        if progress.step >= progress.steps:
            self._weights = _copies(progress.model)
            _assign(progress.model, self._mean)

    def on_fit_end(self, progress: Progress) -> None:
        """Give the model the mean, if the fit was interrupted within an epoch, and no epoch before it is kept."""
        if self._mean and not self._weights and progress.kept is None:
            _assign(progress.model, self._mean)

    def state(self) -> dict[str, Any]:
        """Return the weights that train and the number of steps; at the end of an epoch, the model has the mean."""
        return {"steps": self.steps, "weights": self._weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state that `state` returned."""
        self.steps, self._weights = state["steps"], list(state["weights"])


def _averaged(model: nn.Module) -> list[Tensor]:
    """Return the tensors that are averaged: all weights and persistent buffers of floating-point numbers."""
    return [tensor.detach() for tensor in model.state_dict().values() if tensor.is_floating_point()]


def _copies(model: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in _averaged(model)]


def _assign(model: nn.Module, tensors: list[Tensor]) -> None:
    for own, tensor in zip(_averaged(model), tensors, strict=True):
        own.copy_(tensor)
