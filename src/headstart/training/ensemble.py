"""`Ensemble`: several models of the same architecture, trained together and saved as one artefact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core.batch import Batch, Loss
from headstart.core.engine import seeded
from headstart.core.errors import ConfigError
from headstart.training.optim import declared_groups

__all__ = ["Ensemble", "independent_parts", "loss_of"]


class Ensemble(nn.Module):
    """Models that are trained on the same batches, with different initial weights and dropout, and averaged.

    Outputs are averaged before they are converted to predictions: class probabilities and log targets are thus combined
    by their geometric mean.

    **Source:** Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles"
    (2017), section 2.4, without adversarial examples; unlike there, all members see the rows in the same order.

    **Shape:** each output ``(members, rows, ...)`` in training, ``(rows, ...)`` in evaluation.

    Args:
        members: models with the same parameter groups.

    Raises:
        ConfigError: there are no members.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise ConfigError("an ensemble needs at least one member")
        self.members = nn.ModuleList(members)

    @classmethod
    def of(cls, make: Callable[[], nn.Module], count: int, seed: int) -> nn.Module:
        """Return one model if ``count`` is 1, else an ensemble of models whose weights have different seeds.

        Args:
            make: function that returns a model with new weights from torch's global generator, which is seeded for it.
            count: number of members, at least 1.
            seed: seed of the first member, from which the seeds of the others follow.

        Raises:
            ConfigError: ``count`` is not an integer of at least 1.
        """
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ConfigError(f"ensemble must be a whole number of at least 1; got {count!r}")
        members = []
        for number in range(count):
            with seeded(seed + 1_000_003 * number):
                members.append(make())
        return members[0] if count == 1 else cls(members)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return parameter groups that each combine the groups of all members at the same position."""
        declared = [declared_groups(member) for member in self.members]
        return [[part for group in same for part in group] for same in zip(*declared, strict=True)]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the outputs of all members in training, ``(members, rows, ...)``, and their mean in evaluation."""
        outputs = torch.stack([member(*inputs) for member in self.members])
        return outputs if self.training else outputs.mean(0)


def independent_parts(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[list[Tensor]]:
    """Return the trained parameters of each member of an ensemble, or of a single model as one list.

    The loss of an ensemble is the mean of its members' losses. Multiplied by their number, it gives each member the
    gradients that it would have as a single model. The gradients of each member are also clipped separately, so that it
    trains exactly like a single model.

    Args:
        model: an `Ensemble`, or any other model.
        optimizer: the optimizer, which has the trained parameters.
    """
    trained: list[Tensor] = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if not isinstance(model, Ensemble):
        return [trained]
    trained_ids = {id(parameter) for parameter in trained}
    return [
        [parameter for parameter in member.parameters() if id(parameter) in trained_ids] for member in model.members
    ]


def loss_of(model: nn.Module, loss: Loss, members: int = 1) -> Loss:
    """Return the loss of a model: in training, if it has members, the mean of their losses.

    Args:
        model: an `Ensemble`, or any other model.
        loss: ``loss(outputs, batch)`` of one member.
        members: number of members within each model: its outputs are ``(members, rows, ...)`` in training if there are
            several.
    """
    if isinstance(model, Ensemble):
        losses = [loss_of(member, loss, members) for member in model.members]
    elif members > 1:
        losses = [loss] * members
    else:
        return loss

    def members_loss(outputs: Any, batch: Batch) -> Tensor:
        if not model.training:
            return loss(outputs, batch)
        return torch.stack([each(output, batch) for each, output in zip(losses, outputs, strict=True)]).mean()

    return members_loss
