"""`load`: from a saved folder to the learner that was saved, by a closed table of applications."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from headstart.core.artefact import read_folder
from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError

__all__ = ["load"]

APPLICATIONS = {
    "tabular": ("headstart.tabular.learner", "TabularLearner"),
    "collab": ("headstart.collab.learner", "CollabLearner"),
    "vision": ("headstart.vision.learner", "ImageLearner"),
    "ease": ("headstart.collab.rankers", "EASE"),
    "ials": ("headstart.collab.rankers", "IALS"),
    "language-model": ("headstart.text.language_model_learner", "LanguageModelLearner"),
    "text": ("headstart.text.learner", "TextLearner"),
    "text-ensemble": ("headstart.text.ensemble", "TextEnsemble"),
    "transformer": ("headstart.text.transformer_learner", "TransformerLearner"),
}
"""Application to module and class. A name from a file is looked up here and never imported as it is."""


def load(folder: str | Path, *, device: str = "auto") -> Any:
    """The learner that was saved in a folder, ready to predict what it predicted before, to the bit.

    It is a `TabularLearner`, a `CollabLearner`, an `EASE` or an `IALS`, a `LanguageModelLearner`, a `TextLearner` or
    their ensemble, whichever was saved.

    Args:
        folder: what `Learner.save` or ``headstart train --out`` wrote.
        device: where it shall run.

    Raises:
        ArtifactError: the folder is missing, damaged, from a newer headstart, or holds a user's own model.
    """
    record, tensors = read_folder(Path(folder), "learner")
    application = record.get("application")
    if application == "custom":
        raise ArtifactError(
            f"{folder} holds a model of your own ({record.get('model')}), whose class headstart does not know:"
            " make the model, then Learner(model, data).load(folder)"
        )
    if application not in APPLICATIONS:
        raise ArtifactError(
            f"{folder} is of the application {application!r}; this headstart knows {', '.join(APPLICATIONS)}: upgrade"
        )
    module, name = APPLICATIONS[application]
    found: Any = getattr(import_module(module), name)
    return found.from_record(record, tensors, Path(folder), Engine(device))
