"""`LanguageModelData`: from tables, folders, lists and streams of texts to windows along streams of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import polars as pl

from headstart.core.engine import Engine
from headstart.frames.door import Table
from headstart.frames.splits import Splitter, by_random
from headstart.text.codec import Columns, TextCodec, columns_and_marks, texts_of
from headstart.text.corpus import Texts
from headstart.text.encoding import (
    EVALUATION_BATCH,
    NO_WORDS,
    Files,
    TextOptions,
    Tokens,
    as_frame,
    check_options,
    encoded_texts,
    learnt,
    make_tokenizer,
    notes_on,
    sides,
    split_files,
)
from headstart.text.folders import find_texts
from headstart.text.loaders import StreamLoader
from headstart.text.tokens import Tokenizer
from headstart.text.vocabulary import Vocabulary
from headstart.training.loaders import Data

__all__ = ["LanguageModelData", "StreamOptions", "language_model_loader"]


class StreamOptions(TextOptions, total=False):
    """The same of texts for language models."""

    bptt: int
    codec: TextCodec | None


@dataclass(frozen=True, kw_only=True)
class LanguageModelData(Data):
    """Training and validation texts as streams of tokens.

    Attributes:
        codec: how texts became ids.
        unknown: share of the validation texts' words that the vocabulary does not know (without them: the training
            texts').
        notes: what a user should know.
    """

    train: StreamLoader
    valid: StreamLoader | None
    codec: TextCodec
    unknown: float
    notes: tuple[str, ...] = ()

    @classmethod
    def from_table(
        cls,
        table: Table,
        text: Columns,
        *,
        split: Splitter | None = None,
        valid: Table | None = None,
        where: str | None = None,
        tokenizer: Tokens | Tokenizer = "words",
        min_freq: int = 3,
        max_vocab: int = 60_000,
        vocabulary: Vocabulary | None = None,
        backward: bool = False,
        batch_size: int = 64,
        bptt: int = 72,
        seed: int = 0,
        codec: TextCodec | None = None,
        workers: int | None = None,
        engine: Engine | None = None,
    ) -> LanguageModelData:
        """Splits a table's rows, learns the vocabulary from the training rows, and encodes both sides.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet; it is not changed.
            text: the column of texts; or several, joined with field marks (``<title> ... <abstract> ...``); or a
                dictionary of columns and their marks. What is missing is empty.
            split: from `headstart.frames.splits`; None: a random tenth of the rows validates.
            valid: a table of validation rows, instead of a split.
            where: a SQL condition on the rows of both sides.
            tokenizer: ``"words"``; ``"subwords"``, with which nothing is unknown (extra ``text``); or one of your own.
            min_freq: words that are rarer in the training texts are unknown.
            max_vocab: the most frequent words that are known, at most; of subwords how many are learnt.
            vocabulary: the tokens that are known, instead of those of the training texts.
            backward: read each text from its end.
            batch_size: streams that are read side by side, over all processes.
            bptt: tokens per window, on average.
            seed: of the order of texts, the windows, and the default split.
            codec: an earlier one, to go on training its model.
            workers: processes that cut texts into tokens; None: as many as it is worth.
            engine: device and processes.

        Raises:
            DataError: a column is missing or unfit, or there is too little text.
            ConfigError: options that do not go together.
        """
        columns, marks = columns_and_marks(text)
        train_rows, valid_rows = sides(table, valid, split, where, columns, default=by_random(0.1, seed=seed))
        return cls.from_pieces(
            [texts_of(train_rows, columns, marks)], [texts_of(valid_rows, columns, marks)], columns=columns,
            marks=marks, tokenizer=tokenizer, min_freq=min_freq, max_vocab=max_vocab, vocabulary=vocabulary,
            backward=backward, batch_size=batch_size, bptt=bptt, seed=seed, codec=codec, workers=workers, engine=engine,
        )  # fmt: skip

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        valid: str | None = None,
        split: Splitter | None = None,
        exclude: Sequence[str] = (),
        **options: Unpack[StreamOptions],
    ) -> LanguageModelData:
        """The text files under a folder, in whatever layout; they are read piece by piece and need not fit in memory.

        Args:
            folder: of ``.txt`` files.
            valid: the first folder inside it whose texts validate; None: ``valid`` or ``test`` beside ``train``.
            split: of the files (columns ``path``, ``label``, ``part``) instead; else a random tenth.
            exclude: names of folders to leave out.
            options: the arguments of `from_table` of these names.
        """
        check_options(options, StreamOptions)
        files = find_texts(folder, exclude=exclude)
        rows = split_files(files, valid, split, by_random(0.1, seed=options.get("seed", 0)))
        train_paths, valid_paths = files[rows.train]["path"].to_list(), files[rows.valid]["path"].to_list()
        characters = sum(Path(path).stat().st_size for path in train_paths)
        return cls.from_pieces(Files(train_paths), Files(valid_paths), characters=characters, **options)

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        *,
        valid: Sequence[str] | None = None,
        split: Splitter | None = None,
        **options: Unpack[StreamOptions],
    ) -> LanguageModelData:
        """A list of texts; all else as for `from_table`."""
        check_options(options, StreamOptions)
        judged = None if valid is None else as_frame(valid, "valid")
        return cls.from_table(as_frame(texts, "texts"), "text", split=split, valid=judged, **options)

    @classmethod
    def from_pieces(
        cls,
        train: Texts,
        valid: Texts | None,
        *,
        columns: Sequence[str] = ("text",),
        marks: Sequence[str] = (),
        characters: int | None = None,
        **options: Unpack[StreamOptions],
    ) -> LanguageModelData:
        """Pieces of texts from anywhere: what the other constructors come down to. A corpus may be larger than memory.

        Args:
            train: lists of training texts, from a list of lists or a generator; read once, with subwords twice.
            valid: the same of validation texts, or None.
            columns: what the codec calls the texts.
            marks: the field marks in them.
            characters: of all training texts, where that is known.
            options: the arguments of `from_table` of these names.
        """
        check_options(options, StreamOptions)
        return cls._encoded(train, valid, tuple(columns), tuple(marks), characters, **options)

    @classmethod
    def _encoded(
        cls,
        train: Texts,
        valid: Texts | None,
        columns: tuple[str, ...],
        marks: tuple[str, ...],
        characters: int | None,
        *,
        tokenizer: Tokens | Tokenizer = "words",
        min_freq: int = 3,
        max_vocab: int = 60_000,
        vocabulary: Vocabulary | None = None,
        backward: bool = False,
        batch_size: int = 64,
        bptt: int = 72,
        seed: int = 0,
        codec: TextCodec | None = None,
        workers: int | None = None,
        engine: Engine | None = None,
    ) -> LanguageModelData:
        engine = engine or Engine()
        if codec is None:
            tokenizer = make_tokenizer(tokenizer, train, max_vocab, marks)
            empty = TextCodec(columns, marks, tokenizer, NO_WORDS, backward)
            codec, corpus = learnt(empty, train, min_freq, max_vocab, vocabulary, workers, characters, engine)
        else:
            codec = replace(codec, target=None)
            corpus = encoded_texts(codec, train, workers, characters)
        judged = None if valid is None else encoded_texts(codec, valid, workers, None)
        loaders = [
            StreamLoader(part, batch_size=batch_size, bptt=bptt, shuffle=part is corpus, seed=seed, engine=engine)
            for part in (corpus, judged)
            if part is not None
        ]
        unknown = (judged or corpus).unknown()
        return cls(
            train=loaders[0], valid=loaders[1] if judged is not None else None, engine=engine, codec=codec,
            unknown=unknown, notes=notes_on(codec, corpus, judged, unknown),
        )  # fmt: skip


def language_model_loader(codec: TextCodec, frame: pl.DataFrame, engine: Engine) -> StreamLoader:
    """All rows of a frame as streams, to be judged by a language model."""
    corpus = encoded_texts(codec, [codec.texts(frame)], None, None)
    return StreamLoader(corpus, batch_size=EVALUATION_BATCH, bptt=72, shuffle=False, engine=engine)
