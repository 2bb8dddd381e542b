"""`principal_components`: vectors, such as embeddings, as points in a plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["principal_components"]


def principal_components(vectors: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project vectors onto the plane that keeps most of their variance.

    Args:
        vectors: ``(vectors, size)``; with one vector, or size 1, the missing coordinates are 0.

    Returns:
        Points, float64 ``(vectors, 2)``, with the sign of each axis such that its outermost point is positive; and
        each axis's share of the variance, ``(2,)``.
    """
    centred = np.asarray(vectors, dtype=np.float64) - vectors.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(vectors), 2))
    points[:, : len(sizes[:2])] = left[:, :2] * sizes[:2]
    signs = np.where(points[np.abs(points).argmax(0), [0, 1]] < 0, -1.0, 1.0)
    shares = np.zeros(2)
    shares[: len(sizes[:2])] = sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-30)
    return points * signs, shares
