"""`TextLearner`: a classifier of texts on an AWD-LSTM encoder, from a language model or from scratch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from headstart.text.classifier_learner import START_PLAN, ClassifierLearner
from headstart.text.codec import TextCodec
from headstart.text.data import TextData
from headstart.text.design import TextDesign, TextOptions, TextTraining
from headstart.text.encoder_learner import EncoderLearner
from headstart.text.models.classifier import TextClassifier
from headstart.training.settings import Plan, Training

__all__ = ["TextLearner"]

TOKENS_TO_READ = 2_000_000
"""Tokens that a network from fresh weights reads in all epochs together: half a minute of a processor."""


class TextLearner(ClassifierLearner, EncoderLearner):
    """A classifier of texts on an AWD-LSTM encoder.

    Args:
        data: from `TextData`, made with ``language_model=`` to start from one; or a codec, for a learner that only
            predicts.
        language_model: folder of a saved language model or encoder to start from; known words keep their vectors; None:
            that of the data, if they name one.
        design: the network; None: the defaults of `TextDesign`.
        training: all that changes what a training step does; None: the defaults of `TextTraining`.
        options: the fields of both by name, ``TextLearner(data, dropout=0.5, clip=1.0)``, and those of
            `LearnerOptions`: ``loss``, ``metrics``, ``callbacks``, ``folder``, ``progress``, ``engine``.
    """

    application = "text"
    design_type = TextDesign
    training_type = TextTraining
    design: TextDesign
    model: TextClassifier

    def __init__(
        self,
        data: TextData | TextCodec,
        *,
        language_model: str | Path | None = None,
        design: TextDesign | None = None,
        training: Training | None = None,
        **options: Unpack[TextOptions],
    ) -> None:
        super().__init__(data, language_model=language_model, design=design, training=training, **options)

    def settled(self, design: Any, data: Any) -> Any:
        """Return the design with all sizes, and with the network's part beside the linear path."""
        apart = self._start is not None if design.apart is None else design.apart
        settled: Any = super().settled(design, data)
        return replace(settled, apart=apart)

    def make_model(self, seed: int) -> nn.Module:
        """Return a fresh network of the design."""
        return self.design.network(self.codec, seed)

    @classmethod
    def suggest(cls, data: TextData, design: TextDesign | None = None) -> Plan:
        """Return three epochs: from a language model at 0.005 and lower rates at the input side, else at 0.01.

        Without a language model a network learns little that the linear path does not know, so that it reads no more
        than two million tokens, or all texts once.
        """
        if data.language_model is not None:
            return START_PLAN
        tokens = len(data.train.corpus.tokens)
        return Plan(lr=0.01, epochs=max(1, min(3, TOKENS_TO_READ // tokens)))
