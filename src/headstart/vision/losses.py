"""Losses with label smoothing."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from headstart.core.batch import Batch, output_of, weighted_mean
from headstart.targets.target import Label, Labels, Loss

__all__ = ["smoothed"]


def smoothed(target: Label | Labels, share: float) -> Loss:
    """The target's own loss, with a share of each label spread over all classes.

    **Source:** Szegedy et al., "Rethinking the Inception Architecture" (2016), section 7; for several labels each
    class's 0 and 1 become ``share / 2`` and ``1 - share / 2``.

    Args:
        target: one class per row, or several.
        share: 0 to 1.
    """

    def one(outputs: Any, batch: Batch) -> Tensor:
        assert batch.target is not None
        found = F.cross_entropy(output_of(outputs).float(), batch.target, reduction="none", label_smoothing=share)
        return weighted_mean(found, batch)

    def several(outputs: Any, batch: Batch) -> Tensor:
        assert batch.target is not None
        soft = batch.target * (1 - share) + share / 2
        found = F.binary_cross_entropy_with_logits(output_of(outputs).float(), soft, reduction="none")
        return weighted_mean(found.mean(1), batch)

    return one if isinstance(target, Label) else several
