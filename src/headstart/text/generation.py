"""Generation: a language model goes on writing, one step per word, however long the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.core.errors import ConfigError
from headstart.text.codec import TextCodec
from headstart.text.models.awd_lstm import LanguageModel, State
from headstart.text.tokens import BOS, EOS, PAD, UNKNOWN

__all__ = ["Continuation", "beam_search", "generate", "next_words", "write"]

WINDOW = 256
"""Tokens of a prompt that are read at a time, so that a long one needs no more memory."""


@dataclass(frozen=True)
class Continuation:
    """One way to go on.

    Attributes:
        text: what comes after the prompt.
        log_probability: the sum over its words, base e.
        complete: whether the text ends there.
    """

    text: str
    log_probability: float
    complete: bool


def generate(
    model: LanguageModel,
    codec: TextCodec,
    prompt: str = "",
    n_words: int = 50,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
) -> str:
    """Draws word after word from the model's probabilities; never ``<unk>``.

    **Source:** top-k: Fan et al. (2018); top-p (nucleus): Holtzman et al., "The Curious Case of Neural Text
    Degeneration" (2020).

    Args:
        model: left in evaluation mode.
        codec: of the same model.
        prompt: what the text begins with, field marks included; may be empty.
        n_words: how many tokens at the most; a text that ends, ends.
        temperature: below 1 bolder, towards the likeliest word, which 0 always takes; above 1 wilder.
        top_k: draw among the k likeliest alone.
        top_p: draw among the likeliest that have this share of the probability together.
        seed: of the draws; None: from torch's own random stream.

    Returns:
        The continuation, without the prompt. A backward model writes what stands before.

    Raises:
        ConfigError: an option out of its range.
    """
    words = write(model, codec, prompt, n_words, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    return codec.join(words[:-1] if words[-1:] == [EOS] else words)


def write(
    model: LanguageModel,
    codec: TextCodec,
    prompt: str = "",
    n_words: int = 50,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
) -> list[str]:
    """The tokens of `generate`, in the order in which they are drawn; ``<eos>`` is the last where the text ends."""
    _check_words(n_words)
    if not (isinstance(temperature, int | float) and temperature >= 0):
        raise ConfigError(f"temperature must be a number of 0 or more; got {temperature!r}")
    if top_k is not None and not (isinstance(top_k, int) and top_k >= 1):
        raise ConfigError(f"top_k must be a whole number of at least 1; got {top_k!r}")
    if top_p is not None and not (isinstance(top_p, int | float) and 0 < top_p <= 1):
        raise ConfigError(f"top_p must lie above 0 and at most at 1; got {top_p!r}")
    random = None if seed is None else torch.Generator().manual_seed(seed)
    end, words = codec.vocabulary.id_of(EOS), []
    with _steps(model):
        logits, state = _read(model, codec, prompt)
        for _ in range(n_words):
            word = _drawn(_allowed(logits, codec)[0].cpu(), temperature, top_k, top_p, random)
            words.append(word)
            if word == end:
                break
            logits, state = _step(model, torch.tensor([[word]]), state)
    return codec.vocabulary.decode(words)


def beam_search(
    model: LanguageModel, codec: TextCodec, prompt: str = "", n_words: int = 20, *, beams: int = 5
) -> list[Continuation]:
    """The likeliest ways to go on that a search of this width finds, the likeliest per word first.

    Args:
        model: left in evaluation mode.
        codec: of the same model.
        prompt: what the text begins with.
        n_words: how many tokens at the most.
        beams: how many ways are followed at a time, side by side in one batch.

    Raises:
        ConfigError: an option out of its range.
    """
    _check_words(n_words)
    if not (isinstance(beams, int) and beams >= 1):
        raise ConfigError(f"beams must be a whole number of at least 1; got {beams!r}")
    end = codec.vocabulary.id_of(EOS)
    done: list[tuple[float, list[int], bool]] = []
    with _steps(model):
        logits, state = _read(model, codec, prompt)
        scores, texts = torch.zeros(1), [list[int]()]
        for _ in range(n_words):
            each = scores[:, None] + _allowed(logits, codec).cpu().float().log_softmax(1)  # (beams, words)
            best = each.flatten().topk(min(2 * beams, each.numel()))
            parents, words = best.indices // each.shape[1], best.indices % each.shape[1]
            going: list[tuple[float, int, int]] = []
            for score, parent, word in zip(best.values.tolist(), parents.tolist(), words.tolist(), strict=True):
                if score == -torch.inf:
                    continue
                if word == end:
                    done.append((score, texts[parent], True))
                elif len(going) < beams:
                    going.append((score, parent, word))
            if not going:
                texts = []
                break
            scores = torch.tensor([score for score, _, _ in going])
            texts = [[*texts[parent], word] for _, parent, word in going]
            chosen = torch.tensor([parent for _, parent, _ in going], device=state[0][0].device)
            state = tuple((hidden[:, chosen], cell[:, chosen]) for hidden, cell in state)
            logits, state = _step(model, torch.tensor([[word] for _, _, word in going]), state)
    done += [(score, text, False) for score, text in zip(scores.tolist(), texts, strict=False)]
    done.sort(key=lambda found: -found[0] / (len(found[1]) + found[2] or 1))
    return [
        Continuation(codec.join(codec.vocabulary.decode(text)), score, complete)
        for score, text, complete in done[:beams]
    ]


def next_words(model: LanguageModel, codec: TextCodec, prompt: str = "", k: int = 10) -> list[tuple[str, float]]:
    """The likeliest next words with their probabilities, which are the model's own, ``<unk>`` left out.

    Args:
        model: left in evaluation mode.
        codec: of the same model.
        prompt: what the text begins with.
        k: how many words.

    Raises:
        ConfigError: ``k`` is no whole number above 0.
    """
    if not (isinstance(k, int) and k >= 1):
        raise ConfigError(f"k must be a whole number of at least 1; got {k!r}")
    with _steps(model):
        logits, _ = _read(model, codec, prompt)
    probabilities = logits[0].float().softmax(0)
    best = _allowed(probabilities[None], codec)[0].topk(min(k, len(probabilities) - 3))
    names = codec.vocabulary.decode(best.indices.tolist())
    return list(zip(names, best.values.tolist(), strict=True))


@contextmanager
def _steps(model: LanguageModel) -> Iterator[None]:
    model.eval()
    with torch.no_grad():
        yield


def _read(model: LanguageModel, codec: TextCodec, prompt: str) -> tuple[Tensor, State]:
    """Logits ``(1, words)`` after the prompt, and the state there."""
    ids = torch.from_numpy(codec.ids(prompt)[:-1].astype("int64"))[None]  # without <eos>
    state = model.encoder.no_state(1)
    logits = torch.empty(0)
    for start in range(0, ids.shape[1], WINDOW):
        logits, state = _step(model, ids[:, start : start + WINDOW], state)
    return logits, state


def _step(model: LanguageModel, words: Tensor, state: State) -> tuple[Tensor, State]:
    activations, state = model.encoder(words.to(model.bias.device), state)
    return model.decode(activations[:, -1]), state  # the last word's alone: (batch, words)


def _allowed(logits: Tensor, codec: TextCodec) -> Tensor:
    """The logits without those of what nobody writes."""
    never = [codec.vocabulary.id_of(token) for token in (UNKNOWN, PAD, BOS)]
    logits = logits.clone()
    logits[:, never] = -torch.inf
    return logits


def _drawn(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, random: torch.Generator | None
) -> int:
    if temperature == 0:
        return int(logits.argmax())
    scaled = logits.float() / temperature
    if top_k is None and top_p is None:
        return int(torch.multinomial(scaled.softmax(0), 1, generator=random))
    scaled, places = scaled.sort(descending=True) if top_k is None else scaled.topk(min(top_k, len(scaled)))
    probabilities = scaled.softmax(0)
    if top_p is not None:
        before = probabilities.cumsum(0) - probabilities
        probabilities[before >= top_p] = 0  # the likeliest always stays
    return int(places[torch.multinomial(probabilities, 1, generator=random)])


def _check_words(n_words: int) -> None:
    if not isinstance(n_words, int) or isinstance(n_words, bool) or n_words < 1:
        raise ConfigError(f"n_words must be a whole number of at least 1; got {n_words!r}")
