"""AWD-LSTM: an encoder of text, and the language model on top of it.

    tokens (batch, time) -> AWDLSTM -> activations (batch, time, embedding) -> LanguageModel -> every next word

Imports torch and `headstart.core.errors` alone: with `headstart.text.models.softmax` it can be copied out.

**Source:** Merity et al., "Regularizing and Optimizing LSTM Language Models" (2018).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.core.errors import ConfigError
from headstart.text.models.softmax import IGNORED, cross_entropy_in_chunks

__all__ = [
    "AWDLSTM",
    "Dropouts",
    "LanguageModel",
    "State",
    "WeightDropLSTM",
    "Windows",
    "dropped_weights",
    "locked_dropout",
    "lstm_runs_in_bf16",
]

State: TypeAlias = tuple[tuple[Tensor, Tensor], ...]
"""Hidden state and cell of each layer, each ``(1, batch, width of the layer)``."""

Windows: TypeAlias = list[tuple[Tensor, Tensor]]
"""Activations of the last layer before and after output dropout, ``(batch, time, embedding)``, for each window."""


@dataclass(frozen=True)
class Dropouts:
    """Probabilities of AWD-LSTM's dropouts, each 0 or more and below 1.

    Attributes:
        embedding: of dropping a word in a whole batch.
        input: of dropping a number of the embedded words, with one mask for all times.
        weight: of dropping a weight of the recurrent matrices.
        hidden: of dropping a number between two layers, with one mask for all times.
        output: of dropping a number after the last layer, with one mask for all times; in a classifier after pooling.

    Raises:
        ConfigError: a probability is out of its range.
    """

    embedding: float = 0.02
    input: float = 0.25
    weight: float = 0.2
    hidden: float = 0.15
    output: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("embedding", "input", "weight", "hidden", "output"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < 1):
                raise ConfigError(f"{name} dropout must be 0 or more and below 1; got {value!r}")

    def times(self, factor: float) -> Dropouts:
        """Return all probabilities times a factor: above 1 against overfitting, below 1 against underfitting."""
        names = ("embedding", "input", "weight", "hidden", "output")
        return replace(self, **{name: getattr(self, name) * factor for name in names})


def locked_dropout(values: Tensor, probability: float) -> Tensor:
    """Drop the same numbers at all times of a window.

    **Source:** Gal and Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks"
    (2016).

    Args:
        values: ``(batch, time, width)``.
        probability: of dropping a number of ``(batch, width)``; the others are scaled so that the expectation stays.
    """
    if probability == 0:
        return values
    mask = values.new_empty(values.shape[0], 1, values.shape[2]).bernoulli_(1 - probability).div_(1 - probability)
    return values * mask


def dropped_weights(weights: Tensor, probability: float) -> Tensor:
    """Return weights of which some are 0, and the others are scaled so that the expectation stays.

    On a processor sixteen random bits decide on each weight, so that the probability is rounded to a multiple of
    2 ** -16: ``F.dropout`` draws a float for each, and takes more than twice as long.

    Args:
        weights: of any shape.
        probability: of dropping a weight.
    """
    if weights.device.type != "cpu":
        return F.dropout(weights, probability, training=True)
    dropped = min(round(probability * 2**16), 2**16 - 1)
    random = torch.empty(-(-weights.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = random.view(torch.int16)[: weights.numel()] >= dropped - 2**15
    return weights * kept.view_as(weights).to(weights.dtype).mul_(2**16 / (2**16 - dropped))


@cache
def lstm_runs_in_bf16() -> bool:
    """Return whether this processor has an LSTM in bf16; oneDNN has none for processors with AVX2 alone."""
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            nn.LSTM(8, 8)(torch.zeros(1, 1, 8))
    except RuntimeError:
        return False
    return True


class WeightDropLSTM(nn.LSTM):
    """One LSTM layer whose recurrent weights are dropped in training, the same ones at all times of a window.

    The dropped matrix is passed to the kernel in place of the parameter: cuDNN's and oneDNN's LSTM stay in use, nothing
    is copied in evaluation, and the parameters keep torch's names.

    Args:
        input_size: width of the input.
        hidden_size: width of the output.
        weight_drop: probability of dropping a recurrent weight.
    """

    def __init__(self, input_size: int, hidden_size: int, weight_drop: float = 0.0) -> None:
        super().__init__(input_size, hidden_size, batch_first=True)
        self.weight_drop = weight_drop

    def forward(  # type: ignore[override]  # a state is always given
        self, inputs: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return outputs, ``(batch, time, hidden)``, and the last state, of inputs ``(batch, time, input)``."""
        state = (state[0].to(inputs.dtype), state[1].to(inputs.dtype))
        if not self.training or self.weight_drop == 0:
            results: tuple[Tensor, tuple[Tensor, Tensor]] = super().forward(inputs, state)
            return results
        input_weight, recurrent, *biases = self.parameters()
        weights = [input_weight, dropped_weights(recurrent, self.weight_drop), *biases]
        if inputs.is_cuda:  # cuDNN needs all weights in one block of memory
            sizes = [weight.numel() for weight in weights]
            parts = torch.split(torch.cat([weight.flatten() for weight in weights]), sizes)
            weights = [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]
        outputs, hidden, cell = torch.lstm(inputs, state, weights, True, 1, 0.0, True, False, True)
        return outputs, (hidden, cell)


class AWDLSTM(nn.Module):
    """Embedding and LSTM layers, the last as wide as the embedding, so that the decoder can share its weights.

    **Shape:** tokens int ``(batch, time)`` -> activations ``(batch, time, embedding_size)``.

    >>> encoder = AWDLSTM(100, embedding_size=8, hidden=12, layers=2)
    >>> activations, state = encoder(torch.zeros(3, 5, dtype=torch.int64), encoder.no_state(3))
    >>> activations.shape
    torch.Size([3, 5, 8])

    Args:
        words: size of the vocabulary.
        embedding_size: width of the embedding and of the last layer.
        hidden: width of the other layers.
        layers: number of layers.
        dropouts: probabilities of the dropouts; ``output`` is applied by the decoder or head on top. None: the defaults
            of `Dropouts`.

    Raises:
        ConfigError: a size is not a whole number of at least 1.
    """

    def __init__(
        self,
        words: int,
        *,
        embedding_size: int = 400,
        hidden: int = 1152,
        layers: int = 3,
        dropouts: Dropouts | None = None,
    ) -> None:
        super().__init__()
        sizes = {"words": words, "embedding_size": embedding_size, "hidden": hidden, "layers": layers}
        for name, size in sizes.items():
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1; got {size!r}")
        self.dropouts = dropouts or Dropouts()
        self.embedding = nn.Embedding(words, embedding_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        widths = [embedding_size, *[hidden] * (layers - 1), embedding_size]
        self._widths = widths[1:]
        self.layers = nn.ModuleList(
            WeightDropLSTM(width, following, self.dropouts.weight) for width, following in pairwise(widths)
        )

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return the embedding, then each layer."""
        layers: list[list[nn.Module | nn.Parameter]] = [[layer] for layer in self.layers]
        return [[self.embedding], *layers]

    def no_state(self, batch: int) -> State:
        """Return the state at the beginning of texts: zeros."""
        weight = self.embedding.weight
        widths = self._widths
        return tuple((weight.new_zeros(1, batch, width), weight.new_zeros(1, batch, width)) for width in widths)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the words' vectors, ``(batch, time, embedding)``; in training some words are dropped everywhere."""
        vectors: Tensor = self.embedding(tokens)
        if self.training and self.dropouts.embedding:
            kept = 1 - self.dropouts.embedding
            mask = vectors.new_empty(self.embedding.num_embeddings).bernoulli_(kept).div_(kept)
            vectors = vectors * mask[tokens].unsqueeze(2)  # (batch, time, 1): the whole matrix is not touched
        return vectors

    def forward(self, tokens: Tensor, state: State, embedded: Tensor | None = None) -> tuple[Tensor, State]:
        """Return the last layer's activations, ``(batch, time, embedding)``, and the state after the last token.

        Args:
            tokens: int ``(batch, time)``.
            state: from `no_state`, or from the window before.
            embedded: vectors ``(batch, time, embedding)`` to use in place of those of the tokens.
        """
        values = self.embed(tokens) if embedded is None else embedded
        if self.training:
            values = locked_dropout(values, self.dropouts.input)
        after: list[tuple[Tensor, Tensor]] = []
        for number, (layer, before) in enumerate(zip(self.layers, state, strict=True)):
            if number and self.training:
                values = locked_dropout(values, self.dropouts.hidden)
            values, last = layer(values, before)  # (batch, time, width of the layer)
            after.append(last)
        return values, tuple(after)


class LanguageModel(nn.Module):
    """Predicts every next word, and carries its state from window to window.

    **Shape:** tokens int ``(batch, time)``, fresh bool ``(batch,)`` -> logits ``(batch, time, words)``; with targets
    ``(batch, time)`` -> their mean cross-entropy, a scalar, without ever holding all logits.

    >>> model = LanguageModel(AWDLSTM(100, embedding_size=8, hidden=12, layers=2))
    >>> tokens = torch.zeros(3, 5, dtype=torch.int64)
    >>> model(tokens, torch.ones(3, dtype=torch.bool))[0].shape
    torch.Size([3, 5, 100])

    Args:
        encoder: encoder whose embedding is also the decoder's matrix (tied weights).
        sampled: in training compare each next word with the words of the batch and this many random others, instead of
            the whole vocabulary: several times as fast for large ones. None: the whole vocabulary.
        frequencies: each word's share of the training tokens, float32 ``(words,)``; needed to train with ``sampled``.
            None: not known yet; set the attribute before training.

    Raises:
        ConfigError: ``sampled`` is not a whole number of at least 1.
    """

    frequencies: Tensor | None

    def __init__(self, encoder: AWDLSTM, *, sampled: int | None = None, frequencies: Tensor | None = None) -> None:
        super().__init__()
        if sampled is not None and not (isinstance(sampled, int) and sampled >= 1):
            raise ConfigError(f"sampled must be a whole number of at least 1 word, or None; got {sampled!r}")
        self.encoder, self.sampled = encoder, sampled
        self.bias = nn.Parameter(torch.zeros(encoder.embedding.num_embeddings))
        self.register_buffer("frequencies", frequencies, persistent=False)
        for number, (hidden, cell) in enumerate(encoder.no_state(0)):
            self.register_buffer(f"carried_hidden{number}", hidden, persistent=False)
            self.register_buffer(f"carried_cell{number}", cell, persistent=False)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return the encoder's groups, and the decoder's bias; its matrix is the embedding."""
        return [*self.encoder.groups(), [self.bias]]

    def forward(self, tokens: Tensor, fresh: Tensor, target: Tensor | None = None) -> tuple[Tensor, Windows]:
        """Return logits, or with targets the mean loss; and the activations, for penalties on them.

        Args:
            tokens: int ``(batch, time)``: the windows that follow those of the call before.
            fresh: bool ``(batch,)``: true where a stream begins, so that its state is zero.
            target: int ``(batch, time)``: the next tokens; `IGNORED` where none is to be predicted.

        Raises:
            ConfigError: the loss is to be ``sampled``, but ``frequencies`` are not known.
        """
        raw, state = self.encoder(tokens, self._carried(len(tokens), fresh))
        self._carry(state)
        dropped = locked_dropout(raw, self.encoder.dropouts.output) if self.training else raw
        windows = [(raw, dropped)]
        if target is None:
            return self.decode(dropped), windows
        if self.training and self.sampled is not None:
            return self._sampled_loss(dropped, target, self.sampled), windows
        loss, _ = cross_entropy_in_chunks(dropped, self.encoder.embedding.weight, self.bias, target)
        return loss, windows

    def reset(self) -> None:
        """Forget the carried state: the next window begins new streams."""
        self._carry(self.encoder.no_state(0))

    def decode(self, activations: Tensor) -> Tensor:
        """Return the logits, ``(..., words)``, of activations ``(..., embedding)``."""
        return F.linear(activations, self.encoder.embedding.weight, self.bias)

    def loss_and_hits(self, tokens: Tensor, fresh: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss over all targets but `IGNORED` ones, and how many of them are the likeliest word."""
        raw, state = self.encoder(tokens, self._carried(len(tokens), fresh))
        self._carry(state)
        return cross_entropy_in_chunks(raw, self.encoder.embedding.weight, self.bias, target)

    def _sampled_loss(self, activations: Tensor, target: Tensor, sampled: int) -> Tensor:
        """Cross-entropy among the words of the batch and some random others.

        **Source:** Jean et al., "On Using Very Large Target Vocabulary for Neural Machine Translation" (2015): each
        logit is reduced by the logarithm of the probability that its word is among those compared, so that the optimum
        is that of the whole softmax. The words of a batch are assumed to be drawn by their frequencies.
        """
        if self.frequencies is None:
            raise ConfigError(
                "sampled needs each word's share of the training tokens: give LanguageModel frequencies= as well"
            )
        words = len(self.bias)
        random = torch.randint(words, (sampled,), device=target.device)
        counted = target != IGNORED
        words_here = torch.where(counted, target, random[0]).flatten()
        chosen, repeated = _compared(words_here, random, distinct=target.device.type == "cpu")
        missed = (counted.sum() * (-self.frequencies[chosen]).log1p()).exp() * (1 - 1 / words) ** sampled
        bias = self.bias[chosen] - (1 - missed).log()
        if repeated is not None:
            bias = bias.masked_fill(repeated, -torch.inf)
        among = torch.where(counted, torch.searchsorted(chosen, target.clamp_min(0)), IGNORED)  # (batch, time)
        return cross_entropy_in_chunks(activations, F.embedding(chosen, self.encoder.embedding.weight), bias, among)[0]

    def _carried(self, batch: int, fresh: Tensor) -> State:
        held = [
            (getattr(self, f"carried_hidden{number}"), getattr(self, f"carried_cell{number}"))
            for number in range(len(self.encoder.layers))
        ]
        if held[0][0].shape[1] != batch:
            return self.encoder.no_state(batch)
        begins = fresh[None, :, None]  # (1, batch, 1)
        return tuple((hidden.masked_fill(begins, 0), cell.masked_fill(begins, 0)) for hidden, cell in held)

    def _carry(self, state: State) -> None:
        for number, (hidden, cell) in enumerate(state):
            setattr(self, f"carried_hidden{number}", hidden.detach())
            setattr(self, f"carried_cell{number}", cell.detach())


def _compared(target: Tensor, random: Tensor, *, distinct: bool) -> tuple[Tensor, Tensor | None]:
    """Return the words of a batch and the random ones, ascending, and which of them are repeated; None: none is.

    Args:
        target: the words of the batch, ``(batch * time,)``.
        random: random words, ``(sampled,)``.
        distinct: whether each word comes once, which is faster on a processor; on a GPU the number of words, and so all
            shapes, would have to be read from the device.
    """
    words = torch.cat([target, random])
    if distinct:
        return torch.unique(words), None
    words = words.sort().values
    return words, F.pad(words[1:] == words[:-1], (1, 0), value=False)
