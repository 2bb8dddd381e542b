"""`TextLearner`: a classifier of texts on an AWD-LSTM encoder, from a language model or from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from torch import nn

from headstart.text.classifier_learner import START_PLAN, ClassifierLearner
from headstart.text.codec import TextCodec
from headstart.text.data import TextData
from headstart.text.design import TextDesign, TextOptions, TextTraining
from headstart.text.encoder_learner import EncoderLearner
from headstart.text.models.classifier import TextClassifier
from headstart.training.settings import Plan, Training

__all__ = ["TextLearner"]


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

    def make_model(self, seed: int) -> nn.Module:
        """Return a fresh network of the design."""
        return self.design.network(self.codec, seed)

    @classmethod
    def suggest(cls, data: TextData, design: TextDesign | None = None) -> Plan:
        """Return three epochs: at 0.005 and lower rates at the input side from a language model, else at 0.01."""
        return Plan(lr=0.01, epochs=3) if data.language_model is None else START_PLAN
