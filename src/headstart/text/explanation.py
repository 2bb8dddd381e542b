"""`explain`: what each word of a text contributes to a prediction."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from rich.text import Text
from torch import Tensor, nn

from headstart.core.errors import ConfigError, did_you_mean
from headstart.text.codec import TextCodec
from headstart.text.tokens import UNKNOWN

__all__ = ["Explanation", "explain"]

WORDS_AT_ONCE = 64
"""Words that are replaced in one batch, each in a copy of the text."""


@dataclass(frozen=True)
class Explanation:
    """What each word contributes to the probability of a class.

    Attributes:
        of: the class; of numbers the column.
        probability: its probability, 0 to 1; of numbers the prediction.
        tokens: the words, in the order of the text.
        contributions: decrease of the class's log-odds, or of the predicted number in its unit, without the word:
            above 0 the word speaks for the class, or makes the number larger.
    """

    of: Any
    probability: float
    tokens: tuple[str, ...]
    contributions: tuple[float, ...]

    def table(self) -> pl.DataFrame:
        """Return a row per word: ``token``, ``contribution``."""
        return pl.DataFrame({"token": list(self.tokens), "contribution": list(self.contributions)})

    def text(self) -> Text:
        """Return the words, coloured for a terminal: green for the class, red against it."""
        coloured = Text()
        for token, strength in zip(self.tokens, self._strengths(), strict=True):
            level = round(200 * abs(strength))
            dim = 255 - level
            colour = f"rgb({dim},255,{dim})" if strength > 0 else f"rgb(255,{dim},{dim})"
            coloured.append(token, style=f"black on {colour}" if level > 20 else "")
            coloured.append(" ")
        return coloured

    def _repr_html_(self) -> str:
        parts = []
        for token, strength in zip(self.tokens, self._strengths(), strict=True):
            hue = 120 if strength > 0 else 0
            style = f"background:hsla({hue},80%,60%,{abs(strength):.2f})"
            parts.append(f'<span style="{style}">{html.escape(token)}</span>')
        return f"<p><b>{html.escape(str(self.of))}</b> {self.probability:.3f}</p><p>{' '.join(parts)}</p>"

    def _strengths(self) -> list[float]:
        largest = max((abs(value) for value in self.contributions), default=0.0) or 1.0
        return [value / largest for value in self.contributions]


def explain(
    model: nn.Module,
    codec: TextCodec,
    text: str | Mapping[str, Any],
    of: Any,
    device: torch.device,
    temperature: float = 1.0,
) -> Explanation:
    """Return each word's contribution: the decrease of log-odds or number when ``<unk>`` stands in its place.

    The linear path knows nothing of ``<unk>``, so that the word and its pieces are missing there.

    The model reads the text once for each word, so that a long text takes a while.

    **Source:** Li et al., "Understanding Neural Networks through Representation Erasure" (2016), who erase the word's
    vector; ``<unk>`` is a word that a language model has met.

    Args:
        model: a classifier of texts, called as ``model(*codec.encode_one(text))``; left in evaluation mode.
        codec: the model's codec.
        text: one text, or a row as a dictionary.
        of: the class, None: the likeliest; of numbers the column, None: the first.
        device: where the model is.
        temperature: divisor of the outputs.

    Raises:
        ConfigError: there is no such class.
    """
    words = codec.words(text)
    names = codec.label.classes or codec.label.columns
    model.eval()
    with torch.no_grad():
        outputs = model(*(part.to(device) for part in codec.encode_words([words])))[0] / temperature
        predicted = codec.label.prediction(outputs).reshape(-1).tolist()  # of one text
        index = _index_of(names, of, predicted.index(max(predicted)) if codec.label.classes else 0)
        whole = float(_strength(codec, outputs, index))
        contributions: list[float] = []
        for start in range(0, len(words), WORDS_AT_ONCE):
            places = range(start, min(start + WORDS_AT_ONCE, len(words)))
            changed = codec.encode_words([[*words[:place], UNKNOWN, *words[place + 1 :]] for place in places])
            outputs = model(*(part.to(device) for part in changed))[0] / temperature
            contributions += [whole - rest for rest in _strength(codec, outputs, index).tolist()]
    return Explanation(names[index], predicted[index], tuple(words), tuple(contributions))


def _index_of(names: Sequence[Any], of: Any, usual: int) -> int:
    if of is None:
        return usual
    if of not in names:
        raise ConfigError(f"there is no class {of!r}; {did_you_mean(of, names)}")
    return names.index(of)


def _strength(codec: TextCodec, outputs: Tensor, index: int) -> Tensor:
    """Return the log-odds of a class, or a predicted number in its unit, ``(texts,)``.

    Exclusive classes add up to one, others are independent.
    """
    if not codec.label.classes:
        return codec.label.prediction(outputs).reshape(len(outputs), -1)[:, index]
    logits = outputs[:, index]
    if codec.label.kind != "label":
        return logits
    others = torch.cat([outputs[:, :index], outputs[:, index + 1 :]], dim=1)
    return logits - others.logsumexp(1)
