"""The lesson's structured data: frames in and out, and the same numbers as headstart's own calls."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from torch import optim

from headstart import TabularData, TabularLearner, splits
from headstart.classic import ColumnarModelData, add_datepart, get_cv_idxs, proc_df
from headstart.core.errors import ConfigError, DataError, NotFittedError
from headstart.tabular import LESSON_NETWORK

VALID = list(range(0, 240, 5))


def shop_frame(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "shop": pd.Categorical(random.integers(1, 6, rows), categories=[1, 2, 3, 4, 5], ordered=True),
            "event": pd.Categorical(random.choice(["fair", "rain"], rows)),
            "trend": random.normal(50, 10, rows).astype("float32"),
            "distance": random.normal(900, 100, rows),
        }
    )
    frame.loc[::7, "distance"] = np.nan
    frame.loc[::9, "event"] = None
    frame["sales"] = 100.0 * frame["shop"].astype(int) + frame["trend"]
    return frame


def model_data(path: Path, **options: object) -> tuple[ColumnarModelData, pd.DataFrame]:
    df, y, _, _ = proc_df(shop_frame(), "sales", do_scale=True)
    data = ColumnarModelData.from_data_frame(path, VALID, df, np.log(y), cat_flds=["shop", "event"], bs=32, **options)
    return data, df


@pytest.fixture
def learner(tmp_path: Path):
    data, _ = model_data(tmp_path)
    return data.get_learner([(6, 3), (3, 2)], 3, 0.04, 1, [20, 10], [0.001, 0.01], y_range=(0, 8))


def test_dateparts_go_into_the_frame_under_the_lesson_s_names() -> None:
    frame = pd.DataFrame({"saleDate": pd.to_datetime(["2013-02-01", None, "2015-12-31"])})
    add_datepart(frame, "saleDate")
    assert "saleDate" not in frame.columns
    first = {"saleYear": 2013, "saleMonth": 2, "saleWeek": 5, "saleDay": 1, "saleDayofweek": 4, "saleDayofyear": 32}
    assert {name: int(frame[name][0]) for name in first} == first
    assert frame["saleIs_month_start"][0] and not frame["saleIs_year_end"][0] and frame["saleIs_year_end"][2]
    assert frame["saleElapsed"][0] == pd.Timestamp("2013-02-01").timestamp()
    assert frame.loc[1].isna().all()


def test_dateparts_keep_the_column_if_asked_and_never_overwrite() -> None:
    frame = pd.DataFrame({"Date": pd.date_range("2013-01-01", periods=3)})
    add_datepart(frame, "Date", drop=False)
    assert "Date" in frame.columns
    with pytest.raises(DataError, match="add_datepart: the frame has a column 'Year' already: rename it"):
        add_datepart(frame, "Date")
    with pytest.raises(DataError, match="'day'"):
        add_datepart(frame[["Date"]], "day")


def test_indices_are_drawn_once_each_and_the_same_for_a_seed() -> None:
    drawn = get_cv_idxs(1000, val_pct=0.25)
    assert len(drawn) == len(set(drawn.tolist())) == 250
    assert (drawn == get_cv_idxs(1000, val_pct=0.25)).all()
    assert not set(drawn.tolist()) & set(get_cv_idxs(1000, cv_idx=1, val_pct=0.25).tolist())
    assert len(get_cv_idxs(30_000, val_pct=25_000 / 30_000)) == 25_000
    with pytest.raises(ConfigError, match=r"get_cv_idxs: val_pct=0 and cv_idx=0 draw no rows from n=10"):
        get_cv_idxs(10, val_pct=0)


def test_proc_df_counts_categories_from_one_and_fills_missing_values() -> None:
    frame = shop_frame()
    before = frame.copy()
    df, y, nas = proc_df(frame, "sales")
    pd.testing.assert_frame_equal(frame, before)
    assert list(df.columns) == ["shop", "event", "trend", "distance", "distance_na"]
    assert (df["shop"] == frame["shop"].astype(int)).all()
    assert set(df["event"][::9]) == {0} and set(df["event"]) == {0, 1, 2}
    assert nas == {"distance": frame["distance"].median()}
    assert (df["distance"][::7] == nas["distance"]).all() and df["distance_na"].sum() == len(df[::7])
    assert (y == frame["sales"]).all()


def test_proc_df_scales_further_rows_as_the_first() -> None:
    frame = shop_frame()
    df, _, nas, mapper = proc_df(frame, "sales", do_scale=True)
    assert df["trend"].mean() == pytest.approx(0, abs=1e-5) and df["trend"].std(ddof=0) == pytest.approx(1, abs=1e-5)
    further, y, *_ = proc_df(frame[:50].drop(columns="sales"), do_scale=True, na_dict=nas, mapper=mapper)
    assert y is None
    pd.testing.assert_frame_equal(further, df[:50])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event": "fair"}, r"column 'event' is (object|str), neither numbers nor categories: make it categories with"),
        ({"trend": np.nan}, r"column 'trend' has 240 missing values but had none in the rows of na_dict; fill them"),
        ({"other": 1.0}, r"column 'other' is not in the mapper: give the same columns as in the call that returned it"),
    ],
)
def test_proc_df_refuses_what_used_to_pass_in_silence(change: dict[str, object], message: str) -> None:
    frame = shop_frame()
    _, _, nas, mapper = proc_df(frame, "sales", do_scale=True)
    with pytest.raises(DataError, match=message):
        proc_df(frame.assign(**change), "sales", do_scale=True, na_dict=nas, mapper=mapper)


def test_proc_df_names_a_missing_column() -> None:
    with pytest.raises(DataError, match=r"there is no column 'Sales'; the columns are \['shop', "):
        proc_df(shop_frame(), "Sales")


def test_the_lesson_s_lines_give_headstart_s_own_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, df = model_data(tmp_path)
    opt_fn = partial(optim.Adam, betas=(0.9, 0.99))
    m = data.get_learner([(6, 3), (3, 2)], 3, 0.04, 1, [20, 10], [0.001, 0.01], y_range=(0, 8), opt_fn=opt_fn)
    m.fit(0.01, 2, cycle_len=1, wds=1e-3)
    frame = df.assign(y=np.log(shop_frame()["sales"]))
    for name in ("shop", "event"):
        frame[name] = frame[name].astype("Int64").mask(frame[name] == 0)
    own_data = TabularData.from_table(
        pl.from_pandas(frame), "y", split=splits.by_indices(VALID), categorical=["shop", "event"],
        continuous=["trend", "distance", "distance_na"], target_features=False, y_range=(0, 8), batch_size=32,
    )  # fmt: skip
    own = TabularLearner(
        own_data, hidden=[20, 10], dropout=[0.001, 0.01], embedding_dropout=0.04,
        embedding_sizes={"shop": 3, "event": 2}, optimizer=opt_fn, weight_decay=1e-3,
        **LESSON_NETWORK, progress="none",
    )  # fmt: skip
    own.fit(0.01, 2, cycle_len=1)
    assert [row["train_loss"] for row in m.learner.history] == [row["train_loss"] for row in own.history]
    predicted, true = own.predict_with_targets()
    assert np.array_equal(m.predict(), predicted.numpy())
    found, targets = m.predict_with_targs()
    assert found.shape == targets.shape == (len(VALID),) and np.allclose(targets, true)
    printed = [[float(word) for word in line.strip("[]").split()] for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in printed] == [0, 1]
    assert printed[-1][2] == pytest.approx(((found - targets) ** 2).mean(), abs=1e-5)  # in the numbers' own unit


def test_rows_look_as_in_the_lesson(learner, capsys: pytest.CaptureFixture[str]) -> None:
    def exp_rmspe(y_pred, targ):
        targ = np.exp(targ)
        return math.sqrt((((targ - np.exp(y_pred)) / targ) ** 2).mean())

    learner.fit(1e-2, 1, metrics=[exp_rmspe])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("[ 0. ") and line.endswith("]")
    assert float(line.strip("[]").split()[3]) == pytest.approx(exp_rmspe(*learner.predict_with_targs()), abs=1e-4)
    assert learner.learner.metrics != ()  # the fit's own metrics are gone, the usual ones are back


def test_rates_are_found_and_plotted_without_a_trace(learner) -> None:
    with pytest.raises(NotFittedError, match=r"call lr_find\(\) first"):
        learner.sched.plot()
    before = learner.predict()
    learner.lr_find()
    assert learner.sched.plot().axes
    assert np.array_equal(learner.predict(), before)


def test_further_rows_are_predicted(tmp_path: Path) -> None:
    further, *_ = proc_df(shop_frame(seed=1), "sales", do_scale=True)
    data, _ = model_data(tmp_path, test_df=further)
    m = data.get_learner([(6, 3), (3, 2)], 3, 0, 1, [8], [0])
    assert m.predict(is_test=True).shape == (240,)
    assert len(data.trn_ds) + len(data.val_ds) == 240 and len(data.trn_dl) == 6 and len(data.val_dl) == 1
    categories, numbers, y = next(iter(data.trn_dl))
    assert categories.shape == (32, 2) and numbers.shape == (32, 3) and y.shape == (32, 1)
    without, _ = model_data(tmp_path)
    with pytest.raises(ConfigError, match=r"there are no test rows: give from_data_frame\(\.\.\., test_df=\)"):
        without.get_learner([(6, 3), (3, 2)], 3, 0, 1, [8], [0]).predict(is_test=True)


@pytest.mark.parametrize(
    ("emb_szs", "n_cont", "message"),
    [
        ([(6, 3)], 3, "emb_szs has 1 pairs for the 2 columns of cat_flds"),
        ([(5, 3), (3, 2)], 3, "column 'shop' has 6 categories with the unknown; got 5"),
        ([(6, 3), (3, 2)], 2, "the data have 3 continuous columns and 1 output; got n_cont=2 and out_sz=1"),
    ],
)
def test_sizes_that_contradict_the_data(
    emb_szs: list[tuple[int, int]], n_cont: int, message: str, tmp_path: Path
) -> None:
    data, _ = model_data(tmp_path)
    with pytest.raises(ConfigError, match=message):
        data.get_learner(emb_szs, n_cont, 0.04, 1, [8], [0])


def test_more_rates_than_groups(learner) -> None:
    with pytest.raises(ConfigError, match="lrs has 4 rates for the 3 groups of the model: give at most 3"):
        learner.fit([1e-4, 1e-3, 1e-2, 1e-1], 1)


def test_cycles_are_kept_and_taken_back(learner) -> None:
    learner.fit(np.array([1e-3, 1e-2]), 2, cycle_len=1, cycle_mult=2, cycle_save_name="two")
    last = learner.predict()
    learner.load_cycle("two", 0)
    assert not np.allclose(learner.predict(), last)
    learner.load_cycle("two", 1)
    assert np.array_equal(learner.predict(), last)


def test_weights_are_saved_under_a_name(learner) -> None:
    before = learner.predict()
    learner.save("before")
    learner.fit(1e-2, 1)
    assert not np.allclose(learner.predict(), before)
    learner.load("before")
    assert np.array_equal(learner.predict(), before)
