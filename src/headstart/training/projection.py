"""`principal_components`: projection of vectors, such as embeddings, onto a plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["principal_components"]


def principal_components(vectors: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project vectors onto their first two principal components.

    Args:
        vectors: float, ``(vectors, size)``; with a single vector, or size 1, missing coordinates are 0.

    Returns:
        The points, float64, ``(vectors, 2)``, with the sign of each axis chosen such that its largest absolute
        coordinate is positive; and the fraction of the variance along each axis, float64, ``(2,)``.
    """
    centred = np.asarray(vectors, dtype=np.float64) - vectors.mean(0)
    left, singular_values, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(vectors), 2))
    points[:, : len(singular_values[:2])] = left[:, :2] * singular_values[:2]
    signs = np.where(points[np.abs(points).argmax(0), [0, 1]] < 0, -1.0, 1.0)
    shares = np.zeros(2)
    shares[: len(singular_values[:2])] = singular_values[:2] ** 2 / max(float((singular_values**2).sum()), 1e-30)
    return points * signs, shares
