"""The head: what it is made of, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from headstart.core.errors import ConfigError
from headstart.vision.models.network import Head, concat_pool, head_dropouts, pool_stages, pooled_width, stage_grids


def kinds(head: Head) -> list[str]:
    return [type(layer).__name__ for layer in head.layers]


def test_the_head_is_the_lesson_s() -> None:
    hidden = ["BatchNorm1d", "Dropout", "Linear", "ReLU"]
    last = ["BatchNorm1d", "Dropout", "Linear"]
    assert kinds(Head(8, 2)) == hidden + last
    assert [layer.p for layer in Head(8, 2).layers if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
    assert kinds(Head(8, 2, hidden=[])) == last
    assert kinds(Head(8, 2, hidden=[700, 300], dropout=0.5)) == hidden * 2 + last
    assert kinds(Head(8, 2, hidden=[512], dropout=[0.0, 0.2])) == [kind for kind in hidden if kind != "Dropout"] + last
    assert kinds(Head(8, 2, hidden=[], dropout=0.0)) == ["BatchNorm1d", "Linear"]
    assert head_dropouts(None, [9, 9]) == [0.5, 0.5, 0.5]


def test_pooling_is_the_mean_beside_the_maximum() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, -4.0]]]])
    assert concat_pool(maps).tolist() == [[3.0, -1.0, 6.0, 0.0]]


def test_a_grid_tells_where_something_is() -> None:
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    left, right = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    left[..., 0], right[..., 3] = 1, 1
    assert concat_pool(maps, 2).tolist() == [[7.5, 15.0, 2.5, 4.5, 10.5, 12.5]]
    assert torch.equal(concat_pool(left), concat_pool(right))
    assert not torch.equal(concat_pool(left, 2), concat_pool(right, 2))
    stages = [torch.rand(2, 3, 7, 7), torch.rand(2, 5, 4, 1)]
    for grids in ([1, 1], [3, 1], [16, 2]):
        assert pool_stages(stages, grids).shape == (2, pooled_width([3, 5], grids)), "whatever the maps' size"
    assert torch.equal(pool_stages(stages, [1, 1]), pool_stages(stages))


def test_a_grid_for_each_stage() -> None:
    assert stage_grids(2, 3) == [2, 2, 2] and stage_grids((4, 1), 2) == [4, 1]
    for wrong in (0, 17, 2.0, True, "4", [4, 0]):
        with pytest.raises(ConfigError, match="grid must be whole numbers of cells to a side, from 1 to 16; got"):
            stage_grids(wrong, 2)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ConfigError, match="grid has 2 numbers, but the head sees 1 stage; give one number, or one per"):
        stage_grids([4, 1], 1)


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
