"""Interpretation: what each word of a text contributes to an answer."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from rich.text import Text
from torch import Tensor

from headstart.core.errors import ConfigError, did_you_mean
from headstart.text.codec import TextCodec
from headstart.text.models.classifier import TextClassifier
from headstart.text.vocabulary import UNKNOWN_ID

__all__ = ["Interpretation", "interpret"]

AT_ONCE = 64
"""Words whose absence is tried at a time."""


@dataclass(frozen=True)
class Interpretation:
    """What each word contributes to a class.

    Attributes:
        of: the class.
        probability: of that class.
        tokens: the words, in the order in which they are read.
        contributions: by how much the class's log-odds fall without the word: above 0 speaks for the class, below 0
            against it.
    """

    of: Any
    probability: float
    tokens: tuple[str, ...]
    contributions: tuple[float, ...]

    def table(self) -> pl.DataFrame:
        """A row per word: ``token``, ``contribution``."""
        return pl.DataFrame({"token": list(self.tokens), "contribution": list(self.contributions)})

    def text(self) -> Text:
        """The words, coloured for a terminal: green for the class, red against it."""
        shown = Text()
        for token, strength in zip(self.tokens, self._strengths(), strict=True):
            level = round(200 * abs(strength))
            dim = 255 - level
            colour = f"rgb({dim},255,{dim})" if strength > 0 else f"rgb(255,{dim},{dim})"
            shown.append(token, style=f"black on {colour}" if level > 20 else "")
            shown.append(" ")
        return shown

    def _repr_html_(self) -> str:
        parts = []
        for token, strength in zip(self.tokens, self._strengths(), strict=True):
            hue = 120 if strength > 0 else 0
            style = f"background:hsla({hue},80%,60%,{abs(strength):.2f})"
            parts.append(f'<span style="{style}">{html.escape(token)}</span>')
        return f"<p><b>{html.escape(str(self.of))}</b> {self.probability:.3f}</p><p>{' '.join(parts)}</p>"

    def _strengths(self) -> list[float]:
        most = max((abs(value) for value in self.contributions), default=0.0) or 1.0
        return [value / most for value in self.contributions]


def interpret(
    model: TextClassifier, codec: TextCodec, text: str | Mapping[str, Any], of: Any, device: torch.device
) -> Interpretation:
    """Each word's contribution: by how much the log-odds fall when ``<unk>`` stands in its place.

    The model reads the text once for each word, some at a time, so that a long text takes a while.

    **Source:** Li et al., "Understanding Neural Networks through Representation Erasure" (2016), with ``<unk>`` in
    place of the word, which a language model has met, where they erase its vector.

    Args:
        model: left in evaluation mode.
        codec: of the same model.
        text: one text, or a row as a dictionary.
        of: the class; None: the likeliest.
        device: where the model is.

    Raises:
        ConfigError: there is no such class.
    """
    assert codec.target is not None
    ids = torch.from_numpy(codec.encode_one(text))[None].to(device)
    length = torch.tensor([ids.shape[1]], device=device)
    one_class = codec.target.kind == "label"
    model.eval()
    with torch.no_grad():
        outputs = model(ids, length)[0]
        probabilities = codec.target.prediction(outputs)[0].tolist()
        place = _place(codec, of, probabilities)
        whole = _log_odds(outputs, place, one_class=one_class)
        without: list[float] = []
        for start in range(1, ids.shape[1] - 1, AT_ONCE):
            places = torch.arange(start, min(start + AT_ONCE, ids.shape[1] - 1), device=device)
            changed = ids.repeat(len(places), 1)  # (words, time)
            changed[torch.arange(len(places), device=device), places] = UNKNOWN_ID
            found = model(changed, length.repeat(len(places)))[0]
            without += _log_odds(found, place, one_class=one_class).tolist()
    words = codec.vocabulary.decode(ids[0].tolist())[1:-1]
    contributions = [float(whole) - odds for odds in without]
    if codec.backward:
        words, contributions = words[::-1], contributions[::-1]
    return Interpretation(codec.target.classes[place], probabilities[place], tuple(words), tuple(contributions))


def _place(codec: TextCodec, of: Any, probabilities: list[float]) -> int:
    assert codec.target is not None
    if of is None:
        return probabilities.index(max(probabilities))
    if of not in codec.target.classes:
        raise ConfigError(f"there is no class {of!r}; {did_you_mean(of, codec.target.classes)}")
    return codec.target.classes.index(of)


def _log_odds(outputs: Tensor, place: int, *, one_class: bool) -> Tensor:
    """Of one class, ``(texts,)``."""
    own = outputs[:, place]
    if not one_class:
        return own
    others = torch.cat([outputs[:, :place], outputs[:, place + 1 :]], dim=1)
    return own - others.logsumexp(1)
