"""The door law: a trained model reads the same row as the same tensors, through whatever door the row comes.

A random frame is made into a codec; then its rows go to every door (CSV as polars and as pandas write it, Parquet,
polars, pandas, pyarrow, dictionaries), whole and in parts that show less than all of a column, and are encoded. A long
run: ``HEADSTART_EXAMPLES=2000 pytest tests/contract/test_doors.py``.
"""

from __future__ import annotations

import datetime
import os
import tempfile
import warnings
from collections.abc import Callable
from csv import DictReader
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart import Engine, TabularData, splits
from headstart.core.errors import DataError
from headstart.core.values import from_json, to_json
from headstart.frames.door import read_table
from headstart.tabular.codec import TableCodec

EXAMPLES = int(os.environ.get("HEADSTART_EXAMPLES", "60"))
CPU = Engine("cpu")

DAY = st.dates(datetime.date(1950, 1, 1), datetime.date(2060, 12, 31))
MOMENT = st.datetimes(datetime.datetime(1950, 1, 1), datetime.datetime(2060, 12, 31)).map(
    lambda moment: moment.replace(second=moment.second if moment.microsecond % 2 else 0, microsecond=0)
)
WORD = st.text("abcXYZ01 .,;'\"|é-ß日", min_size=1, max_size=5).map(str.strip).filter(bool)
CODES = [
    "01",
    "02",
    "1",
    "10",
    "007",
    "A1",
    "1.0",
    "1.50",
    "1e3",
    "True",
    "False",
    "true",
    "unknown",
    "NA",
    "null",
    "nan",
]


def column(values: st.SearchStrategy[Any], dtype: Any) -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    return st.just((dtype, values))


CODE = st.lists(st.sampled_from(CODES), min_size=2, max_size=5, unique=True).map(
    lambda chosen: (pl.String, st.sampled_from(chosen))
)
FORMATTED = st.sampled_from(
    ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d %B %Y", "%m/%d/%y", "%d/%m/%Y %H:%M"]
).map(
    lambda form: (
        pl.String,
        MOMENT.filter(lambda moment: moment.year >= 1970).map(lambda moment: moment.strftime(form)),
    )
)
OFFSETS = st.lists(st.sampled_from(["+02:00", "-05:30", "+0100", "Z", ""]), min_size=1, max_size=2, unique=True).map(
    lambda offsets: (
        pl.String,
        st.builds(lambda m, offset: f"{m.isoformat()}{offset}", MOMENT, st.sampled_from(offsets)),
    )
)
KINDS: dict[str, st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]] = {
    "word": column(st.lists(WORD, min_size=1, max_size=4).flatmap(st.sampled_from), pl.String),
    "code": CODE,
    "whole": column(st.integers(-3, 12), pl.Int64),
    "long": column(st.integers(2**40, 2**63 - 1), pl.Int64),
    "byte": column(st.integers(0, 3), pl.UInt8),
    "flag": column(st.booleans(), pl.Boolean),
    "float": column(st.floats(-1e6, 1e6), pl.Float64),
    "zero": column(st.sampled_from([0.0, 1.0]), pl.Float64),
    "small": column(st.floats(-1e3, 1e3, width=32), pl.Float32),
    "day": column(DAY, pl.Date),
    "moment": column(MOMENT, pl.Datetime("us")),
    "berlin": column(MOMENT, pl.Datetime("us", "Europe/Berlin")),
    "utc": column(MOMENT, pl.Datetime("us", "UTC")),
    "iso": column(DAY.map(str), pl.String),
    "mixed": column(st.one_of(DAY.map(str), st.just("never")), pl.String),
    "formatted": FORMATTED,
    "offsets": OFFSETS,
    "decimal": column(st.decimals(-99, 99, places=2), pl.Decimal(6, 2)),
    "category": column(st.sampled_from(["b", "a", "10", "2"]), pl.Categorical),
}


@st.composite
def frames(draw: Any) -> pl.DataFrame:
    """A frame of 8 to 16 rows and one to four columns, of any kinds, with missing values."""
    rows = draw(st.integers(8, 16))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    columns = []
    for number, kind in enumerate(kinds):
        dtype, values = draw(KINDS[kind])
        cell = st.one_of(st.none(), *[values] * 6) if draw(st.booleans()) else values
        cells = draw(st.lists(cell, min_size=rows, max_size=rows))
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
            naive = pl.Series(f"{kind}{number}", cells, pl.Datetime("us")).dt.replace_time_zone("UTC")
            columns.append(naive.dt.convert_time_zone(dtype.time_zone))
        else:
            columns.append(pl.Series(f"{kind}{number}", cells, dtype))
    target = pl.Series("y", np.arange(rows) % 3 + 0.5)
    return pl.DataFrame([*columns, target])


def csv(frame: pl.DataFrame, folder: Path) -> Path:
    frame.write_csv(folder / "t.csv")
    return folder / "t.csv"


def csv_of_pandas(frame: pl.DataFrame, folder: Path) -> Path:
    frame.to_pandas().to_csv(folder / "p.csv", index=False)
    return folder / "p.csv"


def pandas_with_categories(frame: pl.DataFrame, folder: Path) -> Any:
    names = ("word", "code", "whole", "byte", "zero", "flag", "small", "category")
    return frame.to_pandas().astype({name: "category" for name in frame.columns if name.startswith(names)})


def parquet(frame: pl.DataFrame, folder: Path) -> Path:
    frame.write_parquet(folder / "t.parquet")
    return folder / "t.parquet"


DOORS: dict[str, Callable[[pl.DataFrame, Path], Any]] = {
    "polars": lambda frame, folder: frame,
    "pandas": lambda frame, folder: frame.to_pandas(),
    "pandas with categories": pandas_with_categories,
    "pandas with Arrow": lambda frame, folder: frame.to_pandas(use_pyarrow_extension_array=True),
    "pyarrow": lambda frame, folder: frame.to_arrow(),
    "CSV": csv,
    "CSV of pandas": csv_of_pandas,
    "Parquet": parquet,
}


def through(door: str, codec: TableCodec, frame: pl.DataFrame, folder: Path) -> tuple[torch.Tensor, ...] | None:
    """Return a frame's tensors through a door; None if its clock cannot be that of the training rows, which is said."""
    try:
        if door == "dictionaries":
            ones = [codec.encode_one(row) for row in frame.to_dicts()]
            return tuple(torch.cat(each) for each in zip(*ones, strict=True))
        if door == "dictionaries of text":  # as a web form or `csv.DictReader` gives them
            with csv(frame, folder).open(newline="") as file:
                ones = [codec.encode_one(row) for row in DictReader(file)]
            return tuple(torch.cat(each) for each in zip(*ones, strict=True))
        return codec.encode(read_table(DOORS[door](frame, folder), readings=codec.readings)).inputs
    except DataError as error:
        if "several offsets from UTC" in str(error):
            return None
        raise


def check(frame: pl.DataFrame, parts: list[pl.DataFrame], trained: str) -> None:
    """Raise `AssertionError` if a codec trained through one door reads rows as other tensors through another."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        named = [column for column in frame.columns if column.startswith(("code", "word", "whole", "cohort"))]
        source = DOORS[trained](frame, folder)
        try:
            data = TabularData.from_table(source, "y", categorical=named, split=splits.train_on_all, engine=CPU)
        except DataError:
            return  # there is nothing to learn from, or a column cannot be what it is named: it is refused, and said
        codec = from_json(TableCodec, to_json(data.codec, kind=TableCodec))
        for rows in parts:
            expected = through(trained, codec, rows, folder)
            assert expected is not None
            for door in (*DOORS, "dictionaries", "dictionaries of text"):
                actual = through(door, codec, rows, folder)
                if actual is None:
                    continue
                which = f"trained by {trained}, read by {door}"
                assert torch.equal(actual[0], expected[0]), which
                torch.testing.assert_close(
                    actual[1], expected[1], rtol=2e-5, atol=2e-5, msg=lambda text, which=which: f"{which}: {text}"
                )  # Float32 is written to CSV in decimals


@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(frames(), st.sampled_from(sorted(DOORS)), st.data())
def test_a_row_is_the_same_tensors_through_every_door(frame: pl.DataFrame, trained: str, data: Any) -> None:
    chosen = data.draw(st.sets(st.integers(0, len(frame) - 1), min_size=1, max_size=4))
    check(frame, [frame, frame[sorted(chosen)]], trained)
