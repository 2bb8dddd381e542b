"""`LanguageModelData` and `TextData`: from tables, folders and lists of texts to training and validation batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import polars as pl

from headstart.core.data import Data
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError, did_you_mean
from headstart.core.splits import Split, Splitter, by_random, split_rows
from headstart.core.tables import Table, check_columns, read_table, usable_rows
from headstart.core.target import Label, Labels
from headstart.core.weights import ClassWeight, row_weights
from headstart.text.codec import Columns, TextCodec, columns_and_marks, texts_of
from headstart.text.corpus import Corpus, Texts, count_tokens, encode_texts
from headstart.text.folders import file_pieces, find_texts, read_texts, split_by_part
from headstart.text.loaders import BucketLoader, StreamLoader
from headstart.text.pretrained import read_codec
from headstart.text.subwords import SubwordTokenizer
from headstart.text.tokens import SPECIALS, Tokenizer, WordTokenizer
from headstart.text.vocabulary import Vocabulary, checked_limits

__all__ = ["LanguageModelData", "TextData", "Tokens", "language_model_loader", "text_loader"]

Tokens: TypeAlias = Literal["words", "subwords"]
"""What texts are cut into."""

CHARACTERS_FOR_SUBWORDS = 50_000_000
"""From which subwords are learnt, at most: more makes no better ones."""

NO_WORDS = Vocabulary(SPECIALS)

EVALUATION_BATCH = 64
"""Texts, or streams, at a time when nothing is learnt."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelData(Data):
    """Training and validation texts as streams of tokens.

    Attributes:
        codec: how texts became ids.
        unknown: share of the validation texts' words that the vocabulary does not know (without them: the training
            texts').
        notes: what a user should know.
    """

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
        tokens: Tokens = "words",
        min_freq: int = 3,
        max_vocab: int = 60_000,
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
            split: from `headstart.core.splits`; None: a random tenth of the rows validates.
            valid: a table of validation rows, instead of a split.
            where: a SQL condition on the rows of both sides.
            tokens: ``"words"``; or ``"subwords"``, with which nothing is unknown (extra ``text``).
            min_freq: words that are rarer in the training texts are unknown.
            max_vocab: the most frequent words that are known, at most; of subwords how many are learnt.
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
        train_rows, valid_rows = _sides(table, valid, split, where, columns, default=by_random(0.1, seed=seed))
        return cls.from_pieces(
            [texts_of(train_rows, columns, marks)], [texts_of(valid_rows, columns, marks)], columns=columns,
            marks=marks, tokens=tokens, min_freq=min_freq, max_vocab=max_vocab, backward=backward,
            batch_size=batch_size, bptt=bptt, seed=seed, codec=codec, workers=workers, engine=engine,
        )  # fmt: skip

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        valid: str | None = None,
        split: Splitter | None = None,
        exclude: Sequence[str] = (),
        tokens: Tokens = "words",
        min_freq: int = 3,
        max_vocab: int = 60_000,
        backward: bool = False,
        batch_size: int = 64,
        bptt: int = 72,
        seed: int = 0,
        codec: TextCodec | None = None,
        workers: int | None = None,
        engine: Engine | None = None,
    ) -> LanguageModelData:
        """The text files under a folder, in whatever layout; they are read piece by piece and need not fit in memory.

        Args:
            folder: of ``.txt`` files.
            valid: the first folder inside it whose texts validate; None: ``valid`` or ``test`` where there is ``train``.
            split: of the files (columns ``path``, ``label``, ``part``) instead; else a random tenth.
            exclude: names of folders to leave out.
            tokens: as for `from_table`, like all that follows.
            min_freq: see there.
            max_vocab: see there.
            backward: see there.
            batch_size: see there.
            bptt: see there.
            seed: see there.
            codec: see there.
            workers: see there.
            engine: see there.
        """
        files = find_texts(folder, exclude=exclude)
        rows = _split_files(files, valid, split, by_random(0.1, seed=seed))
        sides = [files[rows.train]["path"].to_list(), files[rows.valid]["path"].to_list()]
        return cls.from_pieces(
            _Files(sides[0]), _Files(sides[1]), tokens=tokens, min_freq=min_freq, max_vocab=max_vocab,
            backward=backward, batch_size=batch_size, bptt=bptt, seed=seed, codec=codec, workers=workers, engine=engine,
            characters=sum(Path(path).stat().st_size for path in sides[0]),
        )  # fmt: skip

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        *,
        valid: Sequence[str] | None = None,
        split: Splitter | None = None,
        tokens: Tokens = "words",
        min_freq: int = 3,
        max_vocab: int = 60_000,
        backward: bool = False,
        batch_size: int = 64,
        bptt: int = 72,
        seed: int = 0,
        codec: TextCodec | None = None,
        workers: int | None = None,
        engine: Engine | None = None,
    ) -> LanguageModelData:
        """A list of texts; arguments as for `from_table`."""
        return cls.from_table(
            _as_frame(texts, "texts"), "text", split=split, valid=None if valid is None else _as_frame(valid, "valid"),
            tokens=tokens, min_freq=min_freq, max_vocab=max_vocab, backward=backward, batch_size=batch_size, bptt=bptt,
            seed=seed, codec=codec, workers=workers, engine=engine,
        )  # fmt: skip

    @classmethod
    def from_pieces(
        cls,
        train: Texts,
        valid: Texts | None,
        *,
        columns: Sequence[str] = ("text",),
        marks: Sequence[str] = (),
        tokens: Tokens = "words",
        min_freq: int = 3,
        max_vocab: int = 60_000,
        backward: bool = False,
        batch_size: int = 64,
        bptt: int = 72,
        seed: int = 0,
        codec: TextCodec | None = None,
        workers: int | None = None,
        characters: int | None = None,
        engine: Engine | None = None,
    ) -> LanguageModelData:
        """Pieces of texts from anywhere: what the other constructors come down to. A corpus may be larger than memory.

        Args:
            train: lists of training texts, from a list of lists or a generator; read once, with subwords twice.
            valid: the same of validation texts, or None.
            columns: what the codec calls the texts.
            marks: the field marks in them.
            tokens: as for `from_table`, like all that follows.
            min_freq: see there.
            max_vocab: see there.
            backward: see there.
            batch_size: see there.
            bptt: see there.
            seed: see there.
            codec: see there.
            workers: see there.
            characters: of all training texts, where that is known.
            engine: see there.
        """
        engine = engine or Engine()
        if codec is None:
            tokenizer = _tokenizer(tokens, train, max_vocab, marks)
            empty = TextCodec(tuple(columns), tuple(marks), tokenizer, NO_WORDS)
            codec, corpus = _learnt(
                replace(empty, backward=backward), train, min_freq, max_vocab, workers, characters, engine
            )
        else:
            codec = replace(codec, target=None)
            corpus = _encoded(codec, train, workers, characters)
        judged = None if valid is None else _encoded(codec, valid, workers, None)
        loaders = [
            StreamLoader(part, batch_size=batch_size, bptt=bptt, shuffle=part is corpus, seed=seed, engine=engine)
            for part in (corpus, judged)
            if part is not None
        ]
        unknown = (judged or corpus).unknown()
        return cls(
            train=loaders[0], valid=loaders[1] if judged is not None else None, engine=engine, codec=codec,
            unknown=unknown, notes=_notes(codec, corpus, judged, unknown),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TextData(Data):
    """Training and validation texts with their labels.

    Attributes:
        codec: how texts became ids, and labels targets.
        unknown: share of the validation texts' words that the vocabulary does not know.
        valid_rows: the validation texts and labels, in their order, to be shown.
        language_model: the folder of the language model whose vocabulary this is; a `TextLearner` starts from it.
        notes: what a user should know.
    """

    codec: TextCodec
    unknown: float
    valid_rows: pl.DataFrame
    language_model: Path | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_table(
        cls,
        table: Table,
        text: Columns,
        label: str,
        *,
        split: Splitter | None = None,
        valid: Table | None = None,
        where: str | None = None,
        language_model: str | Path | None = None,
        tokens: Tokens | Tokenizer = "words",
        min_freq: int = 3,
        max_vocab: int = 60_000,
        backward: bool = False,
        class_weight: ClassWeight | None = None,
        batch_size: int = 32,
        seed: int = 0,
        codec: TextCodec | None = None,
        workers: int | None = None,
        engine: Engine | None = None,
    ) -> TextData:
        """Splits a table's rows, learns vocabulary and labels from the training rows, and encodes both sides.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet; it is not changed.
            text: the column of texts, or several: see `LanguageModelData.from_table`.
            label: the column of labels: a class per row, or a list of classes.
            split: from `headstart.core.splits`; None: a random fifth of the rows validates.
            valid: a table of validation rows, instead of a split.
            where: a SQL condition on the rows of both sides.
            language_model: a saved language model's folder: its tokens, vocabulary and direction are taken over, and
                a `TextLearner` on these data starts from its encoder.
            tokens: ``"words"``, ``"subwords"``, or the tokenizer of a transformer
                (`headstart.text.transformer.read_tokenizer`).
            min_freq: words that are rarer in the training texts are unknown.
            max_vocab: the most frequent words that are known, at most.
            backward: read each text from its end.
            class_weight: in the training loss; ``"balanced"``: each class counts the same; or a weight per class.
            batch_size: training texts per step, over all processes.
            seed: of the order of the training texts, and of the default split.
            codec: an earlier one, to go on training its model.
            workers: processes that cut texts into tokens; None: as many as it is worth.
            engine: device and processes.

        Raises:
            DataError: a column is missing or unfit, no rows are left, fewer than two classes.
            ConfigError: options that do not go together.
            ArtifactError: the language model's folder cannot be read.
        """
        columns, marks = columns_and_marks(text)
        if label in columns:
            raise ConfigError(f"column {label!r} cannot be both text and label")
        needed = [*columns, label]
        train_rows, valid_rows = _sides(table, valid, split, where, needed, default=by_random(seed=seed))
        engine = engine or Engine()
        train_texts = [texts_of(train_rows, columns, marks)]
        if codec is not None or language_model is not None:
            if codec is not None and language_model is not None:
                raise ConfigError("codec and language_model both say how texts become ids: give one")
            if codec is None:
                assert language_model is not None
                learnt = read_codec(language_model)
                codec = replace(learnt, columns=columns, marks=marks, target=_fit_label(train_rows, label))
            if codec.columns != columns or codec.target is None or codec.target.column != label:
                raise ConfigError(
                    f"the codec reads {', '.join(map(repr, codec.columns))} and predicts"
                    f" {None if codec.target is None else codec.target.column!r}; got {text!r} and {label!r}"
                )
            corpus = _encoded(codec, train_texts, workers, None)
        else:
            target = _fit_label(train_rows, label)
            tokenizer = _tokenizer(tokens, train_texts, max_vocab, marks)
            empty = TextCodec(columns, marks, tokenizer, NO_WORDS, backward, target)
            codec, corpus = _learnt(empty, train_texts, min_freq, max_vocab, workers, None, engine)
        assert codec.target is not None
        encoded = codec.target.encode(train_rows)
        train = BucketLoader(
            corpus, encoded, row_weights(train_rows, encoded, None, class_weight, codec.target),
            batch_size=batch_size, shuffle=True, seed=seed, engine=engine,
        )  # fmt: skip
        judged = text_loader(codec, valid_rows, engine, with_target=True, workers=workers)
        unknown = judged.corpus.unknown()
        return cls(
            train=train, valid=judged, target=codec.target, engine=engine, codec=codec, unknown=unknown,
            valid_rows=valid_rows.select(needed), notes=_notes(codec, corpus, judged.corpus, unknown),
            language_model=None if language_model is None else Path(language_model),
        )  # fmt: skip

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        valid: str | None = None,
        split: Splitter | None = None,
        exclude: Sequence[str] = ("unsup",),
        language_model: str | Path | None = None,
        tokens: Tokens = "words",
        min_freq: int = 3,
        max_vocab: int = 60_000,
        backward: bool = False,
        class_weight: ClassWeight | None = None,
        batch_size: int = 32,
        seed: int = 0,
        workers: int | None = None,
        engine: Engine | None = None,
    ) -> TextData:
        """Text files in a folder per label: ``pos/1.txt``, or ``train/pos/1.txt`` and ``test/pos/1.txt`` as in IMDB.

        Args:
            folder: of ``.txt`` files.
            valid: the first folder inside it whose texts validate; None: ``valid`` or ``test`` where there is ``train``.
            split: of the files (columns ``path``, ``label``, ``part``, ``text``) instead; else a random fifth.
            exclude: names of folders to leave out: texts without label.
            language_model: as for `from_table`, like all that follows.
            tokens: see there.
            min_freq: see there.
            max_vocab: see there.
            backward: see there.
            class_weight: see there.
            batch_size: see there.
            seed: see there.
            workers: see there.
            engine: see there.
        """
        files = read_texts(find_texts(folder, labelled=True, exclude=exclude))
        rows = _split_files(files, valid, split, by_random(seed=seed))
        return cls.from_table(
            files[rows.train], "text", "label", valid=files[rows.valid], language_model=language_model, tokens=tokens,
            min_freq=min_freq, max_vocab=max_vocab, backward=backward, class_weight=class_weight,
            batch_size=batch_size, seed=seed, workers=workers, engine=engine,
        )  # fmt: skip

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        labels: Sequence[str] | Sequence[Sequence[str]],
        *,
        split: Splitter | None = None,
        language_model: str | Path | None = None,
        tokens: Tokens = "words",
        min_freq: int = 3,
        max_vocab: int = 60_000,
        backward: bool = False,
        class_weight: ClassWeight | None = None,
        batch_size: int = 32,
        seed: int = 0,
        workers: int | None = None,
        engine: Engine | None = None,
    ) -> TextData:
        """Two lists, of texts and of their labels; arguments as for `from_table`."""
        if len(texts) != len(labels):
            raise DataError(f"there must be a label for each text; got {len(texts)} texts and {len(labels)} labels")
        frame = _as_frame(texts, "texts").with_columns(pl.Series("label", list(labels)))
        return cls.from_table(
            frame, "text", "label", split=split, language_model=language_model, tokens=tokens, min_freq=min_freq,
            max_vocab=max_vocab, backward=backward, class_weight=class_weight, batch_size=batch_size, seed=seed,
            workers=workers, engine=engine,
        )  # fmt: skip


def text_loader(
    codec: TextCodec, frame: pl.DataFrame, engine: Engine, *, with_target: bool, workers: int | None = 1
) -> BucketLoader:
    """All rows of a frame, to be predicted or judged."""
    if with_target and codec.target is not None:
        check_columns(frame, codec.target.columns, "the table (label)")
    target = codec.target.encode(frame) if with_target and codec.target is not None else None
    corpus = _encoded(codec, [codec.texts(frame)], workers, None)
    return BucketLoader(corpus, target, batch_size=EVALUATION_BATCH, shuffle=False, engine=engine)


def language_model_loader(codec: TextCodec, frame: pl.DataFrame, engine: Engine) -> StreamLoader:
    """All rows of a frame as streams, to be judged by a language model."""
    corpus = _encoded(codec, [codec.texts(frame)], None, None)
    return StreamLoader(corpus, batch_size=EVALUATION_BATCH, bptt=72, shuffle=False, engine=engine)


@dataclass(frozen=True)
class _Files:
    """Texts in files, read anew each time."""

    paths: list[str]

    def __iter__(self) -> Iterator[list[str]]:
        return file_pieces(self.paths)


def _learnt(
    codec: TextCodec, texts: Texts, min_freq: int, max_vocab: int, workers: int | None, characters: int | None,
    engine: Engine,
) -> tuple[TextCodec, Corpus]:  # fmt: skip
    """The codec with its vocabulary, and the training corpus: one pass over the texts."""
    checked_limits(min_freq, max_vocab)
    known = characters if characters is not None else _characters(texts)
    counted = count_tokens(texts, codec.tokenizer, workers=workers, characters=known)
    fixed = getattr(codec.tokenizer, "words", None)
    if fixed is None:
        vocabulary = Vocabulary.of_counts(
            counted.types, counted.counts, min_freq=min_freq, max_vocab=max_vocab, marks=codec.marks
        )
    else:  # subwords bring theirs
        vocabulary = Vocabulary(tuple(fixed))
    vocabulary = Vocabulary(tuple(engine.from_main(list(vocabulary.words)))) if engine.world_size > 1 else vocabulary
    codec = replace(codec, vocabulary=vocabulary)
    corpus = counted.corpus(vocabulary)
    return codec, corpus.reverse() if codec.backward else corpus


def _encoded(codec: TextCodec, texts: Texts, workers: int | None, characters: int | None) -> Corpus:
    known = characters if characters is not None else _characters(texts)
    corpus = encode_texts(texts, codec.tokenizer, codec.vocabulary, workers=workers, characters=known)
    return corpus.reverse() if codec.backward else corpus


def _characters(texts: Texts) -> int | None:
    """Of all texts, where they lie in memory."""
    return sum(map(len, itertools.chain.from_iterable(texts))) if isinstance(texts, list) else None


def _tokenizer(tokens: Tokens | Tokenizer, texts: Texts, max_vocab: int, marks: Sequence[str]) -> Tokenizer:
    if tokens == "words":
        return WordTokenizer()
    if tokens == "subwords":
        if iter(texts) is texts:
            raise ConfigError("subwords are learnt in a pass of their own: give the texts as a list, not a generator")
        sample, characters = [], 0
        for text in itertools.chain.from_iterable(texts):
            sample.append(text)
            characters += len(text)
            if characters > CHARACTERS_FOR_SUBWORDS:
                break
        return SubwordTokenizer.fit(sample, size=max_vocab, marks=marks)
    if isinstance(tokens, str) or not hasattr(tokens, "encode"):
        raise ConfigError(f"tokens must be 'words' or 'subwords'; {did_you_mean(tokens, ('words', 'subwords'))}")
    return tokens


def _sides(
    table: Table, valid: Table | None, split: Splitter | None, where: str | None, needed: Sequence[str], *,
    default: Splitter,
) -> tuple[pl.DataFrame, pl.DataFrame]:  # fmt: skip
    if valid is not None and split is not None:
        raise ConfigError("give validation rows by split= or by valid=, not by both")
    frame = usable_rows(read_table(table), where, "table", needed)
    if valid is not None:
        return frame, usable_rows(read_table(valid, "valid"), where, "valid", needed)
    rows = split_rows(frame, split or default)
    return frame[rows.train], frame[rows.valid]


def _split_files(files: pl.DataFrame, valid: str | None, split: Splitter | None, default: Splitter) -> Split:
    if valid is not None and split is not None:
        raise ConfigError("give validation texts by valid= or by split=, not by both")
    part = None if split is not None else split_by_part(files, valid)
    if part is None:
        return split_rows(files, split or default)

    def of_part(frame: pl.DataFrame) -> Split:
        chosen = frame["part"] == part
        return Split((~chosen).arg_true().cast(pl.Int64).to_numpy(), chosen.arg_true().cast(pl.Int64).to_numpy())

    return split_rows(files, of_part)


def _fit_label(frame: pl.DataFrame, label: str) -> Label | Labels:
    return Labels.fit(frame, label) if isinstance(frame.schema[label], pl.List) else Label.fit(frame, label)


def _as_frame(texts: Sequence[str], name: str) -> pl.DataFrame:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{name} must be a list of texts")
    return pl.DataFrame({"text": list(texts)}, schema={"text": pl.String})


def _notes(codec: TextCodec, train: Corpus, valid: Corpus | None, unknown: float) -> tuple[str, ...]:
    side = "validation" if valid is not None else "training"
    size = f"{len(train.tokens):,} tokens in {len(train):,} training texts"
    notes = [f"{size}; vocabulary {len(codec.vocabulary):,}, {unknown:.2%} of the {side} words unknown"]
    empty = int((train.lengths == 2).sum())
    if empty:
        notes.append(f"{empty:,} training texts are empty")
    return tuple(notes)
