"""Word tokens: one compiled pattern that keeps the lesson's conventions, and how tokens become text again.

Lower case; punctuation apart; contractions apart (``was n't``, ``it 's``); HTML line breaks and blank lines are one
token ``<br>``; entities such as ``&amp;`` are read; what is repeated more than three times (``sooooo``, ``!!!!!!``) is
kept three times. A name in angle brackets, ``<summ>``, is one token: field marks and special tokens are written so.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["BOS", "EOS", "PAD", "RULES", "SPECIALS", "UNKNOWN", "Encoded", "Tokenizer", "WordTokenizer", "join_words"]

UNKNOWN, PAD, BOS, EOS = "<unk>", "<pad>", "<bos>", "<eos>"
SPECIALS = (UNKNOWN, PAD, BOS, EOS)
"""The special tokens, in the order of their ids: what is not in the vocabulary, padding, a text's beginning and end."""

BREAK = "<br>"

RULES = 1
"""The version of the rules below. A codec keeps it, so that a later version can still read what this one wrote."""

_BREAKS = re.compile(r"(?:\s*<\s*br\s*/?\s*>)+\s*|\s*\n\s*\n\s*", re.IGNORECASE)

_PATTERN = r"""
      '(?:s|re|ve|ll|d|m)(?![^\W_])        # the short end of a contraction: it 's
    | n't(?![^\W_])                        # a blank was put before it: was n't
    | \d+(?:[.,]\d+)+                      # 3.50 and 1,000,000
    | [^\W_]+                              # a word
    | <[a-z][a-z0-9_]*>                    # a special token or a field mark
    | !+ | \?+ | \.+ | -+ | \*+ | _+ | =+  # one mark, repeated
    | [^\s]                                # any other
    """

_TOKEN = re.compile(_PATTERN, re.VERBOSE)
_TOKEN_OF_ANY_CASE = re.compile(_PATTERN, re.VERBOSE | re.IGNORECASE)
_NOT = re.compile("n't", re.IGNORECASE)

_REPEATED = re.compile(r"(.)\1{3,}")

_LEFT_OPEN = frozenset("([{$#“‘")
_RIGHT_CLOSED = frozenset(".,;:!?)]}%”’") | {"...", "!!", "!!!", "??", "???", ".."}


@dataclass(frozen=True)
class Encoded:
    """Texts as numbers of their own small vocabulary: what one piece of work on a corpus gives.

    Attributes:
        types: the different tokens, in the order in which they came.
        ids: int32 ``(tokens,)``: each token's place in ``types``, text after text.
        lengths: int64 ``(texts,)``: tokens in each.
    """

    types: list[str]
    ids: NDArray[np.int32]
    lengths: NDArray[np.int64]


class Tokenizer(Protocol):
    """What cuts texts into tokens, words or parts of words."""

    def tokens(self, text: str) -> list[str]:
        """The tokens of one text."""

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Many texts at once: the same tokens, as numbers."""

    def join(self, tokens: Iterable[str]) -> str:
        """Tokens as readable text."""

    def to_json(self) -> dict[str, Any]:
        """What `headstart.text.tokenizing.tokenizer_from_json` takes."""


@dataclass(frozen=True)
class WordTokenizer:
    """Words and punctuation, by the rules above. It learns nothing, so all of these are the same.

    Attributes:
        lower: whether capital letters become small ones.
        rules: the version of the rules.
    """

    lower: bool = True
    rules: int = RULES

    def tokens(self, text: str) -> list[str]:
        """The tokens of one text."""
        return [_shortened(token) for token in self._find(_cleaned(text, self.lower))]

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Many texts at once. Each different token is looked at once, whatever is to be done with it."""
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__
        find, number, lower = self._find, numbers.__getitem__, self.lower
        ids: list[int] = []
        extend: Callable[[Iterable[int]], None] = ids.extend
        ends = np.empty(len(texts) + 1, dtype=np.int64)
        ends[0] = 0
        for place, text in enumerate(texts, start=1):
            extend(map(number, find(_cleaned(text, lower))))
            ends[place] = len(ids)
        return Encoded([_shortened(token) for token in numbers], np.array(ids, dtype=np.int32), np.diff(ends))

    def join(self, tokens: Iterable[str]) -> str:
        """Tokens as readable text: see `join_words`."""
        return join_words(tokens)

    def to_json(self) -> dict[str, Any]:
        """What `headstart.text.tokenizing.tokenizer_from_json` takes."""
        return {"kind": "words", "rules": self.rules, "lower": self.lower}

    @property
    def _find(self) -> Callable[[str], list[str]]:
        return _TOKEN.findall if self.lower else _TOKEN_OF_ANY_CASE.findall


def join_words(tokens: Iterable[str]) -> str:
    """Words as one would write them: no blank before a full stop or ``n't``, a line break for ``<br>``.

    Capital letters and which quotes opened are lost for good, so this undoes `WordTokenizer` up to those.
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


def _cleaned(text: str, lower: bool) -> str:  # noqa: FBT001
    """What happens to a text before the pattern sees it. The tests for a character are much quicker than the rules."""
    if "&" in text:
        text = html.unescape(text)
    text = text.lower() if lower else text
    if "’" in text:
        text = text.replace("’", "'")
    if "<" in text or "\n" in text:
        text = _BREAKS.sub(" <br> ", text)
    if not lower:
        return _NOT.sub(r" \g<0>", text)
    return text.replace("n't", " n't") if "n't" in text else text


def _shortened(token: str) -> str:
    if token == PAD:  # padding is ours: nobody writes it
        return UNKNOWN
    return _REPEATED.sub(r"\1\1\1", token) if len(token) > 3 and not token[0].isdigit() else token
