"""Targets: numbers, one class, several classes. Encoding and answers are each other's inverse."""

from __future__ import annotations

import datetime
import json
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
from headstart.frames.categories import Categories
from headstart.targets.target import Label, Labels, Number, target_from_json

RANDOM = torch.Generator().manual_seed(0)
SALES = pl.DataFrame({"sales": [1.0, 10.0, 100.0, 1000.0], "visits": [3, 1, 4, 1]})
KINDS = pl.DataFrame({"kind": ["b", "a", "c", "a"]})
TAGS = pl.DataFrame({"tags": [["b", "a"], [], ["c"], ["a"]]})
TARGETS = [
    Number.fit(SALES, ["sales"]),
    Number.fit(SALES, ["sales"], log=True, range=(0.5, 2000)),
    Number.fit(SALES, ["sales", "visits"]),
    Label.fit(KINDS, "kind"),
    Label("flag", Categories("boolean", (False, True))),
    Labels.fit(TAGS, "tags"),
]


def batch(target: torch.Tensor, weight: torch.Tensor | None = None) -> Batch:
    return Batch(inputs=(), rows=len(target), target=target, weight=weight)


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_a_target_survives_json(target: Any) -> None:
    assert target_from_json(json.loads(json.dumps(target.to_json()))) == target


def test_an_unknown_kind_of_target_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of target 'rank'"):
        target_from_json({"kind": "rank"})


# ---- numbers


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
    one, several = TARGETS[0], TARGETS[2]
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
    torch.testing.assert_close(TARGETS[2].loss(outputs, batch(encoded)), F.mse_loss(outputs, encoded))
    weight = torch.rand(7, generator=RANDOM)
    expected = (weight * F.mse_loss(outputs, encoded, reduction="none").mean(1)).mean()
    torch.testing.assert_close(TARGETS[2].loss((outputs, "state"), batch(encoded, weight)), expected)


def test_outputs_of_another_shape_are_not_spread_out_over_the_rows() -> None:
    with pytest.raises(ConfigError, match=r"outputs have the shape \(7,\), but the targets \(7, 1\)"):
        TARGETS[0].loss(torch.zeros(7), batch(torch.zeros(7, 1)))


# ---- classes


def test_the_loss_of_a_label_is_torchs_cross_entropy() -> None:
    outputs, encoded = torch.randn(9, 3, generator=RANDOM), torch.arange(9) % 3
    torch.testing.assert_close(TARGETS[3].loss(outputs, batch(encoded)), F.cross_entropy(outputs, encoded))
    weight = torch.rand(9, generator=RANDOM)
    expected = (weight * F.cross_entropy(outputs, encoded, reduction="none")).mean()
    torch.testing.assert_close(TARGETS[3].loss(outputs, batch(encoded, weight)), expected)


def test_the_loss_of_labels_is_torchs_binary_cross_entropy() -> None:
    outputs, encoded = torch.randn(9, 3, generator=RANDOM), (torch.rand(9, 3, generator=RANDOM) > 0.5).float()
    expected = F.binary_cross_entropy_with_logits(outputs, encoded)
    torch.testing.assert_close(TARGETS[5].loss(outputs, batch(encoded)), expected)


def test_a_half_precision_output_is_judged_in_full() -> None:
    outputs, encoded = torch.randn(64, 3, generator=RANDOM).bfloat16(), torch.arange(64) % 3
    loss = TARGETS[3].loss(outputs, batch(encoded))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.cross_entropy(outputs.float(), encoded))


def test_a_label_is_its_place_among_the_sorted_classes() -> None:
    assert TARGETS[3].classes == ("a", "b", "c")
    assert TARGETS[3].encode(KINDS).tolist() == [1, 0, 2, 0]
    assert Label.fit(pl.DataFrame({"y": [10, 9, 10]}), "y").classes == (9, 10)


def test_probabilities_sum_to_1_and_the_likeliest_class_is_the_answer() -> None:
    target = TARGETS[3]
    prediction = target.prediction(torch.tensor([[0.0, 2.0, 1.0], [5.0, 0.0, 0.0]]))
    np.testing.assert_allclose(prediction.sum(1), 1, rtol=1e-6)
    decoded = target.decode(prediction)
    assert list(decoded) == ["prediction", "probability_a", "probability_b", "probability_c"]
    assert decoded["prediction"].to_list() == ["b", "a"]
    assert decoded["probability_c"].to_list() == pytest.approx(prediction[:, 2].tolist())


def test_labels_are_encoded_by_class_and_an_unknown_one_is_left_out() -> None:
    target = TARGETS[5]
    rows = pl.DataFrame({"tags": [["a", "c"], [], ["z", "b"], ["b", "b", None]]})
    assert target.encode(rows).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert target.encode(rows.head(0)).shape == (0, 3)
    assert target.encode(pl.DataFrame({"tags": [[], []]})).tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("probabilities", [[[0.6, 0.5, 0.4]], [[0.1, 0.2, 0.3]], []], ids=["some", "none", "no-rows"])
def test_decoded_labels_are_lists_of_text_even_when_there_are_none(probabilities: list[list[float]]) -> None:
    decoded = TARGETS[5].decode(torch.tensor(probabilities).reshape(-1, 3))["prediction"]
    assert decoded.dtype == pl.List(pl.String)
    assert decoded.to_list() == [["a", "b"] if row[0] == 0.6 else [] for row in probabilities]


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_one_row_is_decoded_as_a_table_of_it(target: Any) -> None:
    for outputs in torch.randn(20, 1, target.outputs, generator=RANDOM):
        prediction = target.prediction(outputs)
        decoded = {name: series.to_list()[0] for name, series in target.decode(prediction).items()}
        assert target.decode_one(prediction) == decoded


# ---- what cannot be a target

NAN, INFINITY = math.nan, math.inf


def number(values: Any, **options: Any) -> Callable[[], Any]:
    return lambda: Number.fit(pl.DataFrame({"y": values}), ["y"], **options)


def label(values: Any) -> Callable[[], Any]:
    return lambda: Label.fit(pl.DataFrame({"y": values}), "y")


def labels(values: Any) -> Callable[[], Any]:
    return lambda: Labels.fit(pl.DataFrame({"y": values}), "y")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (number(["1"]), DataError, "target 'y' must be numbers; got String"),
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
        (label(["a", "a"]), DataError, r"target 'y' has one class in the training rows \('a'\); two or more classes"),
        (label(pl.Series([], dtype=pl.String)), DataError, "target 'y' has no rows to learn from; two or more"),
        (label(["a", None]), DataError, r"target 'y' is missing in 1 of 2 rows; leave those out"),
        (label([0.5, 0.7]), DataError, "'y' must be classes .*; got Float64; use target_kind='number'"),
        (label([datetime.date(2015, 1, 1)]), DataError, "target 'y' must be classes .*; got Date; convert it"),
        (labels(["a"]), DataError, "target 'y' must be a column of lists of classes; got String"),
        (labels([["a"], None]), DataError, "target 'y' is missing in 1 of 2 rows"),
        (labels(pl.Series([[]], dtype=pl.List(pl.String))), DataError, "target 'y' has no class in any training row"),
        (labels([[["a"]]]), DataError, r"target 'y' must be classes .*; got List\(String\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_target_is_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("target", "values", "message"),
    [
        (TARGETS[3], ["a", "z"], "target 'kind': no training row has the class 'z', so it cannot be judged; leave"),
        (TARGETS[3], ["y", "z", "x"], r"no training row has the class '[xyz]' \(nor 2 more\)"),
        (TARGETS[3], ["a", None], "target 'kind' is missing in 1 of 2 rows"),
        (TARGETS[3], [1.5], "column 'kind': expected text, as in the training rows, but got the value 1.5"),
        (TARGETS[0], ["many"], "target 'sales' must be numbers; got String"),
        (TARGETS[1], [1.0, 0.0], "target 'sales' has 1 values of 0 or less"),
        (TARGETS[5], ["a"], "target 'tags' must be a column of lists of classes; got String"),
        (TARGETS[5], [["a"], None], "target 'tags' is missing in 1 of 2 rows"),
    ],
)
def test_targets_to_be_judged_are_checked_as_well(target: Any, values: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        target.encode(pl.DataFrame({target.columns[0]: values}))
