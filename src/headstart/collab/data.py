"""`RatingsData`: from a table of ratings to training and validation batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from headstart.collab.codec import RatingsCodec, check_ratings
from headstart.collab.splits import by_pairs
from headstart.core.batch import Batch
from headstart.core.engine import Engine, seed_of
from headstart.core.errors import ConfigError, DataError
from headstart.frames.door import Table, read_table, usable_rows
from headstart.frames.splits import Splitter, split_rows
from headstart.targets.target import checked_range
from headstart.training.loaders import Data, TensorLoader, share_of_rows

__all__ = ["RatingLoader", "RatingsData", "ratings_loader", "suggested_batch_size", "suggested_epochs"]

EVALUATION_BATCH = 65_536
"""Rows at a time when nothing is learnt: a row is two ids."""

NEGATIVES = 50
"""Items drawn beside each one chosen, where there are no ratings."""


@dataclass(frozen=True, kw_only=True)
class RatingsData(Data):
    """Training and validation ratings, encoded, on the device.

    Attributes:
        codec: how rows became tensors.
        seen: int64 ``(2, training rows)``: ids of users and items, ascending by user, then item.
        valid_pairs: int64 ``(2, validation rows)``, in the rows' order; None if there are none.
        ratings: float32 ``(training rows,)``, in their own unit, beside ``seen``; None without ratings.
        negatives: items drawn beside each one chosen; 0 where ratings are learnt.
        notes: what a user should know: duplicates that were joined, values never seen in training.
    """

    codec: RatingsCodec
    seen: Tensor
    valid_pairs: Tensor | None
    ratings: Tensor | None
    negatives: int = 0
    notes: tuple[str, ...] = ()

    @classmethod
    def from_table(
        cls,
        table: Table,
        user: str,
        item: str,
        rating: str | None = None,
        *,
        time: str | None = None,
        split: Splitter | None = None,
        valid: Table | None = None,
        where: str | None = None,
        items: Table | None = None,
        users: Table | None = None,
        title: str | None = None,
        y_range: tuple[float, float] | None = None,
        negatives: int | None = None,
        unknown: float = 0.01,
        batch_size: int | None = None,
        seed: int = 0,
        codec: RatingsCodec | None = None,
        engine: Engine | None = None,
    ) -> RatingsData:
        """Joins duplicates, splits, learns the codec from the training rows, and encodes both sides.

        The order of the table's rows makes no difference, unless the split goes by it.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet; it is not changed.
            user: column of users: text or whole numbers.
            item: column of items: text or whole numbers.
            rating: column of ratings; None: rows only say that a user has chosen an item, and ranking is learnt.
            time: column of moments; of several ratings of one pair the last counts. Without it their mean does.
            split: from `headstart.frames.splits` or `headstart.collab.splits`; None: a random fifth validates. It sees
                the table after the joining of duplicates.
            valid: a table of validation rows, instead of a split.
            where: a SQL condition on the rows of both sides; others are left out.
            items: facts on items, with a column named as ``item``: titles, genres.
            users: facts on users, with a column named as ``user``.
            title: column of ``items`` to show items by; None: ``title`` or ``name`` where there is one.
            y_range: lowest and highest rating there can be; None: those of the training rows. Predictions stay inside.
            negatives: items drawn at random beside each one chosen, to learn a ranking; None: 50 without ratings and 0
                with them, which learns the ratings themselves.
            unknown: share of ids that training replaces by 0, so that the model learns to answer for the unknown.
            batch_size: training rows per step, over all processes; None: by `suggested_batch_size`.
            seed: of the order of the training rows, and of the default split.
            codec: an earlier one, to go on training its model with new rows; None: learnt here.
            engine: device and processes.

        Raises:
            DataError: a column is missing or unfit, an id or rating is missing, a rating lies outside ``y_range``.
            ConfigError: options that do not go together.
        """
        columns = [name for name in (user, item, rating, time) if name is not None]
        if len(set(columns)) != len(columns):
            raise ConfigError(f"user, item, rating and time must be different columns; got {columns}")
        if not isinstance(unknown, int | float) or not 0 <= unknown < 1:
            raise ConfigError(f"unknown is a share from 0 to below 1; got {unknown!r}")
        negatives = (NEGATIVES if rating is None else 0) if negatives is None else negatives
        if not isinstance(negatives, int) or negatives < 0 or (rating is None and negatives < 1):
            raise ConfigError(f"negatives must be a whole number, at least 1 without ratings; got {negatives!r}")
        if valid is not None and split is not None:
            raise ConfigError("give validation rows by split= or by valid=, not by both")
        if title is not None and items is None:
            raise ConfigError(f"title={title!r} is a column of the table of items: give items= as well")
        bounds = None if y_range is None else checked_range(y_range, log=False)
        if rating is not None and bounds is None and codec is not None and codec.target is not None:
            bounds = codec.target.range

        def read(source: Table, name: str) -> tuple[pl.DataFrame, list[str]]:
            rows = usable_rows(read_table(source, name), where, name, columns)
            if rating is not None:
                check_ratings(rows, rating, bounds)  # before duplicates are joined, which would hide what is wrong
            return _joined(rows, user, item, rating, time)

        frame, notes = read(table, "table")
        if valid is None:
            sides = split_rows(frame, split or by_pairs(user, item, seed=seed))
            train_rows, valid_rows = frame[sides.train], frame[sides.valid]
        else:
            train_rows = frame
            valid_rows, more = read(valid, "valid")
            notes += [f"valid: {note}" for note in more]
        engine = engine or Engine()
        if codec is None:
            codec = RatingsCodec.fit(
                train_rows, user, item, rating, y_range=y_range, title=title,
                items=None if items is None else read_table(items, "items"),
                users=None if users is None else read_table(users, "users"),
            )  # fmt: skip
            codec = RatingsCodec.from_json(engine.from_main(codec.to_json())) if engine.world_size > 1 else codec
        user_ids, item_ids = codec.encode(train_rows)
        order = torch.from_numpy(np.lexsort((item_ids.numpy(), user_ids.numpy())))
        user_ids, item_ids = user_ids[order], item_ids[order]
        ratings = codec.encode_target(train_rows)
        ratings = None if ratings is None else ratings[order]
        known = (user_ids > 0) & (item_ids > 0)  # all, unless the codec is an earlier one
        if not known.all():
            notes.append(f"{int((~known).sum()):,} training rows are of users or items that the codec does not know")
        seen = torch.stack([user_ids[known], item_ids[known]])
        batch_size = suggested_batch_size(len(train_rows)) if batch_size is None else batch_size
        train = RatingLoader(
            (user_ids, item_ids), None if negatives else ratings, batch_size=batch_size, shuffle=True, seed=seed,
            engine=engine, unknown=unknown, negatives=negatives, items=len(codec.items),
        )  # fmt: skip
        return cls(
            train=train,
            valid=ratings_loader(codec, valid_rows, engine, with_target=not negatives),
            target=None if negatives else codec.target,
            engine=engine,
            codec=codec,
            seen=seen,
            valid_pairs=torch.stack(codec.encode(valid_rows)),
            ratings=None if ratings is None or codec.target is None else codec.target.original(ratings[known]),
            negatives=negatives,
            notes=(*notes, *codec.notes(valid_rows)),
        )


class RatingLoader(TensorLoader):
    """Batches of pairs in a new order each epoch, some ids replaced by 0, items drawn beside those chosen.

    The rows are put in order once per epoch and batches are slices, which costs small batches least.

    Args:
        inputs: ids of users and of items, int64 ``(rows,)`` each.
        target: float32 ``(rows, 1)`` or None.
        batch_size: rows per step over all processes.
        shuffle: as for `TensorLoader`.
        seed: of the order, of what is replaced and of what is drawn.
        engine: device and processes.
        unknown: probability with which an id becomes 0, for users and items apart.
        negatives: items drawn uniformly for each row; the batch's items are then ``(batch, 1 + negatives)``, the one
            chosen first. An item drawn may be one that the user has chosen too: with many items that is rare.
        items: number of item ids.
    """

    def __init__(
        self,
        inputs: tuple[Tensor, Tensor],
        target: Tensor | None,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        engine: Engine,
        unknown: float = 0.0,
        negatives: int = 0,
        items: int = 1,
    ) -> None:
        super().__init__(inputs, target, batch_size=batch_size, shuffle=shuffle, seed=seed, engine=engine)
        self.unknown, self.negatives, self.items = unknown, negatives, items

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """This process's share of each batch; every row comes once per epoch over all processes."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, epoch))
        order = torch.randperm(self.rows, generator=generator)
        ids = [self._partly_unknown(tensor[order.to(tensor.device)], generator) for tensor in self.inputs]
        target = None if self.target is None else self.target[order.to(self.target.device)]
        for step in range(start_step, self.steps(epoch)):
            start, end = self._starts[step], self._starts[step + 1]
            if self.engine.world_size > 1:
                start, end = share_of_rows(start, end, self.engine.rank, self.engine.world_size)
            users, items = ids[0][start:end], ids[1][start:end]
            if self.negatives:
                drawing = torch.Generator().manual_seed(seed_of(self.seed, epoch, step, self.engine.rank))
                drawn = torch.randint(1, max(2, self.items), (len(items), self.negatives), generator=drawing)
                items = torch.cat([items[:, None], drawn.to(items.device)], 1)  # (batch, 1 + negatives)
            yield Batch(inputs=(users, items), target=None if target is None else target[start:end], rows=end - start)

    def _partly_unknown(self, ids: Tensor, generator: torch.Generator) -> Tensor:
        if not self.unknown:
            return ids
        return ids * (torch.rand(self.rows, generator=generator) >= self.unknown).to(ids.device)


def ratings_loader(codec: RatingsCodec, frame: pl.DataFrame, engine: Engine, *, with_target: bool) -> TensorLoader:
    """All rows of a frame, in their order, to be predicted or judged."""
    target = codec.encode_target(frame) if with_target else None
    return TensorLoader(codec.encode(frame), target, batch_size=EVALUATION_BATCH, shuffle=False, engine=engine)


def suggested_batch_size(rows: int) -> int:
    """A power of two, 16 to 8,192, that gives an epoch 30 to 60 steps where there are rows enough."""
    return max(16, min(8192, 1 << (max(1, rows // 30).bit_length() - 1)))


def suggested_epochs(steps: int) -> int:
    """15, or as many (at most 60) as it takes to make 450 steps of ``steps`` an epoch."""
    return max(15, min(60, -(-450 // steps)))


def _joined(
    frame: pl.DataFrame, user: str, item: str, rating: str | None, time: str | None
) -> tuple[pl.DataFrame, list[str]]:
    """The table with one row per pair, each in the place of its first; and a note if there were more."""
    extra = len(frame) - frame.select(pl.struct(user, item).n_unique()).item()
    if not extra:
        return frame, []
    if time is not None:
        check = frame[time].null_count()
        if check:
            raise DataError(f"column {time!r} has {check:,} rows without a time, so the last of duplicates is unknown")
    rest = [name for name in frame.columns if name not in (user, item)]
    if time is not None:
        by = [time] if rating is None else [time, rating]  # at the same moment the higher, in any order of the rows
        found = frame.group_by(user, item, maintain_order=True).agg(pl.col(rest).sort_by(by).last())
        note = f"{extra:,} earlier rows on the same {user} and {item} were left out: the last by {time} counts"
    elif rating is not None:
        others = [name for name in rest if name != rating]
        found = frame.group_by(user, item, maintain_order=True).agg(pl.col(others).first(), pl.col(rating).mean())
        note = f"{extra:,} further rows on the same {user} and {item} were joined: the mean {rating} counts"
    else:
        found = frame.group_by(user, item, maintain_order=True).agg(pl.col(rest).first())
        note = f"{extra:,} further rows on the same {user} and {item} were left out"
    return found.select(frame.columns), [note]
