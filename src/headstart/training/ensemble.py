"""`Ensemble`: several models of one make, trained side by side in one loop and saved as one artefact."""

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
    """Members that see the same batches but start, and drop out, differently; the answer is the mean of their outputs.

    Outputs are averaged before they are read: probabilities by their geometric mean, log targets likewise.

    **Source:** Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles"
    (2017), section 2.4, without adversarial examples. We differ in that all members see the rows in the same order.

    **Shape:** each output ``(members, rows, ...)`` in training, ``(rows, ...)`` in evaluation.

    Args:
        members: models with the same groups.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise ConfigError("an ensemble needs at least one member")
        self.members = nn.ModuleList(members)

    @classmethod
    def of(cls, make: Callable[[], nn.Module], count: int, seed: int) -> nn.Module:
        """One model if ``count`` is 1, else an ensemble of them, each with weights from a seed of its own.

        Args:
            make: makes a model with fresh weights from torch's random stream, which is left untouched.
            count: members, at least 1.
            seed: of the first member; the others' follow.
        """
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ConfigError(f"ensemble must be a whole number of at least 1; got {count!r}")
        members = []
        for number in range(count):
            with seeded(seed + 1_000_003 * number):
                members.append(make())
        return members[0] if count == 1 else cls(members)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """The members' groups, first with first."""
        declared = [declared_groups(member) for member in self.members]
        return [[part for group in same for part in group] for same in zip(*declared, strict=True)]

    def forward(self, *inputs: Tensor) -> Tensor:
        """All members' outputs in training, their mean in evaluation."""
        outputs = torch.stack([member(*inputs) for member in self.members])
        return outputs if self.training else outputs.mean(0)


def independent_parts(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[list[Tensor]]:
    """Return the trained parameters of each part of a model that is trained for itself: of each member of an ensemble.

    The loss of an ensemble is the mean of its members' losses. Multiplied by their number, it gives each member the
    gradients that it would have alone, and each is clipped alone, so that a member trains as a single model does.
    """
    trained: list[Tensor] = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if not isinstance(model, Ensemble):
        return [trained]
    known = {id(parameter) for parameter in trained}
    return [[parameter for parameter in member.parameters() if id(parameter) in known] for member in model.members]


def loss_of(model: nn.Module, loss: Loss, members: int = 1) -> Loss:
    """Return the loss of a model: in training the mean of its members' own, where it has members.

    Args:
        model: an `Ensemble` of several models, or one model.
        loss: ``loss(outputs, batch)`` of one member.
        members: number of members that one model computes side by side: its outputs are ``(members, rows, ...)`` in
            training.
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
