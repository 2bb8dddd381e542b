"""The networks of texts, and how they are trained, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

from headstart.core.engine import seeded
from headstart.core.errors import ConfigError
from headstart.core.values import Range, Value, replaced
from headstart.text.codec import TextCodec
from headstart.text.models.awd_lstm import AWDLSTM, Dropouts, LanguageModel
from headstart.text.models.classifier import TextClassifier
from headstart.text.penalty import ActivationPenalty
from headstart.training.callbacks import Callback
from headstart.training.optim import AdamW, AnyOptimizer
from headstart.training.settings import LearnerOptions, Momenta, Training

__all__ = [
    "CLASSIFIER_DROPOUTS",
    "LANGUAGE_MODEL_DROPOUTS",
    "EncoderDesign",
    "LanguageModelDesign",
    "LanguageModelOptions",
    "LanguageModelTraining",
    "RecurrentOptions",
    "RecurrentTraining",
    "TextDesign",
    "TextOptions",
    "TextTraining",
]

LANGUAGE_MODEL_DROPOUTS = Dropouts(embedding=0.02, input=0.25, weight=0.2, hidden=0.15, output=0.1)
"""fastai's for language models."""

CLASSIFIER_DROPOUTS = Dropouts(embedding=0.05, input=0.4, weight=0.5, hidden=0.3, output=0.4)
"""fastai's for classifiers."""

LARGE_SIZES = (400, 1152, 3)
"""Embedding size, hidden width and layers on a GPU: fastai's."""


@dataclass(frozen=True, kw_only=True)
class EncoderDesign(Value):
    """The encoder of a language model or classifier: AWD-LSTM.

    Attributes:
        embedding_size: width of the embedding and of the last layer; None: that of the language model to start from,
            else 400 on a GPU, and on a processor 160 for a language model and 64 for a classifier.
        hidden: width of the other layers; None: that of the language model to start from, else 1152 on a GPU, and on a
            processor 320 for a language model and 96 for a classifier.
        layers: number of LSTM layers; None: that of the language model to start from, else 2 on a processor and 3 on a
            GPU.
        dropouts: the probability of each of AWD-LSTM's dropouts; fastai's for language models or for classifiers.
        dropout: factor on all dropouts: less for much text, more for little.
    """

    embedding_size: Annotated[int | None, Range(low=1)] = None
    hidden: Annotated[int | None, Range(low=1)] = None
    layers: Annotated[int | None, Range(low=1)] = None
    dropouts: Dropouts = LANGUAGE_MODEL_DROPOUTS
    dropout: Annotated[float | None, Range(low=0)] = None

    small_sizes: ClassVar[tuple[int, int, int]]

    def started(self, sizes: Mapping[str, int], folder: object) -> Self:
        """Return the design with the sizes of the encoder to start from.

        Args:
            sizes: ``embedding_size``, ``hidden`` and ``layers``.
            folder: where it was saved, for messages.

        Raises:
            ConfigError: the design asks for other sizes.
        """
        for name, size in sizes.items():
            if getattr(self, name) not in (None, size):
                raise ConfigError(
                    f"{name}={getattr(self, name)}, but the language model to start from has {size}, {folder}:"
                    f" leave {name} out"
                )
        return replaced(self, sizes)

    def with_sizes(self, device: str) -> Self:
        """Return the design with the usual sizes of a device where none are given.

        Args:
            device: type of the device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        """
        embedding_size, hidden, layers = self.small_sizes if device == "cpu" else LARGE_SIZES
        return replace(
            self, embedding_size=self.embedding_size or embedding_size, hidden=self.hidden or hidden,
            layers=self.layers or layers,
        )  # fmt: skip

    def encoder(self, codec: TextCodec) -> AWDLSTM:
        """Return a fresh encoder, its weights from torch's random stream; the design must be settled."""
        if self.embedding_size is None or self.hidden is None or self.layers is None or self.dropout is None:
            raise ConfigError("the design is not settled: give embedding_size, hidden, layers and dropout")
        return AWDLSTM(
            len(codec.vocabulary), embedding_size=self.embedding_size, hidden=self.hidden, layers=self.layers,
            dropouts=self.dropouts.times(self.dropout),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LanguageModelDesign(EncoderDesign):
    """An AWD-LSTM language model.

    Attributes:
        dropout: factor on all dropouts; None: 0.5 for fewer than a million training tokens, 0.1 for fewer than 30
            million, else 0.3.
        sampled: in training, compare each next word with this many random words instead of the whole vocabulary, which
            is several times as fast on a processor; 0: with the whole vocabulary. Validation is always by the whole
            vocabulary. None: 1000 on a processor for more than 5,000 words, else 0.
    """

    sampled: Annotated[int | None, Range(low=0)] = None

    small_sizes: ClassVar[tuple[int, int, int]] = (160, 320, 2)

    def settled(self, device: str, words: int, tokens: int | None) -> LanguageModelDesign:
        """Return the design with every field settled.

        Args:
            device: type of the device.
            words: size of the vocabulary.
            tokens: number of training tokens; None: unknown.
        """
        sampled = 1000 if device == "cpu" and words > 5000 else 0
        return replace(
            self.with_sizes(device), dropout=suggested_dropout(tokens) if self.dropout is None else self.dropout,
            sampled=sampled if self.sampled is None else self.sampled,
        )  # fmt: skip

    def network(self, codec: TextCodec, seed: int) -> LanguageModel:
        """Return a fresh language model.

        Args:
            codec: learnt from the training texts.
            seed: of the weights.
        """
        with seeded(seed):
            return LanguageModel(self.encoder(codec), sampled=self.sampled or None)


@dataclass(frozen=True, kw_only=True)
class TextDesign(EncoderDesign):
    """A classifier of texts: an AWD-LSTM encoder, pooling over the whole text, and a small head.

    Attributes:
        dropout: factor on all dropouts.
        head_hidden: width of the head's hidden layer; 0: none.
        bptt: tokens per window in which a text is read.
        max_length: number of tokens at the end of a text that gradients go through.
        apart: train the network without the outputs of the linear path, which are added in evaluation; False: it learns
            what they miss. None: True from a language model, which knows much that they do not.
    """

    dropouts: Dropouts = CLASSIFIER_DROPOUTS
    dropout: Annotated[float, Range(low=0)] = 0.6
    head_hidden: Annotated[int, Range(low=0)] = 50
    bptt: Annotated[int, Range(low=1)] = 72
    max_length: Annotated[int, Range(low=1)] = 1440
    apart: bool | None = None

    small_sizes: ClassVar[tuple[int, int, int]] = (64, 96, 2)

    def network(self, codec: TextCodec, seed: int) -> TextClassifier:
        """Return a fresh classifier.

        Args:
            codec: learnt from the training texts.
            seed: of the weights.
        """
        with seeded(seed):
            network = TextClassifier(
                self.encoder(codec), codec.label.outputs, hidden=self.head_hidden, bptt=self.bptt,
                max_length=self.max_length, apart=bool(self.apart),
            )  # fmt: skip
        if codec.linear is not None and not self.apart:
            network.start_at_zero()
        return network


def suggested_dropout(tokens: int | None) -> float:
    """Return the factor on a language model's dropouts by the number of training tokens; 1 if it is unknown.

    **Source:** our rule of thumb for a few epochs: little text is memorised, much is not.
    """
    if tokens is None:
        return 1.0
    return 0.5 if tokens < 1_000_000 else 0.1 if tokens < 30_000_000 else 0.3


@dataclass(frozen=True, kw_only=True)
class RecurrentTraining(Training):
    """Training of a recurrent network.

    **Source:** the lesson's and fastai's choices: less momentum than elsewhere, and the penalties of Merity et al.,
    "Regularizing and Optimizing LSTM Language Models" (2018), section 4.4.

    Attributes:
        optimizer: `AdamW`, here with less momentum than elsewhere, or `SGD`; in Python also a function that makes a
            torch optimizer.
        momenta: momentum (Adam's first beta) of one cycle: at its start, at the top rate, at its end.
        alpha: factor of activation regularisation, the mean square of the activations; 0: off.
        beta: factor of temporal activation regularisation, the mean square of their change from token to token; 0: off.
    """

    optimizer: AnyOptimizer = AdamW(betas=(0.7, 0.99))
    momenta: Annotated[Momenta, Range(low=0, below=1)] = (0.8, 0.7, 0.8)
    alpha: Annotated[float, Range(low=0)] = 2.0
    beta: Annotated[float, Range(low=0)] = 1.0

    def callbacks(self) -> list[Callback]:
        """Return the penalties on activations."""
        return [ActivationPenalty(self.alpha, self.beta)] if self.alpha or self.beta else []


@dataclass(frozen=True, kw_only=True)
class LanguageModelTraining(RecurrentTraining):
    """Training of a language model.

    Attributes:
        clip: largest norm of all gradients together; None: no limit.
    """

    clip: Annotated[float | None, Range(above=0)] = 0.3


@dataclass(frozen=True, kw_only=True)
class TextTraining(RecurrentTraining):
    """Training of a recurrent classifier.

    Attributes:
        clip: largest norm of all gradients together; None: no limit.
    """

    clip: Annotated[float | None, Range(above=0)] = 25.0


class RecurrentOptions(LearnerOptions, total=False):
    """Keyword arguments of learners on an AWD-LSTM encoder: `EncoderDesign`, `RecurrentTraining`, `LearnerOptions`."""

    embedding_size: int | None
    hidden: int | None
    layers: int | None
    dropouts: Dropouts
    dropout: float | None
    alpha: float
    beta: float


class LanguageModelOptions(RecurrentOptions, total=False):
    """Keyword arguments of `LanguageModelLearner`: the fields of its design and training, and `LearnerOptions`."""

    sampled: int | None


class TextOptions(RecurrentOptions, total=False):
    """Keyword arguments of `TextLearner`: the fields of its design and its training, and those of every learner."""

    head_hidden: int
    bptt: int
    max_length: int
    apart: bool | None
