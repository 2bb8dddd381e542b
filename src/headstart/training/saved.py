"""Saving and loading of learners: their values, weights and history in a folder."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from safetensors.torch import load as deserialize
from safetensors.torch import save as serialize
from torch import Tensor, nn

from headstart.core.artefact import finite, load_weights, read_folder, reading, write_folder
from headstart.core.batch import Loss
from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError, ConfigError, HeadstartWarning
from headstart.core.values import Json, differences, from_json, to_json
from headstart.targets.metrics import Metric, find_metrics
from headstart.targets.target import Target
from headstart.training.history import History
from headstart.training.optim import Groups, frozen_groups
from headstart.training.settings import Training

__all__ = [
    "load_into",
    "model_tensors",
    "pickled",
    "read_training",
    "record_of",
    "save",
    "save_values",
    "take_over",
    "unpickled",
]

MODEL = "model."
"""Prefix of the names of a model's tensors, which distinguishes them from those of the codec."""


class Saved(Protocol):
    """Protocol of learners that can be saved."""

    application: ClassVar[str]
    training_type: ClassVar[type[Training]]
    model: nn.Module
    engine: Engine
    target: Target | None
    loss: Loss | None
    metrics: tuple[Metric, ...]
    history: History
    figures: dict[str, float]
    fits: int
    temperature: float

    @property
    def groups(self) -> Groups:
        """Parameter groups of the model."""

    @classmethod
    def check_engine(cls, training: Training, engine: Engine) -> None:
        """Raise `ConfigError` if the model cannot run on the engine at the training's precision."""

    def values(self) -> dict[str, Any]:
        """Return the values that define the learner, except its weights, by name."""


def usual_engine() -> Engine:
    """Return an engine on the default device, for learners without data."""
    return Engine()


def save_values(
    folder: Path, application: str, values: Mapping[str, Any], tensors: Mapping[str, Tensor], rest: Mapping[str, Any]
) -> None:
    """Write an artefact of values, with their tensors, and weights.

    Args:
        folder: destination; an earlier save is replaced.
        application: name of the application.
        values: values that define the saved object, such as codec, design and training, by name.
        tensors: weights by name.
        rest: further JSON, such as figures and history.

    Raises:
        ArtifactError: the folder cannot be written, or contains other files.
    """
    from headstart.version import __version__

    stored = dict(tensors)
    record = {name: to_json(value, stored, name=name) for name, value in values.items()}
    write_folder(folder, "learner", {"application": application, "headstart": __version__, **record, **rest}, stored)


def record_of(learner: Saved) -> Json:
    """Return the contents of ``learner.json`` except the values that define the learner."""
    return {
        "model": type(learner.model).__name__,
        "loss": "default" if learner.loss is None else "custom",
        "measured_by": [metric.name for metric in learner.metrics],
        "metrics": finite(learner.figures),
        "history": [finite(epoch) for epoch in learner.history],
        "fits": learner.fits,
        "temperature": learner.temperature,
        "frozen": list(frozen_groups(learner.groups)),
    }


def model_tensors(learner: Saved) -> dict[str, Tensor]:
    """Return the weights by their names in an artefact."""
    return {f"{MODEL}{name}": tensor for name, tensor in learner.model.state_dict().items()}


def save(learner: Saved, folder: Path) -> Path:
    """Save a learner, completely or not at all. The main process writes, and all processes raise its errors.

    Returns:
        The folder.

    Raises:
        ArtifactError: the folder cannot be written, or contains other files.
    """
    learner.engine.on_main(
        lambda: save_values(folder, learner.application, learner.values(), model_tensors(learner), record_of(learner))
    )
    return folder


def pickled(learner: Saved) -> tuple[str, bytes]:
    """Return what a pickle holds of an application's learner: the JSON and the weights of an artefact."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model_tensors(learner).items()}
    record = {name: to_json(value, tensors, name=name) for name, value in learner.values().items()}
    return json.dumps({**record, **record_of(learner)}), serialize(tensors)


def unpickled(kind: Any, record: str, weights: bytes, device: str, progress: Any) -> Any:
    """Return the learner that `pickled` wrote, without data, as `headstart.load` returns a saved one.

    Args:
        kind: class of the learner.
        record: JSON of its values, figures and history.
        weights: its tensors, as safetensors.
        device: ``"cpu"``, or ``"auto"``: the machine may have another one.
        progress: its option of that name.
    """
    learner = kind.restored(json.loads(record), deserialize(weights), Path("a pickled learner"), Engine(device))
    learner.progress = progress
    return learner


def load_into(learner: Saved, folder: Path) -> Training:
    """Load a saved learner into one with the same codec and design: weights, history, number of fits, frozen groups.

    Returns:
        The saved training, at a precision that the learner's engine supports.

    Raises:
        ArtifactError: the folder is damaged, or holds a learner with another application, codec or design.
    """
    record, tensors = read_folder(folder, "learner")
    if record.get("application") != learner.application:
        raise ArtifactError(
            f"{folder} holds a learner of the application {record.get('application')!r}, not {learner.application!r}"
        )
    for name, value in learner.values().items():
        changed = [] if name == "training" else list(differences(record.get(name), to_json(value, {}, name=name), name))
        if changed:
            where, before, after = changed[0]
            raise ArtifactError(
                f"the model in {folder} has another {name} than this learner, so its weights mean something else here:"
                f" {where} is {_short(before)} there and {_short(after)} here. headstart.load({str(folder)!r}) returns"
                " the learner as it was saved"
            )
    training = read_training(type(learner), record, learner.engine, folder, stacklevel=4)
    load_weights(learner.model, own_tensors(tensors), folder)
    _take_state(learner, record, folder)
    return training


def read_training(kind: type[Saved], record: Json, engine: Engine, folder: Path, *, stacklevel: int = 5) -> Training:
    """Return the saved training at a precision that the engine supports, with a warning if it is another one.

    Args:
        kind: class of the learner.
        record: contents of ``learner.json``.
        engine: device and processes.
        folder: the artefact, named in messages.
        stacklevel: of the warning, which is to name the user's line; by default that of `headstart.load`.

    Raises:
        ArtifactError: the record has no training of this kind of learner.
    """
    with reading(folder):
        training: Training = from_json(kind.training_type, record["training"])
    try:
        kind.check_engine(training, engine)
        return training
    except ConfigError as error:
        warnings.warn(
            f"{folder} was trained in {training.precision} but runs in fp32 here: {error}",
            HeadstartWarning,
            stacklevel=stacklevel,
        )
        return replace(training, precision="fp32")


def own_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the model by their names in the model, from all tensors of an artefact."""
    return {name.removeprefix(MODEL): tensor for name, tensor in tensors.items() if name.startswith(MODEL)}


def take_over(learner: Saved, record: Json, folder: Path) -> None:
    """Restore the history, figures, frozen groups and metrics of a saved learner.

    Custom metrics and losses are not saved; a warning names them, and the defaults are used instead.

    Args:
        learner: the learner to change.
        record: contents of ``learner.json``.
        folder: the artefact, named in messages.

    Raises:
        ArtifactError: the record is incomplete.
    """
    _take_state(learner, record, folder)
    with reading(folder):
        metrics: list[Metric] = []
        custom: list[str] = []
        for name in record["measured_by"]:
            try:
                metrics += find_metrics([name], learner.target)
            except ConfigError:
                custom.append(name)
        learner.metrics = tuple(metrics) if metrics or not custom else find_metrics(None, learner.target)
        custom += ["the loss"] if record["loss"] == "custom" else []
    if custom:
        warnings.warn(
            f"{folder}: {', '.join(custom)} was a function of your own, which is not saved; defaults are used:"
            " set learner.metrics and learner.loss to restore it",
            HeadstartWarning,
            stacklevel=4,
        )


def _take_state(learner: Saved, record: Json, folder: Path) -> None:
    """Restore what training has made of a learner besides its weights."""
    with reading(folder):
        learner.history[:] = [_numbers(epoch) for epoch in record["history"]]
        learner.figures = _numbers(record["metrics"])
        learner.fits = int(record["fits"])
        learner.temperature = float(record.get("temperature", 1.0))
        for parameters, frozen in zip(learner.groups.parameters, record["frozen"], strict=True):
            for parameter in parameters:
                parameter.requires_grad_(not frozen)


def _numbers(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in figures.items()}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
