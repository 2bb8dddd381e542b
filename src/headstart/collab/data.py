"""`RatingsData`: from a table of ratings to training and validation batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Unpack

import numpy as np
import polars as pl
import torch
from torch import Tensor

from headstart.collab.codec import RatingsCodec, check_ratings
from headstart.collab.loaders import RatingLoader
from headstart.collab.seen import Seen
from headstart.collab.splits import by_pairs
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.core.values import Range
from headstart.frames.assemble import Assembled, DataOptions, DataSettings, assemble, rows_of, share
from headstart.frames.codec import Encoded
from headstart.frames.csv import later_options
from headstart.frames.door import Table, read_table
from headstart.frames.splits import Splitter
from headstart.targets.target import checked_range
from headstart.training.loaders import Data, TensorLoader

if TYPE_CHECKING:
    from headstart.checks.check import Looked

__all__ = [
    "RatingsData",
    "RatingsDataOptions",
    "RatingsSettings",
    "ratings_loader",
    "suggested_batch_size",
    "suggested_epochs",
]

EVALUATION_BATCH = 65_536
"""Rows at a time when nothing is learnt: a row is two ids."""

NEGATIVES = 50
"""Items drawn beside each chosen one, if there are no ratings."""


@dataclass(frozen=True, kw_only=True)
class RatingsSettings(DataSettings):
    """How `RatingsData` are made of a table.

    Attributes:
        batch_size: training rows per step, over all processes; None: a power of two from 16 to 8,192 that gives an
            epoch 30 to 60 steps.
        time: column of times (dates or numbers): of several rows on one user and item the latest counts. Without it
            their mean rating does. Example: ``timestamp``.
        items: table of facts on items (titles, genres), or a path to one, with a column named as that of items.
        users: table of facts on users (ages, jobs), or a path to one, with a column named as that of users.
        title: column of ``items`` to show items by; None: ``title`` or ``name`` if the table has one.
        traits: also learn from what several items or users have in common by these tables: a genre, a job, an age.
        y_range: lowest and highest possible rating, between which all predictions lie, such as ``1,5``; None: the
            lowest and the highest training rating.
        negatives: learn to rank: number of random items that each chosen one is compared with. 0: learn the ratings
            themselves. None: 0 with ratings, 50 without.
        unknown: share of user and item ids that are replaced by that of the unknown in training, so that the model
            learns what to predict for new users and items.
    """

    time: str | None = None
    items: Table | None = None
    users: Table | None = None
    title: str | None = None
    traits: bool = True
    y_range: tuple[float, float] | None = None
    negatives: Annotated[int | None, Range(low=0)] = None
    unknown: Annotated[float, Range(low=0, below=1)] = 0.01


class RatingsDataOptions(DataOptions, total=False):
    """The keyword arguments of `RatingsData.from_table`: the fields of `RatingsSettings`, codec and engine.

    Attributes:
        codec: codec of earlier data, to go on training their learner with new rows; None: learnt from the training
            rows.
        engine: device and processes; None: the usual device.
    """

    time: str | None
    items: Table | None
    users: Table | None
    title: str | None
    traits: bool
    y_range: tuple[float, float] | None
    negatives: int | None
    unknown: float
    codec: RatingsCodec | None
    engine: Engine | None


@dataclass(frozen=True, kw_only=True, repr=False)
class RatingsData(Data):
    """Training and validation pairs, encoded, on the device.

    Attributes:
        codec: how rows became tensors; ``codec.seen`` has the training pairs.
        negatives: number of items drawn beside each chosen one, to learn a ranking; 0: ratings are learnt.
        valid_pairs: ids of users and of items of the validation rows, int64 ``(2, rows)``; None if all rows train.
    """

    codec: RatingsCodec
    negatives: int = 0
    valid_pairs: Tensor | None = None

    @classmethod
    def from_table(
        cls,
        table: Table,
        user: str,
        item: str,
        rating: str | None = None,
        *,
        split: Splitter | None = None,
        valid: Table | None = None,
        **options: Unpack[RatingsDataOptions],
    ) -> RatingsData:
        """Join duplicate rows, split, learn the codec from the training rows, and encode both parts.

        The order of the table's rows makes no difference, unless the split depends on it.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet; it is not changed.
            user: column of users: text or whole numbers.
            item: column of items: text or whole numbers.
            rating: column of ratings; None: rows only say that a user has chosen an item, and a ranking is learnt.
            split: from `headstart.splits` or `headstart.collab`, called after duplicates are joined; None: a random
                fifth of the rows validates. `headstart.splits.train_on_all` leaves no validation rows.
            valid: a table of validation rows, instead of a split.
            options: see `RatingsDataOptions` and `RatingsSettings`.

        Raises:
            DataError: a column is missing or unfit, an id or a rating is missing, a rating lies outside ``y_range``.
            ConfigError: an option is unknown or out of its range, or options do not go together.
        """
        codec, engine = options.get("codec"), options.get("engine") or Engine()
        settings = RatingsSettings.of(
            {name: value for name, value in options.items() if name not in ("codec", "engine")},
            "RatingsData.from_table",
        )
        negatives = _check_options(user, item, rating, settings, codec)
        bounds = None if settings.y_range is None else checked_range(settings.y_range, log=False)
        if codec is not None and codec.target is not None and bounds is None:
            bounds = codec.target.range
        notes: list[str] = []

        def prepare(frame: pl.DataFrame, name: str) -> pl.DataFrame:
            if rating is not None:
                check_ratings(frame, rating, bounds)  # before duplicates are joined, which would hide wrong ratings
            joined, note = _joined(frame, user, item, rating, settings.time)
            if note is not None:
                notes.append(note if name == "table" else f"{name}: {note}")
            return joined

        def fit(train: pl.DataFrame) -> tuple[RatingsCodec, Encoded[tuple[Tensor, Tensor]]]:
            known = RatingsCodec.fit(train, user, item, rating, y_range=settings.y_range)
            known = replace(known, csv=later_options(settings.csv))
            items = _facts(settings.items, item, "items", known, notes)
            users = _facts(settings.users, user, "users", known, notes)
            fitted = known.with_facts(items, users, title=settings.title, traits=settings.traits)
            fitted = share(fitted, RatingsCodec, engine)
            return fitted, encode(fitted, train)

        def encode(known: RatingsCodec, part: pl.DataFrame) -> Encoded[tuple[Tensor, Tensor]]:
            return known.encode(part, with_target=True)

        needed = [name for name in (user, item, rating, settings.time) if name is not None]
        rows = rows_of(
            table, valid, split=split, usual=by_pairs(user, item, seed=settings.seed), where=settings.where,
            needed=needed, readings=None if codec is None else codec.readings, prepare=prepare,
            csv=settings.csv or (None if codec is None else codec.csv), columns=needed,
        )  # fmt: skip
        assembled = assemble(rows, fit, encode, codec=codec)
        order, known = _in_order(*assembled.train.inputs)
        users, items = (ids[order] for ids in assembled.train.inputs)
        target = None if assembled.train.target is None else assembled.train.target[order]
        if not known.all():
            notes.append(f"{int((~known).sum()):,} training rows are of users or items that the codec does not know")
        seen = _seen(assembled, rows.train, order[known])
        batch_size = settings.batch_size or suggested_batch_size(len(known))
        train = RatingLoader(
            (users, items), None if negatives else target, batch_size=batch_size, seed=settings.seed, engine=engine,
            unknown=settings.unknown, negatives=negatives, item_count=len(assembled.codec.items),
        )  # fmt: skip
        held = assembled.valid
        return cls(
            train=train,
            valid=None if held is None else ratings_loader(held, engine, with_target=not negatives),
            target=None if negatives else assembled.codec.target,
            engine=engine,
            notes=(*notes, *assembled.notes),
            codec=assembled.codec.with_seen(seen),
            negatives=negatives,
            valid_pairs=None if held is None else torch.stack(held.inputs),
            rows=rows,
        )

    def looked(self) -> Looked:
        """Return what `check` looks at; what is checked of ratings is how well users' and items' means explain them."""
        from headstart.checks.check import Looked
        from headstart.checks.features import frame_features

        if self.rows is None:
            return super().looked()
        codec, target = self.codec, self.target
        pair = (codec.user, codec.item)
        roles = {codec.user: ("category", "user"), codec.item: ("category", "item")}
        roles |= {} if codec.rating is None else {codec.rating: ("target", "number")}
        return Looked(
            name="ratings", rows=self.rows, target=None if target is None else codec.target, roles=roles, shown=pair,
            notes=self.notes, features=lambda frame: frame_features(frame, pair, categories=pair),
        )  # fmt: skip


def ratings_loader(rows: Encoded[tuple[Tensor, Tensor]], engine: Engine, *, with_target: bool = True) -> TensorLoader:
    """Return batches of all rows in their order, for prediction and evaluation.

    Args:
        rows: encoded rows.
        engine: device and processes.
        with_target: give the batches the rows' ratings, if they have any.
    """
    target = rows.target if with_target else None
    return TensorLoader(rows.inputs, target, batch_size=EVALUATION_BATCH, shuffle=False, engine=engine)


def suggested_batch_size(rows: int) -> int:
    """Return a power of two from 16 to 8,192 that gives an epoch of so many rows 30 to 60 steps, if it can."""
    return max(16, min(8192, 1 << (max(1, rows // 30).bit_length() - 1)))


def suggested_epochs(steps: int) -> int:
    """Return the number of epochs of one cycle: 15, or up to 60 if that takes 450 steps at ``steps`` per epoch."""
    return max(15, min(60, -(-450 // steps)))


def _check_options(
    user: str, item: str, rating: str | None, settings: RatingsSettings, codec: RatingsCodec | None
) -> int:
    """Return the number of drawn items, and raise `ConfigError` for options that do not go together."""
    columns = [name for name in (user, item, rating, settings.time) if name is not None]
    if len(set(columns)) != len(columns):
        raise ConfigError(f"user, item, rating and time must be different columns; got {columns}")
    if codec is not None and (user, item, rating) != (codec.user, codec.item, codec.rating):
        raise ConfigError(
            f"the codec was learnt from the columns {codec.user!r}, {codec.item!r} and {codec.rating!r} (user, item,"
            f" rating); got {user!r}, {item!r} and {rating!r}"
        )
    if settings.title is not None and settings.items is None:
        raise ConfigError(f"title={settings.title!r} is a column of the table of items: give items= as well")
    negatives = settings.negatives
    if negatives is None:
        negatives = NEGATIVES if rating is None else 0
    if rating is None and negatives < 1:
        raise ConfigError(f"negatives must be a whole number of at least 1 without ratings; got {negatives}")
    return negatives


def _facts(table: Table | None, key: str, name: str, known: RatingsCodec, notes: list[str]) -> pl.DataFrame | None:
    """Return a table of facts, if there is one, and note ids that it has more than once."""
    if table is None:
        return None
    csv = None if known.csv is None else replace(known.csv, names=None, header=None)
    facts = read_table(table, name, readings=known.readings, csv=csv)
    if key in facts.columns:
        repeated = len(facts) - facts[key].n_unique()
        if repeated:
            different = len(facts.unique()) - facts[key].n_unique()
            what = "with other facts" if different else "with the same facts"
            notes.append(
                f"{name}: {repeated:,} rows are on {'an item' if name == 'items' else 'a user'} that an earlier row is"
                f" on, {what}: the first counts"
            )
    return facts


def _in_order(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Return the order of rows by user, then item; and, in this order, whether both ids are known."""
    order = torch.from_numpy(np.lexsort((items.numpy(), users.numpy())))
    return order, ((users > 0) & (items > 0))[order]


def _seen(assembled: Assembled[RatingsCodec, tuple[Tensor, Tensor]], train: pl.DataFrame, rows: Tensor) -> Seen:
    """Return the pairs of some training rows, by number, with their ratings as they are in the table."""
    codec, ratings = assembled.codec, None
    if codec.rating is not None:
        ratings = torch.from_numpy(train[codec.rating].cast(pl.Float32).to_numpy(writable=True))[rows]
    return Seen(torch.stack(assembled.train.inputs)[:, rows].int(), ratings, len(codec.users))


def _joined(
    frame: pl.DataFrame, user: str, item: str, rating: str | None, time: str | None
) -> tuple[pl.DataFrame, str | None]:
    """Return the table with one row per pair, where the first of them was; and a note if rows were joined."""
    extra = len(frame) - frame.select(pl.struct(user, item).n_unique()).item()
    if not extra:
        return frame, None
    rest = [name for name in frame.columns if name not in (user, item)]
    if time is not None:
        missing = frame[time].null_count()
        if missing:
            raise DataError(
                f"column {time!r} has {missing:,} rows without a time, so it is not known which of several rows on one"
                f" {user} and {item} is the latest; leave them out with where="
            )
        by = [time] if rating is None else [time, rating]  # at the same time the higher, in any order of the rows
        joined = frame.group_by(user, item, maintain_order=True).agg(pl.col(rest).sort_by(by).last())
        note = f"{extra:,} earlier rows on the same {user} and {item} were left out: the last by {time} counts"
    elif rating is not None:
        others = [name for name in rest if name != rating]
        joined = frame.group_by(user, item, maintain_order=True).agg(pl.col(others).first(), pl.col(rating).mean())
        note = f"{extra:,} further rows on the same {user} and {item} were joined: the mean {rating} counts"
    else:
        joined = frame.group_by(user, item, maintain_order=True).agg(pl.col(rest).first())
        note = f"{extra:,} further rows on the same {user} and {item} were left out"
    return joined.select(frame.columns), note
