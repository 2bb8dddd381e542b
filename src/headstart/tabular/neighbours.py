"""`Neighbours`: the mean targets of the training rows that are nearest to a row in a few of its numbers.

A smooth function learns a map with difficulty: what a house costs changes from street to street. The prices of the
nearest training rows say it at once. A training row sees the targets of the other folds alone, never its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.targets.target import AnyTarget

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

__all__ = ["LEAST_POINTS", "Neighbours", "nearest_pairs", "target_values"]

Floats = NDArray[np.float32]

SIZES = (4, 16, 64)
"""Numbers of neighbours whose targets are averaged."""

FOLDS = 5
"""Folds of training rows, each of which sees the targets of the others alone."""

LEAST_POINTS = 500
"""Fewer training rows are too few for neighbours."""

MOST_POINTS = 50_000
"""Training rows that are kept as neighbours, so that an artefact stays small."""

HALF = 1_500
"""Rows that predict as many others where pairs of numbers are compared."""

NEAREST = 10
"""Neighbours that are averaged there."""

MOST_CANDIDATES = 12
"""Numbers that may be in a pair: those that explain most alone."""

LEAST_GAIN = 0.2
"""Share of the target's variance that a pair must explain beyond its better number: coordinates of houses explain 0.33
and 0.36 more, other pairs of the development suite at most 0.2, and there their neighbours were of no use."""

CHUNK = 5_000
"""Rows whose neighbours are looked up at once, which bounds memory."""

MOST_CLASSES = 10
"""A target of more classes gets no such features: each would need some of its own."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Mean targets of the nearest training rows, by distance in some of the standardised numbers.

    **Source:** out-of-fold predictions as features: Wolpert, "Stacked Generalization" (1992), here of a regression on
    the nearest neighbours.

    Attributes:
        columns: indices of the numbers that distance is measured in.
        sizes: how many nearest rows are averaged, ascending.
        points: those numbers of the training rows, standardised, float32 ``(points, columns)``.
        targets: the training rows' encoded targets, float32 ``(points, values)``.
    """

    columns: tuple[int, ...]
    sizes: tuple[int, ...]
    points: Tensor
    targets: Tensor

    @classmethod
    def fit(cls, numbers: Floats, targets: Floats, columns: Sequence[int]) -> Neighbours:
        """Keep training rows as neighbours: all of them, or a random 50,000.

        Args:
            numbers: the training rows' standardised numbers, float32 ``(rows, numbers)``.
            targets: from `target_values`, float32 ``(rows, values)``.
            columns: indices of the numbers that distance is measured in.
        """
        kept = _drawn(len(numbers), MOST_POINTS)
        points = torch.from_numpy(np.ascontiguousarray(numbers[kept][:, list(columns)]))
        return cls(tuple(columns), SIZES, points, torch.from_numpy(targets[kept]))

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same neighbours."""
        if not isinstance(other, Neighbours):
            return NotImplemented
        same = (self.columns, self.sizes) == (other.columns, other.sizes)
        return same and torch.equal(self.points, other.points) and torch.equal(self.targets, other.targets)

    def __hash__(self) -> int:
        """Return the same for equal ones."""
        return hash((self.columns, self.sizes, self.points.shape))

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.sizes) * self.targets.shape[1]

    def means(self, numbers: Floats) -> NDArray[np.float64]:
        """Return the features of new rows: the mean targets of the nearest training rows.

        Args:
            numbers: the rows' standardised numbers, ``(rows, numbers)``.

        Returns:
            float64 ``(rows, sizes * values)``, the values of the smallest size first.
        """
        return _means(self._tree, self.targets.numpy(), numbers[:, list(self.columns)], self.sizes)

    def out_of_fold(self, numbers: Floats, targets: Floats) -> NDArray[np.float64]:
        """Return the features of rows that a model is trained with, each row's from the targets of the other folds.

        Args:
            numbers: the rows' standardised numbers, ``(rows, numbers)``.
            targets: their targets, ``(rows, values)``.

        Returns:
            float64 ``(rows, sizes * values)``, as `means` returns them.
        """
        from scipy.spatial import cKDTree

        points = numbers[:, list(self.columns)]
        folds = np.random.default_rng(0).permutation(len(points)) % FOLDS
        features = np.empty((len(points), self.width))
        for fold in range(FOLDS):
            others = np.flatnonzero(folds != fold)
            others = others[_drawn(len(others), MOST_POINTS)]
            tree = cKDTree(points[others])
            features[folds == fold] = _means(tree, targets[others], points[folds == fold], self.sizes)
        return features

    @cached_property
    def _tree(self) -> cKDTree:
        from scipy.spatial import cKDTree

        return cKDTree(self.points.numpy())


def target_values(target: AnyTarget, encoded: Tensor) -> Floats | None:
    """Return encoded targets as numbers whose means say something, float32 ``(rows, values)``.

    Classes become 0 and 1 for each class, of two classes for the second alone; None for more than 10 classes.

    Args:
        target: the target.
        encoded: what it encoded, ``(rows, ...)``.
    """
    if len(target.classes) > MOST_CLASSES:
        return None
    if target.kind == "label":
        shares = torch.nn.functional.one_hot(encoded, len(target.classes)).float()
        return (shares[:, 1:] if len(target.classes) == 2 else shares).numpy()
    return encoded.float().reshape(len(encoded), -1).numpy()


def nearest_pairs(numbers: Floats, targets: Floats, candidates: Sequence[int]) -> list[tuple[int, int]]:
    """Return pairs of numbers that say together far more of the target than each alone, as coordinates do; best first.

    Half of a sample of the rows predicts the other half by its nearest rows. Numbers that each have an effect of their
    own are left to the network, which adds them up by itself.

    Args:
        numbers: the training rows' standardised numbers, ``(rows, numbers)``.
        targets: from `target_values`, ``(rows, values)``.
        candidates: indices of the numbers that may be in a pair.
    """
    rows = _drawn(len(numbers), 2 * HALF)
    known, asked = np.array_split(np.random.default_rng(1).permutation(rows), 2)
    alone = {column: max(0.0, _explained(numbers, targets, (column,), known, asked)) for column in candidates}
    best = sorted(alone, key=lambda column: -alone[column])[:MOST_CANDIDATES]
    gains: dict[tuple[int, int], float] = {}
    for one, other in combinations(sorted(best), 2):
        together = _explained(numbers, targets, (one, other), known, asked)
        gains[one, other] = together - max(alone[one], alone[other])
    return sorted((pair for pair in gains if gains[pair] >= LEAST_GAIN), key=lambda pair: -gains[pair])


def _explained(
    numbers: Floats, targets: Floats, columns: tuple[int, ...], known: NDArray[np.int64], asked: NDArray[np.int64]
) -> float:
    """Return the share of the targets' variance that the nearest known rows explain in the rows that are asked."""
    from scipy.spatial import cKDTree

    points = numbers[:, list(columns)]
    nearest = _means(cKDTree(points[known]), targets[known], points[asked], (NEAREST,))
    return 1.0 - float(((nearest - targets[asked]) ** 2).sum() / ((targets[asked] - targets[asked].mean(0)) ** 2).sum())


def _means(tree: cKDTree, targets: Floats, points: Floats, sizes: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the mean targets of each point's nearest rows, float64 ``(points, sizes * values)``."""
    means = np.empty((len(points), len(sizes), targets.shape[1]))
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        _, nearest = tree.query(points[part], k=sizes[-1])  # (points, neighbours)
        # Added one after the other, so that a row alone gives the same bits as in a table.
        sums = np.cumsum(targets[nearest], axis=1, dtype=np.float64)  # (points, neighbours, values)
        means[part] = sums[:, [size - 1 for size in sizes]] / np.array(sizes)[:, None]
    return means.reshape(len(points), -1)


def _drawn(rows: int, most: int) -> NDArray[np.int64]:
    """Return the indices of all rows, or of so many drawn at random, ascending."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).permutation(rows)[:most])
