"""The lesson's structured data: pandas frames in and out, trained by `headstart.TabularLearner`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from headstart.classic.learner import ClassicLearner, OptimizerFunction, models_folder, optimizer_factory
from headstart.core.errors import ConfigError, DataError
from headstart.frames.splits import by_indices
from headstart.tabular import LESSON_NETWORK, TabularData, TabularLearner
from headstart.tabular.features import add_dateparts
from headstart.targets.target import checked_range
from headstart.training.loaders import Loader, TensorLoader

__all__ = ["ColumnarModelData", "Scaler", "StructuredLearner", "add_datepart", "get_cv_idxs", "proc_df"]

DATE_PARTS = {
    "year": "Year",
    "month": "Month",
    "week": "Week",
    "day": "Day",
    "day_of_week": "Dayofweek",
    "day_of_year": "Dayofyear",
    "is_month_end": "Is_month_end",
    "is_month_start": "Is_month_start",
    "is_quarter_end": "Is_quarter_end",
    "is_quarter_start": "Is_quarter_start",
    "is_year_end": "Is_year_end",
    "is_year_start": "Is_year_start",
    "elapsed": "Elapsed",
}
"""Headstart's names of the parts, and the lesson's."""

SECONDS_A_DAY = 86_400

TARGET = "y (to be predicted)"
"""The column that the values to predict get in headstart's table: no frame has one of that name."""


def get_cv_idxs(n: int, cv_idx: int = 0, val_pct: float = 0.2, seed: int = 42) -> NDArray[np.int64]:
    """Numbers of rows drawn at random, each at most once.

    Args:
        n: rows there are.
        cv_idx: which of the disjoint draws.
        val_pct: share of the rows to draw.
        seed: the same seed draws the same rows.
    """
    count = round(val_pct * n)
    if not 0 < count <= n or not 0 <= cv_idx * count < n:
        raise ConfigError(f"get_cv_idxs: val_pct={val_pct!r} and cv_idx={cv_idx!r} draw no rows from n={n!r}")
    drawn: NDArray[np.int64] = np.random.RandomState(seed).permutation(n)[cv_idx * count : (cv_idx + 1) * count]
    return drawn


@dataclass(frozen=True)
class Scaler:
    """``mapper``: each continuous column's mean and standard deviation, for `proc_df` of further rows.

    Attributes:
        columns: the two numbers, by the column's name.
    """

    columns: Mapping[str, tuple[float, float]]


class Processed(NamedTuple):
    """What `proc_df` gives without scaling."""

    df: pd.DataFrame
    y: NDArray[Any] | None
    nas: dict[str, float]


class Scaled(NamedTuple):
    """What `proc_df` gives with scaling."""

    df: pd.DataFrame
    y: NDArray[Any] | None
    nas: dict[str, float]
    mapper: Scaler


def proc_df(
    df: pd.DataFrame,
    y_fld: str | None = None,
    skip_flds: Sequence[str] = (),
    do_scale: bool = False,  # noqa: FBT001 - the lesson's order
    na_dict: Mapping[str, float] | None = None,
    mapper: Scaler | None = None,
) -> Processed | Scaled:
    """Makes a frame of numbers: categories from 1 on with 0 for a gap, medians in gaps, ``_na`` columns.

    Args:
        df: it is not changed. Categories must be pandas' own: ``df[c].astype("category").cat.as_ordered()``.
        y_fld: the column to predict, which is taken out.
        skip_flds: columns to leave out.
        do_scale: subtract means and divide by standard deviations.
        na_dict: of earlier rows: which columns have ``_na`` and what stands in for a gap.
        mapper: of earlier rows.

    Returns:
        The frame, the values of ``y_fld`` (None without), the medians by column, and with ``do_scale`` the scaler.

    Raises:
        DataError: a column is neither numbers nor categories; or a gap or a column that the earlier rows did not
            have, so that the result would have other columns than theirs.
    """
    left_out = [*skip_flds, *([] if y_fld is None else [y_fld])]
    missing = [name for name in left_out if name not in df.columns]
    if missing:
        raise DataError(f"proc_df: there is no column {missing[0]!r}; the columns are {list(df.columns)}")
    y = None if y_fld is None else df[y_fld].to_numpy()
    done = df.drop(columns=left_out).copy()
    nas, scales = dict(na_dict or {}), dict(mapper.columns if mapper is not None else {})
    for name in list(done.columns):
        column = done[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            done[name] = column.cat.codes.astype("int64") + 1
        elif not pd.api.types.is_numeric_dtype(column.dtype):
            raise DataError(
                f"proc_df: column {name!r} is {column.dtype}, neither numbers nor categories: make it categories with"
                f" df[{name!r}] = df[{name!r}].astype('category').cat.as_ordered(), or name it in skip_flds"
            )
        else:
            gaps = column.isna()
            if gaps.any() and na_dict is not None and name not in nas:
                raise DataError(
                    f"proc_df: column {name!r} has {int(gaps.sum())} gaps but had none in the rows that na_dict is of;"
                    " fill them first, since the model knows no column for them"
                )
            if gaps.any() and name not in nas:
                nas[name] = float(column.median())
            if name in nas:
                done[name], done[f"{name}_na"] = column.fillna(nas[name]), gaps
    numbers = [name for name in done.columns if not isinstance(df.dtypes.get(name), pd.CategoricalDtype)]
    if not do_scale:
        return Processed(done, y, nas)
    for name in numbers:
        values = done[name].astype("float64")
        if name not in scales:
            if mapper is not None:
                raise DataError(f"proc_df: column {name!r} is not in the mapper: give the columns that it was made of")
            scales[name] = (float(values.mean()), float(values.std(ddof=0)) or 1.0)
        mean, sd = scales[name]
        done[name] = ((values - mean) / sd).astype("float32")
    return Scaled(done, y, nas, Scaler(scales))


def add_datepart(df: pd.DataFrame, fldname: str, drop: bool = True) -> None:  # noqa: FBT001 - the lesson's order
    """`headstart.features.add_dateparts`, into the frame itself and under the lesson's names.

    Monday is 0 in ``Dayofweek``; ``Elapsed`` counts seconds since 1970. The names begin with what stands before "Date"
    in the column's name.

    Args:
        df: gets the new columns.
        fldname: the column of dates.
        drop: take the column itself out.

    Raises:
        DataError: no such column, not dates, or a new column's name is taken.
    """
    parts = add_dateparts(df[[fldname]] if fldname in df.columns else df, fldname, parts=list(DATE_PARTS), prefix="")
    prefix = re.sub("[Dd]ate$", "", fldname)
    taken = [prefix + name for name in DATE_PARTS.values() if prefix + name in df.columns]
    if taken:
        raise DataError(f"add_datepart: the frame has a column {taken[0]!r} already: rename it")
    for part, name in DATE_PARTS.items():
        values = parts[part]
        if part == "day_of_week":
            values = values - 1
        df[prefix + name] = (values * SECONDS_A_DAY if part == "elapsed" else values).to_numpy()
    if drop:
        del df[fldname]


class Batches:
    """``md.trn_dl``: a loader as the lesson has it, with a length, that gives ``(*inputs, target)``.

    Args:
        loader: headstart's.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader, self._epoch = loader, 0

    def __len__(self) -> int:
        return self.loader.steps(0)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """The batches of a further epoch."""
        epoch, self._epoch = self._epoch, self._epoch + 1
        for batch in self.loader.batches(epoch):
            yield (*batch.inputs, *([] if batch.target is None else [batch.target]))


class StructuredLearner(ClassicLearner):
    """What `ColumnarModelData.get_learner` gives.

    Args:
        learner: headstart's.
        test: rows to predict that are in neither part; None if there are none.
    """

    learner: TabularLearner

    def __init__(self, learner: TabularLearner, test: pd.DataFrame | None) -> None:
        super().__init__(learner)
        self._test = test

    def predict(self, is_test: bool = False) -> NDArray[np.float32]:  # noqa: FBT001 - the lesson's way
        """Predictions for the validation rows, or for those of ``test_df``.

        Raises:
            ConfigError: there is no ``test_df``.
        """
        if not is_test:
            return super().predict()
        if self._test is None:
            raise ConfigError("there are no test rows: give from_data_frame(..., test_df=)")
        found: NDArray[np.float32] = self.learner.predict(self._test)["prediction"].to_numpy()
        return found


class ColumnarModelData:
    """A frame of numbers with its validation rows; made by `from_data_frame`.

    Args:
        path: folder whose ``models`` gets what is kept.
        data: headstart's.
        test: further rows to predict.

    Attributes:
        trn_ds: training rows, for their number; ``val_ds`` likewise.
        trn_dl: training batches; ``val_dl`` likewise.
    """

    def __init__(self, path: str | Path, data: TabularData, test: pd.DataFrame | None) -> None:
        assert data.valid is not None
        self.path, self.data, self.test = path, data, test
        self.trn_dl, self.val_dl = Batches(data.train), Batches(data.valid)
        self.trn_ds, self.val_ds = range(_rows(data.train)), range(_rows(data.valid))

    @classmethod
    def from_data_frame(
        cls,
        path: str | Path,
        val_idxs: Sequence[int] | NDArray[np.int64],
        df: pd.DataFrame,
        y: Any,
        *,
        cat_flds: Sequence[str],
        bs: int = 64,
        test_df: pd.DataFrame | None = None,
        seed: int = 0,
    ) -> ColumnarModelData:
        """`TabularData.from_table` of what `proc_df` gave.

        Args:
            path: folder whose ``models`` gets what is kept.
            val_idxs: numbers of the validation rows.
            df: numbers and numbers of categories, from `proc_df`.
            y: what is predicted, ``(rows,)``.
            cat_flds: columns of numbers of categories.
            bs: training rows per step.
            test_df: further rows, for ``predict(is_test=True)``.
            seed: of the order of the rows.

        Raises:
            DataError: ``y`` has another length than ``df``, or what `TabularData.from_table` refuses.
        """
        if len(y) != len(df):
            raise DataError(f"y has {len(y)} values for the {len(df)} rows of df: take both from proc_df")
        frame = _with_gaps(df, cat_flds).assign(**{TARGET: np.asarray(y)})
        numbers = [name for name in df.columns if name not in cat_flds]
        data = TabularData.from_table(
            frame, TARGET, split=by_indices(np.asarray(val_idxs).tolist()), categorical=list(cat_flds),
            continuous=numbers, target_kind="number", batch_size=bs, seed=seed,
        )  # fmt: skip
        return cls(path, data, None if test_df is None else _with_gaps(test_df, cat_flds))

    def get_learner(
        self,
        emb_szs: Sequence[tuple[int, int]],
        n_cont: int,
        emb_drop: float,
        out_sz: int,
        szs: Sequence[int],
        drops: Sequence[float],
        *,
        y_range: tuple[float, float] | None = None,
        opt_fn: OptimizerFunction | None = None,
        seed: int = 0,
    ) -> StructuredLearner:
        """A `TabularLearner` with the lesson's net.

        Args:
            emb_szs: for each of ``cat_flds`` its number of categories, the unknown included, and its embedding's width.
            n_cont: number of continuous columns.
            emb_drop: probability of dropping an embedding's number.
            out_sz: 1.
            szs: width of each hidden layer.
            drops: dropout after each.
            y_range: lowest and highest prediction.
            opt_fn: ``optim.Adam`` or a partial of it; None: headstart's default.
            seed: of the weights and of dropout.

        Raises:
            ConfigError: numbers that contradict the data.
        """
        codec, target = self.data.codec, self.data.codec.target
        assert target.kind == "number"
        names = [column.name for column in codec.categorical]
        if len(emb_szs) != len(names):
            raise ConfigError(f"emb_szs has {len(emb_szs)} pairs for the {len(names)} columns of cat_flds")
        for name, (count, _), known in zip(names, emb_szs, codec.cardinalities, strict=True):
            if count < known:
                raise ConfigError(f"emb_szs: column {name!r} has {known} categories with the unknown; got {count}")
        if (n_cont, out_sz) != (len(codec.continuous), target.outputs):
            raise ConfigError(
                f"the data have {len(codec.continuous)} continuous columns and {target.outputs} output;"
                f" got n_cont={n_cont} and out_sz={out_sz}"
            )
        bounded = replace(target, range=None if y_range is None else checked_range(y_range, log=False))
        data = replace(self.data, target=bounded, codec=replace(codec, target=bounded))
        learner = TabularLearner(
            data, hidden=szs, dropout=drops, embedding_dropout=emb_drop, seed=seed, progress="none",
            **LESSON_NETWORK,
            embedding_sizes={name: width for name, (_, width) in zip(names, emb_szs, strict=True)},
            optimizer=None if opt_fn is None else optimizer_factory(opt_fn), folder=models_folder(self.path),
        )  # fmt: skip
        return StructuredLearner(learner, self.test)


def _with_gaps(df: pd.DataFrame, categorical: Sequence[str]) -> pd.DataFrame:
    """A frame of `proc_df` for headstart, where a category's number 0 is a gap again, and without its index."""
    frame = df.reset_index(drop=True)
    return frame.assign(**{name: frame[name].astype("Int64").mask(frame[name] == 0) for name in categorical})


def _rows(loader: Loader) -> int:
    assert isinstance(loader, TensorLoader)
    return loader.rows
