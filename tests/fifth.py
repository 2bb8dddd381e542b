"""A fifth application, as small as one can be: a number from other numbers, by one linear layer.

It is what CONTRIBUTING.md tells of a new application; `tests/contract/test_fifth_application.py` registers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Unpack

import polars as pl
import torch
from torch import Tensor, nn

from headstart.core.engine import Engine
from headstart.core.errors import DataError
from headstart.core.values import Range, Value
from headstart.frames.assemble import DataOptions, DataSettings, assemble, rows_of, share
from headstart.frames.codec import Encoded
from headstart.frames.csv import CsvOptions
from headstart.frames.door import Table, check_columns, read_table, to_source
from headstart.frames.readings import ReadAsNumber, Reading
from headstart.frames.splits import Splitter, by_random
from headstart.targets.fit import fit_target
from headstart.targets.target import AnyTarget
from headstart.training.application_learner import ApplicationLearner
from headstart.training.loaders import Data, TensorLoader
from headstart.training.settings import LearnerOptions, Plan, Training


@dataclass(frozen=True)
class LineCodec:
    """Reads the numeric columns."""

    columns: tuple[str, ...]
    target: AnyTarget
    csv: CsvOptions | None = None

    @property
    def readings(self) -> dict[str, Reading]:
        return {**dict.fromkeys(self.columns, ReadAsNumber()), **self.target.readings}

    @classmethod
    def fit(cls, rows: pl.DataFrame, target: str) -> LineCodec:
        names = tuple(name for name, dtype in rows.schema.items() if dtype.is_numeric() and name != target)
        return cls(names, fit_target(rows, [target]))

    def encode(self, rows: pl.DataFrame, *, with_target: bool = False) -> Encoded[tuple[Tensor, ...]]:
        check_columns(rows, self.columns, "the table")
        if rows.select(self.columns).null_count().sum_horizontal().sum():
            raise DataError("a row lacks a number")
        numbers = torch.from_numpy(rows.select(self.columns).cast(pl.Float32).to_numpy().copy())
        return Encoded(inputs=(numbers,), target=self.target.encode(rows) if with_target else None)

    def encode_one(self, row: Mapping[str, Any]) -> tuple[Tensor, ...]:
        return (torch.tensor([[float(row[name]) for name in self.columns]]),)

    def decode(self, prediction: Tensor) -> pl.DataFrame:
        return pl.DataFrame(list(self.target.decode(prediction).values()))


@dataclass(frozen=True, kw_only=True)
class LineDesign(Value):
    """One linear layer.

    Attributes:
        bias: whether the layer has a bias.
        dropout: probability of dropping an input.
    """

    bias: bool = True
    dropout: Annotated[float, Range(low=0, below=1)] = 0.0

    def network(self, codec: LineCodec) -> nn.Module:
        layer = nn.Linear(len(codec.columns), codec.target.outputs, bias=self.bias)
        return nn.Sequential(nn.Dropout(self.dropout), layer)


class LineOptions(LearnerOptions, total=False):
    bias: bool
    dropout: float


@dataclass(frozen=True, kw_only=True, repr=False)
class LineData(Data):
    codec: LineCodec

    @classmethod
    def from_table(
        cls,
        table: Table,
        target: str,
        *,
        split: Splitter | None = None,
        valid: Table | None = None,
        codec: LineCodec | None = None,
        engine: Engine | None = None,
        **options: Unpack[DataOptions],
    ) -> LineData:
        """Split a table and encode it.

        Args:
            table: any table, or a path.
            target: column to predict.
            split: how rows are split; None: a random fifth validates.
            valid: a table of validation rows, instead of a split.
            codec: an earlier codec.
            engine: device and processes.
            options: the fields of `DataSettings`.
        """
        settings, engine = DataSettings(**options), engine or Engine()
        rows = rows_of(
            table, valid, split=split, usual=by_random(seed=settings.seed), where=settings.where, needed=[target]
        )

        def fit(train: pl.DataFrame) -> tuple[LineCodec, Encoded[tuple[Tensor, ...]]]:
            fitted = share(LineCodec.fit(train, target), LineCodec, engine)
            return fitted, encode(fitted, train)

        def encode(known: LineCodec, part: pl.DataFrame) -> Encoded[tuple[Tensor, ...]]:
            return known.encode(part, with_target=True)

        parts = assemble(rows, fit, encode, codec=codec)
        loaders = [
            None if part is None else TensorLoader(
                part.inputs, part.target, batch_size=settings.batch_size or 16, shuffle=part is parts.train,
                seed=settings.seed, engine=engine,
            )
            for part in (parts.train, parts.valid)
        ]  # fmt: skip
        return cls(
            train=loaders[0], valid=loaders[1], target=parts.codec.target, engine=engine, codec=parts.codec,
            notes=parts.notes,
        )  # fmt: skip


class LineLearner(ApplicationLearner):
    """A line through a table's numbers."""

    application = "line"
    codec_type = LineCodec
    design_type = LineDesign

    def __init__(
        self,
        data: LineData | LineCodec,
        *,
        design: LineDesign | None = None,
        training: Training | None = None,
        **options: Unpack[LineOptions],
    ) -> None:
        super().__init__(data, design=design, training=training, **options)

    def make_model(self, seed: int) -> nn.Module:
        return self.design.network(self.codec)

    @classmethod
    def suggest(cls, data: LineData, design: LineDesign | None = None) -> Plan:
        return Plan(lr=0.1, epochs=8)

    def predict(self, rows: Table) -> Any:
        frame = read_table(rows, readings=self.codec.readings)
        loader = TensorLoader(self.codec.encode(frame).inputs, batch_size=4096, shuffle=False, engine=self.engine)
        return to_source(self.codec.decode(self.predict_batches(loader)), rows)

    def evaluate(self, table: Table) -> dict[str, float]:
        encoded = self.codec.encode(read_table(table, readings=self.codec.readings), with_target=True)
        loader = TensorLoader(encoded.inputs, encoded.target, batch_size=4096, shuffle=False, engine=self.engine)
        return self.validate(loader)
