"""`Predictor`: a model with the data it is judged by: validates, predicts, saves and loads. `Learner` adds training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from headstart.core.artefact import Json, finite, load_weights, read_folder, reading, write_folder
from headstart.core.batch import Loss, checked_loss
from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError, ConfigError, HeadstartWarning, NotFittedError
from headstart.core.values import to_json
from headstart.targets.metrics import NO_METRICS, Metric, find_metrics, metric_name, metrics_of
from headstart.targets.target import AnyTarget, Target
from headstart.training.ensemble import loss_of
from headstart.training.evaluation import evaluate, run_model
from headstart.training.history import History
from headstart.training.loaders import Data, Loader
from headstart.training.snapshots import Snapshots
from headstart.version import __version__

__all__ = ["Predictor"]


class Predictor:
    """What can be done with a model that is not training.

    Args:
        model: called as ``model(*batch.inputs)``.
        data: whose validation rows it is judged by; None for a loaded model.
        loss: ``loss(outputs, batch)``; None: the target's own.
        metrics: names or functions ``f(prediction, target)``; None: those that suit the target.
        folder: where snapshots of cycles are kept.
        engine: device and precision; None: the data's.
        target: how outputs are read; None: the data's.
    """

    application = "custom"
    """Which of headstart's applications this belongs to; what `headstart.load` goes by."""

    def __init__(
        self,
        model: nn.Module,
        data: Data | None,
        *,
        loss: Loss | None,
        metrics: Sequence[str | Metric] | None,
        folder: str | Path,
        engine: Engine | None,
        target: Target | None,
    ) -> None:
        self.engine = engine or (data.engine if data is not None else Engine())
        self.model = model.to(self.engine.device).eval()
        self.data = data
        self.target = target or (data.target if data is not None else None)
        self.loss = checked_loss(loss)
        self.metrics = find_metrics(metrics, self.target)
        self.snapshots = Snapshots(Path(folder))
        self.history = History()
        self.figures: dict[str, float] = {}
        self.fits = 0

    def validate(self, loader: Loader | None = None) -> dict[str, float]:
        """``valid_loss`` and the metrics, over the validation rows or those of another loader."""
        found = self._own_data().valid if loader is None else loader
        if found is None:
            raise ConfigError("there are no validation rows; give the data some, or a loader here")
        return evaluate(self.model, found, self.engine, self._loss(), self.target, self.metrics)

    def predict_with_targets(self, *, snapshot: str | None = None) -> tuple[Tensor, Tensor]:
        """Predictions for the validation rows, in their order, and what was true.

        Args:
            snapshot: average the predictions of all cycles saved under this name.

        Returns:
            Probabilities ``(rows, classes)`` or numbers in the target's unit, and the targets on the same scale.
        """
        valid = self._own_data().valid
        if valid is None:
            raise ConfigError("there are no validation rows to predict")
        target = run_model(self.model, valid, self.engine).target
        if target is None:
            raise ConfigError("the validation batches have no target")
        prediction = self.predict_batches(valid, snapshot=snapshot)
        return prediction, self.target.original(target) if self.target is not None else target

    def predict_batches(self, loader: Loader, *, snapshot: str | None = None) -> Tensor:
        """Predictions for a loader's rows, in their order.

        Args:
            loader: with or without targets.
            snapshot: average the predictions of all cycles saved under this name.
        """
        if snapshot is not None:
            each = [self.predict_batches(loader) for _ in self.snapshots.each(self.model, snapshot)]
            return torch.stack(each).mean(0)
        outputs = run_model(self.model, loader, self.engine).outputs
        return self.target.prediction(outputs) if self.target is not None else outputs

    def save(self, folder: str | Path) -> Path:
        """Saves the model to a folder: ``learner.json`` and ``weights.safetensors``, whole or not at all.

        Raises:
            ArtifactError: the folder cannot be written, or holds other files.
        """
        folder = Path(folder)
        if self.engine.is_main:
            write_folder(folder, "learner", self.record(), self.model.state_dict())
        self.engine.wait()
        return folder

    def load(self, folder: str | Path) -> None:
        """Takes the weights that `save` wrote into this learner's model, which must be of the same make.

        Raises:
            ArtifactError: the folder is damaged, of another application, or does not fit.
        """
        record, tensors = read_folder(Path(folder), "learner")
        if record.get("application") != self.application:
            raise ArtifactError(
                f"{folder} holds a learner of the application {record.get('application')!r}, not {self.application!r}"
            )
        load_weights(self.model, tensors, Path(folder))

    def record(self) -> Json:
        """What ``learner.json`` says of this learner."""
        target = None if self.target is None else to_json(self.target, kind=AnyTarget)
        return {
            "application": self.application,
            "headstart": __version__,
            "model": {"class": type(self.model).__name__},
            "target": target,
            "loss": "default" if self.loss is None else "custom",
            "judged_by": [metric_name(metric) for metric in self.metrics],
            "metrics": finite({name: self.figures[name] for name in self.figures if name not in NO_METRICS}),
            "history": [finite(figures) for figures in self.history],
        }

    def take_over(self, record: Json, folder: Path) -> None:
        """Takes over what a record tells of: epochs, figures, and the metrics that have names."""
        with reading(folder):
            for figures in record["history"]:
                self.history.append({name: math.nan if value is None else value for name, value in figures.items()})
            self.figures = {name: math.nan if value is None else value for name, value in record["metrics"].items()}
            self.fits = int(self.history[-1]["fit"]) + 1 if self.history else 0
            known = metrics_of(self.target)
            self.metrics = tuple(known[name] for name in record["judged_by"] if name in known)
            own = [name for name in record["judged_by"] if name not in known]
            own += ["the loss"] if record["loss"] == "custom" else []
        if own:
            warnings.warn(
                f"{folder}: {', '.join(own)} was a function of your own, which is not saved; defaults stand in:"
                " set learner.metrics and learner.loss to judge as before",
                HeadstartWarning,
                stacklevel=4,
            )

    def save_cycle(self, name: str, cycle: int) -> None:
        """Saves the weights as they are under a name and a cycle's number, for `load_cycle`."""
        if self.engine.is_main:
            self.snapshots.save(self.model, name, cycle)
        self.engine.wait()

    def load_cycle(self, name: str, cycle: int) -> None:
        """Takes back the weights of a cycle, counted from 0, of ``fit(..., snapshot=name)``."""
        self.snapshots.load(self.model, name, cycle)
        self.figures = {}

    def _own_data(self) -> Data:
        if self.data is None:
            raise NotFittedError(
                "this learner was loaded without data; set learner.data to go on training or validating"
            )
        return self.data

    def _row_loss(self) -> Loss:
        if self.loss is not None:
            return self.loss
        if self.target is None:
            raise ConfigError(
                "there is no target whose loss would be the default: give loss=, a function (outputs, batch)"
            )
        return self.target.loss

    def _loss(self) -> Loss:
        return loss_of(self.model, self._row_loss())
