"""What ``headstart train`` does beyond `Job` where an application has more than one way to train."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from headstart.applications import APPLICATIONS
from headstart.command.options import CommandOption, options_in
from headstart.command.train import DATA, NETWORK, NOT_FOR_PEOPLE, TRAINING, Job
from headstart.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from headstart.core.engine import Engine
    from headstart.frames.splits import Splitter

__all__ = ["job_of"]


def _preset_options(effort: str) -> tuple[CommandOption, CommandOption]:
    """Return ``--preset``, with what it means for an application, and ``--minutes``."""
    from headstart.core.values import Range
    from headstart.training.settings import Preset

    limit = "time limit of the training in minutes; the model is then the best so far. None: none."
    return (
        CommandOption("preset", Preset, "default", effort, TRAINING),
        CommandOption("minutes", Annotated[float | None, Range(above=0)], None, limit, TRAINING),
    )


class TabularJob(Job):
    """Tables: also networks that have a name."""

    def own_options(self) -> tuple[CommandOption, ...]:
        """Return ``--network``, and how much time to take."""
        text = 'network that has a name: ``"lesson"``, that of fast.ai\'s lesson; ``"members"``, four networks in one.'
        kind = Literal["lesson", "members"] | None
        return (
            CommandOption("network", kind, None, f"{text} None: the options below.", NETWORK),
            *_preset_options(
                'how much time to take: ``"fast"``, a third of the steps; ``"best"``, eight networks, averaged, each of'
                " which leaves out an eighth of the training rows."
            ),
            CommandOption(
                "refit", bool | None, None,
                "afterwards, train anew on all rows, those of validation too, for as many epochs; the metrics are those"
                " of before. None: where the validation rows are the latest because no others were asked for.",
                TRAINING,
            ),
        )  # fmt: skip

    def fit(self, learner: Any, given: Mapping[str, Any]) -> None:
        """Train the learner by a preset."""
        data = learner.data
        self.fit_by_preset(learner, given)
        if learner.data is not data and data.engine.is_main:
            typer.echo(f"trained again on all {learner.data.train.rows:,} rows, for as many epochs", err=True)

    def baselines(self, data: Any, learner: Any) -> dict[str, dict[str, float]]:
        """Return the metrics of the mean, a linear model and LightGBM."""
        from headstart.tabular.baselines import baselines

        return baselines(data, learner.metrics)

    def split_by_fraction(self, fraction: float, given: Mapping[str, Any]) -> Splitter:
        """Return the usual split, the latest rows where there are dates, with this share of validation rows."""
        from headstart.frames.splits import by_default

        return by_default(fraction, seed=given.get("seed", 0))

    def learner(self, data: Any, given: Mapping[str, Any]) -> Any:
        """Return a learner of the network of that name, changed by the other options."""
        from headstart.tabular.design import LESSON_NETWORK, MEMBERS_NETWORK

        options = self.learner_options(self.learner_type, {**given})
        options.pop("network", None)
        named: Any = {"lesson": LESSON_NETWORK, "members": MEMBERS_NETWORK}.get(given.get("network", ""), {})
        return self.learner_type(data, **{**named, **options})


class CollabJob(Job):
    """Ratings and choices: several methods, some of which are solved and not trained."""

    def own_options(self) -> tuple[CommandOption, ...]:
        """Return ``--method``, ``--valid-last``, how much time to take, and the options of the solved methods."""
        from headstart.collab.methods import METHODS
        from headstart.collab.rankers import EASE, IALS
        from headstart.core.values import Range, options_of

        known = "; ".join(f'``"{method.name}"``: {method.help}' for method in METHODS.values())
        method = CommandOption(
            "method", Literal[tuple(METHODS)] | None, None,
            f"way to learn. {known}. None: ratings with --rating, ials without.", NETWORK,
        )  # fmt: skip
        effort = _preset_options(
            'how much time to take for ratings: ``"fast"``, a third of the epochs; ``"best"``, six models, averaged.'
        )
        last = CommandOption(
            "valid_last", Annotated[int | None, Range(low=1)], None,
            "each user's last so many rows validate, with --time, such as 1.", DATA,
        )  # fmt: skip
        rankers: tuple[Any, ...] = (IALS, EASE)
        solved = [
            dataclasses.replace(option, help=f"with --method {learner.application}: {option.help}")
            for learner in rankers
            for option in options_in(options_of(learner.design_type), NETWORK)
            if option.name not in self._trained
        ]
        return (last, method, *effort, *solved)

    @property
    def _trained(self) -> set[str]:
        kinds = (self.learner_type.design_type, self.learner_type.training_type)
        return {field.name for kind in kinds for field in dataclasses.fields(kind)}

    def check(self, given: Mapping[str, Any]) -> None:
        """Raise `ConfigError` for options that only other methods have."""
        from headstart.collab.methods import METHODS

        method = self._method(given)
        every = {name for other in METHODS.values() for name in self._options_of(other)}
        idle = every - self._options_of(method) - {"seed"}  # that of the split has an effect with each
        if method.fixed or not given.get("negatives"):
            idle |= {"ranking_loss"}  # the method's own, or none
        self.refuse(given, idle, f"with --method {method.name}")

    def _options_of(self, method: Any) -> set[str]:
        """Return the names of the options that a method's recommender and batches are made with."""
        from headstart.training.settings import Plan

        if not method.trained:
            return {field.name for field in dataclasses.fields(method.learner.design_type)}
        plan = {field.name for field in dataclasses.fields(Plan)}
        return self.names_of(method.learner) | plan | {"batch_size", "negatives", "unknown", "preset", "minutes"}

    def data(self, source: Any, given: Mapping[str, Any], engine: Engine) -> Any:
        """Return ratings or choices, as the method needs them."""
        method = self._method(given)
        if method.negatives is not None and "negatives" not in given:
            given = {**given, "negatives": method.negatives}
        return super().data(source, given, engine)

    def split(self, given: Mapping[str, Any]) -> Splitter | None:
        """Return the split that was asked for, also by each user's last rows."""
        from headstart.collab.splits import by_last_of_user

        if "valid_last" not in given:
            return super().split(given)
        if any(name in given for name in ("valid_from", "valid_fraction", "valid_where", "stratify")):
            raise ConfigError("give one of --valid-last, --valid-from, --valid-fraction, --valid-where and --stratify")
        if "time" not in given:
            raise ConfigError("--valid-last needs --time, the column by which a row is the last")
        return by_last_of_user(given["user"], given["time"], given["item"], count=given["valid_last"])

    def split_by_fraction(self, fraction: float, given: Mapping[str, Any]) -> Splitter:
        """Return a random split that does not depend on the order of the rows."""
        from headstart.collab.splits import by_pairs

        return by_pairs(given["user"], given["item"], fraction, seed=given.get("seed", 0))

    def learner(self, data: Any, given: Mapping[str, Any]) -> Any:
        """Return the method's recommender, solved or yet to be trained."""
        method = self._method(given)
        if method.trained:
            return method(data, **self.learner_options(self.learner_type, given))
        return method(data, **self.chosen(given, method.learner.design_type))

    def fit(self, learner: Any, given: Mapping[str, Any]) -> None:
        """Train the learner by a preset, unless it is solved."""
        if "train" in APPLICATIONS[learner.application].does:
            self.fit_by_preset(learner, given)

    def save(self, learner: Any, out: Path, *, is_main: bool) -> None:
        """Save the learner; a ranker, which knows no processes, on the main one alone."""
        if is_main or "train" in APPLICATIONS[learner.application].does:
            learner.save(out)

    def next_command(self, learner: Any, out: Path) -> str:
        """Return the command that recommends to a user of the training rows."""
        return f"recommend {out} --user {learner.codec.users.values[0]}"

    def _method(self, given: Mapping[str, Any]) -> Any:
        from headstart.collab.methods import find_method

        return find_method(given.get("method"), given.get("rating"))


class LanguageModelJob(Job):
    """Language models: they write, and predict no rows."""

    def next_command(self, learner: Any, out: Path) -> str:
        """Return the command that writes."""
        return f'generate {out} --prompt "..."'


class TextJob(Job):
    """Classifiers of texts: from a language model, from scratch, or on a transformer."""

    def own_options(self) -> tuple[CommandOption, ...]:
        """Return the options of a transformer."""
        from headstart.core.values import arguments_of, options_of

        learner = self._transformer()
        [start] = options_in(arguments_of(learner), NETWORK, leave_out=NOT_FOR_PEOPLE)
        starts = [dataclasses.replace(start, help=start.help.partition(" None: ")[0])]
        designs = options_in(options_of(learner.design_type), NETWORK, leave_out=["config"])
        return (*starts, *(dataclasses.replace(o, help=f"with --transformer: {o.help}") for o in designs))

    def check(self, given: Mapping[str, Any]) -> None:
        """Raise `ConfigError` for options of a transformer without one, and for others beside one."""
        kind, other = self.learner_type, self._transformer()
        if "transformer" in given:
            kind, other = other, kind
            for name in ("language_model", "tokenizer"):
                if name in given:
                    raise ConfigError(f"give one of --{name.replace('_', '-')} and --transformer")
        idle = self.names_of(other) - self.names_of(kind)
        self.refuse(given, idle, f"{'with' if 'transformer' in given else 'without'} --transformer")

    def data(self, source: Any, given: Mapping[str, Any], engine: Engine) -> Any:
        """Return texts, in a transformer's tokens if there is one; fetch the word vectors, which happens once."""
        from headstart import datasets
        from headstart.text.transformer_learner import read_tokenizer
        from headstart.text.word_vectors import DATA_SET as WORD_VECTORS

        if engine.is_main and given.get("linear", True) and given.get("word_vectors", "auto") == "auto":
            with contextlib.suppress(DataError):  # the data have a note on it
                datasets.get(WORD_VECTORS)
        engine.wait()
        if "transformer" not in given:
            return super().data(source, given, engine)
        return super().data(source, {**given, "tokenizer": read_tokenizer(given["transformer"])}, engine)

    def learner(self, data: Any, given: Mapping[str, Any]) -> Any:
        """Return a learner of the network that was asked for."""
        kind = self._transformer() if "transformer" in given else self.learner_type
        return kind(data, **self.learner_options(kind, given))

    @staticmethod
    def _transformer() -> Any:
        return APPLICATIONS["transformer"].learner_type()


class VisionJob(Job):
    """Images: the head on activations that are computed once, then all layers if that is wished."""

    def own_options(self) -> tuple[CommandOption, ...]:
        """Return ``--precompute`` and ``--fine-tune``."""
        from headstart.core.values import Range

        return (
            CommandOption(
                "precompute", Annotated[int | None, Range(low=0)], None,
                "number of copies of each training image whose activations are computed once; the head trains from"
                " these, in seconds. 0: train from the images. None: 1, or 4 with --augment and without --fine-tune, or"
                " 0 with random weights.",
                TRAINING,
            ),
            CommandOption(
                "fine_tune", Annotated[int, Range(low=0)], 0,
                "epochs of all layers after those of the head, from the images, at a thirtieth of the rate.", TRAINING,
            ),
        )  # fmt: skip

    def notes(self, data: Any) -> list[str]:
        """Return what a user should know of the data, and each file that was left out."""
        return [*data.notes, *(f"left out: {path}: {reason}" for path, reason in data.skipped.iter_rows())]

    def learner(self, data: Any, given: Mapping[str, Any]) -> Any:
        """Return a learner, its activations computed."""
        copies = given.get("precompute")
        if copies is None:
            start = {"weights": given["weights"]} if "weights" in given else {}
            copies = self.learner_type.usual_copies(data, **start, fine_tune=bool(given.get("fine_tune")))
        return super().learner(data, {**given, "precompute": copies})

    def fit(self, learner: Any, given: Mapping[str, Any]) -> None:
        """Train the head, then all layers for as many epochs as were asked for."""
        super().fit(learner, given)
        if given.get("fine_tune"):
            learner.unfreeze()
            plan = self.plan(learner, given)
            plan = dataclasses.replace(plan, lr=plan.lr / 30, epochs=given["fine_tune"], depth=10**0.5)
            self.fit_by(learner, plan)


JOBS: dict[str, type[Job]] = {
    "tabular": TabularJob,
    "collab": CollabJob,
    "language-model": LanguageModelJob,
    "text": TextJob,
    "vision": VisionJob,
}
"""By application; the others train by `Job` itself."""


def job_of(name: str) -> Job:
    """Return what ``headstart train NAME`` does."""
    return JOBS.get(name, Job)(APPLICATIONS[name])
