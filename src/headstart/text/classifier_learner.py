"""`ClassifierLearner`: what classifiers of texts have in common, whatever their network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from headstart.core.errors import ConfigError
from headstart.core.paths import expanded
from headstart.frames.categories import is_missing
from headstart.frames.door import Table, row_in, to_source, usable_rows, values_of
from headstart.frames.rows import clean_text
from headstart.text.codec import TextCodec
from headstart.text.data import TextData, text_loader
from headstart.text.explanation import Explanation, explain
from headstart.text.folders import read_rows
from headstart.training.application_learner import ApplicationLearner
from headstart.training.callbacks import Callback
from headstart.training.history import History
from headstart.training.settings import Plan

if TYPE_CHECKING:
    from headstart.training.plots import Plot

__all__ = ["START_PLAN", "ClassifierLearner"]

START_PLAN = Plan(lr=0.005, epochs=3, depth=1.5)
"""Plan of a classifier from a language model. Howard and Ruder (2018, section 3.2) divide the rates from group to group
by 2.6; the smaller language models that a processor can train need larger rates at the input side: on a split of
movie-snippets 1.5 gave an accuracy of .804, and 2.6, from a quarter of the top rate on, .769."""


class ClassifierLearner(ApplicationLearner):
    """A classifier of texts: `TextLearner` on an AWD-LSTM encoder, `TransformerLearner` on a transformer."""

    codec_type = TextCodec
    codec: TextCodec

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
        """Unfreeze gradually: train the head, then the last two groups, then three, then everything.

        **Source:** Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018), section
        3.3; but rates are divided from group to group by 1.5 (`START_PLAN`).

        Args:
            lr: the head's top rate in the first stage; later stages have half of it.
            epochs: length of the last stage.
            frozen_epochs: length of each earlier stage; 0: train everything at once, with ``lr`` itself.
            callbacks: callbacks for all stages.
            checkpoint: folder that gets a checkpoint of each stage, in a folder of its own.
            resume: go on from there.
        """
        started, count = len(self.history), len(self.groups)
        stages = [(1, lr, frozen_epochs), (2, lr / 2, frozen_epochs), (3, lr / 2, frozen_epochs)]
        stages = [stage for stage in stages if stage[0] < count] if frozen_epochs else []
        stages.append((count, lr / 2 if frozen_epochs else lr, epochs))
        parts = [None if checkpoint is None else expanded(checkpoint) / f"last-{stage[0]}-groups" for stage in stages]
        if not resume and self.engine.is_main:
            for part in filter(None, parts):
                shutil.rmtree(part, ignore_errors=True)  # later stages of an earlier run do not belong to this one
        self.engine.wait()
        for (trained, rate, length), folder in zip(stages, parts, strict=True):
            self.freeze_to(-trained)
            rates = replace(START_PLAN, lr=rate).rates(count)
            self.fit_one_cycle(rates, length, callbacks=callbacks, checkpoint=folder, resume=resume)
        return History(self.history[started:])

    def predict(self, rows: str | Mapping[str, Any] | Sequence[str] | Table, *, snapshot: str | None = None) -> Any:
        """Predict the label of one text, a list of texts, a table's rows, or the files of a folder.

        Args:
            rows: a text, or a row as a dictionary, which take the shortest path; or a list of texts; or a table with
                the columns of text (others are ignored). A path to a table or to a folder of ``.txt`` files must be a
                ``pathlib.Path``.
            snapshot: average the predictions of all cycles saved under this name; not for one text.

        Returns:
            For one text a dictionary: ``prediction``, and of classes ``probability_<class>`` for each. For a table one
            of its own library with these columns, a row per row; otherwise a polars frame.

        Raises:
            DataError: a column is missing, or does not hold text.
        """

        def of_one(row: str | Mapping[str, Any]) -> Tensor:
            if snapshot is not None:
                raise ConfigError("snapshot averages over many texts; for one give a list of one")
            return self.probabilities_of_one(row)

        return self.decoded(rows, of_one, partial(self.probabilities, snapshot=snapshot))

    def decoded(
        self,
        rows: str | Mapping[str, Any] | Sequence[str] | Table,
        of_one: Callable[[str | Mapping[str, Any]], Tensor],
        of_frame: Callable[[pl.DataFrame], Tensor],
    ) -> Any:
        """Return what `predict` returns for texts in any form, by functions that return probabilities.

        Args:
            rows: as for `predict`.
            of_one: returns those of one text, or of a row as a dictionary, ``(1, classes)``.
            of_frame: returns those of a frame's rows, ``(rows, classes)``.
        """
        if isinstance(rows, str | Mapping):
            return self.codec.label.decode_one(of_one(rows))
        row = row_in(rows)
        if row is not None and set(self.codec.columns) <= set(row):
            return self.codec.label.decode_one(of_one(row))
        texts = list(rows) if isinstance(rows, list | tuple) else values_of(rows)
        if texts is not None and not any(isinstance(text, Mapping) for text in texts):
            return self.codec.decode(of_frame(self.frame_of(texts)))
        return to_source(self.codec.decode(of_frame(self.rows_of(rows))), rows)

    def probabilities(self, frame: pl.DataFrame, *, snapshot: str | None = None) -> Tensor:
        """Return probabilities for a frame's rows, float32 ``(rows, classes)``, or numbers."""
        if not len(frame):
            self.codec.texts(frame)  # checks the columns
            return self.codec.label.prediction(torch.zeros(0, self.codec.label.outputs))
        return self.predict_batches(text_loader(self.codec, frame, self.engine, with_target=False), snapshot=snapshot)

    def probabilities_of_one(self, row: str | Mapping[str, Any]) -> Tensor:
        """Return probabilities for one text, or a row as a dictionary, by the shortest path: ``(1, classes)``."""
        inputs = self.codec.encode_one(row)
        device = self.engine.device
        self.model.eval()
        with torch.inference_mode(), self.engine.autocast():
            return self.prediction(self.model(*(part.to(device) for part in inputs))[0])

    def rows_of(self, source: Table) -> pl.DataFrame:
        """Return the rows of a table, or of a folder of ``.txt`` files, under the names of the model's columns."""
        return read_rows(source, self.codec.columns, readings=self.codec.readings, csv=self.codec.csv)

    def labelled_rows(self, table: Table, where: str | None = None) -> pl.DataFrame:
        """Return the rows of a table with labels, or of a folder per label, that fulfil a condition."""
        codec = self.codec
        rows = read_rows(
            table,
            codec.columns,
            codec.label.columns[0],
            classes=codec.label.classes,
            readings=codec.readings,
            csv=codec.csv,
        )
        return usable_rows(rows, where, "the table", ())

    def frame_of(self, texts: Sequence[str]) -> pl.DataFrame:
        """Return a list of texts as a frame with the model's column.

        Raises:
            ConfigError: the model reads several columns, or an entry is not text.
        """
        if len(self.codec.columns) != 1:
            raise ConfigError(f"these texts are made of {', '.join(self.codec.columns)}: give a table, or a dictionary")
        known = [text if isinstance(text, str) else "" for text in texts if isinstance(text, str) or is_missing(text)]
        if len(known) != len(texts):
            other = next(text for text in texts if not isinstance(text, str) and not is_missing(text))
            raise ConfigError(f"predict takes a list of texts; got {type(other).__name__}: {str(other)[:40]}")
        return pl.DataFrame(
            {self.codec.columns[0]: [clean_text(text) for text in known]}, schema={self.codec.columns[0]: pl.String}
        )

    def evaluate(self, table: Table, *, where: str | None = None) -> dict[str, float]:
        """Return ``valid_loss`` and the metrics over the rows of a table with labels, or of a folder per label.

        Args:
            table: a table, or a folder.
            where: a SQL condition on the rows; None: all count.
        """
        rows = self.labelled_rows(table, where)
        return self.validate(text_loader(self.codec, rows, self.engine, with_target=True))

    def explain(self, text: str | Mapping[str, Any], of: Any = None) -> Explanation:
        """Return what each word of a text contributes to a prediction: see `headstart.text.explanation.explain`.

        Args:
            text: one text, or a row as a dictionary.
            of: the class whose probability is explained; None: the likeliest. Of numbers the column; None: the first.
        """
        return explain(self.model, self.codec, text, of, self.engine.device, self.temperature)

    def interpret(self, n: int = 10) -> pl.DataFrame:
        """Return the validation texts with the largest error, the worst first.

        Args:
            n: number of texts.

        Returns:
            Texts and label, ``prediction``, ``probability_<class>`` for each class, and ``loss``.

        Raises:
            ConfigError: there are no validation texts, or ``n`` is not a whole number of at least 1.
        """
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ConfigError(
                f"n must be a whole number of at least 1; got {n!r}. To see what a text's words contribute:"
                " explain(text)"
            )
        prediction, true = (part.cpu() for part in self.predict_with_targets())
        errors = pl.Series("loss", self.codec.label.row_errors(prediction, true).numpy())
        decoded = self.codec.decode(prediction)
        rows = self._valid_rows()
        kept = [name for name in decoded.columns if name not in rows.columns]  # a label may be called prediction
        rows = pl.concat([rows.drop("loss", strict=False), decoded.select(kept)], how="horizontal")
        return rows.with_columns(errors).sort("loss", descending=True).head(n)

    def confusion_matrix(self) -> pl.DataFrame:
        """Return how many validation texts of each class are taken for which; of several labels the hits of each."""
        return self.codec.label.confusion(*self.predict_with_targets())

    def plot_confusion(self) -> Plot:
        """Plot the confusion matrix; for several labels per text the precision and recall of each."""
        from headstart.training.plots import plot_confusion, plot_label_counts  # matplotlib takes a moment to import

        counts = self.confusion_matrix()
        return plot_label_counts(counts) if self.codec.label.kind == "labels" else plot_confusion(counts)

    def residuals(self, column: str | None = None) -> pl.DataFrame:
        """Return ``prediction``, ``target`` and ``residual`` of the validation texts, of a target of numbers.

        Args:
            column: which of several targets; None: the first.
        """
        return self.codec.label.residuals(*self.predict_with_targets(), column)

    def plot_residuals(self, column: str | None = None) -> Plot:
        """Plot residuals against predictions, and their distribution.

        Args:
            column: which of several targets; None: the first.
        """
        from headstart.training.plots import plot_residuals  # matplotlib takes a moment to import

        frame = self.residuals(column)
        unit = column or self.codec.label.columns[0]
        return plot_residuals(frame["prediction"].to_numpy(), frame["target"].to_numpy(), unit)

    def _valid_rows(self) -> pl.DataFrame:
        data = self._own_data()
        if not isinstance(data, TextData) or data.valid_rows is None:
            raise ConfigError("there are no validation texts to show: make learner.data with TextData.from_table")
        return data.valid_rows
