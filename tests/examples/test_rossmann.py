"""The example goes the whole way: from the raw tables to a trained model, and its features are the lesson's."""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
import torch

import headstart

SCRIPT = Path(__file__).parents[2] / "examples" / "rossmann.py"
FOLDER = Path(os.environ.get("HEADSTART_DATA", "")) / "rossmann"

pytestmark = pytest.mark.skipif(
    not (FOLDER / "train.parquet").is_file(), reason="HEADSTART_DATA has no rossmann/train.parquet"
)


@pytest.fixture(scope="module")
def rossmann() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rossmann", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rossmann"] = module  # where its dataclass looks for its own module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def frame(rossmann: ModuleType) -> pl.DataFrame:
    return rossmann.joined(FOLDER, stores=40)


@pytest.mark.parametrize(("protocol", "levels"), [("A", True), ("B", False)])
def test_the_fast_mode_runs(
    protocol: str, levels: bool, rossmann: ModuleType, frame: pl.DataFrame, tmp_path: Path
) -> None:
    """A process of its own, some 5 seconds: what a newcomer types. The model predicts what the docstrings say."""
    command = [
        sys.executable,
        str(SCRIPT),
        "--fast",
        "--protocol",
        protocol,
        "--json",
        "--out",
        str(tmp_path / "model"),
        *(["--levels"] if levels else []),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert (
        said["protocol"] == protocol
        and said["levels"] is levels
        and said["train_rows"] > 8_000
        and said["valid_rows"] > 400
    )
    assert said["metrics"]["rmspe"] < 0.3
    model = headstart.load(tmp_path / "model")
    assert model.codec.recipe is not None
    sold = frame.filter(pl.col("Sales") > 0)
    rows = rossmann.with_levels(sold, "2014-08-01", "2014-09-17") if levels else sold
    assert model.predict(rows.filter(pl.col("Store") <= 12).drop("Sales"))["prediction"].is_between(500, 50_000).all()


def test_the_columns_are_the_lesson_s(frame: pl.DataFrame) -> None:
    assert frame["CompetitionMonthsOpen"].is_between(0, 24).all() and frame["Promo2Weeks"].is_between(0, 25).all()
    assert frame["Promo_bw"].max() == 5 and frame["StateHoliday_fw"].max() == 2
    assert frame.select("State", "trend", "trend_DE", "Max_TemperatureC").null_count().row(0) == (0, 0, 0, 0)
    shop = frame.filter(pl.col("Store") == 1).sort("Date")
    monday = shop.filter(pl.col("Date") == pl.date(2015, 7, 27)).row(0, named=True)  # a week of promotion begins
    assert (monday["AfterPromo"], monday["BeforePromo"], monday["Promo_bw"], monday["Promo_fw"]) == (0, 0, 1, 5)
    sunday = shop.filter(pl.col("Date") == pl.date(2015, 7, 26)).row(0, named=True)
    assert (sunday["AfterPromo"], sunday["BeforePromo"], sunday["Promo_bw"], sunday["Promo_fw"]) == (9, 1, 0, 5)


def test_the_trend_is_that_of_the_day_s_own_week(frame: pl.DataFrame) -> None:
    raw = pl.read_parquet(FOLDER / "googletrend.parquet").filter(pl.col("file") == "Rossmann_DE")
    for day in ("2014-12-27", "2014-12-28", "2015-01-02"):  # a Saturday, a Sunday, and a Friday of another year
        weeks = raw.filter(pl.col("week").str.slice(0, 10) <= day, pl.col("week").str.slice(13) >= day)
        found = frame.filter(pl.col("Date").cast(pl.String) == day)["trend_DE"].unique().to_list()
        assert found == weeks["trend"].to_list()


def test_protocol_b_sees_nothing_that_nobody_knows_six_weeks_ahead(rossmann: ModuleType, frame: pl.DataFrame) -> None:
    # On which days a shop opens is announced: what a row sees of it are days until and since, made before.
    unknown = {"Customers", "Open", "Events", *rossmann.WEATHER, *rossmann.TREND}
    assert unknown.isdisjoint(rossmann.PROTOCOLS["B"].columns) and "Customers" not in rossmann.PROTOCOLS["A"].columns
    assert {*rossmann.LEVELS}.isdisjoint(rossmann.PROTOCOLS["A"].columns)
    assert {*rossmann.LEVELS} < {*rossmann.PROTOCOLS["A"].with_levels().columns}
    assert "Sales" not in rossmann.RECIPE.inputs
    data = rossmann.PROTOCOLS["B"].data(frame)
    assert str(data.valid_rows["Date"].min()) == "2015-06-20" and str(data.valid_rows["Date"].max()) == "2015-07-31"
    blind = frame.with_columns(
        pl.when(pl.col("Date") >= pl.date(2015, 6, 20)).then(None).otherwise(pl.col(name)).alias(name)
        for name in unknown
    )
    for first, second in zip(rossmann.PROTOCOLS["B"].data(blind).valid.inputs, data.valid.inputs, strict=True):
        assert first.equal(second)


def test_levels_are_those_of_a_loop_and_never_of_a_row_s_own_weeks(rossmann: ModuleType, frame: pl.DataFrame) -> None:
    sold = frame.filter(pl.col("Sales") > 0)
    first, last = datetime.date(2014, 8, 1), datetime.date(2014, 9, 17)
    found = rossmann.with_levels(sold, str(first), str(last))
    assert found.columns == [*sold.columns, *rossmann.LEVELS] and found.select(sold.columns).equals(sold)

    day = pl.col("Date")
    log = pl.col("Sales").log()
    train = sold.filter(~day.is_between(first, last)).with_columns(level=log - log.mean().over("Date", "Promo"))

    def level(store: int, start: datetime.date, end: datetime.date) -> float | None:
        rows = train.filter(pl.col("Store") == store, day.is_between(start, end))["level"]
        mean = rows.mean() if len(rows) >= 10 else None
        assert mean is None or isinstance(mean, float)
        return mean

    blocks = 0
    width, year = datetime.timedelta(days=48), datetime.timedelta(days=364)
    for store in (1, 13, 40):  # the second is closed from July to December
        for place in range(-13, 8):
            start, end = first + place * width, last + place * width
            before, after = level(store, start - width, end - width), level(store, start + width, end + width)
            seasons = []
            for moved in (-year, year):
                around = [level(store, start + moved + step, end + moved + step) for step in (-width, width)]
                there, known = level(store, start + moved, end + moved), [one for one in around if one is not None]
                if there is not None and known:
                    seasons.append(there - sum(known) / len(known))
            rows = found.filter(pl.col("Store") == store, day.is_between(start, end))
            expected = (
                after if before is None else before,
                before if after is None else after,
                sum(seasons) / len(seasons) if seasons else 0.0,
            )
            for name, value in zip(rossmann.LEVELS, expected, strict=True):
                assert rows[name].unique().to_list() == ([pytest.approx(value)] if len(rows) else [])
            blocks += len(rows) > 0
    assert blocks == 57  # 20 of each, without the three of July to December

    secret = sold.with_columns(Sales=pl.when(day.is_between(first, last)).then(1).otherwise("Sales"))
    assert (
        rossmann.with_levels(secret, str(first), str(last))
        .select(rossmann.LEVELS)
        .equals(found.select(rossmann.LEVELS))
    )


def test_the_lesson_s_mean_over_batches_is_kinder_than_the_root_of_the_mean(rossmann: ModuleType) -> None:
    target = torch.full((512,), 100.0)
    prediction = target.clone()
    prediction[0] = 200.0  # one shop is far off
    assert rossmann.by_batches(prediction, target, size=512) == pytest.approx((1 / 512) ** 0.5)
    assert rossmann.by_batches(prediction, target) == pytest.approx((1 / 256) ** 0.5 / 2)
    assert rossmann.by_batches(prediction, target, size=500) == pytest.approx((1 / 500) ** 0.5 * 500 / 512)
