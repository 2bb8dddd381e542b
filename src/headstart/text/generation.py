"""Generation: a language model continues a text, at the same cost per word however long the prompt is."""

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
"""Tokens of a prompt that are read at a time, which bounds the memory for a long one."""


@dataclass(frozen=True)
class Continuation:
    """A continuation of a prompt.

    Attributes:
        text: what follows the prompt.
        log_probability: natural logarithm of its probability.
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
    """Return a random continuation of a prompt, drawn word by word from the model's probabilities; never ``<unk>``.

    **Source:** top-k: Fan et al. (2018); top-p (nucleus): Holtzman et al., "The Curious Case of Neural Text
    Degeneration" (2020).

    Args:
        model: the model, which is left in evaluation mode.
        codec: the model's codec.
        prompt: beginning of the text, field marks included; may be empty.
        n_words: largest number of tokens; the text may end before.
        temperature: divisor of the logits, 0 or more: below 1 prefers likely words, 0 always takes the likeliest, above
            1 prefers unlikely words.
        top_k: draw among this many likeliest words; None: among all.
        top_p: draw among the likeliest words with this share of the probability together, above 0 and at most 1; None:
            among all.
        seed: of the draws; None: from torch's random stream.

    Returns:
        The continuation, without the prompt. Of a backward model it is what precedes the prompt.

    Raises:
        ConfigError: an option is out of its range.
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
    """Return the tokens of `generate`, in the order in which they are drawn; ``<eos>`` last if the text ends."""
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
    """Return likely continuations of a prompt found by beam search, those with the likeliest words first.

    Args:
        model: the model, which is left in evaluation mode.
        codec: the model's codec.
        prompt: beginning of the text; may be empty.
        n_words: largest number of tokens.
        beams: number of continuations that are followed at a time, in one batch; as many are returned.

    Raises:
        ConfigError: an option is out of its range.
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
            open_ends: list[tuple[float, int, int]] = []
            for score, parent, word in zip(best.values.tolist(), parents.tolist(), words.tolist(), strict=True):
                if score == -torch.inf:
                    continue
                if word == end:
                    done.append((score, texts[parent], True))
                elif len(open_ends) < beams:
                    open_ends.append((score, parent, word))
            if not open_ends:
                texts = []
                break
            scores = torch.tensor([score for score, _, _ in open_ends])
            texts = [[*texts[parent], word] for _, parent, word in open_ends]
            chosen = torch.tensor([parent for _, parent, _ in open_ends], device=state[0][0].device)
            state = tuple((hidden[:, chosen], cell[:, chosen]) for hidden, cell in state)
            logits, state = _step(model, torch.tensor([[word] for _, _, word in open_ends]), state)
    done += [(score, text, False) for score, text in zip(scores.tolist(), texts, strict=False)]
    done.sort(key=lambda entry: -entry[0] / (len(entry[1]) + entry[2] or 1))
    return [
        Continuation(codec.join(codec.vocabulary.decode(text)), score, complete)
        for score, text, complete in done[:beams]
    ]


def next_words(model: LanguageModel, codec: TextCodec, prompt: str = "", k: int = 10) -> list[tuple[str, float]]:
    """Return the likeliest next words, except ``<unk>``, with their probabilities among all words.

    Args:
        model: the model, which is left in evaluation mode.
        codec: the model's codec.
        prompt: beginning of the text; may be empty.
        k: number of words, at least 1.

    Raises:
        ConfigError: ``k`` is not a whole number of at least 1.
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
    """Return the logits with minus infinity for ``<unk>``, ``<pad>`` and ``<bos>``, which are never written."""
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
    scaled, words = scaled.sort(descending=True) if top_k is None else scaled.topk(min(top_k, len(scaled)))
    probabilities = scaled.softmax(0)
    if top_p is not None:
        before = probabilities.cumsum(0) - probabilities
        probabilities[before >= top_p] = 0  # the likeliest word always remains
    return int(words[torch.multinomial(probabilities, 1, generator=random)])


def _check_words(n_words: int) -> None:
    if not isinstance(n_words, int) or isinstance(n_words, bool) or n_words < 1:
        raise ConfigError(f"n_words must be a whole number of at least 1; got {n_words!r}")
