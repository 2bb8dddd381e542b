"""Numbers: encoding and predictions are each other's inverse, and what was true keeps its unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from headstart.core.batch import Batch
from headstart.core.errors import ConfigError, DataError
from headstart.targets.metrics import rmse, rmspe
from headstart.targets.numbers import Number

RANDOM = torch.Generator().manual_seed(0)
SALES = pl.DataFrame({"sales": [1.0, 10.0, 100.0, 1000.0], "visits": [3, 1, 4, 1]})
ONE = Number.fit(SALES, ["sales"])
LOG = Number.fit(SALES, ["sales"], log=True, range=(0.5, 2000))
SEVERAL = Number.fit(SALES, ["sales", "visits"])
NAN, INFINITY = math.nan, math.inf


def batch(target: torch.Tensor, weight: torch.Tensor | None = None) -> Batch:
    return Batch(inputs=(), rows=len(target), target=target, weight=weight)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.booleans())
def test_numbers_come_back_in_their_own_unit(values: list[float], log: bool) -> None:
    values = [abs(value) + 0.01 for value in values] if log else values
    frame = pl.DataFrame({"y": values})
    target = Number.fit(frame, ["y"], log=log)
    encoded = target.encode(frame)
    assert encoded.dtype == torch.float32
    assert encoded.shape == (len(values), 1)
    largest = max(abs(value) for value in values)
    assert target.original(encoded).tolist() == pytest.approx(values, rel=1e-4, abs=1e-5 * largest + 1e-35)


def test_numbers_are_standardised_by_the_training_rows() -> None:
    target = Number.fit(SALES, ["sales"], log=True)
    logs = np.log([1.0, 10.0, 100.0, 1000.0])
    assert target.mean == pytest.approx((logs.mean(),))
    assert target.sd == pytest.approx((logs.std(),))
    np.testing.assert_allclose(target.encode(SALES)[:, 0], (logs - logs.mean()) / logs.std(), rtol=1e-6)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e9 + 0.1])
@pytest.mark.parametrize("rows", [2, 7, 1000])
def test_equal_numbers_have_the_deviation_1_whatever_the_rounding(value: float, rows: int) -> None:
    assert Number.fit(pl.DataFrame({"y": [value] * rows}), ["y"]).sd == (1.0,)


@pytest.mark.parametrize("log", [False, True])
def test_a_range_holds_every_prediction_and_its_ends_are_the_models(log: bool) -> None:
    target = Number.fit(SALES, ["sales"], log=log, range=(0.5, 2000))
    lowest, highest = target.output_range()
    ends = target.prediction(torch.tensor([lowest, highest], dtype=torch.float32))
    assert ends.tolist() == pytest.approx([0.5, 2000], rel=1e-5)
    assert ((ends >= 0.5) & (ends <= 2000)).all()
    assert target.prediction(torch.tensor([[-50.0], [50.0]])).tolist() == [0.5, 2000]
    assert Number.fit(SALES, ["sales"]).output_range() is None


def test_one_number_and_several_have_their_own_shapes_and_names() -> None:
    one, several = ONE, SEVERAL
    assert one.prediction(torch.zeros(5, 1)).shape == (5,)
    assert several.prediction(torch.zeros(5, 2)).shape == (5, 2)
    assert list(one.decode(one.prediction(torch.zeros(5, 1)))) == ["prediction"]
    decoded = several.decode(several.prediction(torch.zeros(5, 2)))
    assert list(decoded) == ["prediction_sales", "prediction_visits"]
    assert decoded["prediction_visits"].to_list() == [2.25] * 5


def test_decimals_and_booleans_are_numbers() -> None:
    assert Number.fit(pl.DataFrame({"y": [Decimal("1.5"), Decimal("2.5")]}), ["y"]).mean == (2.0,)
    assert Number.fit(pl.DataFrame({"y": [True, False]}), ["y"]).mean == (0.5,)


def test_the_loss_of_numbers_is_torchs_mean_squared_error() -> None:
    outputs, encoded = torch.randn(7, 2, generator=RANDOM), torch.randn(7, 2, generator=RANDOM)
    torch.testing.assert_close(SEVERAL.loss(outputs, batch(encoded)), F.mse_loss(outputs, encoded))
    weight = torch.rand(7, generator=RANDOM)
    expected = (weight * F.mse_loss(outputs, encoded, reduction="none").mean(1)).mean()
    torch.testing.assert_close(SEVERAL.loss((outputs, "state"), batch(encoded, weight)), expected)


def test_outputs_of_another_shape_are_not_spread_out_over_the_rows() -> None:
    with pytest.raises(ConfigError, match=r"outputs have the shape \(7,\), but the targets \(7, 1\)"):
        ONE.loss(torch.zeros(7), batch(torch.zeros(7, 1)))


def test_what_was_true_is_not_clamped_to_the_range() -> None:
    frame = pl.DataFrame({"y": [100.0, -3.0, 4.0]})
    target = Number.fit(pl.DataFrame({"y": [1.0, 5.0, 9.0]}), ["y"], range=(0, 10))
    true = target.original(target.encode(frame))
    assert true.tolist() == pytest.approx([100.0, -3.0, 4.0], rel=1e-5)
    prediction = target.prediction(torch.tensor([[1e6], [-1e6], [0.0]]))
    assert prediction.tolist() == [10.0, 0.0, 5.0]
    assert rmse(prediction, true) == pytest.approx(math.sqrt((90**2 + 3**2 + 1) / 3), rel=1e-6)


def test_what_was_true_is_not_clamped_in_a_log_target_either() -> None:
    target = Number.fit(pl.DataFrame({"y": [1.0, 5.0, 9.0]}), ["y"], log=True, range=(0.5, 10))
    assert target.original(target.encode(pl.DataFrame({"y": [100.0]}))).tolist() == pytest.approx([100.0], rel=1e-5)


@given(
    st.lists(st.integers(-1000, 100_000).map(float), min_size=2, max_size=30),
    st.floats(0.1, 1e4),
)
def test_zeros_come_back_as_exactly_zero(values: list[float], scale: float) -> None:
    target = Number.fit(pl.DataFrame({"y": [value * scale for value in values]}), ["y"])
    frame = pl.DataFrame({"y": [0.0, *(value * scale for value in values)]})
    true = target.original(target.encode(frame))
    assert true[0] == 0.0
    assert [value == 0 for value in true.tolist()] == [value == 0 for value in frame["y"]]


def test_rows_of_target_0_are_left_out_of_relative_errors() -> None:
    sales = [0.0, 3140.7, 5263.0, 0.0, 8314.2]
    frame = pl.DataFrame({"sales": sales})
    target = Number.fit(frame, ["sales"])
    true = target.original(target.encode(frame))
    prediction = torch.tensor([700.0, 3000.0, 5000.0, 900.0, 8000.0])
    expected = math.sqrt(np.mean([(140.7 / 3140.7) ** 2, (263 / 5263) ** 2, (314.2 / 8314.2) ** 2]))
    assert rmspe(prediction, true) == pytest.approx(expected, rel=1e-4)


def test_zeros_of_several_columns_are_each_exact() -> None:
    frame = pl.DataFrame({"a": [0.0, 1.3, 7.1], "b": [55.5, 0.0, 13.1]})
    target = Number.fit(frame, ["a", "b"])
    true = target.original(target.encode(frame))
    assert (true == 0).tolist() == [[True, False], [False, True], [False, False]]


@pytest.mark.parametrize(
    ("target", "prediction", "true", "expected"),
    [
        (Number(("a",), False, (0.0,), (1.0,)), [3.0, -1.0], [1.0, -1.0], [2.0, 0.0]),
        (Number(("a",), True, (0.0,), (1.0,)), [150.0, 50.0], [100.0, 100.0], [0.5, 0.5]),
        (Number(("a", "b"), False, (0.0, 0.0), (1.0, 10.0)), [[1.0, 10.0]], [[0.0, 0.0]], [1.0]),
    ],
    ids=["number", "log", "several"],
)
def test_errors_by_row(target: Number, prediction: Any, true: Any, expected: list[float]) -> None:
    errors = target.row_errors(torch.tensor(prediction), torch.tensor(true))
    np.testing.assert_allclose(errors, expected, atol=1e-6)


def test_residuals_of_one_column() -> None:
    prediction, true = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.5, 2.0], [3.0, 3.0]])
    frame = SEVERAL.residuals(prediction, true, "visits")
    assert frame.columns == ["prediction", "target", "residual"]
    assert frame.rows() == [(2.0, 2.0, 0.0), (4.0, 3.0, -1.0)]
    assert SEVERAL.residuals(prediction, true)["residual"].to_list() == [0.5, 0.0]
    with pytest.raises(ConfigError, match=r"'visit' is not predicted; did you mean 'visits'\?"):
        SEVERAL.residuals(prediction, true, "visit")


def number(values: Any, **options: Any) -> Callable[[], Any]:
    return lambda: Number.fit(pl.DataFrame({"y": values}), ["y"], **options)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (number(["1", "x"]), DataError, "target 'y': expected numbers, but got the text 'x' in row 2; correct it"),
        (number([1.0, None, NAN]), DataError, r"'y' is missing in 2 of 3 rows; .*where='y IS NOT NULL'"),
        (number([1.0, INFINITY, -INFINITY]), DataError, "target 'y' has 2 infinite values"),
        (number([1, 0, -2], log=True), DataError, r"'y' has 2 values of 0 or less, .* logarithm; .*where='y > 0'"),
        (number(pl.Series([], dtype=pl.Float64)), DataError, "target 'y': there are no rows to learn from"),
        (number([1e308, -1e308]), DataError, "target 'y' has values too large for their mean .*; rescale it"),
        (number([1.0], range=(2, 1)), ConfigError, r"y_range must be \(lowest, highest\), finite .*; got \(2, 1\)"),
        (number([1.0], range=(1, 1)), ConfigError, r"y_range must be .* got \(1, 1\)"),
        (number([1.0], range=(0, INFINITY)), ConfigError, r"y_range must be .*finite .*got \(0, inf\)"),
        (number([1.0], range=("a", "b")), ConfigError, r"y_range must be two numbers, .*got \('a', 'b'\)"),
        (number([1.0], range=(1, 2, 3)), ConfigError, r"y_range must be two numbers, .*got \(1, 2, 3\)"),
        (number([1.0], range=5), ConfigError, r"y_range must be two numbers, \(lowest, highest\); got 5"),
        (number([1.0], range=(0, 9), log=True), ConfigError, r"y_range .*with a log target above 0; got \(0, 9\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_target_is_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("target", "values", "message"),
    [
        (ONE, ["many"], "target 'sales': expected numbers, but got the text 'many' in row 1; correct it"),
        (LOG, [1.0, 0.0], "target 'sales' has 1 values of 0 or less"),
    ],
)
def test_new_targets_are_checked_as_well(target: Any, values: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        target.encode(pl.DataFrame({target.columns[0]: values}))
