"""Losses with label smoothing."""

from __future__ import annotations

from functools import partial

from headstart.targets.target import ClassTarget, Loss

__all__ = ["smoothed"]


def smoothed(target: ClassTarget, share: float) -> Loss:
    """Return the target's loss with a share of each label spread over all classes; see `Label.loss`.

    Args:
        target: one class per row, or several.
        share: 0 to 1.
    """
    return partial(target.loss, smoothing=share)
