"""`EncoderLearner`: what learners on an AWD-LSTM encoder have in common: a start, and the encoder to save and load."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError, ConfigError
from headstart.core.paths import expanded
from headstart.text.codec import TextCodec
from headstart.text.corpus_data import CorpusData
from headstart.text.design import EncoderDesign
from headstart.text.models.awd_lstm import LanguageModel, lstm_runs_in_bf16
from headstart.text.models.classifier import TextClassifier
from headstart.text.pretrained import Pretrained, read_pretrained, write_encoder
from headstart.training.application_learner import ApplicationLearner
from headstart.training.settings import Training

__all__ = ["EncoderLearner"]


class EncoderLearner(ApplicationLearner):
    """A learner whose model has an AWD-LSTM encoder.

    Args:
        data: training and validation texts, or a codec.
        language_model: folder of a saved language model, classifier or encoder to start from: its sizes are used, known
            words keep their vectors, and new words get the mean; None: that of the data, if they name one.
        design: the network.
        training: all that changes what a training step does.
        options: as for `ApplicationLearner`.

    Raises:
        ConfigError: the design asks for other sizes than those of the start.
        ArtifactError: the start cannot be read, or reads other tokens or in another direction.
    """

    codec_type = TextCodec
    codec: TextCodec
    model: LanguageModel | TextClassifier

    def __init__(
        self,
        data: CorpusData | TextCodec,
        *,
        language_model: str | Path | None = None,
        design: EncoderDesign | None = None,
        training: Training | None = None,
        **options: Any,
    ) -> None:
        if isinstance(data, CorpusData):
            if language_model is None:
                language_model = data.language_model
            else:
                data = replace(data, language_model=expanded(language_model))  # the plan goes by it
        self._start = None if language_model is None else read_pretrained(language_model)
        super().__init__(data, design=design, training=training, **options)
        if self._start is not None:
            self._take(self._start)
            self._start = None  # its weights are in the model now

    def settled(self, design: EncoderDesign, data: CorpusData | None) -> EncoderDesign:
        """Return the design with the sizes of the start, or the usual ones of the device."""
        if self._start is not None:
            design = design.started(self._start.sizes, self._start.folder)
        return design.with_sizes((Engine() if data is None else data.engine).device.type)

    @classmethod
    def check_engine(cls, training: Training, engine: Engine) -> None:
        """Raise `ConfigError` where the processor has no LSTM at the training's precision."""
        super().check_engine(training, engine)
        if engine.device.type == "cpu" and training.precision == "bf16" and not lstm_runs_in_bf16():
            raise ConfigError(
                "precision 'bf16' needs bf16 instructions, which this processor does not have: use 'fp32'"
            )

    def save_encoder(self, folder: str | Path) -> Path:
        """Save the encoder with its codec to a folder, for `load_encoder` and for ``language_model=``.

        Raises:
            ArtifactError: the folder cannot be written, or holds other files.
        """
        self.engine.on_main(
            lambda: write_encoder(expanded(folder), self.codec, self._sizes(), self.model.encoder.state_dict())
        )
        return expanded(folder)

    def load_encoder(self, folder: str | Path) -> None:
        """Take a saved encoder, language model or classifier: known words keep their vectors, new ones get the mean.

        Raises:
            ArtifactError: the folder cannot be read, or its encoder has other sizes, tokens or direction.
        """
        self._take(read_pretrained(folder))

    def _take(self, start: Pretrained) -> None:
        """Take the weights of a saved model, matched to this learner's vocabulary."""
        _check_same_reading(start, self.codec)
        if start.sizes != self._sizes():
            raise ArtifactError(
                f"the encoder in {start.folder} has the sizes {dict(start.sizes)}, this learner {self._sizes()}"
            )
        matched = start.for_vocabulary(self.codec.vocabulary)
        self.model.encoder.load_state_dict(dict(matched.encoder))
        if isinstance(self.model, LanguageModel) and matched.bias is not None:
            with torch.no_grad():
                self.model.bias.copy_(matched.bias)

    def _sizes(self) -> dict[str, int]:
        return {name: getattr(self.design, name) for name in ("embedding_size", "hidden", "layers")}


def _check_same_reading(start: Pretrained, codec: TextCodec) -> None:
    """Raise `ArtifactError` if a start reads other tokens than a codec, or in another direction."""
    if start.codec.tokenizer != codec.tokenizer:
        raise ArtifactError(
            f"the model in {start.folder} reads other tokens than these data: make them with"
            f" language_model={str(start.folder)!r}"
        )
    if start.codec.backward != codec.backward:
        directions = {True: "backward", False: "forward"}
        raise ArtifactError(
            f"the model in {start.folder} reads {directions[start.codec.backward]}, these data"
            f" {directions[codec.backward]}"
        )
