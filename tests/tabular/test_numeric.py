"""Numbers as vectors: what the encodings promise."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.core.errors import ConfigError
from headstart.tabular.models.numeric import PiecewiseLinear, bin_edges

NUMBERS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60)


@given(NUMBERS, st.integers(1, 40))
def test_edges_ascend_and_span_the_rows(values: list[float], bins: int) -> None:
    edges = bin_edges(torch.tensor(values), bins)
    assert 2 <= len(edges) <= bins + 1
    assert edges == sorted(set(edges))
    assert edges[0] == min(values)
    assert edges[-1] == max(values) or min(values) == max(values)


def test_bins_hold_as_many_rows_each() -> None:
    torch.manual_seed(0)
    values = torch.randn(10_000).exp()
    edges = torch.tensor(bin_edges(values, 8))
    counts = torch.bucketize(values, edges[1:-1]).bincount()
    assert (counts - 1250).abs().max() <= 5


def test_edges_too_close_to_be_told_apart_are_one() -> None:
    edges = bin_edges(torch.tensor([0.0, 1e-45, 1.0]), 2)
    assert edges == [0.0, 1.0]
    assert PiecewiseLinear([edges], 2)(torch.tensor([[0.0], [1e-45], [1.0]])).isfinite().all()


@given(NUMBERS)
def test_scores_rise_with_the_number_and_stop_at_the_outer_edges(values: list[float]) -> None:
    edges = bin_edges(torch.tensor(values), 8)
    embed = PiecewiseLinear([edges], 2)
    numbers = torch.tensor([*edges, edges[0] - 1e6, edges[-1] + 1e6]).unsqueeze(1)
    scores = embed(numbers)[:, 0]
    inner = scores[: len(edges)]
    assert (inner.diff() > 0).all()
    torch.testing.assert_close(inner, -inner.flip(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scores[-2:], inner[[0, -1]], atol=1e-4, rtol=1e-4)


def test_a_vector_bends_at_the_edges_alone() -> None:
    torch.manual_seed(0)
    embed = PiecewiseLinear([[0.0, 1.0, 3.0], [5.0, 6.0]], 4)
    with torch.no_grad():
        embed.weight.normal_()
    line = torch.linspace(0.0, 1.0, 11).unsqueeze(1).repeat(1, 2)
    found = embed(line)[:, 1:5].detach()
    torch.testing.assert_close(found.diff(dim=0), found.diff(dim=0)[:1].expand(10, 4), rtol=1e-3, atol=1e-4)
    across = embed(torch.tensor([[0.9, 5.0], [1.0, 5.0], [1.1, 5.0]]))[:, 1:5].diff(dim=0)
    assert (across[0] - across[1]).abs().max() > 1e-3
    later = embed(torch.tensor([[0.5, 5.0], [0.5, 5.5]]))
    torch.testing.assert_close(later[0, 1:5], later[1, 1:5])  # a column does not touch another's vector


@pytest.mark.parametrize("edges", [[[1.0]], [[2.0, 1.0]], [[0.0, 1.0], [1.0, 1.0]]])
def test_edges_that_do_not_ascend_are_refused(edges: list[list[float]]) -> None:
    with pytest.raises(ConfigError, match="bins must be 2 or more ascending edges; column"):
        PiecewiseLinear(edges)
