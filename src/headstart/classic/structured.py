"""The lesson's structured data: pandas frames, trained on by `headstart.TabularLearner`."""

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

from headstart.classic.learner import ClassicLearner, OptimizerFunction, common_options
from headstart.core.errors import ConfigError, DataError
from headstart.core.values import replaced
from headstart.frames.splits import by_indices
from headstart.tabular import LESSON_NETWORK, TabularData, TabularDesign, TabularLearner
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
"""The lesson's name of each of headstart's date parts."""

SECONDS_A_DAY = 86_400

TARGET = "y (to be predicted)"
"""Name of the target in headstart's table, unlikely to be one of the frame's columns."""


def get_cv_idxs(n: int, cv_idx: int = 0, val_pct: float = 0.2, seed: int = 42) -> NDArray[np.int64]:
    """Draw rows at random, without repeating any.

    Args:
        n: number of rows in all.
        cv_idx: which of the disjoint draws, from 0 on.
        val_pct: share of the rows to draw.
        seed: seed of the draw.

    Returns:
        The numbers of the rows, int64 ``(round(val_pct * n),)``.

    Raises:
        ConfigError: the draw is empty, or there is no such draw.
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
        columns: mean and standard deviation, by the column's name.
    """

    columns: Mapping[str, tuple[float, float]]


class Processed(NamedTuple):
    """What `proc_df` returns without scaling."""

    df: pd.DataFrame
    y: NDArray[Any] | None
    nas: dict[str, float]


class Scaled(NamedTuple):
    """What `proc_df` returns with scaling."""

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
    """Turn a frame into numbers.

    Categories are numbered from 1 on, in their order, and missing ones get 0. Missing numbers get the column's median,
    and a further column, ``<name>_na``, says where they were.

    Args:
        df: it is not changed. Its categories must be pandas' own: ``df[c].astype("category").cat.as_ordered()``.
        y_fld: the column to predict, which is not part of the frame that is returned.
        skip_flds: columns to leave out.
        do_scale: whether to subtract each number's mean and divide by its standard deviation.
        na_dict: what an earlier call returned as ``nas``: the columns with ``_na``, and their medians.
        mapper: what an earlier call returned as ``mapper``.

    Returns:
        The frame; the values of ``y_fld``, ``(rows,)``, or None without it; the medians by column; and with
        ``do_scale`` the scaler.

    Raises:
        DataError: a column holds neither numbers nor categories; or it is missing, or has missing values, unlike in
            the earlier rows, so that the frame would get other columns.
    """
    left_out = [*skip_flds, *([] if y_fld is None else [y_fld])]
    absent = [name for name in left_out if name not in df.columns]
    if absent:
        raise DataError(f"proc_df: there is no column {absent[0]!r}; the columns are {list(df.columns)}")
    y = None if y_fld is None else df[y_fld].to_numpy()
    processed = df.drop(columns=left_out).copy()
    nas, scales = dict(na_dict or {}), dict(mapper.columns if mapper is not None else {})
    for name in list(processed.columns):
        column = processed[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            processed[name] = column.cat.codes.astype("int64") + 1
        elif not pd.api.types.is_numeric_dtype(column.dtype):
            raise DataError(
                f"proc_df: column {name!r} is {column.dtype}, neither numbers nor categories: make it categories with"
                f" df[{name!r}] = df[{name!r}].astype('category').cat.as_ordered(), or name it in skip_flds"
            )
        else:
            missing = column.isna()
            if missing.any() and na_dict is not None and name not in nas:
                raise DataError(
                    f"proc_df: column {name!r} has {int(missing.sum())} missing values but had none in the rows of"
                    " na_dict; fill them first, since the model knows no column for them"
                )
            if missing.any() and name not in nas:
                nas[name] = float(column.median())
            if name in nas:
                processed[name], processed[f"{name}_na"] = column.fillna(nas[name]), missing
    numbers = [name for name in processed.columns if not isinstance(df.dtypes.get(name), pd.CategoricalDtype)]
    if not do_scale:
        return Processed(processed, y, nas)
    for name in numbers:
        values = processed[name].astype("float64")
        if name not in scales:
            if mapper is not None:
                raise DataError(
                    f"proc_df: column {name!r} is not in the mapper: give the same columns as in the call that"
                    " returned it"
                )
            scales[name] = (float(values.mean()), float(values.std(ddof=0)) or 1.0)
        mean, sd = scales[name]
        processed[name] = ((values - mean) / sd).astype("float32")
    return Scaled(processed, y, nas, Scaler(scales))


def add_datepart(df: pd.DataFrame, fldname: str, drop: bool = True) -> None:  # noqa: FBT001 - the lesson's order
    """Add the parts of a date to a frame, in place: `headstart.features.add_dateparts` under the lesson's names.

    Monday is 0 in ``Dayofweek``; ``Elapsed`` is in seconds since 1970. The new names begin with the column's name
    without "Date".

    Args:
        df: the frame, which gets the new columns.
        fldname: name of the column of dates.
        drop: whether to remove the column itself.

    Raises:
        DataError: there is no such column, it holds no dates, or a new column's name is taken.
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
    """``md.trn_dl``: batches ``(*inputs, target)``, in a new order in each ``iter``.

    Args:
        loader: headstart's loader.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader, self._epoch = loader, 0

    def __len__(self) -> int:
        return self.loader.steps(0)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches of the next epoch."""
        epoch, self._epoch = self._epoch, self._epoch + 1
        for batch in self.loader.batches(epoch):
            yield (*batch.inputs, *([] if batch.target is None else [batch.target]))


class StructuredLearner(ClassicLearner):
    """What `ColumnarModelData.get_learner` returns.

    Args:
        learner: headstart's learner.
        test: rows for ``predict(is_test=True)``; None: there are none.
    """

    learner: TabularLearner

    def __init__(self, learner: TabularLearner, test: pd.DataFrame | None) -> None:
        super().__init__(learner)
        self._test = test

    def predict(self, is_test: bool = False) -> NDArray[np.float32]:  # noqa: FBT001 - the lesson's way
        """Predict the validation rows, or those of ``test_df``.

        Args:
            is_test: whether to predict the rows of ``test_df``.

        Returns:
            Float32 ``(rows,)``.

        Raises:
            ConfigError: there is no ``test_df``.
        """
        if not is_test:
            return super().predict()
        if self._test is None:
            raise ConfigError("there are no test rows: give from_data_frame(..., test_df=)")
        prediction: NDArray[np.float32] = self.learner.predict(self._test)["prediction"].to_numpy()
        return prediction


class ColumnarModelData:
    """A frame of numbers with its validation rows; made by `from_data_frame`.

    Args:
        path: folder whose ``models`` gets saved weights.
        data: headstart's data.
        test: rows for ``predict(is_test=True)``; None: there are none.

    Attributes:
        trn_ds: the numbers of the training rows, for ``len``; ``val_ds`` those of the validation rows.
        trn_dl: the training batches; ``val_dl`` the validation batches.
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
        """Make a `TabularData` of what `proc_df` returned.

        Args:
            path: folder whose ``models`` gets saved weights.
            val_idxs: numbers of the validation rows, from 0 on.
            df: numbers, and numbers of categories, from `proc_df`.
            y: the values to predict, ``(rows,)``.
            cat_flds: columns of numbers of categories.
            bs: batch size, in rows.
            test_df: rows for ``predict(is_test=True)``, from `proc_df`; None: there are none.
            seed: seed of the order of the rows.

        Raises:
            DataError: ``y`` has another length than ``df``, or a column cannot be used by `TabularData.from_table`.
        """
        if len(y) != len(df):
            raise DataError(f"y has {len(y)} values for the {len(df)} rows of df: take both from proc_df")
        frame = _with_missing(df, cat_flds).assign(**{TARGET: np.asarray(y)})
        numbers = [name for name in df.columns if name not in cat_flds]
        data = TabularData.from_table(
            frame, TARGET, split=by_indices(np.asarray(val_idxs).tolist()), categorical=list(cat_flds),
            continuous=numbers, target_kind="number", target_features=False, batch_size=bs, seed=seed,
        )  # fmt: skip
        return cls(path, data, None if test_df is None else _with_missing(test_df, cat_flds))

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
        """Return a `TabularLearner` with the lesson's network.

        Args:
            emb_szs: for each of ``cat_flds`` its number of categories, unknown included, and its embedding's width.
            n_cont: number of continuous columns.
            emb_drop: probability of dropping an embedding's number.
            out_sz: number of outputs, 1.
            szs: width of each hidden layer.
            drops: probability of dropping a unit after each hidden layer.
            y_range: lowest and highest prediction; None: no limits.
            opt_fn: ``optim.Adam`` or a partial of it; None: headstart's default.
            seed: seed of the weights and of dropout.

        Raises:
            ConfigError: the sizes contradict the data.
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
        design = TabularDesign(
            hidden=tuple(szs), dropout=tuple(drops), embedding_dropout=emb_drop,
            embedding_sizes={name: width for name, (_, width) in zip(names, emb_szs, strict=True)},
        )  # fmt: skip
        design = replaced(design, LESSON_NETWORK)
        learner = TabularLearner(data, design=design, **common_options(self.path, opt_fn, seed))
        return StructuredLearner(learner, self.test)


def _with_missing(df: pd.DataFrame, categorical: Sequence[str]) -> pd.DataFrame:
    """Return a frame of `proc_df` without its index, and with categories of number 0 missing, as headstart has them."""
    frame = df.reset_index(drop=True)
    return frame.assign(**{name: frame[name].astype("Int64").mask(frame[name] == 0) for name in categorical})


def _rows(loader: Loader) -> int:
    assert isinstance(loader, TensorLoader)
    return loader.rows
