"""Splits by user: random pairs, and the last ratings of each user; for others see `headstart.frames.splits`.

Both choose the same pairs whatever the order of the table's rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.errors import ConfigError
from headstart.frames.door import check_columns
from headstart.frames.splits import Split, Splitter

__all__ = ["by_last_of_user", "by_pairs"]


def by_pairs(user: str, item: str, fraction: float = 0.2, *, seed: int = 0) -> Splitter:
    """Return a split in which a random share of the rows validates, whatever their order.

    Args:
        user: column of user ids.
        item: column of item ids.
        fraction: share of validation rows, between 0 and 1.
        seed: seed of the choice.

    Raises:
        ConfigError: the fraction is not between 0 and 1.
    """
    _check_fraction(fraction)

    def split(frame: pl.DataFrame) -> Split:
        check_columns(frame, [user, item], "by_pairs")
        ordered = frame.select(pl.arg_sort_by(user, item, maintain_order=True)).to_series().to_numpy()
        chosen = np.random.default_rng(seed).permutation(len(frame))[: round(len(frame) * fraction)]
        return _split_of(len(frame), ordered[chosen])

    return split


def by_last_of_user(
    user: str, time: str | None, item: str, *, count: int | None = None, fraction: float | None = None
) -> Splitter:
    """Return a split in which the last rows of each user validate; of those at the same time, the greater item ids.

    A user whose every row would validate keeps one to train on.

    Args:
        user: column of user ids.
        time: column of times: numbers or dates; None: by item id alone.
        item: column of item ids.
        count: number of validation rows per user; or
        fraction: share of each user's rows, rounded up, between 0 and 1; 0.2 if neither is given.

    Raises:
        ConfigError: both are given, or one is out of its range.
    """
    if count is not None and fraction is not None:
        raise ConfigError("by_last_of_user: give count or fraction, not both")
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        raise ConfigError(f"by_last_of_user: count must be a whole number of at least 1; got {count!r}")
    share = 0.2 if fraction is None else fraction
    _check_fraction(share)

    def split(frame: pl.DataFrame) -> Split:
        keys = [name for name in (user, time, item) if name is not None]
        check_columns(frame, keys, "by_last_of_user")
        ordered = frame.select(keys).with_row_index("headstart_row").sort(keys, maintain_order=True)
        from_end = pl.int_range(pl.len(), 0, -1).over(user)  # 1: the last
        rows = pl.len().over(user).cast(pl.Int64)
        wanted = pl.lit(count, pl.Int64) if count is not None else (rows * share - 1e-9).ceil().cast(pl.Int64)
        chosen = ordered.filter(from_end <= pl.min_horizontal(wanted, rows - 1))
        return _split_of(len(frame), chosen["headstart_row"].to_numpy())

    return split


def _split_of(rows: int, valid: NDArray[np.integer[Any]]) -> Split:
    mask = np.zeros(rows, dtype=bool)
    mask[valid] = True
    return Split(np.flatnonzero(~mask), np.flatnonzero(mask))


def _check_fraction(fraction: float) -> None:
    if not isinstance(fraction, int | float) or not 0 < fraction < 1:
        raise ConfigError(f"fraction must lie between 0 and 1; got {fraction!r}")
