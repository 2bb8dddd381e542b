"""`Quantiles`: a target of several quantiles of one number."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import polars as pl
import torch
from torch import Tensor

from headstart.core.batch import Batch, output_of, weighted_mean
from headstart.core.errors import ConfigError
from headstart.targets.metrics import Metric
from headstart.targets.numbers import Number, Numeric

__all__ = ["Quantiles"]


@dataclass(frozen=True)
class Quantiles(Numeric):
    """Quantiles of a number: the values that it stays below in, for example, 10, 50 and 90 of 100 cases.

    **Source:** Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978): the loss.

    Attributes:
        number: the number: its column, logarithm, mean and standard deviation, and range.
        quantiles: levels, ascending, each above 0 and below 1.
    """

    number: Number
    quantiles: tuple[float, ...]

    kind: ClassVar[Literal["quantiles"]] = "quantiles"

    @classmethod
    def of(cls, number: Number, quantiles: Sequence[float]) -> Quantiles:
        """Return the quantiles of a `Number` that was fitted on the training rows.

        Raises:
            ConfigError: not ascending numbers between 0 and 1, or several columns.
        """
        try:
            levels = tuple(float(level) for level in quantiles)
        except (TypeError, ValueError):
            levels = ()
        ascending = all(low < high for low, high in itertools.pairwise(levels))
        if not levels or not ascending or not 0 < levels[0] <= levels[-1] < 1:
            raise ConfigError(
                f"quantiles must be numbers between 0 and 1, ascending, such as [0.1, 0.5, 0.9]; got {quantiles!r}"
            )
        if len(number.columns) > 1:
            raise ConfigError(f"quantiles are for one target; got {', '.join(number.columns)}")
        return cls(number, levels)

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return self.number.columns

    @property
    def outputs(self) -> int:
        """The number of quantiles."""
        return len(self.quantiles)

    def output_range(self) -> tuple[list[float], list[float]] | None:
        """Return the number's range for each quantile; None without one."""
        bounds = self.number.output_range()
        return None if bounds is None else (bounds[0] * self.outputs, bounds[1] * self.outputs)

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Return what `Number.encode` returns: float32 ``(rows, 1)``."""
        return self.number.encode(frame)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the pinball loss of the standardised values, the mean over the quantiles and the rows."""
        assert batch.target is not None
        output = output_of(outputs).float()  # (rows, quantiles)
        if output.shape != (len(batch.target), self.outputs):
            raise ConfigError(
                f"the model's outputs have the shape {tuple(output.shape)}, but there are {self.outputs} quantiles of"
                f" {len(batch.target)} rows"
            )
        return weighted_mean(_pinball_losses(output, batch.target, self._levels(output)), batch)

    def prediction(self, outputs: Tensor) -> Tensor:
        """Return values in the column's unit, float32 ``(rows, quantiles)``, ascending."""
        return self.number.prediction(outputs.reshape(-1, 1)).reshape(-1, self.outputs).sort(1).values

    def original(self, encoded: Tensor) -> Tensor:
        """Return encoded targets in their unit, float32 ``(rows,)``; see `Number.original`."""
        return self.number.original(encoded)

    def row_errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the pinball loss in the target's unit, the mean over the quantiles, float32 ``(rows,)``.

        Args:
            prediction: ``(rows, quantiles)``, in the target's unit.
            target: ``(rows,)``, likewise.
        """
        return _pinball_losses(prediction.float(), target.float()[:, None], self._levels(prediction))

    def default_metrics(self) -> tuple[Metric, ...]:
        """Return the pinball loss and the coverage."""
        return self.own_metrics()

    def own_metrics(self) -> tuple[Metric, ...]:
        """Return ``pinball``, lower is better, and ``coverage``, which is best at a value of its own."""
        return (
            Metric("pinball", self.pinball, "lower", ("quantiles",)),
            Metric("coverage", self.coverage, None, ("quantiles",)),
        )

    def pinball(self, prediction: Tensor, target: Tensor) -> float:
        """Return the pinball loss in the target's unit, the mean over the quantiles and the rows.

        Args:
            prediction: ``(rows, quantiles)``.
            target: ``(rows,)``.
        """
        prediction, target = prediction.cpu(), target.cpu()  # float64 is unknown to MPS
        levels = self._levels(prediction).double()
        missed = target.double()[:, None] - prediction.double()  # (rows, quantiles)
        return float(torch.maximum(levels * missed, (levels - 1) * missed).mean())

    def coverage(self, prediction: Tensor, target: Tensor) -> float:
        """Return the share of rows between the lowest and the highest quantile: at best 0.8 for 0.1 and 0.9.

        Args:
            prediction: ``(rows, quantiles)``.
            target: ``(rows,)``.
        """
        inside = (prediction[:, 0] <= target) & (target <= prediction[:, -1])
        return int(inside.sum()) / len(inside)

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """Return ``prediction``, the quantile nearest to 0.5, and ``prediction_<quantile>`` for each, as Float32."""
        values = prediction.cpu().numpy()
        return {name: pl.Series(name, values[:, index]) for name, index in self._indices().items()}

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """Return what `decode` returns for one row, ``(1, quantiles)``, as Python values."""
        values = prediction[0].tolist()
        return {name: values[index] for name, index in self._indices().items()}

    def _levels(self, values: Tensor) -> Tensor:
        """Return the levels beside values, ``(quantiles,)``, filled in on the device: a copy to it would wait."""
        return torch.stack([values.new_full((), level) for level in self.quantiles])

    def _indices(self) -> dict[str, int]:
        """Output of each decoded column."""
        middle = min(range(self.outputs), key=lambda index: abs(self.quantiles[index] - 0.5))
        return {"prediction": middle} | {f"prediction_{level:g}": index for index, level in enumerate(self.quantiles)}


def _pinball_losses(predicted: Tensor, target: Tensor, levels: Tensor) -> Tensor:
    """Pinball loss of each row, ``(rows,)``, of ``(rows, quantiles)``, ``(rows, 1)`` and ``(quantiles,)``."""
    missed = target - predicted  # (rows, quantiles)
    return torch.maximum(levels * missed, (levels - 1) * missed).mean(1)
