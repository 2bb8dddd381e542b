"""What all targets have in common: each keeps the protocol, is stored as JSON, and decodes one row as a table of it."""

from __future__ import annotations

import json
from typing import Any, get_args

import polars as pl
import pytest
import torch

from headstart.core.errors import ConfigError
from headstart.core.values import from_json, to_json
from headstart.frames.categories import Categories
from headstart.targets.kinds import TargetKind
from headstart.targets.target import AnyTarget, ClassTarget, Count, Label, Labels, Number, Quantiles, Target

RANDOM = torch.Generator().manual_seed(0)
SALES = pl.DataFrame({"sales": [1.0, 10.0, 100.0, 1000.0], "visits": [3, 1, 4, 1]})
TARGETS: list[Target] = [
    Number.fit(SALES, ["sales"]),
    Number.fit(SALES, ["sales"], log=True, range=(0.5, 2000)),
    Number.fit(SALES, ["sales", "visits"]),
    Quantiles.of(Number.fit(SALES, ["sales"], log=True), (0.1, 0.5, 0.9)),
    Count.fit(SALES, "visits"),
    Label.fit(pl.DataFrame({"kind": ["b", "a", "c", "a"]}), "kind"),
    Label("flag", Categories("boolean", (False, True))),
    Label("year", Categories("integer", (0, 1, 2015))),
    Labels.fit(pl.DataFrame({"tags": [["b", "a"], [], ["c"], ["a"]]}), "tags"),
]
every_target = pytest.mark.parametrize(
    "target", TARGETS, ids=lambda target: f"{target.kind} {' '.join(target.columns)}"
)


def test_each_kind_is_one_class() -> None:
    assert {target.kind: type(target) for target in TARGETS} == {kind.kind: kind for kind in get_args(AnyTarget)}
    assert tuple(kind.kind for kind in get_args(AnyTarget)) == get_args(TargetKind)


@every_target
def test_a_target_survives_json(target: Any) -> None:
    record = json.loads(json.dumps(to_json(target, kind=AnyTarget)))
    assert record["type"] == type(target).__name__
    again = from_json(AnyTarget, record)
    assert again == target and type(again) is type(target)
    assert [type(name) for name in again.classes] == [type(name) for name in target.classes]


@pytest.mark.parametrize(
    ("kind", "record", "message"),
    [
        (AnyTarget, {"type": "Rank"}, "expected one of Number, Quantiles, Count, Label, Labels; got 'Rank'"),
        (ClassTarget, {"type": "Count", "column": "n", "mean": 1.0}, "expected one of Label, Labels; got 'Count'"),
        (AnyTarget, {"type": "Count", "column": "n"}, "the field 'mean' of Count is missing"),
        (AnyTarget, {"type": "Count", "column": "n", "mean": "x"}, "expected a number; got 'x'"),
        (AnyTarget, {"type": "Count", "column": "n", "mean": 1.0, "sd": 2.0}, "Count has no field 'sd'"),
        (
            AnyTarget,
            {"type": "Label", "column": "n", "categories": {"kind": "date", "values": []}},
            "expected 'text', ",
        ),
    ],
)
def test_a_record_of_something_else_is_refused(kind: Any, record: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(kind, record)


@every_target
def test_one_row_is_decoded_as_a_table_of_it(target: Target) -> None:
    for outputs in torch.randn(20, 1, target.outputs, generator=RANDOM):
        prediction = target.prediction(outputs)
        decoded = {name: series.to_list()[0] for name, series in target.decode(prediction).items()}
        assert target.decode_one(prediction) == decoded


@every_target
def test_errors_by_row_are_one_float_per_row_and_not_negative(target: Target) -> None:
    prediction = target.prediction(torch.randn(7, target.outputs, generator=RANDOM))
    true = {
        "number": prediction.roll(1, 0),
        "quantiles": prediction.reshape(7, -1)[:, 0],
        "count": prediction.roll(1, 0),
    }
    classes = {"label": torch.arange(7) % target.outputs, "labels": (prediction > 0.5).long()}
    errors = target.row_errors(prediction, (true | classes)[target.kind])
    assert errors.shape == (7,) and errors.dtype == torch.float32 and (errors >= 0).all()


@every_target
def test_classes_have_confusion_and_numbers_have_residuals(target: Target) -> None:
    name = " '.*'.*" if target.columns[1:] else f"'{target.columns[0]}'"
    rows = torch.zeros(0, target.outputs)
    if target.classes:
        assert len(target.classes) == target.outputs and target.output_range() is None
        with pytest.raises(ConfigError, match=f"^{name} .* and has no residuals; .* plot_confusion"):
            target.residuals(rows, rows)
    else:
        with pytest.raises(ConfigError, match="(is|are) .* and has no confusion matrix; .* plot_residuals"):
            target.confusion(rows, rows)
    if target.kind != "label":
        with pytest.raises(ConfigError, match="class_weight needs a target with one class per row, but '"):
            target.class_weights("balanced", rows)


@every_target
def test_the_first_default_metric_has_a_direction_and_all_suit(target: Target) -> None:
    metrics = target.default_metrics()
    assert metrics[0].better is not None
    assert all(target.kind in metric.suits for metric in (*metrics, *target.own_metrics()))
    first = {"number": "rmse", "quantiles": "pinball", "count": "poisson_deviance"}
    assert metrics[0].name == first.get(target.kind, "accuracy")
