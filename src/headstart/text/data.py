"""`TextData`: from tables, folders and lists of labelled texts to training and validation batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import polars as pl
import torch
from torch import Tensor

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.core.paths import expanded
from headstart.core.values import Range
from headstart.frames.assemble import assemble, check_settled, rows_of
from headstart.frames.codec import Encoded
from headstart.frames.door import Table
from headstart.frames.folders import LabelFolder
from headstart.frames.labels import split_labels
from headstart.frames.readings import ReadAsText, Reading
from headstart.frames.splits import Splitter, by_random, check_one_source, train_on_all
from headstart.targets.fit import (
    OF_THE_TARGET,
    TargetOptions,
    TargetSettings,
    check_labels,
    label_or_target,
)
from headstart.targets.row_weights import ClassWeight, row_weights
from headstart.text.codec import Columns, EncodedTexts, TextCodec, columns_and_marks, texts_of
from headstart.text.corpus_data import (
    EVALUATION_BATCH,
    CorpusData,
    CorpusOptions,
    CorpusSettings,
    fit_codec,
    frame_of,
    reading_of_start,
)
from headstart.text.folders import find_texts, read_texts, split_files
from headstart.text.linear import fit_linear
from headstart.text.loaders import BucketLoader
from headstart.text.tokens import Tokenized
from headstart.text.word_vectors import usual_vectors

if TYPE_CHECKING:
    from headstart.checks.check import Looked

__all__ = ["TextData", "TextDataOptions", "TextSettings", "text_loader"]

VALID_FRACTION = 0.1
"""Share of validation rows where nothing else is said: they choose the epoch and the temperature, and the linear path,
whose strength is chosen on held-out training texts, needs the others."""


@dataclass(frozen=True, kw_only=True)
class TextSettings(TargetSettings, CorpusSettings):
    """How labelled texts become batches.

    Attributes:
        batch_size: training texts per step, over all processes.
        class_weight: weight of each class in the training loss: ``"balanced"``, so that each class counts the same; or
            a number per class; None: each text counts the same.
        language_model: folder of a saved language model to start from. Its tokenizer, vocabulary and
            direction are used.
        separator: what stands between several labels of a text, such as ``|`` in ``comedy|drama``; None: a label is a
            class, and a list of them several.
        linear: solve a linear path of words, pairs and pieces of words, which the network starts from.
        word_vectors: pretrained vectors of words for the linear path: ``"auto"``: those of the data set
            ``word-vectors`` if it has been fetched; ``"none"``; or a folder like that of the data set.
    """

    batch_size: Annotated[int, Range(low=1)] = 32
    class_weight: ClassWeight | None = None
    separator: str | None = None
    linear: bool = True
    word_vectors: str | Path = "auto"


class TextDataOptions(CorpusOptions, TargetOptions, total=False):
    """The fields of `TextSettings` as keyword arguments."""

    class_weight: ClassWeight | None
    separator: str | None
    linear: bool
    word_vectors: str | Path


@dataclass(frozen=True, kw_only=True, repr=False)
class TextData(CorpusData):
    """Training and validation texts with their labels.

    Attributes:
        codec: how texts became ids, and labels targets.
        language_model: folder of the language model that a learner on these data starts from; None: fresh weights.
        valid_rows: the validation texts and labels, in their order, to be shown; None: there are none.
        notes: amount of text, unknown words and empty texts of both parts.
    """

    train: BucketLoader
    valid: BucketLoader | None
    valid_rows: pl.DataFrame | None = field(compare=False)

    @classmethod
    def from_table(
        cls,
        table: Table,
        text: Columns = "text",
        label: str = "label",
        *,
        target: str | Sequence[str] | None = None,
        split: Splitter | None = None,
        valid: Table | None = None,
        engine: Engine | None = None,
        **options: Unpack[TextDataOptions],
    ) -> TextData:
        """Split a table's rows, learn vocabulary and labels from the training rows, and encode both parts.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet; it is not changed.
            text: the column of texts; or several, joined with field marks (``<title> ... <abstract> ...``); or columns
                with their marks, such as ``{"abstract": "summ"}``. A missing value is an empty text.
            label: the column of labels, also of whole numbers: a class per row, or a list of classes.
            target: the column to predict instead of ``label``, taken as tables take theirs: text, booleans, lists and
                whole numbers with two values are classes, other numbers are numbers; or several columns of numbers.
            split: from `headstart.frames.splits`; None: a random tenth of the rows validates.
            valid: a table of validation rows, instead of a split.
            engine: device and processes.
            options: the fields of `TextSettings`.

        Raises:
            DataError: a column is missing or unfit, no rows are left, or there are fewer than two classes.
            ConfigError: options that do not go together.
            ArtifactError: the language model's folder cannot be read.
        """
        settings = TextSettings.of(options, cls.__name__)
        columns, marks = columns_and_marks(text)
        targets, kind = label_or_target(label, target)
        for column in targets:
            if column in columns:
                raise ConfigError(f"column {column!r} cannot be both text and label")
        needed = [*columns, *targets]
        usual = by_random(VALID_FRACTION, seed=settings.seed)
        readings: dict[str, Reading] = {name: ReadAsText(missing=False) for name in columns}
        if settings.separator is not None:
            readings[targets[0]] = ReadAsText()
        readings = readings if settings.codec is None else settings.codec.readings
        csv = settings.csv or (None if settings.codec is None else settings.codec.csv)
        rows = rows_of(
            table, valid=valid, split=split, usual=usual, where=settings.where, needed=needed, readings=readings,
            csv=csv, prepare=lambda part, name: split_labels(part, targets[0], settings.separator, name),
        )  # fmt: skip
        engine = engine or Engine()
        settings = reading_of_start(settings, with_vocabulary=True)

        def fit(train: pl.DataFrame) -> tuple[TextCodec, Encoded[EncodedTexts]]:
            target = settings.fit_target(train, targets, usual=kind)
            encoded = target.encode(train)
            held_out: Tensor | None = None
            notes: list[str] = []
            vectors = usual_vectors(settings.word_vectors, notes) if settings.linear else None

            def with_linear(codec: TextCodec, texts: Tokenized) -> TextCodec:
                nonlocal held_out
                weight = row_weights(train, encoded, None, settings.class_weight, target)
                path, held_out = fit_linear(texts, target, encoded, weight, vectors)
                return replace(codec, linear=path)

            learnt, corpus = fit_codec(
                [texts_of(train, columns, marks)], settings, columns=columns, marks=marks, target=target,
                engine=engine, complete=with_linear if settings.linear and engine.is_main else None,
            )  # fmt: skip
            if settings.linear:
                held_out = engine.tensor_from_main(held_out, (len(train), target.outputs), torch.float32)
            learnt = replace(learnt, separator=settings.separator)
            inputs = EncodedTexts(corpus, held_out)
            return learnt, Encoded(inputs=inputs, target=encoded, notes=(*learnt.notes(corpus), *notes))

        def encode(known: TextCodec, part: pl.DataFrame) -> Encoded[EncodedTexts]:
            return known.encode(part, with_target=True, workers=settings.workers)

        if settings.codec is not None:
            check_settled(settings, ("linear", "word_vectors"))
        known = None if settings.codec is None else _checked_codec(settings, settings.codec, columns, targets)
        assembled = assemble(rows, fit, encode, codec=known)
        codec, inputs, encoded = assembled.codec, assembled.train.inputs, assembled.train.target
        assert encoded is not None
        weights = row_weights(rows.train, encoded, None, settings.class_weight, codec.label)
        train = BucketLoader(
            inputs.corpus, encoded, weights, linear=inputs.linear, batch_size=settings.batch_size, shuffle=True,
            seed=settings.seed, engine=engine,
        )  # fmt: skip
        valid_loader = None if assembled.valid is None else _evaluation_loader(assembled.valid, engine)
        return cls(
            train=train, valid=valid_loader, target=codec.label, engine=engine, codec=codec,
            notes=assembled.notes_of_both,
            valid_rows=None if rows.valid is None else rows.valid.select(needed),
            rows=rows,
            language_model=None if settings.language_model is None else expanded(settings.language_model),
        )  # fmt: skip

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        split: Splitter | None = None,
        valid: str | None = None,
        label_folder: LabelFolder | None = None,
        exclude: Sequence[str] = ("unsup",),
        engine: Engine | None = None,
        **options: Unpack[TextDataOptions],
    ) -> TextData:
        """Read text files from a folder per label: ``pos/1.txt``; or ``train/pos/1.txt`` and ``test/pos/1.txt``.

        Args:
            folder: folder of ``.txt`` files, or a zip archive of one.
            split: of the files (columns ``path``, ``label``, ``part``, ``text``); None: see ``valid``.
            valid: first folder inside it whose texts validate; None: ``valid``, ``validation``, ``val``, ``dev`` or
                ``test`` beside ``train`` if there is one, else a random tenth of the files.
            label_folder: which folder's name is the label: ``"first"``, below those of a split; or ``"last"``, which
                holds the text. None: the first; where each holds folders of the same names, you are asked.
            exclude: names of folders to leave out, such as IMDB's ``unsup``, whose texts have no label.
            engine: device and processes.
            options: the fields of `TextSettings`; ``where`` sees the columns of ``split``.
        """
        settings = TextSettings.of(options, cls.__name__)
        if settings.separator is not None or any(getattr(settings, name) for name in OF_THE_TARGET):
            raise ConfigError("a folder's labels are the folders in it, one class per text: for others give a table")
        check_one_source(split, valid)
        files, found = find_texts(folder, labelled=True, valid=valid, label_folder=label_folder, exclude=exclude)
        rows = split_files(read_texts(files), split, by_random(VALID_FRACTION, seed=settings.seed), settings.where)
        options = {**options, "where": None}
        everything = train_on_all if rows.valid is None else None
        data = cls.from_table(rows.train, "text", "label", split=everything, valid=rows.valid, engine=engine, **options)
        return replace(data, notes=(*found, *data.notes))

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        labels: Sequence[Any],
        *,
        split: Splitter | None = None,
        engine: Engine | None = None,
        **options: Unpack[TextDataOptions],
    ) -> TextData:
        """Split two lists, of texts and of their labels: otherwise as `from_table`.

        With ``target_kind="number"`` the labels are numbers.
        """
        if len(texts) != len(labels):
            raise DataError(f"there must be a label for each text; got {len(texts)} texts and {len(labels)} labels")
        frame = frame_of(texts, "texts").with_columns(pl.Series("label", list(labels)))
        check_labels(frame["label"], options.get("target_kind"))
        return cls.from_table(frame, "text", "label", split=split, engine=engine, **options)

    def looked(self) -> Looked:
        """Return what `check` looks at."""
        from headstart.checks.check import Looked
        from headstart.text.checking import text_features

        if self.rows is None:
            return super().looked()
        codec = self.codec
        roles = dict.fromkeys(codec.columns, ("text", ""))
        roles |= dict.fromkeys(codec.label.columns, ("target", codec.label.kind))
        amounts = ("training: ", "validation: ")  # of tokens, and of words that are unknown
        notes = tuple(note for note in self.notes if not note.startswith(amounts))
        shown = tuple(name for name in ("path", *codec.columns) if name in self.rows.train.columns)
        return Looked(
            name="texts", rows=self.rows, target=codec.label, roles=roles, texts=codec.columns, shown=shown,
            notes=notes, features=lambda frame: text_features(codec.texts(frame)),
        )  # fmt: skip


def text_loader(
    codec: TextCodec, rows: pl.DataFrame, engine: Engine, *, with_target: bool, workers: int | None = None
) -> BucketLoader:
    """Return all rows of a frame as batches, to predict or to evaluate on."""
    return _evaluation_loader(codec.encode(rows, with_target=with_target, workers=workers), engine)


def _evaluation_loader(part: Encoded[EncodedTexts], engine: Engine) -> BucketLoader:
    return BucketLoader(
        part.inputs.corpus, part.target, linear=part.inputs.linear, batch_size=EVALUATION_BATCH, shuffle=False,
        engine=engine,
    )  # fmt: skip


def _checked_codec(
    settings: TextSettings, codec: TextCodec, columns: tuple[str, ...], targets: tuple[str, ...]
) -> TextCodec:
    """Return the codec of an earlier model, if it reads the same columns and predicts the same."""
    check_settled(settings, OF_THE_TARGET)
    predicted = () if codec.target is None else codec.target.columns
    if codec.columns != columns or predicted != targets:
        raise ConfigError(
            f"the codec reads {', '.join(map(repr, codec.columns))} and predicts"
            f" {', '.join(map(repr, predicted)) or None}; got"
            f" {', '.join(map(repr, columns))} and {', '.join(map(repr, targets))}"
        )
    return codec
