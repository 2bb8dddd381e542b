"""The mark of a row whose values are on the disk, without torch and polars, as a decoding process needs it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mark"]


def mark(
    values: np.memmap[Any, np.dtype[Any]], done: NDArray[np.uint8], rows: NDArray[np.int64], *, lasting: bool
) -> None:
    """Mark rows as computed, once their values are on the disk: the kernel writes two files in any order.

    Args:
        values: the store's values, mapped.
        done: the store's marks, mapped.
        rows: numbers of the rows whose values have been set.
        lasting: False: a power failure does not matter, so do not wait for the disk.
    """
    if lasting:
        values.flush()
    done[rows] = 1
