"""What the data of language models and of classifiers have in common: options, and the way from texts to a codec."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

import polars as pl

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError, HeadstartWarning
from headstart.core.values import Range
from headstart.frames.assemble import DataOptions, DataSettings, check_settled, share
from headstart.frames.csv import later_options
from headstart.frames.rows import clean_text
from headstart.targets.target import AnyTarget
from headstart.text.codec import TextCodec, total_characters
from headstart.text.corpus import Corpus, Texts, count_tokens
from headstart.text.pretrained import read_codec
from headstart.text.subwords import SubwordTokenizer
from headstart.text.tokenizing import AnyTokenizer, TokenizerName, choose_tokenizer
from headstart.text.tokens import Tokenized, unspaced_share
from headstart.text.vocabulary import Vocabulary
from headstart.training.loaders import Data

__all__ = [
    "EVALUATION_BATCH",
    "CorpusData",
    "CorpusOptions",
    "CorpusSettings",
    "fit_codec",
    "frame_of",
    "reading_of_start",
]

EVALUATION_BATCH = 64
"""Texts, or streams, per batch when nothing is trained."""

UNSPACED = 0.2
"""Share of letters of scripts without blanks between words from which on subwords are advised."""

CorpusSettingsT = TypeVar("CorpusSettingsT", bound="CorpusSettings")


@dataclass(frozen=True, kw_only=True)
class CorpusSettings(DataSettings):
    """How texts are read.

    Attributes:
        tokenizer: ``"words"``; or ``"subwords"``, parts of words learnt from the training texts, so that no word is
            unknown (extra ``text``); in Python also a tokenizer, such as a transformer's
            (`headstart.text.transformer_learner.read_tokenizer`).
        min_freq: lowest number of occurrences in the training texts of a word that is known; rarer words are unknown.
        max_vocab: largest number of known words, or of subwords.
        vocabulary: the known tokens; None: those of the training texts that are frequent enough.
        backward: read each text from its end.
        language_model: folder of a saved language model to start from. Its tokenizer and direction are used.
        codec: codec of an earlier model, to go on training that model with new texts; None: learnt from these texts.
        workers: number of processes that tokenize; None: by the amount of text.
    """

    tokenizer: TokenizerName | AnyTokenizer = "words"
    min_freq: Annotated[int, Range(low=1)] = 3
    max_vocab: Annotated[int, Range(low=5)] = 60_000
    vocabulary: Vocabulary | None = None
    backward: bool = False
    language_model: str | Path | None = None
    codec: TextCodec | None = None
    workers: Annotated[int | None, Range(low=1)] = None


class CorpusOptions(DataOptions, total=False):
    """The fields of `CorpusSettings` as keyword arguments."""

    tokenizer: TokenizerName | AnyTokenizer
    min_freq: int
    max_vocab: int
    vocabulary: Vocabulary | None
    backward: bool
    language_model: str | Path | None
    codec: TextCodec | None
    workers: int | None


@dataclass(frozen=True, kw_only=True, repr=False)
class CorpusData(Data):
    """Training and validation texts.

    Attributes:
        codec: how texts became ids.
        language_model: folder of the language model that a learner on these data starts from; None: fresh weights.
        notes: amount of text, unknown words and empty texts of both parts.
    """

    codec: TextCodec
    language_model: Path | None = None


OF_THE_CODEC = ("tokenizer", "min_freq", "max_vocab", "vocabulary", "backward")
"""Settings that a codec has settled."""


def reading_of_start(settings: CorpusSettingsT, *, with_vocabulary: bool) -> CorpusSettingsT:
    """Return the settings with tokenizer and direction of the language model to start from, if there is one.

    Args:
        settings: as given.
        with_vocabulary: whether the language model's vocabulary is used, too.

    Raises:
        ConfigError: the settings ask for another tokenizer, direction or vocabulary.
        ArtifactError: the folder cannot be read.
    """
    if settings.language_model is None:
        if settings.codec is not None:
            check_settled(settings, OF_THE_CODEC)
        return settings
    if settings.codec is not None:
        raise ConfigError("codec and language_model both say how texts become ids: give one")
    codec, folder = read_codec(settings.language_model), settings.language_model
    if settings.backward and not codec.backward:
        raise ConfigError(f"backward=True, but the language model in {folder} reads forward: train one backward")
    subwords = settings.tokenizer == "subwords" and isinstance(codec.tokenizer, SubwordTokenizer)
    if settings.tokenizer not in ("words", codec.tokenizer) and not subwords:
        raise ConfigError(
            f"the tokenizer must be that of the language model in {folder}: leave tokenizer out, or language_model"
        )
    settings = replace(settings, tokenizer=codec.tokenizer, backward=codec.backward)
    if not with_vocabulary:
        return settings
    if settings.vocabulary is not None:
        raise ConfigError(
            f"the vocabulary must be that of the language model in {folder}: leave vocabulary out, or language_model"
        )
    return replace(settings, vocabulary=codec.vocabulary)


def fit_codec(
    texts: Texts,
    settings: CorpusSettings,
    *,
    columns: Sequence[str],
    marks: Sequence[str] = (),
    target: AnyTarget | None = None,
    characters: int | None = None,
    engine: Engine,
    complete: Callable[[TextCodec, Tokenized], TextCodec] | None = None,
) -> tuple[TextCodec, Corpus]:
    """Learn a codec from training texts, and encode them by it: one pass, or two with subwords.

    Args:
        texts: pieces of training texts, marks included.
        settings: tokenizer, vocabulary and limits; `headstart.core.values.Value`.
        columns: names of the columns of text, for the codec.
        marks: their field marks.
        target: fitted on the same rows; None for a language model.
        characters: number of characters of all texts; None: counted if ``texts`` is a list, else unknown.
        engine: whose main process's codec counts.
        complete: adds to the codec what is learnt from the tokens besides the vocabulary; None: nothing.

    Raises:
        ConfigError: the tokenizer is unknown, or needs a package that is not installed.
    """
    tokenizer = choose_tokenizer(settings.tokenizer, texts, size=settings.max_vocab, marks=marks)
    characters = total_characters(texts) if characters is None else characters
    counted = count_tokens(texts, tokenizer, workers=settings.workers, characters=characters)
    if settings.vocabulary is not None:
        vocabulary = settings.vocabulary
    elif tokenizer.words is not None:
        vocabulary = Vocabulary(tokenizer.words)
    else:
        if engine.is_main:
            _warn_of_unspaced(counted.types, counted.counts.tolist())
        limits = {"min_freq": settings.min_freq, "max_vocab": settings.max_vocab}
        vocabulary = Vocabulary.of_counts(counted.types, counted.counts, marks=marks, **limits)
    learnt = TextCodec(
        tuple(columns), tuple(marks), tokenizer, vocabulary, settings.backward, target,
        csv=later_options(settings.csv),
    )  # fmt: skip
    if complete is not None:
        learnt = complete(learnt, counted.tokenized())
    learnt = share(learnt, TextCodec, engine)
    corpus = counted.corpus(learnt.vocabulary)
    return learnt, corpus.reverse() if learnt.backward else corpus


def _warn_of_unspaced(types: Sequence[str], counts: Sequence[int]) -> None:
    """Warn of texts that words cannot cut."""
    share = unspaced_share(types, counts)
    if share >= UNSPACED:
        warnings.warn(
            f"{share:.0%} of the letters belong to scripts without blanks between words (Chinese, Japanese, Thai ...),"
            " so that whole phrases count as words, and most are unknown: use tokenizer='subwords'"
            " (--tokenizer subwords)",
            HeadstartWarning,
            stacklevel=4,
        )


def frame_of(texts: Sequence[str], name: str) -> pl.DataFrame:
    """Return a list of texts as a table with the column ``text``.

    Raises:
        DataError: an entry is not text.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{name} must be a list of texts")
    return pl.DataFrame({"text": [clean_text(text) for text in texts]}, schema={"text": pl.String})
