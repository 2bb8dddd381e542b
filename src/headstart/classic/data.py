"""The lesson's ``data.Field``: how the texts, or the labels, of a data set are read; and the data set's texts."""

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
    """Return the words and punctuation marks of a text as they are written, split as spaCy does in the lesson."""
    return _ANY_CASE.tokens(text)


class Stoi(dict[str, int]):
    """Ids by word; an unknown word has 0, and looking it up does not add it."""

    def __missing__(self, word: str) -> int:
        return UNKNOWN_ID


class Categories:
    """``TEXT.vocab``: headstart's vocabulary, in the form of the lesson's.

    Args:
        vocabulary: headstart's vocabulary.

    Attributes:
        itos: words by id.
        stoi: ids by word; an unknown word has 0.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.itos = list(vocabulary.words)
        self.stoi = Stoi({word: number for number, word in enumerate(self.itos)})

    def __len__(self) -> int:
        return len(self.itos)

    @property
    def vocabulary(self) -> Vocabulary:
        """Headstart's vocabulary."""
        return Vocabulary(tuple(self.itos))


class Field:
    """How the texts, or the labels, of a data set are read. It can be pickled, as in the lesson.

    Args:
        sequential: whether it is of texts; False: of labels, each one word.
        lower: whether to convert texts to lower case.
        tokenize: `spacy_tok`.

    Raises:
        ConfigError: ``tokenize`` is another function: an artefact holds no functions, so a model could not be saved.
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
        """Headstart's tokenizer, which splits texts in the same way."""
        return WordTokenizer(lower=self.lower)

    @property
    def vocab(self) -> Categories:
        """The known words.

        Raises:
            NotFittedError: `build_vocab`, which `LanguageModelData.from_text_files` calls, was not called yet.
        """
        if self._vocab is None:
            raise NotFittedError(
                "the field has no vocabulary yet: LanguageModelData.from_text_files(path, TEXT, ...) makes it, or"
                " TEXT.build_vocab(texts)"
            )
        return self._vocab

    def build_vocab(self, texts: Sequence[str], *, min_freq: int = 1, max_size: int | None = None) -> None:
        """Learn the vocabulary from texts.

        As in the lesson ``<unk>`` and ``<pad>`` come first, then all other words by frequency, ``<bos>`` and ``<eos>``
        among them.

        Args:
            texts: the training texts.
            min_freq: least number of occurrences of a known word.
            max_size: largest size of the vocabulary; None: no limit.
        """
        checked_limits(min_freq, 60_000 if max_size is None else max_size)
        counted = count_tokens([texts], self.tokenizer, show=False)
        order = sorted(range(len(counted.types)), key=lambda index: (-counted.counts[index], counted.types[index]))
        frequent = [counted.types[index] for index in order if counted.counts[index] >= min_freq]
        words = [word for word in frequent if word not in (UNKNOWN, PAD)][: None if max_size is None else max_size - 2]
        marks = [mark for mark in (BOS, EOS) if mark not in words]
        self._vocab = Categories(Vocabulary((*SPECIALS[:2], *words, *marks)))

    def numericalize(self, texts: Sequence[Sequence[str]]) -> Tensor:
        """Return the ids of tokenized texts, int64 ``(longest text, texts)``; shorter texts are padded at the end."""
        stoi = self.vocab.stoi
        ids = [[stoi[word.lower() if self.lower else word] for word in words] for words in texts]
        padded = np.full((max(map(len, ids), default=0), len(ids)), stoi[PAD], dtype=np.int64)  # (time, texts)
        for column, numbers in enumerate(ids):
            padded[: len(numbers), column] = numbers
        return torch.from_numpy(padded)


class Example:
    """One text of a data set.

    Args:
        raw: the text.
        label: its label; None if it has none.
        field: how texts are read.
    """

    def __init__(self, raw: str, label: str | None, field: Field) -> None:
        self.raw, self.label, self._field = raw, label, field

    @property
    def text(self) -> list[str]:
        """The text's words."""
        return self._field.tokenizer.tokens(self.raw)


class TextDataset:
    """The texts of a data set.

    Args:
        examples: the texts.
        field: how texts are read.
    """

    def __init__(self, examples: list[Example], field: Field) -> None:
        self.examples, self.field = examples, field

    @classmethod
    def of_folder(cls, folder: Path, field: Field, *, labelled: bool) -> TextDataset:
        """Read the text files in a folder.

        Args:
            folder: the folder; with ``labelled`` it holds a folder per label.
            field: how texts are read.
            labelled: whether the name of a text's folder is its label.
        """
        files, _ = find_texts(folder, labelled=labelled, exclude=("all", "unsup") if labelled else ())
        rows = read_texts(files)
        labels: Iterable[str | None] = rows["label"] if labelled else [None] * len(rows)
        return cls([Example(text, label, field) for text, label in zip(rows["text"], labels, strict=True)], field)

    @property
    def texts(self) -> list[str]:
        """The texts as they were read."""
        return [example.raw for example in self.examples]

    def __len__(self) -> int:
        return len(self.examples)


class Joined:
    """``md.trn_ds[0]``: all texts of a language model, joined.

    Args:
        dataset: the texts.
    """

    def __init__(self, dataset: TextDataset) -> None:
        self._dataset = dataset

    @cached_property
    def text(self) -> list[str]:
        """The words of all texts, each text between ``<bos>`` and ``<eos>``."""
        return [word for example in self._dataset.examples for word in (BOS, *example.text, EOS)]
