"""From rows, texts or images to both parts, encoded: what every application's data begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Self, TypeAlias, TypedDict, TypeVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError
from headstart.core.values import Range, Value, from_json, options_of, to_json, unknown_option
from headstart.frames.codec import Codec, Encoded
from headstart.frames.csv import CsvOptions
from headstart.frames.door import Table, open_table, read_table, usable_rows
from headstart.frames.readings import Reading
from headstart.frames.splits import Splitter, check_one_source, split_rows

__all__ = [
    "Assembled",
    "DataOptions",
    "DataSettings",
    "Parts",
    "Rows",
    "assemble",
    "check_settled",
    "parts_of",
    "rows_of",
    "share",
]

Inputs = TypeVar("Inputs")
Part = TypeVar("Part", covariant=True)
Other = TypeVar("Other")
CodecT = TypeVar("CodecT", bound=Codec[Any])


@dataclass(frozen=True, kw_only=True)
class DataSettings(Value):
    """How any application's data are made of a table.

    Attributes:
        where: SQL condition on the rows of both parts; others are left out. Example: ``Open = 1 AND Sales > 0``.
        batch_size: training rows per step, over all processes; None: by the number of rows.
        seed: seed of the order of the training rows, and of the usual split.
        csv: how CSV files are read: `headstart.CsvOptions`; None: separator, decimal mark, encoding and header are
            found by a look at the file. The model reads later files likewise.
    """

    where: str | None = None
    batch_size: Annotated[int | None, Range(low=1)] = None
    seed: Annotated[int, Range(low=0)] = 0
    csv: CsvOptions | None = None

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
    csv: CsvOptions | None


@dataclass(frozen=True)
class Parts(Generic[Part]):
    """What to train on and what to validate with: a table's rows, pieces of texts, or numbers of images.

    Attributes:
        train: the training part.
        valid: the validation part; None: there is none, and everything trains.
        note: what a user should know of the split.
    """

    train: Part
    valid: Part | None
    note: str = ""

    def map(self, function: Callable[[Part], Other]) -> Parts[Other]:
        """Return a function's results for both parts."""
        return Parts(function(self.train), None if self.valid is None else function(self.valid), self.note)


Rows: TypeAlias = Parts[pl.DataFrame]
"""The rows to train on and to validate with."""


@dataclass(frozen=True, kw_only=True)
class Assembled(Generic[CodecT, Inputs]):
    """Both parts of the data, each encoded once by one codec.

    Attributes:
        codec: learnt from the training part, or given.
        train: the training part, encoded.
        valid: the validation part, encoded; None if there is none.
    """

    codec: CodecT
    train: Encoded[Inputs]
    valid: Encoded[Inputs] | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the encoding of the validation part noted."""
        return () if self.valid is None else self.valid.notes

    @property
    def notes_of_both(self) -> tuple[str, ...]:
        """What the encoding of both parts noted, each note after the name of its part."""
        return (
            *(f"training: {note}" for note in self.train.notes),
            *(f"validation: {note}" for note in self.notes),
        )


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
    readings: Mapping[str, Reading] | None = None,
    prepare: Callable[[pl.DataFrame, str], pl.DataFrame] | None = None,
    csv: CsvOptions | None = None,
    columns: Sequence[str] = (),
) -> Rows:
    """Open a table, filter its rows, and split them.

    Args:
        table: any table, or a path.
        valid: a table of validation rows, instead of a split.
        split: how to split ``table``; None: ``usual``. `headstart.splits.train_on_all` leaves no validation rows.
        usual: the split where none is given.
        where: a SQL condition on the rows of both parts.
        needed: columns that both parts must have.
        readings: how columns of text are read, such as an earlier codec's; others are settled by the values of
            ``table``, for both parts.
        prepare: called on each table that was read, after the filter, with its name for messages: ``"table"`` or
            ``"valid"``.
        csv: how CSV files are read.
        columns: names for the first columns of a CSV file without a header.

    Raises:
        ConfigError: both ``split`` and ``valid``.
        DataError: a column is missing, no rows are left, or the split leaves no training rows.
    """
    check_one_source(split, valid)

    def usable(read: pl.DataFrame, name: str) -> pl.DataFrame:
        rows = usable_rows(read, where, name, needed)
        return rows if prepare is None else prepare(rows, name)

    opened = open_table(table, readings=readings, csv=csv, columns=columns)
    frame = usable(opened.frame, "table")
    if valid is not None:
        settled = {**opened.readings, **(readings or {})}
        other = read_table(valid, "valid", readings=settled, csv=csv, columns=columns)
        return Parts(frame, usable(other, "valid"))
    return parts_of(frame, split or usual).map(lambda numbers: frame[numbers])


def parts_of(frame: pl.DataFrame, split: Splitter) -> Parts[NDArray[np.int64]]:
    """Return the numbers of the training and of the validation rows, int64 ``(rows,)``, by a split.

    Raises:
        DataError: the split leaves no training rows, or no validation rows and is not `train_on_all`.
    """
    numbers = split_rows(frame, split)
    return Parts(numbers.train, numbers.valid if len(numbers.valid) else None, numbers.note)


def share(codec: CodecT, kind: Any, engine: Engine) -> CodecT:
    """Return the main process's codec on every process, so that all encode alike."""
    if engine.world_size == 1:
        return codec
    tensors: dict[str, Tensor] = {}
    record, layouts = engine.from_main(
        [
            to_json(codec, tensors, kind=kind),
            {name: [list(part.shape), str(part.dtype).removeprefix("torch.")] for name, part in tensors.items()},
        ]
    )
    parts = {
        name: engine.tensor_from_main(tensors[name] if engine.is_main else None, shape, getattr(torch, dtype))
        for name, (shape, dtype) in layouts.items()
    }
    shared: CodecT = from_json(kind, record, parts)
    return shared


def assemble(
    parts: Parts[Part],
    fit: Callable[[Part], tuple[CodecT, Encoded[Inputs]]],
    encode: Callable[[CodecT, Part], Encoded[Inputs]],
    *,
    codec: CodecT | None = None,
) -> Assembled[CodecT, Inputs]:
    """Learn a codec from the training part, unless one is given, and encode both parts, each once.

    Args:
        parts: what to train on and what to validate with: from `rows_of` or `parts_of`, or pieces of texts.
        fit: learns the codec from the training part and encodes that part by it, since many codecs do both in one
            pass; it shares the codec among processes (`share`) before it encodes.
        encode: encodes a part by a codec, with its target.
        codec: an earlier codec, to go on training its model with new rows.
    """
    codec, train = fit(parts.train) if codec is None else (codec, encode(codec, parts.train))
    valid = None if parts.valid is None else encode(codec, parts.valid)
    return Assembled(codec=codec, train=train, valid=valid)
