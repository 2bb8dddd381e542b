"""What both kinds of text data have in common: rows, tokens, vocabulary and corpora of both sides."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypedDict

import polars as pl

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError, did_you_mean
from headstart.frames.door import Table, read_table, usable_rows
from headstart.frames.splits import Split, Splitter, split_rows
from headstart.text.codec import TextCodec
from headstart.text.corpus import Corpus, Texts, count_tokens, encode_texts
from headstart.text.folders import file_pieces, split_by_part
from headstart.text.subwords import SubwordTokenizer
from headstart.text.tokens import SPECIALS, Tokenizer, WordTokenizer
from headstart.text.vocabulary import Vocabulary, checked_limits

__all__ = [
    "EVALUATION_BATCH",
    "NO_WORDS",
    "Files",
    "TextOptions",
    "Tokens",
    "as_frame",
    "check_options",
    "encoded_texts",
    "learnt",
    "make_tokenizer",
    "notes_on",
    "sides",
    "split_files",
]

Tokens: TypeAlias = Literal["words", "subwords"]
"""What texts are cut into."""

CHARACTERS_FOR_SUBWORDS = 50_000_000
"""From which subwords are learnt, at most: more makes no better ones."""

NO_WORDS = Vocabulary(SPECIALS)

EVALUATION_BATCH = 64
"""Texts, or streams, at a time when nothing is learnt."""


class TextOptions(TypedDict, total=False):
    """What texts from any source can be given besides; ``from_table`` says what each means, and its default."""

    tokenizer: Tokens | Tokenizer
    min_freq: int
    max_vocab: int
    vocabulary: Vocabulary | None
    backward: bool
    batch_size: int
    seed: int
    workers: int | None
    engine: Engine | None


def check_options(options: Mapping[str, object], known: type) -> None:
    """That all options are among those of a ``TypedDict``.

    Raises:
        ConfigError: one is not; the message names the nearest.
    """
    names: frozenset[str] = known.__optional_keys__ | known.__required_keys__  # type: ignore[attr-defined]
    for name in options:
        if name not in names:
            raise ConfigError(f"there is no option {name!r} here; {did_you_mean(name, sorted(names))}")


@dataclass(frozen=True)
class Files:
    """Texts in files, read anew each time."""

    paths: list[str]

    def __iter__(self) -> Iterator[list[str]]:
        return file_pieces(self.paths)


def learnt(
    codec: TextCodec,
    texts: Texts,
    min_freq: int,
    max_vocab: int,
    vocabulary: Vocabulary | None,
    workers: int | None,
    characters: int | None,
    engine: Engine,
) -> tuple[TextCodec, Corpus]:
    """The codec with its vocabulary, and the training corpus: one pass over the texts."""
    checked_limits(min_freq, max_vocab)
    if vocabulary is not None:
        codec = replace(codec, vocabulary=vocabulary)
        return codec, encoded_texts(codec, texts, workers, characters)
    known = characters if characters is not None else _characters(texts)
    counted = count_tokens(texts, codec.tokenizer, workers=workers, characters=known)
    fixed: tuple[str, ...] | None = getattr(codec.tokenizer, "words", None)
    if fixed is None:
        vocabulary = Vocabulary.of_counts(
            counted.types, counted.counts, min_freq=min_freq, max_vocab=max_vocab, marks=codec.marks
        )
    else:  # subwords bring theirs
        vocabulary = Vocabulary(fixed)
    if engine.world_size > 1:
        vocabulary = Vocabulary(tuple(engine.from_main(list(vocabulary.words))))
    codec = replace(codec, vocabulary=vocabulary)
    corpus = counted.corpus(vocabulary)
    return codec, corpus.reverse() if codec.backward else corpus


def encoded_texts(codec: TextCodec, texts: Texts, workers: int | None, characters: int | None) -> Corpus:
    """Texts in the ids of a codec that is complete."""
    known = characters if characters is not None else _characters(texts)
    corpus = encode_texts(texts, codec.tokenizer, codec.vocabulary, workers=workers, characters=known)
    return corpus.reverse() if codec.backward else corpus


def _characters(texts: Texts) -> int | None:
    """Of all texts, where they lie in memory."""
    return sum(map(len, itertools.chain.from_iterable(texts))) if isinstance(texts, list) else None


def make_tokenizer(tokens: Tokens | Tokenizer, texts: Texts, max_vocab: int, marks: Sequence[str]) -> Tokenizer:
    """The tokenizer that is asked for; subwords are learnt here."""
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
        raise ConfigError(
            f"tokenizer must be 'words', 'subwords' or a tokenizer; {did_you_mean(tokens, ('words', 'subwords'))}"
        )
    return tokens


def sides(
    table: Table, valid: Table | None, split: Splitter | None, where: str | None, needed: Sequence[str], *,
    default: Splitter,
) -> tuple[pl.DataFrame, pl.DataFrame]:  # fmt: skip
    """Training and validation rows, as polars frames."""
    if valid is not None and split is not None:
        raise ConfigError("give validation rows by split= or by valid=, not by both")
    frame = usable_rows(read_table(table), where, "table", needed)
    if valid is not None:
        return frame, usable_rows(read_table(valid, "valid"), where, "valid", needed)
    rows = split_rows(frame, split or default)
    return frame[rows.train], frame[rows.valid]


def split_files(files: pl.DataFrame, valid: str | None, split: Splitter | None, default: Splitter) -> Split:
    """Which files train and which validate: by folder, by a splitter, or at random."""
    if valid is not None and split is not None:
        raise ConfigError("give validation texts by valid= or by split=, not by both")
    part = None if split is not None else split_by_part(files, valid)
    if part is None:
        return split_rows(files, split or default)

    def of_part(frame: pl.DataFrame) -> Split:
        chosen = frame["part"] == part
        return Split((~chosen).arg_true().cast(pl.Int64).to_numpy(), chosen.arg_true().cast(pl.Int64).to_numpy())

    return split_rows(files, of_part)


def as_frame(texts: Sequence[str], name: str) -> pl.DataFrame:
    """A list of texts as a table."""
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{name} must be a list of texts")
    return pl.DataFrame({"text": list(texts)}, schema={"text": pl.String})


def notes_on(codec: TextCodec, train: Corpus, valid: Corpus | None, unknown: float) -> tuple[str, ...]:
    """How much text there is, and what may be wrong with it."""
    side = "validation" if valid is not None else "training"
    size = f"{len(train.tokens):,} tokens in {len(train):,} training texts"
    notes = [f"{size}; vocabulary {len(codec.vocabulary):,}, {unknown:.2%} of the {side} words unknown"]
    empty = int((train.lengths == 2).sum())
    if empty:
        notes.append(f"empty training texts: {empty:,}")
    return tuple(notes)
