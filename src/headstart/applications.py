"""The applications: one closed table, which `load`, the command, the demos and the contract tests go through.

To add an application, write its package and add its line here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from headstart.core.artefact import read_folder
from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError

__all__ = ["APPLICATIONS", "Application", "load"]


@dataclass(frozen=True)
class Application:
    """One kind of model.

    Attributes:
        name: its name in ``learner.json``.
        module: module of its learner.
        learner: class of its learner, with a class method ``restored(record, tensors, folder, engine)``.
    """

    name: str
    module: str
    learner: str

    def learner_type(self) -> Any:
        """Return the learner's class; imports its module."""
        return getattr(import_module(self.module), self.learner)


APPLICATIONS: dict[str, Application] = {
    application.name: application
    for application in (
        Application("tabular", "headstart.tabular.learner", "TabularLearner"),
        Application("collab", "headstart.collab.learner", "CollabLearner"),
        Application("ease", "headstart.collab.rankers", "EASE"),
        Application("ials", "headstart.collab.rankers", "IALS"),
        Application("language-model", "headstart.text.language_model_learner", "LanguageModelLearner"),
        Application("text", "headstart.text.learner", "TextLearner"),
        Application("text-ensemble", "headstart.text.ensemble", "TextEnsemble"),
        Application("transformer", "headstart.text.transformer_learner", "TransformerLearner"),
        Application("vision", "headstart.vision.learner", "ImageLearner"),
    )
}
"""By name. A name from a file is looked up here and never imported as it is."""


def load(folder: str | Path, *, device: str = "auto") -> Any:
    """Return the learner that was saved in a folder: it predicts what it predicted before, and trains on likewise.

    Args:
        folder: what `Learner.save` or ``headstart train --out`` wrote.
        device: where it shall run.

    Returns:
        A `TabularLearner`, `CollabLearner`, `TextLearner`, ..., whichever was saved.

    Raises:
        ArtifactError: the folder is missing, damaged, from a newer headstart, or holds a user's own model.
    """
    record, tensors = read_folder(Path(folder), "learner")
    name = record.get("application")
    if name == "custom":
        raise ArtifactError(
            f"{folder} holds a model of your own ({record.get('model')}), whose class headstart does not know:"
            " make the model, then Learner(model, data).load(folder)"
        )
    if name not in APPLICATIONS:
        raise ArtifactError(
            f"{folder} is of the application {name!r}; this headstart knows {', '.join(APPLICATIONS)}: upgrade"
        )
    return APPLICATIONS[name].learner_type().restored(record, tensors, Path(folder), Engine(device))
