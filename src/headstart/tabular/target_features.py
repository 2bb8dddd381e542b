"""Features made of the training rows' targets: means of the nearest rows' (`Neighbours`) and of categories' targets.

A smooth function learns a map with difficulty: what a house costs changes from street to street. The prices of the
nearest training rows say it at once. Likewise the mean of a category of few rows, of which an embedding learns little.

New rows see the targets of all training rows. A training row sees those of the other folds alone, never its own: else
a model would learn to read it off the feature, and fail on new rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.targets.target import AnyTarget

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

__all__ = ["LEAST_ROWS", "CategoryMeans", "Neighbours", "TargetFeature", "nearest_pairs", "target_values"]

Floats: TypeAlias = NDArray[np.float32]
Ids: TypeAlias = NDArray[np.int32]

SIZES = (4, 16, 64)
"""Numbers of neighbours whose targets are averaged."""

FOLDS = 5
"""Folds of training rows, each of which sees the targets of the others alone."""

LEAST_ROWS = 500
"""Fewer training rows are too few for such features."""

SHRINKAGE = 20.0
"""Rows that the mean of all rows counts for, beside those of a category."""

MOST_POINTS = 50_000
"""Training rows that are kept as neighbours, so that an artefact stays small."""

HALF = 1_500
"""Rows that predict as many others where pairs of numbers are compared."""

NEAREST = 10
"""Neighbours that are averaged there."""

MOST_CANDIDATES = 12
"""Numbers that may be in a pair: those that explain most alone."""

LEAST_GAIN = 0.2
"""Share of the target's variance that a pair must explain beyond the sum of its numbers' effects. Coordinates of houses
explain 0.25 and 0.29 more, other pairs of the development suite at most 0.16, and there neighbours were of no use."""

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

    def means(self, ids: Ids, numbers: Floats) -> NDArray[np.float64]:
        """Return the features of new rows: the mean targets of the nearest training rows.

        Args:
            ids: the rows' ids, ``(rows, categorical columns)``; they do not matter here.
            numbers: the rows' standardised numbers, ``(rows, numbers)``.

        Returns:
            float64 ``(rows, sizes * values)``, the values of the smallest size first.
        """
        return _means(self._tree, self.targets.numpy(), numbers[:, list(self.columns)], self.sizes)

    def out_of_fold(self, ids: Ids, numbers: Floats, targets: Floats) -> NDArray[np.float64]:
        """Return the features of rows that a model is trained with, each row's from the targets of the other folds.

        Args:
            ids: the rows' ids, ``(rows, categorical columns)``; they do not matter here.
            numbers: the rows' standardised numbers, ``(rows, numbers)``.
            targets: their targets, ``(rows, values)``.

        Returns:
            float64 ``(rows, sizes * values)``, as `means` returns them.
        """
        from scipy.spatial import cKDTree

        points = numbers[:, list(self.columns)]
        features = np.empty((len(points), self.width))
        for fold, others in _folds(len(points)):
            kept = others[_drawn(len(others), MOST_POINTS)]
            features[fold] = _means(cKDTree(points[kept]), targets[kept], points[fold], self.sizes)
        return features

    @cached_property
    def _tree(self) -> cKDTree:
        from scipy.spatial import cKDTree

        return cKDTree(self.points.numpy())


@dataclass(frozen=True, eq=False)
class CategoryMeans:
    """Mean targets of categories, shrunk towards the mean of all rows where a category has few.

    **Source:** Micci-Barreca, "A Preprocessing Scheme for High-Cardinality Categorical Attributes" (2001), out of fold.

    Attributes:
        columns: indices of the categorical columns.
        tables: for each of them the mean target of each id, float64 ``(ids, values)``; for id 0 that of missing values,
            and, where none are missing, that of all rows.
    """

    columns: tuple[int, ...]
    tables: tuple[Tensor, ...]

    @classmethod
    def fit(cls, ids: Ids, targets: Floats, columns: Sequence[int], cardinalities: Sequence[int]) -> CategoryMeans:
        """Learn the means.

        Args:
            ids: the training rows' ids, ``(rows, categorical columns)``.
            targets: from `target_values`, ``(rows, values)``.
            columns: indices of the categorical columns that are used.
            cardinalities: number of ids of every categorical column.
        """
        tables = (_category_means(ids[:, column], targets, cardinalities[column]) for column in columns)
        return cls(tuple(columns), tuple(torch.from_numpy(table) for table in tables))

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same means."""
        if not isinstance(other, CategoryMeans):
            return NotImplemented
        same = self.columns == other.columns
        return same and all(torch.equal(*pair) for pair in zip(self.tables, other.tables, strict=True))

    def __hash__(self) -> int:
        """Return the same for equal ones."""
        return hash(self.columns)

    @property
    def width(self) -> int:
        """Number of features."""
        return sum(table.shape[1] for table in self.tables)

    def means(self, ids: Ids, numbers: Floats) -> NDArray[np.float64]:
        """Return the features of new rows, float64 ``(rows, columns * values)``.

        Args:
            ids: the rows' ids, ``(rows, categorical columns)``.
            numbers: the rows' standardised numbers; they do not matter here.
        """
        return np.hstack([table[ids[:, column]] for column, table in zip(self.columns, self._arrays, strict=True)])

    def out_of_fold(self, ids: Ids, numbers: Floats, targets: Floats) -> NDArray[np.float64]:
        """Return the features of rows that a model is trained with, each row's from the targets of the other folds.

        Args:
            ids: the rows' ids, ``(rows, categorical columns)``.
            numbers: the rows' standardised numbers; they do not matter here.
            targets: their targets, ``(rows, values)``.
        """
        features = np.empty((len(ids), self.width))
        for fold, others in _folds(len(ids)):
            tables = [
                _category_means(ids[others, column], targets[others], len(table))[ids[fold, column]]
                for column, table in zip(self.columns, self._arrays, strict=True)
            ]
            features[fold] = np.hstack(tables)
        return features

    @cached_property
    def _arrays(self) -> list[NDArray[np.float64]]:
        return [table.numpy() for table in self.tables]


TargetFeature: TypeAlias = Neighbours | CategoryMeans
"""Features that are made of the training rows' targets."""


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
    """Return pairs of numbers that say together far more of the target than added up, as coordinates do; best first.

    Half of a sample of the rows predicts the other half, by the rows that are nearest in both numbers, and by the sum
    of what the nearest in each say. Numbers whose effects add up are left to the network.

    Args:
        numbers: the training rows' standardised numbers, ``(rows, numbers)``.
        targets: from `target_values`, ``(rows, values)``.
        candidates: indices of the numbers that may be in a pair.
    """
    gains = pair_gains(numbers, targets, candidates)
    return sorted((pair for pair in gains if gains[pair] >= LEAST_GAIN), key=lambda pair: -gains[pair])


def pair_gains(numbers: Floats, targets: Floats, candidates: Sequence[int]) -> dict[tuple[int, int], float]:
    """Return the share of the target's variance that each pair explains beyond the sum of its numbers' effects.

    Args:
        numbers: as for `nearest_pairs`.
        targets: likewise.
        candidates: likewise; the 12 that explain most alone are paired.

    Returns:
        By pair of indices; empty if the target does not vary.
    """
    from scipy.spatial import cKDTree

    rows = _drawn(len(numbers), 2 * HALF)
    known, other = np.array_split(np.random.default_rng(1).permutation(rows), 2)
    true = targets[other].astype(np.float64)
    variance = ((true - true.mean(0)) ** 2).sum()
    if not variance:
        return {}

    def nearest(*columns: int) -> NDArray[np.float64]:
        points = numbers[:, list(columns)]
        return _means(cKDTree(points[known]), targets[known], points[other], (NEAREST,))

    def explained(prediction: NDArray[np.float64]) -> float:
        return 1.0 - float(((prediction - true) ** 2).sum() / variance)

    alone = {column: nearest(column) for column in candidates}
    best = sorted(candidates, key=lambda column: -explained(alone[column]))[:MOST_CANDIDATES]
    gains: dict[tuple[int, int], float] = {}
    for first, second in combinations(sorted(best), 2):
        effects = np.column_stack([alone[first], alone[second], np.ones(len(true))])
        added = effects @ np.linalg.lstsq(effects, true, rcond=None)[0]
        gains[first, second] = explained(nearest(first, second)) - explained(added)
    return gains


def _means(tree: cKDTree, targets: Floats, points: Floats, sizes: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the mean targets of each point's nearest rows, of all where there are fewer than a size says.

    Returns:
        float64 ``(points, sizes * values)``.
    """
    sizes = tuple(min(size, len(targets)) for size in sizes)
    means = np.empty((len(points), len(sizes), targets.shape[1]))
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        _, nearest = tree.query(points[part], k=sizes[-1])
        nearest = nearest.reshape(-1, sizes[-1])  # (points, neighbours), also of a single neighbour
        # Added one after the other, so that a row alone gives the same bits as in a table.
        sums = np.cumsum(targets[nearest], axis=1, dtype=np.float64)  # (points, neighbours, values)
        means[part] = sums[:, [size - 1 for size in sizes]] / np.array(sizes)[:, None]
    return means.reshape(len(points), len(sizes) * targets.shape[1])


def _category_means(ids: Ids, targets: Floats, count: int) -> NDArray[np.float64]:
    """Return the shrunk mean target of each id, float64 ``(ids, values)``."""
    rows = np.bincount(ids, minlength=count)[:, None]
    sums = np.column_stack([np.bincount(ids, column, count) for column in targets.T.astype(np.float64)])
    means: NDArray[np.float64] = (sums + SHRINKAGE * targets.mean(0, dtype=np.float64)) / (rows + SHRINKAGE)
    return means


def _folds(rows: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the rows of each fold, drawn at random, and those of all others."""
    folds = np.random.default_rng(0).permutation(rows) % FOLDS
    for number in range(FOLDS):
        yield np.flatnonzero(folds == number), np.flatnonzero(folds != number)


def _drawn(rows: int, most: int) -> NDArray[np.int64]:
    """Return the indices of all rows, or of so many drawn at random, ascending."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).permutation(rows)[:most])
