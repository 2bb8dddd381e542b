"""The head: what it is made of, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from headstart.core.errors import ConfigError
from headstart.vision.model import Head, concat_pool, head_dropouts


def kinds(head: Head) -> list[str]:
    return [type(layer).__name__ for layer in head.layers]


def test_the_head_is_the_lesson_s() -> None:
    hidden = ["BatchNorm1d", "Dropout", "Linear", "ReLU"]
    last = ["BatchNorm1d", "Dropout", "Linear"]
    assert kinds(Head(8, 2)) == hidden + last
    assert [layer.p for layer in Head(8, 2).layers if isinstance(layer, nn.Dropout)] == [0.25, 0.5]
    assert kinds(Head(8, 2, hidden=[])) == last
    assert kinds(Head(8, 2, hidden=[700, 300], dropout=0.5)) == hidden * 2 + last
    assert kinds(Head(8, 2, hidden=[512], dropout=[0.0, 0.2])) == [kind for kind in hidden if kind != "Dropout"] + last
    assert kinds(Head(8, 2, hidden=[], dropout=0.0)) == ["BatchNorm1d", "Linear"]
    assert head_dropouts(None, [9, 9]) == [0.25, 0.25, 0.5]


def test_pooling_is_the_mean_beside_the_maximum() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, -4.0]]]])
    assert concat_pool(maps).tolist() == [[3.0, -1.0, 6.0, 0.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"dropout": [0.1, 0.2, 0.3]},
            r"dropout has 3 probabilities, but the head has 2 layers \(1 hidden and the last\)",
        ),
        ({"dropout": 1.0}, "dropout is a probability from 0 to below 1; got 1.0"),
        ({"hidden": 512}, "hidden must be a list of widths"),
        ({"hidden": [0]}, r"hidden must be whole numbers of at least 1; got \[0\]"),
    ],
)
def test_the_head_checks(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Head(8, 2, **arguments)
