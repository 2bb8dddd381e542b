"""`LanguageModelData`: from tables, folders, lists and streams of texts to windows along streams of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Unpack

import polars as pl

from headstart.core.engine import Engine
from headstart.core.paths import expanded
from headstart.core.values import Range
from headstart.frames.assemble import Parts, assemble, rows_of
from headstart.frames.codec import Encoded
from headstart.frames.door import Table
from headstart.frames.readings import ReadAsText, Reading
from headstart.frames.splits import Splitter, by_random, check_one_source
from headstart.text.codec import Columns, TextCodec, columns_and_marks, texts_of
from headstart.text.corpus import Corpus, Texts
from headstart.text.corpus_data import (
    EVALUATION_BATCH,
    CorpusData,
    CorpusOptions,
    CorpusSettings,
    fit_codec,
    frame_of,
    reading_of_start,
)
from headstart.text.folders import Files, find_texts, split_files
from headstart.text.loaders import StreamLoader

__all__ = ["LanguageModelData", "LanguageModelDataOptions", "LanguageModelSettings", "language_model_loader"]


@dataclass(frozen=True, kw_only=True)
class LanguageModelSettings(CorpusSettings):
    """How texts become streams of tokens.

    Attributes:
        batch_size: streams read side by side, over all processes.
        bptt: tokens per window, on average: gradients reach this far back.
        language_model: folder of a saved language model to start from. Its tokenizer and direction are used; the
            vocabulary is that of the new texts, in which words known to it keep their vectors.
    """

    batch_size: Annotated[int, Range(low=1)] = 64
    bptt: Annotated[int, Range(low=2)] = 72


class LanguageModelDataOptions(CorpusOptions, total=False):
    """The fields of `LanguageModelSettings` as keyword arguments."""

    bptt: int


@dataclass(frozen=True, kw_only=True, repr=False)
class LanguageModelData(CorpusData):
    """Training and validation texts as streams of tokens.

    Attributes:
        codec: how texts became ids.
        language_model: folder of the language model that a learner on these data starts from; None: fresh weights.
        notes: amount of text, unknown words and empty texts of both parts.
    """

    train: StreamLoader
    valid: StreamLoader | None

    def __repr__(self) -> str:
        valid = "no" if self.valid is None else f"{self.valid.rows:,}"
        words = len(self.codec.vocabulary)
        return f"LanguageModelData({self.train.rows:,} training and {valid} validation tokens, vocabulary {words:,})"

    @classmethod
    def from_table(
        cls,
        table: Table,
        text: Columns = "text",
        *,
        split: Splitter | None = None,
        valid: Table | None = None,
        engine: Engine | None = None,
        **options: Unpack[LanguageModelDataOptions],
    ) -> LanguageModelData:
        """Split a table's rows, learn the vocabulary from the training rows, and encode both parts.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet; it is not changed.
            text: the column of texts; or several, joined with field marks (``<title> ... <abstract> ...``); or columns
                with their marks, such as ``{"abstract": "summ"}``. A missing value is an empty text.
            split: from `headstart.frames.splits`; None: a random tenth of the rows validates.
            valid: a table of validation rows, instead of a split.
            engine: device and processes.
            options: the fields of `LanguageModelSettings`.

        Raises:
            DataError: a column is missing or unfit, or there is too little text.
            ConfigError: options that do not go together.
        """
        settings = LanguageModelSettings.of(options, cls.__name__)
        columns, marks = columns_and_marks(text)
        usual = by_random(0.1, seed=settings.seed)
        readings: dict[str, Reading] = {name: ReadAsText(missing=False) for name in columns}
        rows = rows_of(
            table, valid=valid, split=split, usual=usual, where=settings.where, needed=columns, readings=readings,
            csv=settings.csv or (None if settings.codec is None else settings.codec.csv),
        )  # fmt: skip
        texts = rows.map(lambda part: [texts_of(part, columns, marks)])
        return cls._of(texts, settings, columns=columns, marks=marks, engine=engine)

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        split: Splitter | None = None,
        valid: str | None = None,
        exclude: Sequence[str] = (),
        engine: Engine | None = None,
        **options: Unpack[LanguageModelDataOptions],
    ) -> LanguageModelData:
        """Read the ``.txt`` files under a folder, piece by piece, so that they need not fit into memory.

        Args:
            folder: folder of ``.txt`` files, in any layout, or a zip archive of one.
            split: of the files (columns ``path``, ``label``, ``part``); None: see ``valid``.
            valid: first folder inside it whose texts validate; None: ``valid``, ``validation``, ``val``, ``dev`` or
                ``test`` beside ``train`` if there is one, else a random tenth of the files.
            exclude: names of folders to leave out.
            engine: device and processes.
            options: the fields of `LanguageModelSettings`; ``where`` sees the columns of ``split``.
        """
        settings = LanguageModelSettings.of(options, cls.__name__)
        check_one_source(split, valid)
        files, found = find_texts(folder, valid=valid, exclude=exclude)
        rows = split_files(files, split, by_random(0.1, seed=settings.seed), settings.where)
        texts = rows.map(lambda part: Files(part["path"].to_list()))
        characters = sum(Path(path).stat().st_size for path in texts.train.paths)
        data = cls._of(texts, settings, characters=characters, engine=engine)
        return replace(data, notes=(*found, *data.notes))

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        *,
        split: Splitter | None = None,
        valid: Sequence[str] | None = None,
        engine: Engine | None = None,
        **options: Unpack[LanguageModelDataOptions],
    ) -> LanguageModelData:
        """Split a list of texts: otherwise as `from_table`, with the column ``text``."""
        valid_frame = None if valid is None else frame_of(valid, "valid")
        return cls.from_table(
            frame_of(texts, "texts"), "text", split=split, valid=valid_frame, engine=engine, **options
        )

    @classmethod
    def from_pieces(
        cls,
        train: Texts,
        valid: Texts | None,
        *,
        columns: Sequence[str] = ("text",),
        marks: Sequence[str] = (),
        characters: int | None = None,
        engine: Engine | None = None,
        **options: Unpack[LanguageModelDataOptions],
    ) -> LanguageModelData:
        """Read pieces of texts from anywhere; a corpus may be larger than memory.

        Args:
            train: lists of training texts, from a list of lists or a generator; read once, with subwords twice.
            valid: lists of validation texts; None: there are none.
            columns: names of the texts' columns, for the codec.
            marks: the field marks in the texts.
            characters: number of characters of all training texts; None: unknown.
            engine: device and processes.
            options: the fields of `LanguageModelSettings`; ``where`` has no effect.
        """
        settings = LanguageModelSettings.of(options, cls.__name__)
        texts = Parts(train, valid)
        return cls._of(texts, settings, columns=columns, marks=marks, characters=characters, engine=engine)

    @classmethod
    def _of(
        cls,
        texts: Parts[Texts],
        settings: LanguageModelSettings,
        *,
        columns: Sequence[str] = ("text",),
        marks: Sequence[str] = (),
        characters: int | None = None,
        engine: Engine | None,
    ) -> LanguageModelData:
        engine = engine or Engine()
        settings = reading_of_start(settings, with_vocabulary=False)

        def fit(train: Texts) -> tuple[TextCodec, Encoded[Corpus]]:
            learnt, corpus = fit_codec(
                train, settings, columns=columns, marks=marks, characters=characters, engine=engine
            )
            return learnt, Encoded(inputs=corpus, notes=learnt.notes(corpus))

        def encode(known: TextCodec, part: Texts) -> Encoded[Corpus]:
            known_characters = characters if part is texts.train else None
            corpus = known.encode_texts(part, workers=settings.workers, characters=known_characters)
            return Encoded(inputs=corpus, notes=known.notes(corpus))

        def loader(part: Encoded[Corpus], *, shuffle: bool) -> StreamLoader:
            return StreamLoader(
                part.inputs, batch_size=settings.batch_size, bptt=settings.bptt, shuffle=shuffle, seed=settings.seed,
                engine=engine,
            )  # fmt: skip

        known = None if settings.codec is None else replace(settings.codec, target=None)
        assembled = assemble(texts, fit, encode, codec=known)
        return cls(
            train=loader(assembled.train, shuffle=True), engine=engine, codec=assembled.codec,
            notes=assembled.notes_of_both,
            valid=None if assembled.valid is None else loader(assembled.valid, shuffle=False),
            language_model=None if settings.language_model is None else expanded(settings.language_model),
        )  # fmt: skip


def language_model_loader(codec: TextCodec, rows: pl.DataFrame, engine: Engine) -> StreamLoader:
    """Return all rows of a frame as streams, to evaluate a language model on."""
    corpus = codec.encode_texts([codec.texts(rows)])
    return StreamLoader(corpus, batch_size=EVALUATION_BATCH, bptt=72, shuffle=False, engine=engine)
