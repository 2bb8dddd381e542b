"""Learning-rate schedules: immutable, pure functions of the completed fraction of the fit.

A schedule has no state to save and can be plotted before training. `lr` returns a factor on the learning rate of each
parameter group, so that the ratios of different rates are kept; `momentum` returns the momentum, or None to leave that
of the optimizer unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol, runtime_checkable

from headstart.core.errors import ConfigError

__all__ = [
    "Constant",
    "CosineRestarts",
    "Exponential",
    "OneCycle",
    "Schedule",
    "Triangular",
    "lesson_schedule",
]


@runtime_checkable
class Schedule(Protocol):
    """Protocol of schedules. ``fraction`` is the completed fraction of the fit, from 0 to 1."""

    @property
    def epochs(self) -> int:
        """Number of epochs of the fit."""

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """Epochs, counted from 1, at whose end a cycle ends and a snapshot may be saved."""

    def lr(self, fraction: float) -> float:
        """Return the factor on the learning rate of each group."""

    def momentum(self, fraction: float) -> float | None:
        """Return the momentum (Adam's first beta), or None to leave it unchanged."""


@dataclass(frozen=True)
class Constant:
    """Constant learning rate, also after a warm-up.

    Attributes:
        epochs: number of epochs, each of which is a cycle.
        warm_up: number of epochs in which the rate first increases from 0, at least 0; also part of an epoch.
    """

    epochs: int
    warm_up: float = 0.0

    def __post_init__(self) -> None:
        """Raise `ConfigError` if a field is out of range."""
        _check_positive(epochs=self.epochs)
        if not (isinstance(self.warm_up, int | float) and 0 <= self.warm_up < math.inf):
            raise ConfigError(f"warm_up is a number of epochs, at least 0; got {self.warm_up!r}")

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """All epochs."""
        return tuple(range(1, self.epochs + 1))

    def lr(self, fraction: float) -> float:
        """Return 1, or during the warm-up a line up to 1."""
        done = fraction * self.epochs
        return 1.0 if done >= self.warm_up else done / self.warm_up

    def momentum(self, fraction: float) -> float | None:
        """Return None: the momentum is unchanged."""
        return None


@dataclass(frozen=True)
class _Cycles:
    """Fit in cycles, the first of ``cycle_len`` epochs and each ``cycle_mult`` times as long as the one before."""

    cycles: int
    cycle_len: int = 1
    cycle_mult: int = 1

    def __post_init__(self) -> None:
        """Raise `ConfigError` if a field is out of range."""
        _check_positive(cycles=self.cycles, cycle_len=self.cycle_len, cycle_mult=self.cycle_mult)

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """Last epoch of each cycle."""
        return tuple(accumulate(self.cycle_len * self.cycle_mult**cycle for cycle in range(self.cycles)))

    @property
    def epochs(self) -> int:
        """Number of epochs in all cycles."""
        return self.cycle_ends[-1]

    def momentum(self, fraction: float) -> float | None:
        """Return None: the momentum is unchanged."""
        return None

    def within(self, fraction: float) -> float:
        """Return the completed fraction of the current cycle, from 0 to 1; at the end of the fit, 1."""
        epoch = round(fraction * self.epochs, 9)  # 15 / 22 * 22 is slightly less than 15, where a cycle may begin
        start = 0
        for end in self.cycle_ends:
            if epoch < end:
                return (epoch - start) / (end - start)
            start = end
        return 1.0


@dataclass(frozen=True)
class CosineRestarts(_Cycles):
    """SGDR: in each cycle, the rate decreases to 0 along half a cosine; each cycle starts at the maximum again.

    **Source:** Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), equation 5, with
    the minimum rate 0.

    Attributes:
        cycles: number of cycles.
        cycle_len: number of epochs in the first cycle.
        cycle_mult: factor by which each cycle is longer than the one before.
    """

    def lr(self, fraction: float) -> float:
        """Return half a cosine from 1 to 0 in each cycle."""
        return 0.5 * (1.0 + math.cos(math.pi * self.within(fraction)))


@dataclass(frozen=True)
class Triangular(_Cycles):
    """CLR: in each cycle, the rate increases linearly from ``1 / ratio`` to 1 and decreases to ``1 / ratio`` again.

    **Source:** Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3. ``peak``, which
    moves the maximum away from the middle, is from the lesson's ``use_clr``.

    Attributes:
        cycles: number of cycles.
        cycle_len: number of epochs in the first cycle.
        cycle_mult: factor by which each cycle is longer than the one before.
        ratio: maximum rate divided by the minimum rate, at least 1.
        peak: position of the maximum within a cycle, between 0 and 1.
    """

    ratio: float = 10.0
    peak: float = 0.5

    def __post_init__(self) -> None:
        """Raise `ConfigError` if a field is out of range."""
        super().__post_init__()
        if not (isinstance(self.ratio, int | float) and 1 <= self.ratio < math.inf):
            raise ConfigError(
                f"ratio is the maximum rate divided by the minimum rate, so at least 1; got {self.ratio!r}"
            )
        _check_inside(peak=self.peak)

    def lr(self, fraction: float) -> float:
        """Return a triangle from ``1 / ratio`` to 1 and back in each cycle."""
        done = self.within(fraction)
        height = done / self.peak if done < self.peak else (1.0 - done) / (1.0 - self.peak)
        lowest = 1.0 / self.ratio
        return lowest + (1.0 - lowest) * height


@dataclass(frozen=True)
class OneCycle:
    """One cycle: the rate warms up and then decreases to almost 0, while the momentum does the opposite.

    **Source:** Smith and Topin, "Super-Convergence" (2018), section 3; the half-cosine ramps and the defaults of
    ``warm_up``, ``start`` and ``momenta`` are those of fastai v2's ``fit_one_cycle``.

    Attributes:
        epochs: number of epochs.
        warm_up: fraction of the fit in which the rate increases, between 0 and 1.
        start: factor on the rate at the start, from 0 to 1.
        end: factor on the rate at the end, from 0 to 1.
        momenta: momentum at the start, at the maximum rate and at the end, each from 0 to below 1; None: the momentum
            of the optimizer is unchanged.
    """

    epochs: int
    warm_up: float = 0.25
    start: float = 1 / 25
    end: float = 1e-5
    momenta: tuple[float, float, float] | None = (0.95, 0.85, 0.95)

    def __post_init__(self) -> None:
        """Raise `ConfigError` if a field is out of range."""
        _check_positive(epochs=self.epochs)
        _check_inside(warm_up=self.warm_up)
        for name, factor in (("start", self.start), ("end", self.end)):
            if not (isinstance(factor, int | float) and 0 <= factor <= 1):
                raise ConfigError(f"{name} is a factor on the maximum rate, from 0 to 1; got {factor!r}")
        if self.momenta is not None and not (
            len(self.momenta) == 3 and all(isinstance(m, int | float) and 0 <= m < 1 for m in self.momenta)
        ):
            raise ConfigError(f"momenta must be three numbers from 0 to below 1, or None; got {self.momenta!r}")

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """Last epoch."""
        return (self.epochs,)

    def lr(self, fraction: float) -> float:
        """Return a ramp from ``start`` up to 1, followed by a ramp down to ``end``."""
        return self._ramps(fraction, (self.start, 1.0, self.end))

    def momentum(self, fraction: float) -> float | None:
        """Return a ramp from the first momentum to the second, followed by a ramp to the third."""
        return None if self.momenta is None else self._ramps(fraction, self.momenta)

    def _ramps(self, fraction: float, points: tuple[float, float, float]) -> float:
        if fraction < self.warm_up:
            return _cosine_ramp(points[0], points[1], fraction / self.warm_up)
        return _cosine_ramp(points[1], points[2], (fraction - self.warm_up) / (1.0 - self.warm_up))


@dataclass(frozen=True)
class Exponential:
    """Rate that increases exponentially, by a constant factor per step, as in the learning-rate finder.

    Attributes:
        epochs: number of epochs.
        ratio: last rate divided by the first rate, above 0.
    """

    epochs: int
    ratio: float

    def __post_init__(self) -> None:
        """Raise `ConfigError` if a field is out of range."""
        _check_positive(epochs=self.epochs)
        if not (isinstance(self.ratio, int | float) and 0 < self.ratio < math.inf):
            raise ConfigError(f"ratio is the last rate divided by the first rate, so above 0; got {self.ratio!r}")

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """Last epoch."""
        return (self.epochs,)

    def lr(self, fraction: float) -> float:
        """Return ``ratio ** fraction``."""
        return float(self.ratio**fraction)

    def momentum(self, fraction: float) -> float | None:
        """Return None: the momentum is unchanged."""
        return None


def lesson_schedule(cycles: int, cycle_len: int | None, cycle_mult: int) -> Schedule:
    """Return the schedule of the lesson's ``fit(lr, cycles, cycle_len, cycle_mult)``.

    Args:
        cycles: number of epochs at a constant rate, or of SGDR cycles if ``cycle_len`` is given.
        cycle_len: number of epochs in the first cycle; None: a constant rate.
        cycle_mult: factor by which each cycle is longer than the one before.

    Raises:
        ConfigError: an argument is out of range, or ``cycle_mult`` is given without ``cycle_len``.
    """
    _check_positive(cycles=cycles)
    if cycle_len is None:
        if cycle_mult != 1:
            raise ConfigError(f"cycle_mult={cycle_mult} lengthens cycles, so it needs a cycle_len; got cycle_len=None")
        return Constant(cycles)
    return CosineRestarts(cycles, cycle_len, cycle_mult)


def _cosine_ramp(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * fraction))


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{name} must be a whole number of at least 1; got {value!r}")


def _check_inside(**values: float) -> None:
    for name, value in values.items():
        if not (isinstance(value, int | float) and 0 < value < 1):
            raise ConfigError(f"{name} must lie between 0 and 1; got {value!r}")
