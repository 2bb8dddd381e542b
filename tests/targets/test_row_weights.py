"""Weights of rows: by a column, by class, and by both."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
import torch

from headstart.core.errors import ConfigError, DataError
from headstart.targets.row_weights import row_weights
from headstart.targets.target import Label, Number

FRAME = pl.DataFrame({"kind": ["a", "a", "a", "b"], "w": [1.0, 0.0, 3.0, 4.0], "zero": [0, 0, 0, 0]})
KIND = Label.fit(FRAME, "kind")
ENCODED = KIND.encode(FRAME)


@pytest.mark.parametrize(
    ("column", "class_weight", "expected"),
    [
        ("w", None, [0.5, 0.0, 1.5, 2.0]),
        (None, "balanced", [2 / 3, 2 / 3, 2 / 3, 2.0]),
        (None, {"a": 1, "b": 5}, [0.5, 0.5, 0.5, 2.5]),
        ("w", {"a": 1, "b": 2}, [1 / 3, 0.0, 1.0, 8 / 3]),
    ],
)
def test_weights_have_the_mean_1(column: str | None, class_weight: Any, expected: list[float]) -> None:
    weights = row_weights(FRAME, ENCODED, column, class_weight, KIND)
    assert weights is not None and weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx(expected)


def test_without_weights_there_are_none() -> None:
    assert row_weights(FRAME, ENCODED, None, None, KIND) is None


def test_weights_that_cannot_be() -> None:
    with pytest.raises(DataError, match="weight 'zero' is 0 in all training rows, so there is nothing to learn from"):
        row_weights(FRAME, ENCODED, "zero", None, KIND)
    with pytest.raises(DataError, match="weight 'kind' must be finite numbers of 0 or more, in each row"):
        row_weights(FRAME, ENCODED, "kind", None, KIND)
    number = Number(("y",), False, (0.0,), (1.0,))
    with pytest.raises(ConfigError, match="class_weight needs a target with one class per row, but 'y' is a number"):
        row_weights(FRAME, ENCODED, None, "balanced", number)
