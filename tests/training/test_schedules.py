"""Schedules: pure functions, with the end points, cycles and shapes that they promise."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.core.errors import ConfigError
from headstart.training.schedules import (
    Constant,
    CosineRestarts,
    Exponential,
    OneCycle,
    Schedule,
    Triangular,
    lesson_schedule,
)

FRACTIONS = st.floats(0, 1)
EPOCHS = st.integers(1, 100)
SHARES = st.floats(0.05, 0.95)
CYCLES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))

SCHEDULES: st.SearchStrategy[Schedule] = st.one_of(
    EPOCHS.map(Constant),
    CYCLES.map(lambda cycle: CosineRestarts(*cycle)),
    st.builds(lambda cycle, ratio, peak: Triangular(*cycle, ratio, peak), CYCLES, st.floats(1, 100), SHARES),
    st.builds(OneCycle, EPOCHS, SHARES, SHARES, SHARES),
    st.builds(Exponential, EPOCHS, st.floats(1e-6, 1)),
)


@given(SCHEDULES, FRACTIONS)
def test_a_factor_lies_between_0_and_1_and_asking_twice_gives_the_same(schedule: Schedule, fraction: float) -> None:
    factor = schedule.lr(fraction)
    assert 0 <= factor <= 1
    assert schedule.lr(fraction) == factor
    momentum = schedule.momentum(fraction)
    assert schedule.momentum(fraction) == momentum
    assert momentum is None or 0.85 - 1e-12 <= momentum <= 0.95 + 1e-12


@given(SCHEDULES)
def test_cycles_end_in_ascending_order_and_the_last_one_with_the_fit(schedule: Schedule) -> None:
    ends = schedule.cycle_ends
    assert list(ends) == sorted(set(ends))
    assert ends[0] >= 1
    assert ends[-1] == schedule.epochs


@given(SCHEDULES, FRACTIONS)
def test_a_schedule_is_continuous_within_its_cycles(schedule: Schedule, fraction: float) -> None:
    for point in (fraction, getattr(schedule, "warm_up", 0.5)):
        before, after = point - 1e-7, point + 1e-7
        if not any(before * schedule.epochs <= end <= after * schedule.epochs for end in (0, *schedule.cycle_ends)):
            assert abs(schedule.lr(after) - schedule.lr(before)) < 1e-3


@given(CYCLES)
def test_the_lengths_of_cycles_are_multiplied(cycle: tuple[int, int, int]) -> None:
    cycles, length, mult = cycle
    expected = list(accumulate(length * mult**number for number in range(cycles)))
    assert list(CosineRestarts(cycles, length, mult).cycle_ends) == expected
    assert list(Triangular(cycles, length, mult).cycle_ends) == expected


def test_the_lessons_three_cycles_end_after_1_3_and_7_epochs() -> None:
    assert CosineRestarts(3, 1, 2).cycle_ends == (1, 3, 7)
    assert CosineRestarts(3, 1, 1).cycle_ends == (1, 2, 3)
    assert CosineRestarts(3, 2, 1).cycle_ends == (2, 4, 6)


@given(CYCLES, FRACTIONS)
def test_restarts_follow_equation_5_of_sgdr(cycle: tuple[int, int, int], fraction: float) -> None:
    schedule = CosineRestarts(*cycle)
    start, length = 0.0, float(cycle[1])
    epoch = round(fraction * schedule.epochs, 9)
    while epoch >= start + length and epoch < schedule.epochs:
        start, length = start + length, length * cycle[2]
    expected = 0.5 * (1 + math.cos(math.pi * min(1.0, (epoch - start) / length)))
    assert schedule.lr(fraction) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("mult", [1, 2])
def test_every_cycle_starts_at_its_top_whatever_the_rounding(mult: int) -> None:
    for cycles in range(1, 150 if mult == 1 else 12):
        schedule = CosineRestarts(cycles, 1, mult)
        starts = (0, *schedule.cycle_ends[:-1])
        assert [schedule.lr(start / schedule.epochs) for start in starts] == [1.0] * cycles
        steps = 100
        lasts = [schedule.lr((end - 1 / steps) / schedule.epochs) for end in schedule.cycle_ends]
        assert max(lasts) < 0.001
        assert schedule.lr(1.0) == 0.0


@given(EPOCHS, SHARES, SHARES, SHARES, FRACTIONS)
def test_one_cycle_is_two_half_cosines(epochs: int, warm_up: float, start: float, end: float, fraction: float) -> None:
    schedule = OneCycle(epochs, warm_up, start, end)

    def half_cosine(first: float, last: float, done: float) -> float:
        return first + (last - first) * (1 - math.cos(math.pi * done)) / 2

    if fraction < warm_up:
        done = fraction / warm_up
        rate, momentum = half_cosine(start, 1, done), half_cosine(0.95, 0.85, done)
    else:
        done = (fraction - warm_up) / (1 - warm_up)
        rate, momentum = half_cosine(1, end, done), half_cosine(0.85, 0.95, done)
    assert schedule.lr(fraction) == pytest.approx(rate)
    assert schedule.momentum(fraction) == pytest.approx(momentum)


def test_one_cycle_begins_tops_and_ends_where_it_says() -> None:
    schedule = OneCycle(10)
    assert [schedule.lr(fraction) for fraction in (0, 0.25, 1)] == pytest.approx([1 / 25, 1, 1e-5])
    assert [schedule.momentum(fraction) for fraction in (0, 0.25, 1)] == pytest.approx([0.95, 0.85, 0.95])
    assert OneCycle(10, momenta=None).momentum(0.3) is None


@given(st.floats(1, 50), SHARES)
def test_a_triangle_rises_and_falls_in_straight_lines(ratio: float, peak: float) -> None:
    schedule = Triangular(2, 1, 1, ratio, peak)
    for cycle in (0.0, 0.5):
        assert schedule.lr(cycle) == pytest.approx(1 / ratio)
        assert schedule.lr(cycle + peak / 4) == pytest.approx((1 + 1 / ratio) / 2)
        assert schedule.lr(cycle + peak / 2) == pytest.approx(1)
        assert schedule.lr(cycle + (1 + peak) / 4) == pytest.approx((1 + 1 / ratio) / 2)
    assert schedule.lr(1) == pytest.approx(1 / ratio)


def test_the_sweep_grows_by_the_same_factor_everywhere() -> None:
    schedule = Exponential(1, 1e8)
    assert [schedule.lr(step / 4) for step in range(5)] == pytest.approx([1, 1e2, 1e4, 1e6, 1e8])


def test_a_constant_rate_is_constant_and_each_epoch_a_cycle() -> None:
    assert {Constant(3).lr(step / 10) for step in range(11)} == {1.0}
    assert Constant(3).cycle_ends == (1, 2, 3)


def test_the_lessons_arguments_mean_a_constant_rate_or_restarts() -> None:
    assert lesson_schedule(3, None, 1) == Constant(3)
    assert lesson_schedule(3, 1, 2) == CosineRestarts(3, 1, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(0), r"epochs must be a whole number of at least 1; got 0"),
        (lambda: Constant(1.5), r"epochs must be a whole number of at least 1; got 1\.5"),
        (lambda: Constant(True), r"epochs must be a whole number of at least 1; got True"),
        (lambda: CosineRestarts(2, 0), r"cycle_len must be a whole number of at least 1; got 0"),
        (lambda: CosineRestarts(2, 1, -1), r"cycle_mult must be a whole number of at least 1; got -1"),
        (lambda: Triangular(2, ratio=0.5), r"ratio is the maximum rate divided by the minimum rate, so at least 1; got 0\.5"),
        (lambda: Triangular(2, ratio=math.nan), r"ratio is the maximum rate divided by the minimum rate, .* got nan"),
        (lambda: Triangular(2, peak=1), r"peak must lie between 0 and 1; got 1"),
        (lambda: Triangular(2, peak="middle"), r"peak must lie between 0 and 1; got 'middle'"),
        (lambda: OneCycle("3"), r"epochs must be a whole number of at least 1; got '3'"),
        (lambda: OneCycle(3, warm_up=0), r"warm_up must lie between 0 and 1; got 0"),
        (lambda: OneCycle(3, start=25), r"start is a factor on the maximum rate, from 0 to 1; got 25"),
        (lambda: OneCycle(3, end=-0.1), r"end is a factor on the maximum rate, from 0 to 1; got -0\.1"),
        (lambda: OneCycle(3, momenta=(0.9, 1.2, 0.9)), r"momenta must be three numbers from 0 to below 1.*1\.2"),
        (lambda: OneCycle(3, momenta=(0.9, 0.8)), r"momenta must be three numbers .*got \(0\.9, 0\.8\)"),
        (lambda: Exponential(0, 10.0), r"epochs must be a whole number of at least 1; got 0"),
        (lambda: Exponential(1, 0), r"ratio is the last rate divided by the first rate, so above 0; got 0"),
        (lambda: lesson_schedule(0, None, 1), r"cycles must be a whole number of at least 1; got 0"),
        (lambda: lesson_schedule("3", 1, 1), r"cycles must be a whole number of at least 1; got '3'"),
        (lambda: lesson_schedule(3, None, 2), r"cycle_mult=2 lengthens cycles, so it needs a cycle_len"),
    ],
)  # fmt: skip
def test_a_number_out_of_its_range_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
