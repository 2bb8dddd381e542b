"""`ActivationPenalty`: a penalty on large and on changing activations of a recurrent network."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from headstart.core.batch import Batch
from headstart.text.models.awd_lstm import Windows
from headstart.training.callbacks import Callback
from headstart.training.progress import Progress

__all__ = ["ActivationPenalty"]


class ActivationPenalty(Callback):
    """Adds activation regularisation and temporal activation regularisation to what is minimised.

    **Source:** Merity et al., "Regularizing and Optimizing LSTM Language Models" (2018), section 4.4.

    Args:
        alpha: factor of the mean square of the activations after output dropout.
        beta: factor of the mean square of the activations' change from one token to the next.
    """

    def __init__(self, alpha: float, beta: float) -> None:
        self.alpha, self.beta = alpha, beta

    def on_loss(self, progress: Progress, batch: Batch, outputs: Any, loss: Tensor) -> Tensor:
        """Return the loss with both penalties; ``outputs[1]`` are the activations."""
        return self.penalised(outputs[1], loss)

    def penalised(self, windows: Windows, loss: Tensor) -> Tensor:
        """Return the loss with both penalties, each a mean over the windows.

        Args:
            windows: activations before and after output dropout, ``(batch, time, embedding)``, for each window.
            loss: a scalar.
        """
        for raw, dropped in windows:
            if self.alpha:
                loss = loss + self.alpha / len(windows) * dropped.float().square().mean()
            if self.beta and raw.shape[1] > 1:
                change = raw[:, 1:].float() - raw[:, :-1].float()  # (batch, time - 1, embedding)
                loss = loss + self.beta / len(windows) * change.square().mean()
        return loss
