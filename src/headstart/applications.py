"""The applications: one closed table, which `load`, the command, the demos and the contract tests go through.

To add an application, write its package and add its line here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias

from headstart.core.errors import ArtifactError
from headstart.core.paths import expanded

__all__ = ["APPLICATIONS", "Ability", "Application", "load"]

Ability: TypeAlias = Literal["train", "recommend", "generate", "read"]
"""What a learner can do besides ``predict``, ``evaluate`` and ``save``; see `Application`."""


@dataclass(frozen=True)
class Application:
    """One kind of model. Its modules are imported when they are needed.

    Attributes:
        name: its name in ``learner.json``, and in ``headstart train NAME``.
        module: module of its learner.
        learner: class of its learner, with a class method ``restored(record, tensors, folder, engine)``.
        data: ``module:class`` of its data, with a class method ``from_table``; empty: there is no command to train it.
        settings: ``module:class`` of the value that holds the options of its data.
        folders: whether its data have a class method ``from_folder`` besides.
        does: what its learner can do besides predicting: ``"train"``, it has ``fit_one_cycle`` and a history (others
            are solved, or made of trained learners); ``"recommend"``; ``"generate"``; ``"read"``, it has ``rows_of``,
            which returns the rows of a folder.
        title: what training it does, for ``headstart train --help``.
        source: what it is trained on.
        examples: arguments of ``headstart train NAME``, for its ``--help``.
    """

    name: str
    module: str
    learner: str
    data: str = ""
    settings: str = "headstart.frames.assemble:DataSettings"
    folders: bool = False
    does: tuple[Ability, ...] = ("train",)
    title: str = ""
    source: str = "A CSV or Parquet file."
    examples: tuple[str, ...] = ()

    def learner_type(self) -> Any:
        """Return the learner's class; imports its module."""
        return getattr(import_module(self.module), self.learner)

    def data_type(self) -> Any:
        """Return the class of its data; imports its module."""
        return _named(self.data)

    def settings_type(self) -> Any:
        """Return the class of its data's options; imports its module."""
        return _named(self.settings)


def _named(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


APPLICATIONS: dict[str, Application] = {
    application.name: application
    for application in (
        Application(
            "tabular", "headstart.tabular.learner", "TabularLearner",
            data="headstart.tabular.data:TabularData", settings="headstart.tabular.data:TabularSettings",
            title="Predict a column of a table: a number, a count or a class.",
            examples=(
                "sales.csv --target Sales --time Date --valid-from 2015-06-20 --log-target --out model",
                "customers.parquet --target churned --exclude id,name --ensemble 3 --out model",
            ),
        ),
        Application(
            "collab", "headstart.collab.learner", "CollabLearner",
            data="headstart.collab.data:RatingsData", settings="headstart.collab.data:RatingsSettings",
            does=("train", "recommend"),
            title="Recommend items: learn from ratings, or from who chose what.",
            source="A CSV or Parquet file with a row for each rating or choice.",
            examples=(
                "ratings.csv --user user --item film --rating stars --items films.csv --out model",
                "orders.csv --user customer --item product --time day --method ials --out model",
            ),
        ),
        Application("ease", "headstart.collab.rankers", "EASE", does=("recommend",)),
        Application("ials", "headstart.collab.rankers", "IALS", does=("recommend",)),
        Application(
            "language-model", "headstart.text.language_model_learner", "LanguageModelLearner",
            data="headstart.text.language_model_data:LanguageModelData",
            settings="headstart.text.language_model_data:LanguageModelSettings",
            folders=True, does=("train", "generate"),
            title="Learn a language from texts without labels; it writes, and is a start for 'train text'.",
            source="A CSV or Parquet file with a column of texts, or a folder of .txt files.",
            examples=("reviews.csv --text review --out lm", "articles --tokenizer subwords --epochs 3 --out lm"),
        ),
        Application(
            "text", "headstart.text.learner", "TextLearner",
            data="headstart.text.data:TextData", settings="headstart.text.data:TextSettings",
            folders=True, does=("train", "read"),
            title="Classify texts, from a language model or from scratch.",
            source="A CSV or Parquet file with texts and labels, or a folder with a folder of .txt files per class.",
            examples=(
                "reviews.csv --text review --label stars --language-model lm --out model",
                "mails --valid-fraction 0.1 --out model",
            ),
        ),
        Application("text-ensemble", "headstart.text.ensemble", "TextEnsemble", does=("read",)),
        Application("transformer", "headstart.text.transformer_learner", "TransformerLearner", does=("train", "read")),
        Application(
            "vision", "headstart.vision.learner", "ImageLearner",
            data="headstart.vision.data:ImageData", settings="headstart.vision.data:ImageSettings",
            folders=True,
            title="Classify images, from a pretrained backbone.",
            source="A folder with a folder of images per class (or train and valid with those), or a table of paths.",
            examples=(
                "photos --out model",
                "labels.csv --path file --label tags --separator '|' --backbone resnet34 --out model",
            ),
        ),
    )
}  # fmt: skip
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
    from headstart.core.artefact import read_folder
    from headstart.core.engine import Engine

    folder = expanded(folder)
    record, tensors = read_folder(folder, "learner")
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
    return APPLICATIONS[name].learner_type().restored(record, tensors, folder, Engine(device))
