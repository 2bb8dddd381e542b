"""`PiecewiseLinear` and `Periodic`: numbers as vectors, so that a network can bend at every value. Needs only torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from headstart.core.errors import ConfigError

__all__ = ["Periodic", "PiecewiseLinear", "bin_edges"]

LEAST_WIDTH = torch.finfo(torch.float32).tiny
"""Smallest width of a bin: the inverse of a smaller one is not a number of float32."""


def bin_edges(values: Tensor, bins: int = 32) -> list[float]:
    """Return the edges of at most ``bins`` bins with as many rows each, ascending: quantiles of the values.

    Edges closer than `LEAST_WIDTH` are merged; at least 2 remain.

    Args:
        values: a column's numbers in the training rows, ``(rows,)``.
        bins: number of bins, at least 1.
    """
    ordered = values.double().sort().values
    indices = torch.linspace(0, len(ordered) - 1, bins + 1, dtype=torch.float64).round().long()
    edges: list[float] = []
    for edge in ordered[indices].float().tolist():
        if not edges or edge - edges[-1] >= LEAST_WIDTH:
            edges.append(edge)
    return edges if len(edges) > 1 else [edges[0], edges[0] + 1.0]


class PiecewiseLinear(nn.Module):
    """Each number as its normal score and as a vector that is a piecewise linear function of it.

    A number's encoding is, for each bin, how far it lies inside: 0 below the bin, 1 above, straight in between. The
    vector is a linear function of that. The normal score, which is what the number would be if the training rows were
    normally distributed, tames long tails; beyond the outer edges both stay constant.

    **Source:** Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning" (2022), section 3.2,
    with quantiles as edges; we differ in that the score, their quantile transform, is read off the same encoding.

    **Shape:**
    - Input: ``(rows, columns)``
    - Output: ``(rows, columns * (1 + size))``, each column's score and then its vector

    >>> PiecewiseLinear([[0.0, 1.0, 5.0], [-1.0, 1.0]], 4)(torch.zeros(3, 2)).shape
    torch.Size([3, 10])

    Args:
        edges: each column's edges of bins, ascending, at least 2; see `bin_edges`.
        size: length of the vector.

    Raises:
        ConfigError: edges that do not ascend, or fewer than 2 of them.
    """

    def __init__(self, edges: Sequence[Sequence[float]], size: int = 8) -> None:
        super().__init__()
        for number, of_column in enumerate(edges):
            if len(of_column) < 2 or any(high - low < LEAST_WIDTH for low, high in pairwise(of_column)):
                raise ConfigError(f"bins must be 2 or more ascending edges; column {number} has {list(of_column)[:5]}")
        columns, most = len(edges), max(len(of_column) for of_column in edges) - 1
        ends = torch.tensor([[of_column[0], of_column[-1]] for of_column in edges]).t()
        low = torch.zeros(columns, most, 1)
        slope = torch.zeros(columns, most, 1)  # 0: no such bin, always "not inside"
        rise = torch.zeros(columns, 1, most)
        lowest = torch.zeros(columns, 1, 1)
        for number, of_column in enumerate(edges):
            bounds = torch.tensor(of_column)
            count = len(of_column) - 1
            level = torch.linspace(0.5 / (count + 1), 1 - 0.5 / (count + 1), count + 1)
            score = math.sqrt(2.0) * torch.erfinv(2 * level - 1)
            low[number, :count, 0] = bounds[:-1]
            slope[number, :count, 0] = 1.0 / (bounds[1:] - bounds[:-1])
            rise[number, 0, :count] = score[1:] - score[:-1]
            lowest[number] = score[0]
        for name, buffer in (("low", low), ("slope", slope), ("rise", rise), ("lowest", lowest), ("ends", ends)):
            self.register_buffer(name, buffer, persistent=False)  # they follow from the edges
        self.low: Tensor
        self.slope: Tensor
        self.rise: Tensor
        self.lowest: Tensor
        self.ends: Tensor
        self.size = size
        self.weight = nn.Parameter(torch.zeros(columns, size, most))  # the bends; straight at the start
        self.straight = nn.Parameter(torch.randn(columns, size, 1) * 0.3)
        self.bias = nn.Parameter(torch.zeros(columns, size, 1))

    def clamped(self, numbers: Tensor) -> Tensor:
        """Return the numbers, ``(rows, columns)``, limited to the outer edges."""
        return torch.clamp(numbers, self.ends[0], self.ends[1])

    def forward(self, numbers: Tensor) -> Tensor:
        """Return scores and vectors, ``(rows, columns * (1 + size))``."""
        values = numbers.t().unsqueeze(1)  # (columns, 1, rows); rows last: the product is five times faster so
        inside = (values - self.low).mul_(self.slope).clamp_(0, 1)  # (columns, bins, rows)
        # Score and vector are both linear in `inside`: one product for the two.
        weight = torch.cat([self.rise, torch.addcmul(self.weight, self.straight, self.rise)], 1)
        bias = torch.cat([self.lowest, torch.addcmul(self.bias, self.straight, self.lowest)], 1)
        outputs = torch.bmm(weight, inside) + bias  # (columns, 1 + size, rows)
        return outputs.flatten(0, 1).t()


class Periodic(nn.Module):
    """Each number beside a vector of sines and cosines of it, of learnt frequencies, through a shared layer.

    **Source:** Gorishniy et al. (2022), section 3.3, in the "lite" form of their package: one linear layer and ReLU for
    all columns.

    **Shape:**
    - Input: ``(rows, columns)``
    - Output: ``(rows, columns * (1 + size))``, the numbers themselves first

    >>> Periodic(2, 4)(torch.zeros(3, 2)).shape
    torch.Size([3, 10])

    Args:
        columns: number of columns.
        size: length of the vector.
        frequencies: number of frequencies per column.
        spread: standard deviation of the first frequencies, in turns per standard deviation of the number.
    """

    def __init__(self, columns: int, size: int = 8, *, frequencies: int = 16, spread: float = 0.3) -> None:
        super().__init__()
        self.size = size
        self.frequencies = nn.Parameter(torch.randn(columns, frequencies) * spread)
        self.mix = nn.Linear(2 * frequencies, size)

    def forward(self, numbers: Tensor) -> Tensor:
        """Return numbers and vectors, ``(rows, columns * (1 + size))``."""
        angles = 2 * math.pi * numbers.unsqueeze(2) * self.frequencies  # (rows, columns, frequencies)
        waves = torch.cat([angles.cos(), angles.sin()], 2)
        return torch.cat([numbers, self.mix(waves).relu().flatten(1).to(numbers.dtype)], 1)
