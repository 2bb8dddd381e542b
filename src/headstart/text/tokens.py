"""Words as tokens: one compiled pattern that keeps the lesson's conventions, and how tokens become text again.

Text is lower-cased. Punctuation and contractions are tokens of their own (``was n't``, ``it 's``). HTML line breaks and
blank lines become one token ``<br>``. Entities such as ``&amp;`` are replaced by their character. Characters repeated
more than three times (``sooooo``, ``!!!!!!``) are cut to three. A name in angle brackets, ``<summ>``, is one token:
field marks and special tokens have this form.

A letter and its combining marks belong together in every script: text is composed first (Unicode's form NFC), and
marks, as well as the joiners inside words of Persian or Malayalam, do not end a word.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.core.errors import ConfigError

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "RULES",
    "SPECIALS",
    "UNKNOWN",
    "Tokenized",
    "Tokenizer",
    "WordTokenizer",
    "join_words",
    "unspaced_share",
]

UNKNOWN, PAD, BOS, EOS = "<unk>", "<pad>", "<bos>", "<eos>"
SPECIALS = (UNKNOWN, PAD, BOS, EOS)
"""The special tokens, in the order of their ids: for words outside the vocabulary, padding, a text's begin and end."""

BREAK = "<br>"

RULES = 2
"""Version of the rules below. It is saved with a codec, so that a model that was trained by earlier rules keeps them:
rules 1 ended a word at a combining mark, and did not compose text."""

_BREAKS = re.compile(r"(?:\s*<\s*br\s*/?\s*>)+\s*|\s*\n\s*\n\s*", re.IGNORECASE)

_INVISIBLE = re.compile("[\u00ad\u2060\u200e\u200f\u202a-\u202e\ufeff]")
"""What is no part of a word and does not end it: soft hyphens, byte-order marks, marks of the direction of writing."""


def _marks() -> str:
    """Return all combining marks and the joiners as the inside of a character class, in ranges."""
    ranges: list[list[int]] = []
    for code in (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0)):
        if code in (0x200C, 0x200D) or unicodedata.category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def _pattern(word: str, other: str) -> str:
    return rf"""
      '(?:s|re|ve|ll|d|m)(?![^\W_])        # the short end of a contraction: it 's
    | n't(?![^\W_])                        # `_cleaned` has put a space before it: was n't
    | \d+(?:[.,]\d+)+                      # 3.50 and 1,000,000
    | {word}
    | <[a-z][a-z0-9_]*>                    # a special token or a field mark
    | !+ | \?+ | \.+ | -+ | \*+ | _+ | =+  # one mark, repeated
    | {other}
    """


@lru_cache
def _finder(*, lower: bool) -> Callable[[str], list[str]]:
    """Return the function that finds the tokens of a cleaned text."""
    pattern = _pattern(r"[^\W_]+", r"[^\s]")
    return re.compile(pattern, re.VERBOSE | (re.NOFLAG if lower else re.IGNORECASE)).findall


@lru_cache
def _finder_with_marks(*, lower: bool) -> Callable[[str], list[str]]:
    """Return what finds the same tokens, but keeps combining marks with what they follow, which takes a third more."""
    marks = _marks()
    pattern = _pattern(rf"[^\W_]+(?:[{marks}]+[^\W_]*)*", rf"[^\s][{marks}]*")
    find = re.compile(pattern, re.VERBOSE | (re.NOFLAG if lower else re.IGNORECASE)).findall
    marked, without = re.compile(f"[{marks}]").search, _finder(lower=lower)
    return lambda text: without(text) if text.isascii() or marked(text) is None else find(text)


_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f]"
)
"""Letters of scripts without blanks between words: Thai, Lao, Burmese, Khmer, kana and Chinese characters."""

_NOT = re.compile("n't", re.IGNORECASE)

_REPEATED = re.compile(r"(.)\1{3,}")

_LEFT_OPEN = frozenset("([{$#“‘")
_RIGHT_CLOSED = frozenset(".,;:!?)]}%”’") | {"...", "!!", "!!!", "??", "???", ".."}


@dataclass(frozen=True)
class Tokenized:
    """Several texts as numbers of a vocabulary of their own.

    Attributes:
        types: the distinct tokens, in order of first appearance.
        ids: int32 ``(tokens,)``: each token's index in ``types``, text after text.
        lengths: int64 ``(texts,)``: number of tokens of each text.
    """

    types: list[str]
    ids: NDArray[np.int32]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[Sequence[str]]) -> Tokenized:
        """Return texts that are already cut into tokens."""
        numbers: dict[str, int] = {}
        ids = [numbers.setdefault(token, len(numbers)) for text in texts for token in text]
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        return cls(list(numbers), np.array(ids, dtype=np.int32), lengths)


class Tokenizer(Protocol):
    """What cuts texts into tokens: words or parts of words."""

    @property
    def words(self) -> tuple[str, ...] | None:
        """The vocabulary that comes with the tokenizer; None: it is learnt from counts of the training texts."""

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of one text."""

    def encode(self, texts: Sequence[str]) -> Tokenized:
        """Return the same tokens of many texts at once, as numbers."""

    def join(self, tokens: Iterable[str]) -> str:
        """Return tokens as readable text."""


@dataclass(frozen=True)
class WordTokenizer:
    """Words and punctuation, by the rules above. Nothing is learnt from texts.

    Attributes:
        lower: whether text is lower-cased.
        rules: version of the rules.

    Raises:
        ConfigError: the rules are of a later version of headstart.
    """

    lower: bool = True
    rules: int = RULES

    def __post_init__(self) -> None:
        """Check the version."""
        if self.rules not in range(1, RULES + 1):
            raise ConfigError(
                f"words are cut by rules {self.rules}, and this headstart knows rules 1 to {RULES}: upgrade headstart"
            )

    @property
    def words(self) -> None:
        """None: the vocabulary is learnt from counts of the training texts."""

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of one text."""
        return [_shortened(token) for token in self._find(_cleaned(text, self.lower, self.rules))]

    def encode(self, texts: Sequence[str]) -> Tokenized:
        """Return the tokens of many texts as numbers. The rules are applied once per distinct token."""
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__
        find, number, lower, rules = self._find, numbers.__getitem__, self.lower, self.rules
        ids: list[int] = []
        extend: Callable[[Iterable[int]], None] = ids.extend
        ends = np.empty(len(texts) + 1, dtype=np.int64)
        ends[0] = 0
        for index, text in enumerate(texts, start=1):
            extend(map(number, find(_cleaned(text, lower, rules))))
            ends[index] = len(ids)
        return Tokenized([_shortened(token) for token in numbers], np.array(ids, dtype=np.int32), np.diff(ends))

    def join(self, tokens: Iterable[str]) -> str:
        """Return tokens as readable text: see `join_words`."""
        return join_words(tokens)

    @property
    def _find(self) -> Callable[[str], list[str]]:
        return (_finder if self.rules == 1 else _finder_with_marks)(lower=self.lower)


def join_words(tokens: Iterable[str]) -> str:
    """Return words as running text: no space before a full stop or ``n't``, a line break for ``<br>``.

    This is the inverse of `WordTokenizer` up to capital letters and typographic quotes, which are lost.
    """
    written: list[str] = []
    glued, quoted = True, False
    for token in tokens:
        if token == BREAK:
            written.append("\n")
            glued = True
            continue
        closes = token == '"' and quoted
        if not (glued or closes or token in _RIGHT_CLOSED or token == "n't" or (token[0] == "'" and len(token) > 1)):
            written.append(" ")
        written.append(token)
        glued = token in _LEFT_OPEN or (token == '"' and not quoted) or token in "-/"
        if token in "-/" and len(written) > 1 and written[-2] == " ":
            written.pop(-2)
        quoted ^= token == '"'
    return "".join(written)


def unspaced_share(types: Iterable[str], counts: Iterable[int]) -> float:
    """Return the share of the characters of words that belong to scripts without blanks between words, 0 to 1.

    Args:
        types: distinct tokens.
        counts: occurrences of each.
    """
    letters = unspaced = 0
    for token, count in zip(types, counts, strict=True):
        if token[0].isalnum():
            letters += len(token) * count
            if not token.isascii():
                unspaced += len(_UNSPACED.findall(token)) * count
    return unspaced / letters if letters else 0.0


def _cleaned(text: str, lower: bool, rules: int) -> str:  # noqa: FBT001
    """Return a text prepared for the pattern. Testing for a character first is much faster than applying each rule."""
    if "&" in text:
        text = html.unescape(text)
    if rules > 1 and not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    text = text.lower() if lower else text
    if "’" in text:
        text = text.replace("’", "'")
    if "<" in text or "\n" in text:
        text = _BREAKS.sub(" <br> ", text)
    if not lower:
        return _NOT.sub(r" \g<0>", text)
    return text.replace("n't", " n't") if "n't" in text else text


def _shortened(token: str) -> str:
    if token == PAD:  # reserved: a text must not contain padding
        return UNKNOWN
    return _REPEATED.sub(r"\1\1\1", token) if len(token) > 3 and not token[0].isdigit() else token
