"""`TabularData`: from any table to training and validation batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Unpack

import polars as pl
from torch import Tensor

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError, warn
from headstart.frames.amounts import form_of_amounts
from headstart.frames.assemble import DataOptions, DataSettings, Rows, assemble, check_settled, rows_of, share
from headstart.frames.codec import Encoded
from headstart.frames.csv import later_options
from headstart.frames.dates import as_moments
from headstart.frames.door import Opened, Table, check_columns, open_table, read_table
from headstart.frames.readings import ReadAsAmount, ReadAsNumber, ReadAsText, Reading, texts_as_numbers
from headstart.frames.splits import Splitter, by_default, train_on_all
from headstart.tabular.advice import check_target, leak_notes, row_number_notes, total_rows, unused_columns
from headstart.tabular.codec import TableCodec
from headstart.tabular.columns import SortedColumns, sort_columns
from headstart.tabular.complete_rows import CompleteRows
from headstart.tabular.features import FeatureRecipe
from headstart.tabular.plan import suggested_batch_size
from headstart.tabular.target_features import target_values
from headstart.targets.fit import OF_THE_TARGET, TargetOptions, TargetSettings
from headstart.targets.row_weights import ClassWeight, row_weights
from headstart.training.loaders import Data, TensorLoader

if TYPE_CHECKING:
    from headstart.checks.check import Looked

__all__ = [
    "TabularData",
    "TabularDataOptions",
    "TabularSettings",
    "repeated_rows",
    "table_loader",
]

EVALUATION_BATCH = 4096
"""Rows per batch when nothing is learnt: more than in training, since no gradients are kept."""


@dataclass(frozen=True, kw_only=True)
class TabularSettings(TargetSettings, DataSettings):
    """How a table's columns are used, and what is predicted.

    Attributes:
        batch_size: training rows per step, over all processes; None: 256, fewer for a table of under 25,600 rows.
        categorical: columns to take as categories. Default: text, booleans, and whole numbers of few values.
        continuous: columns to take as numbers. Default: floating-point numbers, and whole numbers of many values.
        dates: columns to take as dates, also text such as 2015-06-20. Default: columns of a date type, and text of
            which each value is a date.
        date_format: how dates are written in text, as by ``strptime``, where it is not certain: in 1/2/2015
            day or month may come first. Example: ``%m/%d/%Y``.
        numbers: columns of text to read as numbers: with thousands separators, currency or percent signs, or decimal
            commas. What is no number there counts as missing.
        exclude: columns not to use.
        weight: column with each training row's weight in the loss, 0 or more; validation rows all count alike.
        class_weight: weight of each class in the training loss: ``"balanced"``, each class counts the same; or a weight
            above 0 by class.
        recipe: makes features from the history of rows (`headstart.features`), and is saved with the model for new
            rows. It sees the whole table, with ``valid`` where that is given, before ``where`` and the split: a holiday
            of the first validation week counts for the last training day. A table that has all its features already is
            taken as it is. If it looks back on the target, by ``AddRolling(..., horizon=days)``, the target of the
            validation rows is hidden from it, as that of new rows will be.
        target_features: also make features of the training rows' targets, out of fold: the mean of each value of a
            category with ten and more, and, where two numbers are like coordinates, the means of the nearest rows.
    """

    categorical: tuple[str, ...] = ()
    continuous: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    date_format: str | None = None
    numbers: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    weight: str | None = None
    class_weight: ClassWeight | None = None
    recipe: FeatureRecipe | None = None
    target_features: bool = True


class TabularDataOptions(DataOptions, TargetOptions, total=False):
    """The fields of `TabularSettings` as keyword arguments."""

    categorical: Sequence[str]
    continuous: Sequence[str]
    dates: Sequence[str]
    date_format: str | None
    numbers: Sequence[str]
    exclude: Sequence[str]
    weight: str | None
    class_weight: ClassWeight | None
    recipe: FeatureRecipe | None
    target_features: bool


OF_THE_CODEC = (
    "categorical", "continuous", "dates", "date_format", "numbers", "recipe", "target_features", *OF_THE_TARGET,
)  # fmt: skip
"""Fields of `TabularSettings` that a codec has decided."""


@dataclass(frozen=True, kw_only=True, repr=False)
class TabularData(Data):
    """Training and validation rows of a table, encoded, on the device.

    Attributes:
        codec: how rows became tensors.
        notes: what a user should know of the validation rows: values never seen in training, missing numbers that were
            filled, rows that also train.
        repeated: number of validation rows that equal a training row in all columns that are used and in the target.
        valid_rows: the validation rows as they came, features included, in their order; None if there are none.
        latest: whether the validation rows are the latest, because nobody chose others: a model for the time after them
            should have trained on them, too.
        on_all_rows: makes data of which all rows train, by a codec that has seen all; None without validation rows.
    """

    train: TensorLoader
    valid: TensorLoader | None
    codec: TableCodec
    repeated: int = 0
    valid_rows: pl.DataFrame | None = field(default=None, compare=False)
    latest: bool = False
    on_all_rows: Callable[[], TabularData] | None = field(default=None, compare=False)

    @classmethod
    def from_table(
        cls,
        table: Table,
        target: str | Sequence[str],
        *,
        split: Splitter | None = None,
        valid: Table | None = None,
        codec: TableCodec | None = None,
        engine: Engine | None = None,
        **options: Unpack[TabularDataOptions],
    ) -> TabularData:
        """Split a table, learn the codec from its training rows, and encode both parts.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet; it is not changed.
            target: the column to predict, or several columns of numbers.
            split: from `headstart.splits`; None: a fifth of the rows validates, the latest of a table with dates,
                random ones of any other. ``splits.train_on_all``: none.
            valid: a table of validation rows, instead of a split.
            codec: an earlier codec, to go on training its model with new rows; None: it is learnt here.
            engine: device and processes.
            options: the fields of `TabularSettings` by name: ``log_target=True, exclude=["Open"]``.

        Raises:
            DataError: a column is missing or unfit, no rows are left, a class has no training row.
            ConfigError: an unknown option, or options that do not go together.
        """
        settings, targets = TabularSettings.of(options, "TabularData.from_table"), _target_columns(target)
        _check_apart(settings, targets)
        if codec is not None:
            _check_fixed(codec, targets, settings)
        return cls._from_tables(table, valid, targets, settings, split=split, codec=codec, engine=engine or Engine())

    @classmethod
    def _from_tables(
        cls,
        table: Table,
        valid: Table | None,
        targets: Sequence[str],
        settings: TabularSettings,
        *,
        split: Splitter | None,
        codec: TableCodec | None,
        engine: Engine,
        joined: bool = False,
    ) -> TabularData:
        """Return the data of checked settings; see `from_table`.

        Args:
            table: as there.
            valid: as there.
            targets: the columns to predict.
            settings: how the columns are used.
            split: as there.
            codec: as there.
            engine: device and processes.
            joined: whether the rows of ``valid`` are added to those of ``table``, to be split with them.
        """
        given = codec
        recipe = settings.recipe if codec is None else codec.recipe
        _check_recipe(recipe, targets)
        needed = [*targets, *([] if settings.weight is None else [settings.weight])]

        def parts(frame: pl.DataFrame, valid_frame: pl.DataFrame | None) -> Rows:
            return rows_of(
                frame, valid_frame, split=split, usual=by_default(seed=settings.seed), where=settings.where,
                needed=needed,
            )  # fmt: skip

        opened = _opened(table, settings, codec)
        frame, other = opened.frame, None
        if valid is not None:
            csv = settings.csv or (None if codec is None else codec.csv)
            other = read_table(valid, "valid", readings=opened.readings, csv=csv)
        if joined and other is not None:
            frame, other = pl.concat([frame, other], how="diagonal_relaxed"), None
        rows = parts(*_with_features(frame, other, recipe))
        if recipe is not None and rows.valid is not None and not any(name in frame.columns for name in recipe.outputs):
            hidden = [name for name in targets if name in recipe.inputs]
            rows = _with_target_hidden(frame, other, recipe, hidden, parts) if hidden else rows
        column_notes: list[str] = []

        def fit(train: pl.DataFrame) -> tuple[TableCodec, Encoded[tuple[Tensor, ...]]]:
            if settings.target_kind != "label":
                for name in targets:
                    check_target(train[name])
            fitted = settings.fit_target(train, targets, declared=opened.categories)
            target_numbers = target_values(fitted, fitted.encode(train))
            columns = sort_columns(
                train.drop(needed), targets=target_numbers, categorical=settings.categorical,
                continuous=settings.continuous,
                dates=settings.dates, exclude=settings.exclude, declared=opened.categories, readings=opened.readings,
            )  # fmt: skip
            _warn_of_uncertain_dates(opened.readings, columns)
            _warn_of_unused(train, columns, targets, recipe, settings.where)
            totals = total_rows(train)
            if totals:
                warn(totals)
            column_notes.extend(leak_notes(train, columns, targets, classes=bool(fitted.classes)))
            column_notes.extend(row_number_notes(train, columns))
            complete = CompleteRows.of(train, columns, opened.readings)
            fresh = replace(
                TableCodec.fit(
                    complete, columns, fitted, recipe, targets=target_numbers if settings.target_features else None
                ),
                amounts={name: each for name, each in opened.readings.items() if isinstance(each, ReadAsAmount)},
                csv=later_options(settings.csv),
            )
            column_notes.extend(
                f"column {name!r} is not used: {fresh.left_out[name]}; continuous=[{name!r}] uses it"
                for name in columns.continuous
                if name in fresh.left_out
            )
            learnt = share(fresh, TableCodec, engine)
            return learnt, learnt.encode(complete, with_target=True, training=True)

        def encode(known: TableCodec, part: pl.DataFrame) -> Encoded[tuple[Tensor, ...]]:
            complete = known.with_parts(part)
            encoded = known.encode(complete, with_target=True, training=part is rows.train)
            if part is rows.valid:
                _warn_of_unseen_columns(known, complete, encoded.inputs[0])
            return encoded

        assembled = assemble(rows, fit, encode, codec=codec)
        codec, encoded, validation = assembled.codec, assembled.train, assembled.valid
        assert encoded.target is not None
        train = TensorLoader(
            encoded.inputs, encoded.target,
            row_weights(rows.train, encoded.target, settings.weight, settings.class_weight, codec.target),
            batch_size=settings.batch_size or suggested_batch_size(len(rows.train)), shuffle=True, seed=settings.seed,
            engine=engine,
        )  # fmt: skip
        if rows.valid is None or validation is None:
            return cls(
                train=train,
                valid=None,
                target=codec.target,
                engine=engine,
                codec=codec,
                notes=tuple(column_notes),
                rows=rows,
            )
        repeated = repeated_rows(encoded, validation, codec.target_feature_indices)
        notes = [*([rows.note] if rows.note else []), *column_notes, *validation.notes]
        if repeated:
            notes.append(f"{repeated:,} of {len(rows.valid):,} validation rows equal a training row, target and all")
        return cls(
            train=train, valid=_in_order(validation.inputs, validation.target, engine), target=codec.target,
            engine=engine, codec=codec, notes=tuple(notes), repeated=repeated, valid_rows=rows.valid,
            rows=rows, latest=split is None and bool(rows.note),
            on_all_rows=partial(
                cls._from_tables, table, valid, targets, settings, split=train_on_all, codec=given, engine=engine,
                joined=True,
            ),
        )  # fmt: skip

    def looked(self) -> Looked:
        """Return what `check` looks at."""
        from headstart.checks.check import Looked
        from headstart.checks.features import frame_features

        if self.rows is None:
            return super().looked()
        codec = self.codec
        kinds = (("category", codec.categorical), ("number", codec.continuous), ("date", codec.dates))
        roles = {column.name: (kind, column.reason) for kind, columns in kinds for column in columns}
        roles |= {name: ("left out", reason) for name, reason in codec.left_out.items()}
        roles |= dict.fromkeys(codec.target.columns, ("target", codec.target.kind))
        used = [name for name in codec.columns if name in self.rows.train.columns]
        return Looked(
            name="table", rows=self.rows, target=codec.target, roles=roles, shown=tuple(used[:3]), notes=self.notes,
            features=lambda frame: frame_features(frame, used, categories=[c.name for c in codec.categorical]),
        )  # fmt: skip


def _opened(table: Table, settings: TabularSettings, codec: TableCodec | None) -> Opened:
    """Return a table read as an earlier codec says; without one by its values, and by what the columns are named."""
    if codec is not None:
        return open_table(table, readings=codec.readings, csv=settings.csv or codec.csv)
    named: dict[str, Reading] = {name: ReadAsNumber() for name in settings.continuous}
    named |= dict.fromkeys(settings.numbers, ReadAsText())
    opened = open_table(
        table, readings=named, no_dates=settings.categorical, date_format=settings.date_format, csv=settings.csv
    )
    check_columns(opened.frame, settings.numbers, "numbers")
    for name in settings.numbers:
        series = opened.frame[name]
        if series.dtype == pl.String:
            form, numbers = form_of_amounts(series)
            if numbers.null_count() == len(numbers):
                raise DataError(f"column {name!r} cannot be read as numbers: none of its values is one")
            opened = replace(
                opened, frame=opened.frame.with_columns(numbers), readings={**opened.readings, name: ReadAsAmount(form)}
            )
    elsewhere = (*settings.categorical, *settings.dates, *settings.exclude)
    for name in settings.continuous:
        is_text = opened.frame.schema.get(name) == pl.String
        if is_text and name not in elsewhere:  # here, where a row has its number in the table
            texts_as_numbers(opened.frame[name], f"column {name!r} cannot be continuous")
    return opened


def _warn_of_uncertain_dates(readings: Mapping[str, Reading], columns: SortedColumns) -> None:
    """Warn of text that may be dates, with the day or with the month first, and that nobody has taken as text."""
    for name, reading in readings.items():
        as_text = name in columns.categorical or name in columns.left_out
        if reading.formats and as_text and name not in columns.named:
            one, other = reading.formats[:2]
            warn(
                f"column {name!r} may be dates with the day or with the month first, so it is taken as text: say"
                f" date_format={one!r} or date_format={other!r}, or categorical=[{name!r}] if it is text",
            )


def _warn_of_unused(
    train: pl.DataFrame,
    columns: SortedColumns,
    targets: Sequence[str],
    recipe: FeatureRecipe | None,
    where: str | None,
) -> None:
    """Warn, once, of columns that are not used although nobody excluded them, and of a target that does not vary."""
    used = {*(() if recipe is None else recipe.inputs), *re.findall(r"\w+", where or "")}
    lines = unused_columns(train, columns, elsewhere=used)
    if lines:
        warn("\n".join(lines))
    for name in targets:
        if train[name].n_unique() == 1:
            warn(f"the target {name!r} is {train[name][0]!r} in all training rows, so there is nothing to learn")


def repeated_rows(
    train: Encoded[tuple[Tensor, ...]], valid: Encoded[tuple[Tensor, ...]], ignored: Sequence[int] = ()
) -> int:
    """Return how many validation rows are the same as a training row to the model, target and all, by 64-bit hashes.

    Args:
        train: the training rows.
        valid: the validation rows.
        ignored: indices of the numbers that are made of other rows' targets, which differ between the two.
    """

    def hashes(part: Encoded[tuple[Tensor, ...]]) -> pl.Series:
        ids, numbers = part.inputs
        kept = [index for index in range(numbers.shape[1]) if index not in ignored]
        tensors = [ids, numbers[:, kept], *([] if part.target is None else [part.target])]
        columns = [column for tensor in tensors for column in tensor.reshape(len(tensor), -1).T.contiguous().numpy()]
        return pl.DataFrame([pl.Series(str(number), column) for number, column in enumerate(columns)]).hash_rows()

    return int(hashes(valid).is_in(hashes(train).implode()).sum())


def table_loader(codec: TableCodec, frame: pl.DataFrame, engine: Engine, *, with_target: bool) -> TensorLoader:
    """Return all rows of a frame as batches, in their order, to be predicted or evaluated.

    Warn once if rows have values never seen in training, with their number by column; parts of dates aside, since
    later rows nearly always have a new year or day.
    """
    rows = codec.complete(frame)
    encoded = codec.encode(rows, with_target=with_target)
    unseen = {name: n for name, n in codec.unseen(rows, encoded.inputs[0]).items() if name in codec.columns}
    for name in [name for name, count in unseen.items() if count == len(frame) > 1]:
        del unseen[name]
        (known,) = (column.vocab.values for column in codec.categorical if column.name == name)
        values = rows.columns[name].drop_nulls().unique(maintain_order=True).head(3).to_list()
        warn(
            f"column {name!r}: none of the {len(frame):,} rows has a value seen in training, such as {known[0]!r}: here"
            f" they are {', '.join(map(repr, values))}; is it the same column, written alike?",
        )
    if unseen:
        counted = ", ".join(f"{count:,} in {name!r}" for name, count in unseen.items())
        warn(
            f"of {len(frame):,} rows some have a value never seen in training, which counts as unknown: {counted}",
        )
    return _in_order(encoded.inputs, encoded.target, engine)


def _warn_of_unseen_columns(codec: TableCodec, rows: CompleteRows, ids: Tensor) -> None:
    """Warn of columns, parts of dates aside, of which each validation row has a value never seen in training."""
    for name, count in codec.unseen(rows, ids).items():
        if count == len(ids) and name in codec.columns:
            warn(
                f"column {name!r}: every validation row has a value never seen in training, so that nothing learnt of"
                f" its values can help there: leave it out, exclude=[{name!r}], or split the rows otherwise",
            )


def _in_order(inputs: Sequence[Tensor], target: Tensor | None, engine: Engine) -> TensorLoader:
    return TensorLoader(inputs, target, batch_size=EVALUATION_BATCH, shuffle=False, engine=engine)


def _target_columns(target: str | Sequence[str]) -> list[str]:
    names = [target] if isinstance(target, str) else target
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"target must be a column's name, or several; got {target!r}")
    if len(set(names)) != len(names):
        raise ConfigError(f"target must be a column, or several different ones; got {list(names)}")
    return list(names)


def _check_fixed(codec: TableCodec, targets: Sequence[str], settings: TabularSettings) -> None:
    """Raise `ConfigError` if an option is given that the codec has decided."""
    if tuple(targets) != codec.target.columns:
        raise ConfigError(f"the codec's target is {', '.join(codec.target.columns)!r}; got {', '.join(targets)!r}")
    check_settled(settings, OF_THE_CODEC)


def _check_apart(settings: TabularSettings, targets: Sequence[str]) -> None:
    """Raise `ConfigError` if a column is both what is learnt and what it is learnt from."""
    weight = settings.weight
    if weight in targets:
        raise ConfigError(f"column {weight!r} cannot be both the target and the weight")
    for name in ("categorical", "continuous", "dates", "exclude"):
        for column in getattr(settings, name):
            if column in targets or column == weight:
                what = "the weight" if column == weight else "the target"
                raise ConfigError(f"column {column!r} is {what}, so it cannot be named in {name}: take it out there")


def _check_recipe(recipe: FeatureRecipe | None, targets: Sequence[str]) -> None:
    """Raise `ConfigError` if a feature gives the target away."""
    for name in targets:
        if recipe is not None and name in recipe.ahead:
            raise ConfigError(
                f"the recipe uses present or later values of the target {name!r}, which are what is to be predicted:"
                " look back only, AddRolling(..., forward=False, present=False, horizon=14)"
            )
        if recipe is not None and recipe.without_horizon(name):
            raise ConfigError(
                f"the recipe looks back on the target {name!r}, which is not known up to the day that is predicted:"
                " say how many days ahead you predict, AddRolling(..., horizon=14)"
            )


def _with_features(
    frame: pl.DataFrame, other: pl.DataFrame | None, recipe: FeatureRecipe | None
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return both tables with a recipe's features, made of the two together, since one's rows are the other's history.

    Each table's features are made here once: what follows reads them.
    """
    if recipe is None:
        return frame, other
    if other is None:
        return recipe.completed(frame), None
    if any(name in frame.columns or name in other.columns for name in recipe.outputs):
        return recipe.completed(frame), recipe.completed(other)
    for name, part in (("table", frame), ("valid", other)):
        check_columns(part, recipe.inputs, f"{name} (recipe)")
    inputs = pl.concat([part.select(recipe.inputs) for part in (frame, other)], how="vertical_relaxed")
    features = recipe.apply(inputs).select(recipe.outputs)
    return frame.hstack(features[: len(frame)]), other.hstack(features[len(frame) :])


ROW = "headstart row"
"""Name of a column that numbers the rows of both tables while their features are made."""


def _with_target_hidden(
    frame: pl.DataFrame,
    other: pl.DataFrame | None,
    recipe: FeatureRecipe,
    targets: Sequence[str],
    parts: Callable[[pl.DataFrame, pl.DataFrame | None], Rows],
) -> Rows:
    """Return the training and validation rows with features that see no target of the validation rows.

    Hidden too are the targets of rows that are neither, such as those of days that ``where`` leaves out, from the first
    validation day on: nobody will know them either.

    Args:
        frame: the table, without features.
        other: the table of validation rows, likewise; None: they are part of the table.
        recipe: looks back on the targets.
        targets: the columns to hide.
        parts: splits tables with features.
    """
    size = len(frame)
    frame = frame.with_columns(pl.int_range(pl.len()).alias(ROW))
    other = None if other is None else other.with_columns(pl.int_range(size, size + pl.len()).alias(ROW))
    rows = parts(*_with_features(frame, other, recipe))
    valid = rows.valid
    assert valid is not None
    train = rows.train[ROW].implode()

    def concealed(part: pl.DataFrame) -> pl.DataFrame:
        columns = []
        for name in targets:
            date = recipe.date_of(name)
            assert date is not None
            first = as_moments(valid[date], with_time=False).min()
            earlier = (as_moments(part[date], with_time=False) < first).fill_null(False)
            known = (part[ROW].is_in(train) | earlier) & ~part[ROW].is_in(valid[ROW].implode())
            columns.append(pl.when(known).then(pl.col(name)).alias(name))
        return part.with_columns(columns)

    features = _with_features(concealed(frame), None if other is None else concealed(other), recipe)
    made = pl.concat([part.select(ROW, *recipe.outputs) for part in features if part is not None])
    train_rows, valid_rows = (
        part.drop(recipe.outputs)
        .join(made, on=ROW, how="left", maintain_order="left")
        .select(name for name in part.columns if name != ROW)
        for part in (rows.train, valid)
    )
    return Rows(train_rows, valid_rows, rows.note)
