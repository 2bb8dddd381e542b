"""`TextLearner`: from a language model's encoder to labels; predicts, explains, and is saved as one folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from headstart.core.artefact import load_weights, reading
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError
from headstart.core.values import Json
from headstart.frames.door import Table, read_table, to_source
from headstart.targets.metrics import Metric
from headstart.targets.target import Label, Labels, Loss
from headstart.text.codec import TextCodec
from headstart.text.data import TextData, text_loader
from headstart.text.encoder_learner import ActivationPenalty, EncoderLearner, check_precision, make_encoder, text_adam
from headstart.text.folders import rows_of
from headstart.text.interpretation import Interpretation, interpret
from headstart.text.language_model_learner import chosen_sizes, describe_codec
from headstart.text.models.awd_lstm import Dropouts
from headstart.text.models.classifier import TextClassifier
from headstart.text.pretrained import read_pretrained
from headstart.training.callbacks import Callback
from headstart.training.display import Verbosity
from headstart.training.history import History
from headstart.training.learner import Learner
from headstart.training.loaders import Data
from headstart.training.optim import OptimizerFactory
from headstart.training.plots import Plot, plot_confusion, plot_label_counts

__all__ = ["CLASSIFIER_DROPOUTS", "TextLearner"]

CLASSIFIER_DROPOUTS = Dropouts(embedding=0.05, input=0.4, weight=0.5, hidden=0.3, output=0.4)
"""fastai's for classifiers."""

DEPTH = 1.5
"""Each group's rate is the next one's divided by this. Howard and Ruder (2018, section 3.2) divide by 2.6; the smaller
language models that a processor can make want more change: on a split of movie-snippets 1.5 gave an accuracy of .804,
and 2.6, from a quarter of the top on, .769."""


class TextLearner(EncoderLearner):
    """A classifier of texts on an AWD-LSTM encoder, or on a transformer.

    Args:
        data: from `TextData`. Made with ``language_model=``, it says where the encoder starts; made with a
            transformer's tokenizer, the backbone is that transformer.
        language_model: a saved language model's or encoder's folder to start from, if the data name none; known words
            keep their vectors.
        embedding_size: width of the embedding of an encoder from scratch.
        hidden: width of its hidden layers.
        layers: how many.
        dropouts: all of AWD-LSTM's dropouts; None: fastai's for classifiers.
        dropout: factor on all of them.
        head_hidden: width of the head's hidden layer; 0 for none.
        bptt: tokens that are read at a time.
        max_length: tokens at the end of a text that gradients go through.
        alpha: of activation regularisation.
        beta: of temporal activation regularisation.
        loss: as for `Learner`, and the same for all that follows.
        metrics: names or functions.
        optimizer: a factory; None: AdamW with betas (0.7, 0.99).
        weight_decay: of embeddings and weights.
        clip: largest norm of the gradients.
        accumulate: batches per step.
        callbacks: for every fit.
        seed: of the weights and of dropout.
        folder: where snapshots are kept.
        progress: what a fit shows.
    """

    application = "text"
    model: nn.Module

    def __init__(
        self,
        data: TextData,
        *,
        language_model: str | Path | None = None,
        embedding_size: int | None = None,
        hidden: int | None = None,
        layers: int | None = None,
        dropouts: Dropouts | None = None,
        dropout: float = 1.0,
        head_hidden: int = 50,
        bptt: int = 72,
        max_length: int = 1440,
        alpha: float = 2.0,
        beta: float = 1.0,
        loss: Loss | None = None,
        metrics: Sequence[str | Metric] | None = None,
        optimizer: OptimizerFactory | None = None,
        weight_decay: float = 0.01,
        clip: float | None = 25.0,
        accumulate: int = 1,
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
        folder: str | Path = "models",
        progress: Verbosity = "auto",
    ) -> None:
        check_precision(data.engine)
        self.codec = data.codec
        start = language_model or data.language_model
        pretrained = None if start is None else read_pretrained(start)
        sizes: dict[str, int | None] = {"embedding_size": embedding_size, "hidden": hidden, "layers": layers}
        self.design: Json = {
            **chosen_sizes(sizes, None if pretrained is None else pretrained.sizes),
            "dropouts": asdict((dropouts or CLASSIFIER_DROPOUTS).times(dropout)),
            "head_hidden": head_hidden, "bptt": bptt, "max_length": max_length,
        }  # fmt: skip
        super().__init__(
            _make_model(self.codec, self.design, seed), data, loss=loss, metrics=metrics,
            optimizer=optimizer or text_adam(), weight_decay=weight_decay, clip=clip, accumulate=accumulate,
            callbacks=[ActivationPenalty(alpha, beta), *callbacks], seed=seed, folder=folder, progress=progress,
        )  # fmt: skip
        if pretrained is not None:
            assert start is not None
            self.take_pretrained(pretrained, Path(start))

    def fine_tune(
        self,
        lr: float,
        epochs: int,
        *,
        frozen_epochs: int = 1,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> History:
        """Gradual unfreezing: the head alone, then one group more, then two, then everything at rates per group.

        **Source:** Howard and Ruder (2018), section 3.3. We divide the rates from group to group by less (`DEPTH`).

        Args:
            lr: the head's top rate in the first stage; half of it from the second on.
            epochs: of the last stage.
            frozen_epochs: of each stage before it; 0: everything at once, at ``lr`` itself.
            callbacks: for all stages.
            checkpoint: a folder that gets, in a folder for each stage, what is needed to go on.
            resume: go on from there.
        """
        started, count = len(self.history), len(self.groups)
        stages = [(1, lr, frozen_epochs), (2, lr / 2, frozen_epochs), (3, lr / 2, frozen_epochs)]
        stages = [stage for stage in stages if stage[0] < count] if frozen_epochs else []
        stages.append((count, lr / 2 if frozen_epochs else lr, epochs))
        folders = [None if checkpoint is None else Path(checkpoint) / f"last-{stage[0]}-groups" for stage in stages]
        if not resume and self.engine.is_main:
            for folder in filter(None, folders):
                shutil.rmtree(folder, ignore_errors=True)  # an earlier run's later stages are none of this one's
        self.engine.wait()
        for (trained, rate, length), own in zip(stages, folders, strict=True):
            self.freeze_to(-trained)
            self.fit_one_cycle(_rates(rate, count), length, callbacks=callbacks, checkpoint=own, resume=resume)
        return History(self.history[started:])

    def predict(self, rows: str | Mapping[str, Any] | Sequence[str] | Table, *, snapshot: str | None = None) -> Any:
        """Answers for one text, a list of texts, or a table.

        Args:
            rows: a text, or a row as a dictionary, which take the shortest path; or a list of texts; or a table with
                the column of texts (others are ignored). For a path to a file give ``pathlib.Path``.
            snapshot: average the predictions of all cycles saved under this name; not for one text.

        Returns:
            For one text a dictionary: ``prediction`` and ``probability_<class>`` for each class; for a list a polars
            frame of the same columns, for a table one of its own library, a row per row.

        Raises:
            DataError: a column is missing, or holds what is no text.
        """
        if isinstance(rows, str | Mapping):
            if snapshot is not None:
                raise ConfigError("snapshot averages over many texts; for one give a list of one")
            return self._target.decode_one(self.probabilities_of_one(rows))
        frame = self.frame_of(rows) if isinstance(rows, list | tuple) else read_table(rows)
        source: Any = frame if isinstance(rows, list | tuple) else rows
        return to_source(pl.DataFrame(self._target.decode(self.probabilities(frame, snapshot=snapshot))), source)

    def probabilities(self, frame: pl.DataFrame, *, snapshot: str | None = None) -> Tensor:
        """Probabilities for a table's rows, ``(rows, classes)``."""
        if not len(frame):
            self.codec.texts(frame)  # checks the columns
            return self._target.prediction(torch.zeros(0, self._target.outputs))
        loader = text_loader(self.codec, frame, self.engine, with_target=False, workers=None)
        return self.predict_batches(loader, snapshot=snapshot)

    def frame_of(self, texts: Sequence[str]) -> pl.DataFrame:
        """A list of texts as a table with this learner's column.

        Raises:
            ConfigError: several columns are read, or an entry is no text.
        """
        if len(self.codec.columns) != 1:
            raise ConfigError(f"these texts are made of {', '.join(self.codec.columns)}: give a table, or a dictionary")
        if not all(isinstance(text, str) for text in texts):
            raise ConfigError("predict takes a list of texts; an entry is no text")
        return pl.DataFrame({self.codec.columns[0]: list(texts)}, schema={self.codec.columns[0]: pl.String})

    def probabilities_of_one(self, text: str | Mapping[str, Any]) -> Tensor:
        """Probabilities for one text, or a row as a dictionary, by the shortest path: ``(1, classes)``."""
        ids = torch.from_numpy(self.codec.encode_one(text))[None].to(self.engine.device)
        self.model.eval()
        with torch.inference_mode(), self.engine.autocast():
            outputs = self.model(ids, torch.tensor([ids.shape[1]], device=ids.device))[0]
            return self._target.prediction(outputs)

    def evaluate(self, table: Table) -> dict[str, float]:
        """``valid_loss`` and the metrics over all rows of a table that has the labels, or of a folder per label."""
        assert self.codec.target is not None
        rows = rows_of(table, self.codec.columns, self.codec.target.column)
        return self.validate(text_loader(self.codec, rows, self.engine, with_target=True, workers=None))

    def interpret(self, text: str | Mapping[str, Any], of: Any = None) -> Interpretation:
        """What each word contributes to an answer: see `headstart.text.interpretation.interpret`.

        Args:
            text: one text, or a row as a dictionary.
            of: the class whose answer is explained; None: the likeliest.
        """
        if not isinstance(self.model, TextClassifier):
            raise ConfigError("interpret is for AWD-LSTM classifiers")
        return interpret(self.model, self.codec, text, of, self.engine.device)

    def top_losses(self, n: int = 10) -> pl.DataFrame:
        """The validation texts that the model gets most wrong, the worst first.

        Returns:
            Texts and label, ``prediction``, ``probability_<class>`` for each class, and ``loss``.
        """
        rows, (prediction, true) = self._judged_rows(), self.predict_with_targets()
        prediction, true = prediction.cpu(), true.cpu()
        losses = self._target.row_errors(prediction, true)
        answers = pl.DataFrame([*self._target.decode(prediction).values(), pl.Series("loss", losses.numpy())])
        return pl.concat([rows, answers], how="horizontal").sort("loss", descending=True).head(n)

    def confusion_matrix(self) -> pl.DataFrame:
        """How many validation texts of each class were taken for which; of several labels per text, each one's hits."""
        self._judged_rows()
        return self._target.confusion(*self.predict_with_targets())

    def plot_confusion(self) -> Plot:
        """The confusion matrix as a picture; for several labels per text, precision and recall of each."""
        counted = self.confusion_matrix()
        return plot_label_counts(counted) if self._target.kind == "labels" else plot_confusion(counted)

    def describe(self) -> list[str]:
        """Lines for ``headstart info``."""
        classes = ", ".join(map(str, self._target.classes[:20]))
        return [f"label        {self._target.column} ({classes})", *describe_codec(self.codec)]

    def record(self) -> Json:
        """What ``learner.json`` says of this learner."""
        return super().record() | {
            "model": {"class": type(self.model).__name__, **self.design}, "codec": self.codec.to_json(),
        }  # fmt: skip

    @classmethod
    def from_record(cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine) -> TextLearner:
        """The learner that `save` wrote, without data: it predicts; set ``data`` to go on training."""
        learner = cls.__new__(cls)
        with reading(folder):
            learner.codec = TextCodec.from_json(record["codec"])
            learner.design = dict(record["model"])
            learner.design.pop("class")
            model = _make_model(learner.codec, learner.design, seed=0)
        load_weights(model, tensors, folder)
        Learner.__init__(
            learner, model, None, optimizer=text_adam(), clip=25.0, callbacks=[ActivationPenalty()], engine=engine,
            target=learner.codec.target,
        )  # fmt: skip
        learner.take_over(record, folder)
        return learner

    @property
    def _target(self) -> Label | Labels:
        assert self.codec.target is not None
        return self.codec.target

    def _own_data(self) -> Data:
        data = super()._own_data()
        if isinstance(data, TextData) and data.codec != self.codec:
            raise ConfigError(
                "learner.data has another codec than the learner, so its ids and labels mean something else: make it"
                " with TextData.from_table(..., codec=learner.codec)"
            )
        return data

    def _judged_rows(self) -> pl.DataFrame:
        data = self._own_data()
        if not isinstance(data, TextData):
            raise ConfigError(
                "errors are looked for in the validation texts of TextData; learner.data is of another kind"
            )
        return data.valid_rows


def _rates(top: float, count: int) -> list[float]:
    return [top / DEPTH ** (count - 1 - number) for number in range(count)]


def _make_model(codec: TextCodec, design: Json, seed: int) -> TextClassifier:
    assert codec.target is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TextClassifier(
            make_encoder(len(codec.vocabulary), design), codec.target.outputs, hidden=design["head_hidden"],
            bptt=design["bptt"], max_length=design["max_length"],
        )  # fmt: skip
