"""`EncoderLearner`: what learners on an AWD-LSTM encoder have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from headstart.core.artefact import read_folder, write_folder
from headstart.core.batch import Batch
from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError, ConfigError
from headstart.core.values import Json
from headstart.text.codec import TextCodec
from headstart.text.models.awd_lstm import AWDLSTM, Dropouts, Windows, lstm_runs_in_bf16
from headstart.text.pretrained import Pretrained, read_pretrained, save_record
from headstart.training.callbacks import Callback
from headstart.training.history import History
from headstart.training.learner import Learner
from headstart.training.optim import OptimizerFactory, Rates, adamw
from headstart.training.progress import Progress
from headstart.training.schedules import OneCycle

__all__ = ["ActivationPenalty", "EncoderLearner", "check_precision", "make_encoder", "text_adam"]


class ActivationPenalty(Callback):
    """Activation regularisation (large activations) and temporal activation regularisation (large changes in time).

    **Source:** Merity et al. (2018), section 4.4; the defaults are the lesson's.

    Args:
        alpha: times the mean square of the activations after output dropout.
        beta: times the mean square of the change of the activations from one token to the next.
    """

    def __init__(self, alpha: float = 2.0, beta: float = 1.0) -> None:
        for name, value in (("alpha", alpha), ("beta", beta)):
            if not (isinstance(value, int | float) and value >= 0):
                raise ConfigError(f"{name} must be a number of 0 or more; got {value!r}")
        self.alpha, self.beta = alpha, beta

    def on_loss(self, progress: Progress, batch: Batch, outputs: Any, loss: Tensor) -> Tensor:
        """Adds both."""
        return self.penalised(outputs[1], loss)

    def penalised(self, windows: Windows, loss: Tensor) -> Tensor:
        """The loss with both added, the mean over the windows.

        Args:
            windows: activations before and after output dropout, ``(batch, time, embedding)``, window after window.
            loss: a scalar.
        """
        for raw, dropped in windows:
            if self.alpha:
                loss = loss + self.alpha / len(windows) * dropped.float().square().mean()
            if self.beta and raw.shape[1] > 1:
                change = raw[:, 1:].float() - raw[:, :-1].float()  # (batch, time - 1, embedding)
                loss = loss + self.beta / len(windows) * change.square().mean()
        return loss


def text_adam() -> OptimizerFactory:
    """AdamW with less momentum than elsewhere, betas (0.7, 0.99): the lesson's choice for recurrent networks."""
    return adamw(betas=(0.7, 0.99))


class EncoderLearner(Learner):
    """A learner whose model has an ``encoder``: `headstart.text.models.awd_lstm.AWDLSTM`."""

    codec: TextCodec
    design: Json

    def fit_one_cycle(
        self,
        lr: Rates,
        epochs: int,
        *,
        warm_up: float = 0.25,
        callbacks: Sequence[Callback] = (),
        snapshot: str | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> History:
        """As `Learner.fit_one_cycle`, with the lower momentum that recurrent networks want (0.8 down to 0.7)."""
        return self.fit_schedule(
            lr, OneCycle(epochs, warm_up, momenta=(0.8, 0.7, 0.8)), callbacks=callbacks, snapshot=snapshot,
            checkpoint=checkpoint, resume=resume,
        )  # fmt: skip

    def save_encoder(self, folder: str | Path) -> Path:
        """Saves the encoder with its vocabulary to a folder, for `load_encoder` and for ``language_model=``.

        Raises:
            ArtifactError: the folder cannot be written, or holds other files.
        """
        folder = Path(folder)
        encoder = self._encoder()
        if self.engine.is_main:
            tensors = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
            write_folder(folder, "encoder", save_record(self.codec, self.design), tensors)
        self.engine.wait()
        return folder

    def load_encoder(self, folder: str | Path) -> None:
        """Takes a saved encoder or language model: known words keep their vectors, new ones get the mean.

        Raises:
            ArtifactError: the folder cannot be read, or its encoder has other sizes, tokens or direction.
        """
        self.take_pretrained(read_pretrained(folder), Path(folder))

    def take_pretrained(self, pretrained: Pretrained, folder: Path) -> None:
        """Takes the weights of a saved model of text, matched to this learner's vocabulary."""
        check_same_reading(pretrained.codec, self.codec, folder)
        own = {size: self.design[size] for size in pretrained.sizes}
        if pretrained.sizes != own:
            raise ArtifactError(f"the encoder in {folder} has the sizes {pretrained.sizes}, this learner {own}")
        matched = pretrained.for_vocabulary(self.codec.vocabulary)
        self._encoder().load_state_dict(matched.encoder)
        bias = getattr(self.model, "bias", None)
        if isinstance(bias, nn.Parameter) and matched.bias is not None:
            bias.data.copy_(matched.bias)

    def _encoder(self) -> AWDLSTM:
        encoder = getattr(self.model, "encoder", None)
        if not isinstance(encoder, AWDLSTM):
            raise ConfigError(f"{type(self.model).__name__} has no AWD-LSTM encoder to save or load")
        return encoder

    def load(self, folder: str | Path) -> None:
        """Takes the weights of a saved learner with the same codec into this one.

        Raises:
            ArtifactError: as for `Learner.load`, or the vocabulary is another.
        """
        record, _ = read_folder(Path(folder), "learner")
        if record.get("codec") not in (None, self.codec.to_json()):
            raise ArtifactError(
                f"the model in {folder} was trained with another vocabulary or other labels, so its weights mean"
                " something else here: headstart.load(folder), or load_encoder(folder), which matches the words"
            )
        super().load(folder)


def check_precision(engine: Engine) -> None:
    """That the engine's processor has an LSTM of the engine's precision.

    Raises:
        ConfigError: it has not.
    """
    if engine.device.type == "cpu" and engine.precision == "bf16" and not lstm_runs_in_bf16():
        raise ConfigError("precision 'bf16' needs bf16 instructions, which this processor does not have: use 'fp32'")


def check_same_reading(saved: TextCodec, own: TextCodec, folder: Path) -> None:
    """That two codecs cut texts into the same tokens, in the same direction.

    Raises:
        ArtifactError: they do not.
    """
    if saved.tokenizer != own.tokenizer:
        raise ArtifactError(
            f"the model in {folder} cuts texts into other tokens than these data; make them with"
            f" tokenizer=read_codec({str(folder)!r}).tokenizer, from headstart.text.pretrained"
        )
    if saved.backward != own.backward:
        directions: dict[bool, Literal["backward", "forward"]] = {True: "backward", False: "forward"}
        raise ArtifactError(
            f"the model in {folder} reads {directions[saved.backward]}, these data {directions[own.backward]}"
        )


def make_encoder(words: int, design: Json) -> AWDLSTM:
    """A fresh encoder of a design's sizes and dropouts."""
    return AWDLSTM(
        words, embedding_size=design["embedding_size"], hidden=design["hidden"], layers=design["layers"],
        dropouts=Dropouts(**design["dropouts"]),
    )  # fmt: skip
