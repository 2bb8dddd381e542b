"""From a table to encoded training and validation rows: what every application's data begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Self, TypedDict, TypeVar

import polars as pl
import torch
from torch import Tensor

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError
from headstart.core.values import Range, Value, from_json, options_of, to_json, unknown_option
from headstart.frames.codec import Codec, Encoded
from headstart.frames.door import Table, read_table, usable_rows
from headstart.frames.splits import Splitter, split_rows

__all__ = ["Assembled", "DataOptions", "DataSettings", "Rows", "assemble", "check_settled", "rows_of", "share"]

Inputs = TypeVar("Inputs")
CodecT = TypeVar("CodecT", bound=Codec[Any])


@dataclass(frozen=True, kw_only=True)
class DataSettings(Value):
    """How any application's data are made of a table.

    Attributes:
        where: SQL condition on the rows of both parts; others are left out. Example: ``Open = 1 AND Sales > 0``.
        batch_size: training rows per step, over all processes; None: by the number of rows.
        seed: seed of the order of the training rows, and of the usual split.
    """

    where: str | None = None
    batch_size: Annotated[int | None, Range(low=1)] = None
    seed: Annotated[int, Range(low=0)] = 0

    @classmethod
    def of(cls, options: Mapping[str, Any], owner: str) -> Self:
        """Return the settings that keyword arguments describe.

        Args:
            options: fields by name.
            owner: the function that took them, for messages.

        Raises:
            ConfigError: an unknown name, or a field of the wrong type or out of its range.
        """
        known = {option.name for option in options_of(cls)}
        for name in options:
            if name not in known:
                raise unknown_option(name, owner, cls)
        return cls(**options)


class DataOptions(TypedDict, total=False):
    """The fields of `DataSettings` as keyword arguments."""

    where: str | None
    batch_size: int | None
    seed: int


@dataclass(frozen=True)
class Rows:
    """The rows to train on and to validate with.

    Attributes:
        train: training rows.
        valid: validation rows; None: there are none, and all rows train.
    """

    train: pl.DataFrame
    valid: pl.DataFrame | None


@dataclass(frozen=True, kw_only=True)
class Assembled(Generic[CodecT, Inputs]):
    """Both parts of the data, each encoded once by one codec.

    Attributes:
        codec: learnt from the training rows, or given.
        rows: the rows themselves.
        train: the training rows, encoded.
        valid: the validation rows, encoded; None if there are none.
        notes: what the encoding of the validation rows noted.
    """

    codec: CodecT
    rows: Rows
    train: Encoded[Inputs]
    valid: Encoded[Inputs] | None
    notes: tuple[str, ...]


def check_settled(settings: DataSettings, names: Sequence[str]) -> None:
    """Raise `ConfigError` if a setting is given that an earlier codec, which is given too, has settled.

    Args:
        settings: the data's settings.
        names: fields that a codec settles.
    """
    for option in options_of(type(settings)):
        if option.name in names and getattr(settings, option.name) != option.default:
            raise ConfigError(f"{option.name} is part of the codec, which was given: leave {option.name} out, or codec")


def rows_of(
    table: Table,
    valid: Table | None,
    *,
    split: Splitter | None,
    usual: Splitter,
    where: str | None = None,
    needed: Sequence[str] = (),
    prepare: Callable[[pl.DataFrame, str], pl.DataFrame] | None = None,
) -> Rows:
    """Open a table, filter its rows, and split them.

    Args:
        table: any table, or a path.
        valid: a table of validation rows, instead of a split.
        split: how to split ``table``; None: ``usual``. `headstart.splits.train_on_all` leaves no validation rows.
        usual: the split where none is given.
        where: a SQL condition on the rows of both parts.
        needed: columns in which no row may be missing.
        prepare: called on each table that was read, after the filter, with its name for messages: ``"table"`` or
            ``"valid"``.

    Raises:
        ConfigError: both ``split`` and ``valid``.
        DataError: a column is missing, no rows are left, or the split leaves no training rows.
    """
    if valid is not None and split is not None:
        raise ConfigError("give validation rows by split= or by valid=, not by both")

    def opened(source: Table, name: str) -> pl.DataFrame:
        rows = usable_rows(read_table(source, name), where, name, needed)
        return rows if prepare is None else prepare(rows, name)

    frame = opened(table, "table")
    if valid is not None:
        return Rows(frame, opened(valid, "valid"))
    indices = split_rows(frame, split or usual)
    if not len(indices.valid):
        return Rows(frame, None)
    return Rows(frame[indices.train], frame[indices.valid])


def share(codec: CodecT, kind: Any, engine: Engine) -> CodecT:
    """Return the main process's codec on every process, so that all encode alike."""
    if engine.world_size == 1:
        return codec
    tensors: dict[str, Tensor] = {}
    record = to_json(codec, tensors, kind=kind)
    lists = {name: (str(tensor.dtype).removeprefix("torch."), tensor.tolist()) for name, tensor in tensors.items()}
    record, lists = engine.from_main([record, lists])
    tensors = {name: torch.tensor(values, dtype=getattr(torch, dtype)) for name, (dtype, values) in lists.items()}
    shared: CodecT = from_json(kind, record, tensors)
    return shared


def assemble(
    rows: Rows,
    fit: Callable[[pl.DataFrame], tuple[CodecT, Encoded[Any]]],
    *,
    codec: CodecT | None = None,
    encode: Callable[[CodecT, pl.DataFrame], Encoded[Any]] | None = None,
) -> Assembled[CodecT, Any]:
    """Learn a codec from the training rows, unless one is given, and encode both parts, each once.

    Args:
        rows: from `rows_of`.
        fit: learns the codec from training rows and encodes them by it, since many codecs do both in one pass; it
            shares the codec among processes (`share`) before it encodes.
        codec: an earlier codec, to go on training its model with new rows.
        encode: encodes a part by a codec, with its target; None: ``codec.encode(part, with_target=True)``.
    """

    def encoded(known: CodecT, part: pl.DataFrame) -> Encoded[Any]:
        return known.encode(part, with_target=True) if encode is None else encode(known, part)

    if codec is None:
        codec, train = fit(rows.train)
    else:
        train = encoded(codec, rows.train)
    valid = None if rows.valid is None else encoded(codec, rows.valid)
    return Assembled(codec=codec, rows=rows, train=train, valid=valid, notes=() if valid is None else valid.notes)
