"""Taste as a map of items in two dimensions, and as a table of the busiest users and the most rated items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
import torch
from matplotlib.colors import TwoSlopeNorm
from numpy.typing import NDArray

from headstart.collab.codec import RatingsCodec
from headstart.collab.seen import Seen
from headstart.core.errors import ConfigError
from headstart.training.plots import Plot, label_points
from headstart.training.projection import principal_components

__all__ = ["crosstab", "project", "taste_map"]

Floats: TypeAlias = NDArray[np.floating[Any]]

LONGEST = 30
"""Characters of a title that a map shows."""


def crosstab(codec: RatingsCodec, seen: Seen, n_users: int, n_items: int) -> pl.DataFrame:
    """Return the ratings of the users with most rows for the items with most rows; see `CollabLearner.crosstab`."""
    if n_users < 1 or n_items < 1:
        raise ConfigError(f"n_users and n_items must be at least 1; got {n_users} and {n_items}")
    items = _busiest(seen.item_counts(len(codec.items)), n_items)
    users = _busiest(seen.starts.diff(), n_users)
    row_of, column_of = _indices(users, len(codec.users)), _indices(items, len(codec.items))
    pairs = (row_of[seen.users] >= 0) & (column_of[seen.items] >= 0)
    ratings = torch.ones(int(pairs.sum())) if seen.ratings is None else seen.ratings[pairs]
    table = torch.full((len(users), len(items)), float("nan"))
    table[row_of[seen.users[pairs]], column_of[seen.items[pairs]]] = ratings
    shown = table.numpy()
    names = codec.item_facts.names(codec.items, items.numpy())
    repeated = {name for name in names if names.count(name) > 1}
    values = codec.items.decode(items.numpy()).to_list()
    heads = [f"{name} ({value})" if name in repeated else name for name, value in zip(names, values, strict=True)]
    columns = [pl.Series(head, shown[:, column]).fill_nan(None) for column, head in enumerate(heads)]
    return pl.DataFrame([codec.users.decode(users.numpy()).alias(codec.user), *columns])


def project(vectors: Floats, method: Literal["pca", "tsne"]) -> Floats:
    """Return vectors as points in a plane, ``(rows, 2)``; the same vectors always give the same points.

    Args:
        vectors: ``(rows, width)``.
        method: ``"pca"``, principal components; or ``"tsne"``, by scikit-learn.

    Raises:
        ConfigError: the method is unknown, scikit-learn is missing, or there are under three rows or two columns.
    """
    if method not in ("pca", "tsne"):
        raise ConfigError(f"method must be 'pca' or 'tsne'; got {method!r}")
    if len(vectors) < 3 or vectors.shape[1] < 2:
        raise ConfigError(f"a map needs three items and two factors at least; got {vectors.shape}")
    centred = vectors - vectors.mean(0)
    if method == "pca":
        return principal_components(vectors)[0]
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ConfigError("t-SNE needs scikit-learn: pip install scikit-learn, or use method='pca'") from error
    tsne = TSNE(perplexity=min(12.0, (len(vectors) - 1) / 3), init="pca", random_state=0)
    points: Floats = tsne.fit_transform(centred)
    return points


def taste_map(
    vectors: Floats,
    names: Sequence[str],
    counts: NDArray[np.integer[Any]],
    lift: Floats,
    method: Literal["pca", "tsne"],
) -> Plot:
    """Draw items as points: close if the same users like them, larger the more they are rated, coloured by their bias.

    Args:
        vectors: float ``(items, factors)``, the most rated item first.
        names: label of each item.
        counts: number of ratings of each item, int ``(items,)``.
        lift: bias of each item, in the ratings' unit, float ``(items,)``.
        method: as for `project`.
    """
    points = project(vectors, method)
    plot = Plot(figsize=(12, 8.5), layout="constrained")
    axis = plot.subplots()
    reach = max(float(np.abs(lift).max()), 1e-6)
    drawn = axis.scatter(
        points[:, 0], points[:, 1], s=25 + 150 * counts / max(1, counts.max()), c=lift, cmap="RdYlBu_r",
        norm=TwoSlopeNorm(0.0, -reach, reach), edgecolors="white", linewidths=0.8, zorder=3,
    )  # fmt: skip
    axis.margins(0.09, 0.06)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    by = "principal components" if method == "pca" else "t-SNE"
    axis.set_title(f"The {len(names)} most rated items by taste ({by} of their vectors)", loc="left", fontsize=12)
    bar = plot.colorbar(drawn, ax=axis, shrink=0.4, aspect=25, pad=0.01)
    bar.set_label("rated above (+) or below (-) what taste explains", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    label_points(plot, axis, points, [_short(name) for name in names])
    return plot


def _short(name: str) -> str:
    """Return a title without its year, cut at the end of a word if it is long."""
    name = name.rpartition(" (")[0] if name.endswith(")") and name[-5:-1].isdigit() else name
    return name if len(name) <= LONGEST else name[:LONGEST].rpartition(" ")[0] + " ..."


def _indices(chosen: torch.Tensor, count: int) -> torch.Tensor:
    """The index of each of ``count`` ids among the chosen ones, int64 ``(count,)``; -1 for the others."""
    indices = torch.full((count,), -1)
    indices[chosen] = torch.arange(len(chosen))
    return indices


def _busiest(counts: torch.Tensor, n: int) -> torch.Tensor:
    """Return the ids from 1 on with most rows."""
    return counts[1:].argsort(descending=True, stable=True)[:n] + 1
