"""`TextEnsemble`: several classifiers of the same labels, as a rule one forward and one backward, as one artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from headstart.core.artefact import finite, reading, write_folder
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError
from headstart.core.values import Json
from headstart.frames.door import Table, check_columns, read_table, to_source
from headstart.targets.metrics import metric_name
from headstart.targets.target import Label, Labels
from headstart.text.folders import rows_of
from headstart.text.learner import TextLearner
from headstart.version import __version__

__all__ = ["TextEnsemble"]


class TextEnsemble:
    """Answers with the mean of its members' probabilities. Each may have its own vocabulary and direction.

    Args:
        learners: trained classifiers of the same column of labels, with the same classes.

    Raises:
        ConfigError: no learner, or other labels.
    """

    application = "text-ensemble"

    def __init__(self, learners: Sequence[TextLearner]) -> None:
        if not learners or not all(isinstance(learner, TextLearner) for learner in learners):
            raise ConfigError("an ensemble needs trained text learners")
        targets = [learner.codec.target for learner in learners]
        if any(target != targets[0] for target in targets):
            raise ConfigError("the learners of an ensemble must have the same column of labels, with the same classes")
        assert targets[0] is not None
        self.learners = list(learners)
        self.target: Label | Labels = targets[0]
        self.metrics: dict[str, float] = {}

    def probabilities(self, frame: pl.DataFrame) -> Tensor:
        """Probabilities for a table's rows, ``(rows, classes)``."""
        return torch.stack([learner.probabilities(frame).cpu() for learner in self.learners]).mean(0)

    def predict(self, rows: str | Mapping[str, Any] | Sequence[str] | Table) -> Any:
        """Answers for one text, a list of texts, or a table: as `TextLearner.predict`."""
        if isinstance(rows, str | Mapping):
            found = torch.stack([learner.probabilities_of_one(rows).cpu() for learner in self.learners])
            return self.target.decode_one(found.mean(0))
        if isinstance(rows, list | tuple):
            return pl.DataFrame(self.target.decode(self.probabilities(self.learners[0].frame_of(rows))))
        return to_source(pl.DataFrame(self.target.decode(self.probabilities(read_table(rows)))), rows)

    def validate(self) -> dict[str, float]:
        """The metrics over the members' validation texts, which must be the same."""
        found = [learner.predict_with_targets() for learner in self.learners]
        if any(not torch.equal(target, found[0][1]) for _, target in found):
            raise ConfigError(
                "the members have other validation texts: give them the same split, or use evaluate(table)"
            )
        self.metrics = self._judged(torch.stack([prediction for prediction, _ in found]).mean(0), found[0][1])
        return self.metrics

    def evaluate(self, table: Table) -> dict[str, float]:
        """The metrics over all rows of a table that has the labels, or of a folder per label."""
        frame = rows_of(table, self.learners[0].codec.columns, self.target.column)
        check_columns(frame, self.target.columns, "the table (label)")
        return self._judged(self.probabilities(frame), self.target.original(self.target.encode(frame)))

    def save(self, folder: str | Path) -> Path:
        """Saves all members to one folder."""
        folder = Path(folder)
        record = {
            "application": self.application,
            "headstart": __version__,
            "model": {"class": "TextEnsemble", "members": len(self.learners)},
            "members": [learner.record() for learner in self.learners],
            "metrics": finite(self.metrics),
        }
        tensors = {
            f"{number}.{name}": tensor
            for number, learner in enumerate(self.learners)
            for name, tensor in learner.model.state_dict().items()
        }
        write_folder(folder, "learner", record, tensors)
        return folder

    @classmethod
    def from_record(cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine) -> TextEnsemble:
        """The ensemble that `save` wrote."""
        learners = []
        with reading(folder):
            for number, member in enumerate(record["members"]):
                own = {
                    name.removeprefix(f"{number}."): tensor
                    for name, tensor in tensors.items()
                    if name.startswith(f"{number}.")
                }
                learners.append(TextLearner.from_record(member, own, folder, engine))
        made = cls(learners)
        made.metrics = {name: float(value) for name, value in record["metrics"].items() if value is not None}
        return made

    def describe(self) -> list[str]:
        """Lines for ``headstart info``."""
        return [line for learner in self.learners for line in learner.describe()]

    def _judged(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        return {metric_name(metric): float(metric(prediction, target)) for metric in self.learners[0].metrics}
