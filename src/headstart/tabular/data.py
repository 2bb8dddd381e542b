"""`TabularData`: from any table to training and validation batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError
from headstart.frames.door import Table, check_columns, read_table, usable_rows
from headstart.frames.splits import Splitter, by_random, split_rows
from headstart.tabular.codec import TableCodec
from headstart.tabular.columns import sort_columns
from headstart.tabular.features import FeatureRecipe
from headstart.targets.fit import KindOption, fit_target
from headstart.targets.row_weights import ClassWeight, row_weights
from headstart.training.loaders import Data, TensorLoader
from headstart.training.settings import Plan

__all__ = ["TabularData", "suggest", "suggested_batch_size", "suggested_epochs", "table_loader"]

EVALUATION_BATCH = 4096
"""Rows at a time when nothing is learnt: more than in training, since no gradients are kept."""


@dataclass(frozen=True, kw_only=True)
class TabularData(Data):
    """Training and validation rows of a table, encoded, on the device.

    Attributes:
        codec: how rows became tensors.
        notes: what a user should know of the validation rows: values never seen in training, rows that train too.
        repeated: validation rows that equal a training row in all columns that are used and in the target.
        valid_rows: the validation rows as they came, features included, in their order.
    """

    codec: TableCodec
    notes: tuple[str, ...] = ()
    repeated: int = 0
    valid_rows: pl.DataFrame = field(compare=False, repr=False)

    @classmethod
    def from_table(
        cls,
        table: Table,
        target: str | Sequence[str],
        *,
        split: Splitter | None = None,
        valid: Table | None = None,
        categorical: Sequence[str] = (),
        continuous: Sequence[str] = (),
        dates: Sequence[str] = (),
        exclude: Sequence[str] = (),
        where: str | None = None,
        target_kind: KindOption | None = None,
        log_target: bool = False,
        y_range: tuple[float, float] | None = None,
        quantiles: Sequence[float] | None = None,
        weight: str | None = None,
        class_weight: ClassWeight | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        recipe: FeatureRecipe | None = None,
        codec: TableCodec | None = None,
        engine: Engine | None = None,
    ) -> TabularData:
        """Splits a table, learns the codec from its training rows, and encodes both sides.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet; it is not changed.
            target: the column to predict, or several columns of numbers.
            split: from `headstart.frames.splits`; None: a random fifth of the rows validates.
            valid: a table of validation rows, instead of a split.
            categorical: columns that are so whatever the rules of `headstart.tabular.columns` say.
            continuous: likewise.
            dates: likewise; dates, or text such as 2015-06-20.
            exclude: columns not to use.
            where: a SQL condition on the rows of both sides; others are left out.
            target_kind: ``"number"``, ``"count"`` (numbers of events, by the Poisson loss), ``"label"``; None: text,
                booleans and whole numbers with two values are classes, other numbers numbers.
            log_target: predict the logarithm of a positive number: right where relative errors matter.
            y_range: lowest and highest prediction, in the target's own unit.
            quantiles: predict these of a number instead of its mean: ``[0.1, 0.5, 0.9]`` tells how sure to be.
            weight: a column with each training row's weight in the loss, 0 or more; validation counts all rows alike.
            class_weight: in the training loss; ``"balanced"``: each class counts the same; or a weight per class.
            batch_size: training rows per step, over all processes; None: 256, less for a table of under 25,600 rows.
            seed: of the order of the training rows, and of the default split.
            recipe: makes features from the history of rows (`headstart.features`), and is kept with the model for new
                rows. It sees the whole table, with ``valid`` where that is given, before ``where`` and the split: a
                holiday of the first validation week counts for the last training day. A table that has all its features
                already is taken as it is.
            codec: an earlier one, to go on training its model with new rows; None: learnt here.
            engine: device and processes.

        Raises:
            DataError: a column is missing or unfit, no rows are left, a class is missing on the training side.
            ConfigError: options that do not go together.
        """
        targets = _target_names(target)
        _check_apart(targets, weight, categorical=categorical, continuous=continuous, dates=dates, exclude=exclude)
        needed = [*targets, *([] if weight is None else [weight])]
        if codec is not None:
            _check_fixed(
                codec, targets, categorical=categorical, continuous=continuous, dates=dates,
                target_kind=target_kind, log_target=log_target, y_range=y_range, quantiles=quantiles, recipe=recipe,
            )  # fmt: skip
            recipe = codec.recipe
        _check_recipe(recipe, targets)
        frame, own_valid = _with_features(table, valid, recipe)
        train_rows, valid_rows = _sides(frame, own_valid, split or by_random(seed=seed), where, needed, given=split)
        engine = engine or Engine()
        if codec is None:
            fitted = fit_target(
                train_rows, targets, kind=target_kind, log=log_target, y_range=y_range, quantiles=quantiles
            )
            columns = sort_columns(
                train_rows.drop(needed), categorical=categorical, continuous=continuous, dates=dates, exclude=exclude
            )
            codec = TableCodec.fit(train_rows, columns, fitted, recipe)
            codec = TableCodec.from_json(engine.from_main(codec.to_json())) if engine.world_size > 1 else codec
        batch_size = suggested_batch_size(len(train_rows)) if batch_size is None else batch_size
        encoded = codec.target.encode(train_rows)
        train = TensorLoader(
            codec.encode(train_rows), encoded, row_weights(train_rows, encoded, weight, class_weight, codec.target),
            batch_size=batch_size, shuffle=True, seed=seed, engine=engine,
        )  # fmt: skip
        judged = table_loader(codec, valid_rows, engine, with_target=True)
        repeated = repeated_rows(train_rows, valid_rows, [*codec.columns, *targets])
        notes = codec.notes(valid_rows, judged.inputs[0])
        if repeated:
            notes.append(f"{repeated:,} of {len(valid_rows):,} validation rows equal a training row, target and all")
        return cls(
            train=train, valid=judged, target=codec.target, engine=engine, codec=codec, notes=tuple(notes),
            repeated=repeated, valid_rows=valid_rows,
        )  # fmt: skip


def repeated_rows(train: pl.DataFrame, valid: pl.DataFrame, columns: Sequence[str]) -> int:
    """How many validation rows equal a training row in these columns, by 64-bit hashes of the rows."""
    names = list(dict.fromkeys(columns))
    own = train.select(names)
    other = valid.select(pl.col(name).cast(dtype, strict=False) for name, dtype in own.schema.items())
    return int(other.hash_rows().is_in(own.hash_rows().implode()).sum())


def suggested_batch_size(rows: int) -> int:
    """A power of two, 16 to 256, that gives an epoch 100 steps or more where there are rows enough."""
    return max(16, min(256, 1 << (max(1, rows // 100).bit_length() - 1)))


def suggested_epochs(steps: int) -> int:
    """As many as make 3,000 steps of ``steps`` an epoch, but 3 to 10; up to 60 where 10 make not even 1,000.

    Our own rule of thumb: a large table's days or customers are learnt by heart after a few epochs of one cycle, small
    tables need the steps (docs/tables.md).
    """
    return max(3, min(10, -(-3000 // steps)), min(60, -(-1000 // steps)))


def suggest(data: TabularData) -> Plan:
    """Return how long and how fast to train the default network on a table."""
    return Plan(lr=0.01, epochs=suggested_epochs(data.train.steps(0)))


def table_loader(codec: TableCodec, frame: pl.DataFrame, engine: Engine, *, with_target: bool) -> TensorLoader:
    """All rows of a frame, in their order, to be predicted or judged."""
    if with_target:
        check_columns(frame, codec.target.columns, "the table (target)")
    target = codec.target.encode(frame) if with_target else None
    return TensorLoader(codec.encode(frame), target, batch_size=EVALUATION_BATCH, shuffle=False, engine=engine)


def _target_names(target: str | Sequence[str]) -> list[str]:
    names = [target] if isinstance(target, str) else target
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"target must be a column's name, or several; got {target!r}")
    if len(set(names)) != len(names):
        raise ConfigError(f"target must be a column, or several different ones; got {list(names)}")
    return list(names)


def _check_fixed(codec: TableCodec, targets: Sequence[str], **options: object) -> None:
    """That what a codec has decided is not asked for otherwise."""
    if tuple(targets) != codec.target.columns:
        raise ConfigError(f"the codec's target is {', '.join(codec.target.columns)!r}; got {', '.join(targets)!r}")
    for name, option in options.items():
        if option:
            raise ConfigError(f"{name} is part of the codec, which was given: leave {name} out, or codec")


def _check_apart(targets: Sequence[str], weight: str | None, **lists: Sequence[str]) -> None:
    """That no column is both what is learnt and what it is learnt from."""
    if weight in targets:
        raise ConfigError(f"column {weight!r} cannot be both the target and the weight")
    for name, columns in lists.items():
        for column in columns:
            if column in targets or column == weight:
                what = "the weight" if column == weight else "the target"
                raise ConfigError(f"column {column!r} is {what}, so it cannot be named in {name}: take it out there")


def _check_recipe(recipe: FeatureRecipe | None, targets: Sequence[str]) -> None:
    """That no feature gives the target away."""
    if not isinstance(recipe, FeatureRecipe | None):
        raise ConfigError(f"recipe must be a FeatureRecipe; got {type(recipe).__name__}")
    for name in targets:
        if recipe is not None and name in recipe.ahead:
            raise ConfigError(
                f"the recipe uses present or later values of the target {name!r}, which are what is to be predicted:"
                " look back only, AddRolling(..., forward=False, present=False)"
            )


def _with_features(
    table: Table, valid: Table | None, recipe: FeatureRecipe | None
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Both tables with a recipe's features, made of the two together, since one's rows are the other's history."""
    frame, other = read_table(table), None if valid is None else read_table(valid, "valid")
    if recipe is None:
        return frame, other
    if other is None:
        return recipe.completed(frame), None
    if any(name in frame.columns or name in other.columns for name in recipe.outputs):
        return recipe.completed(frame), recipe.completed(other)
    for name, part in (("table", frame), ("valid", other)):
        check_columns(part, recipe.inputs, f"{name} (recipe)")
    inputs = pl.concat([part.select(recipe.inputs) for part in (frame, other)], how="vertical_relaxed")
    made = recipe.apply(inputs).select(recipe.outputs)
    return frame.hstack(made[: len(frame)]), other.hstack(made[len(frame) :])


def _sides(
    table: pl.DataFrame,
    valid: pl.DataFrame | None,
    split: Splitter,
    where: str | None,
    needed: Sequence[str],
    given: Splitter | None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Training and validation rows, as polars frames."""
    if valid is not None and given is not None:
        raise ConfigError("give validation rows by split= or by valid=, not by both")
    frame = usable_rows(table, where, "table", needed)
    if valid is not None:
        return frame, usable_rows(valid, where, "valid", needed)
    rows = split_rows(frame, split)
    return frame[rows.train], frame[rows.valid]
