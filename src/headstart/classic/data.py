"""The lesson's ``data.Field``: how texts, or labels, of a data set are read; and the texts of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headstart.core.errors import ConfigError, NotFittedError
from headstart.text.corpus import count_tokens
from headstart.text.folders import find_texts, read_texts
from headstart.text.tokens import BOS, EOS, PAD, SPECIALS, UNKNOWN, WordTokenizer
from headstart.text.vocabulary import UNKNOWN_ID, Vocabulary, checked_limits

__all__ = ["Categories", "Example", "Field", "TextDataset", "spacy_tok"]

_ANY_CASE = WordTokenizer(lower=False)


def spacy_tok(text: str) -> list[str]:
    """The words and marks of a text as they are written, by rules that cut as spacy does in the lesson."""
    return _ANY_CASE.tokens(text)


class Stoi(dict[str, int]):
    """Ids by word; 0 for a word that is unknown, which looking it up does not add."""

    def __missing__(self, word: str) -> int:
        return UNKNOWN_ID


class Categories:
    """``TEXT.vocab``: headstart's vocabulary as the lesson has it.

    Args:
        vocabulary: headstart's.

    Attributes:
        itos: words by id.
        stoi: ids by word; 0 for the unknown.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.itos = list(vocabulary.words)
        self.stoi = Stoi({word: number for number, word in enumerate(self.itos)})

    def __len__(self) -> int:
        return len(self.itos)

    @property
    def vocabulary(self) -> Vocabulary:
        """Headstart's."""
        return Vocabulary(tuple(self.itos))


class Field:
    """How a column of a data set is read; it can be pickled, as the lesson does.

    Args:
        sequential: False: a label, which is one word.
        lower: make small letters of capital ones.
        tokenize: `spacy_tok`.

    Raises:
        ConfigError: another ``tokenize``: an artefact holds no functions, so a model could not be saved with it.
    """

    def __init__(
        self, *, sequential: bool = True, lower: bool = False, tokenize: Callable[[str], list[str]] = spacy_tok
    ) -> None:
        if tokenize is not spacy_tok:
            raise ConfigError(
                f"tokenize must be spacy_tok; got {tokenize!r}. For tokens of another kind use headstart itself:"
                " LanguageModelData.from_texts(texts, tokenizer='subwords')"
            )
        self.sequential, self.lower = sequential, lower
        self._vocab: Categories | None = None

    @property
    def tokenizer(self) -> WordTokenizer:
        """Headstart's, which cuts so."""
        return WordTokenizer(lower=self.lower)

    @property
    def vocab(self) -> Categories:
        """The words that are known.

        Raises:
            NotFittedError: before `build_vocab`, which `LanguageModelData.from_text_files` calls.
        """
        if self._vocab is None:
            raise NotFittedError(
                "the field has no vocabulary yet: LanguageModelData.from_text_files(path, TEXT, ...) makes it, or"
                " TEXT.build_vocab(texts)"
            )
        return self._vocab

    def build_vocab(self, texts: Sequence[str], *, min_freq: int = 1, max_size: int | None = None) -> None:
        """Counts the words of texts.

        As in the lesson ``<unk>`` and ``<pad>`` come first and all others by their frequency, the marks of a text's
        beginning and end among them.

        Args:
            texts: to be counted.
            min_freq: rarer words are unknown.
            max_size: the most words; None: no limit.
        """
        checked_limits(min_freq, 60_000 if max_size is None else max_size)
        counted = count_tokens([texts], self.tokenizer, show=False)
        order = sorted(range(len(counted.types)), key=lambda place: (-counted.counts[place], counted.types[place]))
        frequent = [counted.types[place] for place in order if counted.counts[place] >= min_freq]
        words = [word for word in frequent if word not in (UNKNOWN, PAD)][: None if max_size is None else max_size - 2]
        marks = [mark for mark in (BOS, EOS) if mark not in words]
        self._vocab = Categories(Vocabulary((*SPECIALS[:2], *words, *marks)))

    def numericalize(self, texts: Sequence[Sequence[str]]) -> Tensor:
        """Ids of texts that are cut into words, int64 ``(words, texts)``: time first, shorter ones padded."""
        stoi = self.vocab.stoi
        ids = [[stoi[word.lower() if self.lower else word] for word in words] for words in texts]
        found = np.full((max(map(len, ids), default=0), len(ids)), stoi[PAD], dtype=np.int64)
        for column, numbers in enumerate(ids):
            found[: len(numbers), column] = numbers
        return torch.from_numpy(found)


class Example:
    """One text of a data set.

    Args:
        raw: the text.
        label: its label; None without.
        field: how it is read.
    """

    def __init__(self, raw: str, label: str | None, field: Field) -> None:
        self.raw, self.label, self._field = raw, label, field

    @property
    def text(self) -> list[str]:
        """Its words."""
        return self._field.tokenizer.tokens(self.raw)


class TextDataset:
    """Texts, in files.

    Args:
        examples: the texts.
        field: how they are read.
    """

    def __init__(self, examples: list[Example], field: Field) -> None:
        self.examples, self.field = examples, field

    @classmethod
    def of_folder(cls, folder: Path, field: Field, *, labelled: bool) -> TextDataset:
        """The text files in a folder; with ``labelled`` the folder of each is its label."""
        rows = read_texts(find_texts(folder, labelled=labelled, exclude=("all", "unsup") if labelled else ()))
        labels: Iterable[str | None] = rows["label"] if labelled else [None] * len(rows)
        return cls([Example(text, label, field) for text, label in zip(rows["text"], labels, strict=True)], field)

    @property
    def texts(self) -> list[str]:
        """As they were read."""
        return [example.raw for example in self.examples]

    def __len__(self) -> int:
        return len(self.examples)


class Joined:
    """``md.trn_ds[0]``: all texts of a language model as one.

    Args:
        dataset: the texts.
    """

    def __init__(self, dataset: TextDataset) -> None:
        self._dataset = dataset

    @cached_property
    def text(self) -> list[str]:
        """Their words, each text between ``<bos>`` and ``<eos>``."""
        return [word for example in self._dataset.examples for word in (BOS, *example.text, EOS)]
