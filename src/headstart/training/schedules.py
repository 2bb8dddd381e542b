"""Learning-rate schedules: frozen, pure functions of how much of the fit is done.

A schedule has nothing to save and can be plotted before training. `lr` gives a factor on each parameter group's own
rate, so that differential rates keep their ratios; `momentum` gives the first momentum coefficient, or None to leave
the optimizer's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

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


class Schedule(Protocol):
    """What the loop asks of a schedule. ``fraction`` is the share of the fit that is done, 0 to 1."""

    @property
    def epochs(self) -> int:
        """How many epochs the fit takes."""

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """The epochs, counted from 1, after which a cycle is complete: where a snapshot is worth keeping."""

    def lr(self, fraction: float) -> float:
        """The factor on each group's learning rate."""

    def momentum(self, fraction: float) -> float | None:
        """The momentum (Adam's first beta), or None for the optimizer's own."""


@dataclass(frozen=True)
class Constant:
    """The same rate throughout.

    Attributes:
        epochs: length of the fit; each epoch counts as a cycle.
    """

    epochs: int

    def __post_init__(self) -> None:
        """Checks that there is something to do."""
        _check_positive(epochs=self.epochs)

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """Each epoch."""
        return tuple(range(1, self.epochs + 1))

    def lr(self, fraction: float) -> float:
        """Always 1."""
        return 1.0

    def momentum(self, fraction: float) -> float | None:
        """The optimizer's own."""
        return None


@dataclass(frozen=True)
class _Cycles:
    """A fit in cycles of ``cycle_len`` epochs, each ``cycle_mult`` times as long as the one before."""

    cycles: int
    cycle_len: int = 1
    cycle_mult: int = 1

    def __post_init__(self) -> None:
        """Checks that each part is a positive whole number."""
        _check_positive(cycles=self.cycles, cycle_len=self.cycle_len, cycle_mult=self.cycle_mult)

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """The last epoch of each cycle."""
        return tuple(accumulate(self.cycle_len * self.cycle_mult**cycle for cycle in range(self.cycles)))

    @property
    def epochs(self) -> int:
        """All the cycles' epochs."""
        return self.cycle_ends[-1]

    def momentum(self, fraction: float) -> float | None:
        """The optimizer's own."""
        return None

    def within(self, fraction: float) -> float:
        """How much of the current cycle is done, 0 to 1; the very end of the fit is the end of its last cycle."""
        epoch = round(fraction * self.epochs, 9)  # 15 / 22 * 22 is a bit less than 15, where a cycle may begin
        start = 0
        for end in self.cycle_ends:
            if epoch < end:
                return (epoch - start) / (end - start)
            start = end
        return 1.0


@dataclass(frozen=True)
class CosineRestarts(_Cycles):
    """SGDR: within each cycle the rate falls along half a cosine to nearly 0, then starts again at its top.

    **Source:** Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), equation 5, with
    the minimum rate 0.

    Attributes:
        cycles: how many cycles.
        cycle_len: epochs in the first.
        cycle_mult: each next cycle is this many times as long.
    """

    def lr(self, fraction: float) -> float:
        """Half a cosine from 1 to 0 in each cycle."""
        return 0.5 * (1.0 + math.cos(math.pi * self.within(fraction)))


@dataclass(frozen=True)
class Triangular(_Cycles):
    """CLR: within each cycle the rate rises in a straight line from ``1 / ratio`` to 1, then falls back.

    **Source:** Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3. ``peak`` moves the top
    from the middle, as the lesson's ``use_clr`` did.

    Attributes:
        cycles: how many cycles.
        cycle_len: epochs in the first.
        cycle_mult: each next cycle is this many times as long.
        ratio: the top rate over the lowest.
        peak: where in a cycle the top is, between 0 and 1.
    """

    ratio: float = 10.0
    peak: float = 0.5

    def __post_init__(self) -> None:
        """Checks the shape of the triangle."""
        super().__post_init__()
        if not (isinstance(self.ratio, int | float) and 1 <= self.ratio < math.inf):
            raise ConfigError(f"ratio is the top rate over the lowest, so at least 1; got {self.ratio!r}")
        _check_inside(peak=self.peak)

    def lr(self, fraction: float) -> float:
        """A triangle between ``1 / ratio`` and 1 in each cycle."""
        done = self.within(fraction)
        height = done / self.peak if done < self.peak else (1.0 - done) / (1.0 - self.peak)
        lowest = 1.0 / self.ratio
        return lowest + (1.0 - lowest) * height


@dataclass(frozen=True)
class OneCycle:
    """One cycle: the rate warms up, then falls to almost nothing, while momentum does the opposite.

    **Source:** Smith and Topin, "Super-Convergence" (2018), section 3; half-cosine ramps, the warm-up's share, its
    start and the momenta as in fastai v2's ``fit_one_cycle``.

    Attributes:
        epochs: length of the fit.
        warm_up: the share of the fit that rises, between 0 and 1.
        start: the first factor on the rate, 0 to 1.
        end: the last factor on the rate, 0 to 1.
        momenta: momentum at the start, at the top rate and at the end, each from 0 to below 1; None leaves the
            optimizer's own.
    """

    epochs: int
    warm_up: float = 0.25
    start: float = 1 / 25
    end: float = 1e-5
    momenta: tuple[float, float, float] | None = (0.95, 0.85, 0.95)

    def __post_init__(self) -> None:
        """Checks the length, the warm-up's share and the points of both ramps."""
        _check_positive(epochs=self.epochs)
        _check_inside(warm_up=self.warm_up)
        for name, factor in (("start", self.start), ("end", self.end)):
            if not (isinstance(factor, int | float) and 0 <= factor <= 1):
                raise ConfigError(f"{name} is a factor on the top rate, from 0 to 1; got {factor!r}")
        if self.momenta is not None and not (
            len(self.momenta) == 3 and all(isinstance(m, int | float) and 0 <= m < 1 for m in self.momenta)
        ):
            raise ConfigError(f"momenta must be three numbers from 0 to below 1, or None; got {self.momenta!r}")

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """The last epoch."""
        return (self.epochs,)

    def lr(self, fraction: float) -> float:
        """Up from ``start`` to 1, then down to ``end``."""
        return self._ramps(fraction, (self.start, 1.0, self.end))

    def momentum(self, fraction: float) -> float | None:
        """Down from the first momentum to the second, then up to the third."""
        return None if self.momenta is None else self._ramps(fraction, self.momenta)

    def _ramps(self, fraction: float, points: tuple[float, float, float]) -> float:
        if fraction < self.warm_up:
            return _cosine_ramp(points[0], points[1], fraction / self.warm_up)
        return _cosine_ramp(points[1], points[2], (fraction - self.warm_up) / (1.0 - self.warm_up))


@dataclass(frozen=True)
class Exponential:
    """The rate grows by a constant factor at every step, from 1 to ``ratio``: what the rate finder sweeps along.

    Attributes:
        epochs: length of the sweep.
        ratio: the last rate over the first, above 0.
    """

    epochs: int
    ratio: float

    def __post_init__(self) -> None:
        """Checks the length and the ratio."""
        _check_positive(epochs=self.epochs)
        if not (isinstance(self.ratio, int | float) and 0 < self.ratio < math.inf):
            raise ConfigError(f"ratio is the last rate over the first, so above 0; got {self.ratio!r}")

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """The last epoch."""
        return (self.epochs,)

    def lr(self, fraction: float) -> float:
        """``ratio ** fraction``."""
        return float(self.ratio**fraction)

    def momentum(self, fraction: float) -> float | None:
        """The optimizer's own."""
        return None


def lesson_schedule(cycles: int, cycle_len: int | None, cycle_mult: int) -> Schedule:
    """The schedule that the lesson's ``fit(lr, cycles, cycle_len, cycle_mult)`` means.

    Args:
        cycles: epochs at a constant rate, or cycles of SGDR when ``cycle_len`` is given.
        cycle_len: epochs of the first cycle, or None for a constant rate.
        cycle_mult: each next cycle is this many times as long.
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
