"""`TextEnsemble`: several classifiers of the same label, such as a forward and a backward one, as one artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from headstart.core.artefact import finite, reading
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError
from headstart.core.paths import expanded
from headstart.core.values import Json
from headstart.frames.door import Table, check_columns
from headstart.text.classifier_learner import ClassifierLearner
from headstart.text.codec import TextCodec
from headstart.text.learner import TextLearner
from headstart.text.transformer_learner import TransformerLearner
from headstart.training.saved import model_tensors, record_of, save_values

__all__ = ["TextEnsemble"]

MEMBERS: dict[str, type[ClassifierLearner]] = {kind.application: kind for kind in (TextLearner, TransformerLearner)}
"""Learners that an ensemble can be made of, by their application."""


class TextEnsemble:
    """The mean of the probabilities of several classifiers. Each may have its own vocabulary, direction and network.

    **Source:** Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018), section 3.3,
    "Bidirectional language model".

    Args:
        learners: trained classifiers of the same column of labels, with the same classes.

    Attributes:
        metrics: the figures of the last `validate`.

    Raises:
        ConfigError: there are no learners, or they have different labels.
    """

    application = "text-ensemble"

    def __init__(self, learners: Sequence[ClassifierLearner]) -> None:
        if not learners or not all(isinstance(learner, ClassifierLearner) for learner in learners):
            raise ConfigError("an ensemble needs trained text learners")
        self.target = learners[0].codec.label
        if any(learner.codec.label != self.target for learner in learners):
            raise ConfigError("the learners of an ensemble must have the same column of labels, with the same classes")
        self.learners = list(learners)
        self.metrics: dict[str, float] = {}

    @property
    def codec(self) -> TextCodec:
        """The codec of the first member; all read the same columns."""
        return self.learners[0].codec

    def predict(self, rows: str | Mapping[str, Any] | Sequence[str] | Table) -> Any:
        """Predict the label of one text, a list of texts, a table or a folder: as `TextLearner.predict`."""
        return self.learners[0].decoded(rows, self.probabilities_of_one, self.probabilities)

    def probabilities(self, frame: pl.DataFrame) -> Tensor:
        """Return probabilities for a frame's rows, float32 ``(rows, classes)``."""
        return torch.stack([learner.probabilities(frame).cpu() for learner in self.learners]).mean(0)

    def probabilities_of_one(self, row: str | Mapping[str, Any]) -> Tensor:
        """Return probabilities for one text, or a row as a dictionary, float32 ``(1, classes)``."""
        return torch.stack([learner.probabilities_of_one(row).cpu() for learner in self.learners]).mean(0)

    def rows_of(self, source: Table) -> pl.DataFrame:
        """Return the rows of a table, or of a folder of ``.txt`` files, under the names of the models' columns."""
        return self.learners[0].rows_of(source)

    def validate(self) -> dict[str, float]:
        """Return the metrics over the members' validation texts, which must be the same."""
        each = [learner.predict_with_targets() for learner in self.learners]
        if any(not torch.equal(target, each[0][1]) for _, target in each):
            raise ConfigError(
                "the members have other validation texts: give them the same split, or use evaluate(table)"
            )
        self.metrics = self._measured(torch.stack([prediction for prediction, _ in each]).mean(0), each[0][1])
        return self.metrics

    def evaluate(self, table: Table, *, where: str | None = None) -> dict[str, float]:
        """Return the metrics over the rows of a table with labels, or of a folder per label.

        Args:
            table: a table, or a folder.
            where: a SQL condition on the rows; None: all count.
        """
        rows = self.learners[0].labelled_rows(table, where)
        check_columns(rows, self.target.columns, "the table (label)")
        return self._measured(self.probabilities(rows), self.target.original(self.target.encode(rows)))

    def save(self, folder: str | Path) -> Path:
        """Save all members to one folder, whole or not at all.

        Raises:
            ArtifactError: the folder cannot be written, or holds other files.
        """
        members = [
            {"application": learner.application, **learner.values(), **record_of(learner)} for learner in self.learners
        ]
        tensors = {
            f"{number}.{name}": tensor
            for number, learner in enumerate(self.learners)
            for name, tensor in model_tensors(learner).items()
        }
        rest = {"model": type(self).__name__, "metrics": finite(self.metrics)}
        self.learners[0].engine.on_main(
            lambda: save_values(expanded(folder), self.application, {"members": members}, tensors, rest)
        )
        return expanded(folder)

    @classmethod
    def restored(cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine) -> TextEnsemble:
        """Return the ensemble that `save` wrote: see `ApplicationLearner.restored`."""
        with reading(folder):
            ensemble = cls(
                [
                    MEMBERS[member["application"]].restored(member, _part(tensors, number), folder, engine)
                    for number, member in enumerate(record["members"])
                ]
            )
            ensemble.metrics = {name: float(value) for name, value in record["metrics"].items() if value is not None}
        return ensemble

    def _measured(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        return {metric.name: metric(prediction, target) for metric in self.learners[0].metrics}


def _part(tensors: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """Return a member's weights under their own names, and the tensors of all codecs."""
    prefix = f"{number}."
    return {
        name.removeprefix(prefix): part
        for name, part in tensors.items()
        if not name[0].isdigit() or name.startswith(prefix)
    }
