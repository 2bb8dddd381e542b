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
from headstart.core.target import Label
from headstart.text.codec import TextCodec
from headstart.text.pooling import TextClassifier

__all__ = ["Interpretation", "interpret"]

STEPS = 24
"""Between the text of nothing and the text itself: by then the contributions add up to within a few hundredths."""


@dataclass(frozen=True)
class Interpretation:
    """What each word contributes to a class.

    Attributes:
        of: the class.
        probability: of that class.
        tokens: the words, in the order in which they are read.
        contributions: in units of the class's log-odds, above 0 for and below 0 against it; their sum is the whole
            text's log-odds less those of a text of the same length without any content.
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
    """Each word's contribution, by integrated gradients along the way from a text without content to the text itself.

    **Source:** Sundararajan et al., "Axiomatic Attribution for Deep Networks" (2017); the text without content has the
    vector 0 in each word's place. Middle points of 24 steps.

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
    ids = torch.from_numpy(codec.encode_one(text).astype("int64"))[None].to(device)
    length = torch.tensor([ids.shape[1]], device=device)
    model.eval()
    with torch.no_grad():
        probabilities = codec.target.prediction(model(ids, length)[0])[0].tolist()
        vectors = model.encoder.embedding(ids)  # (1, time, embedding)
    place = _place(codec, of, probabilities)
    empty = torch.zeros_like(vectors)
    empty[:, [0, -1]] = vectors[:, [0, -1]]  # <bos> and <eos> stand there too
    way, total = vectors - empty, torch.zeros_like(vectors)
    for step in range(STEPS):
        point = (empty + way * ((step + 0.5) / STEPS)).requires_grad_()
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # cuDNN's has no gradient in evaluation
            odds = _log_odds(model(ids, length, point)[0], place, one_class=isinstance(codec.target, Label))
            total += torch.autograd.grad(odds, point)[0]
    each = (total / STEPS * way).sum(2)[0].tolist()
    tokens = codec.vocabulary.decode(ids[0].tolist())[1:-1]
    words, contributions = tokens, each[1:-1]
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
    own = outputs[0, place]
    if not one_class:
        return own
    others = torch.cat([outputs[0, :place], outputs[0, place + 1 :]])
    return own - others.logsumexp(0)
