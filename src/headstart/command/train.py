"""``headstart train NAME``: `Job.options` collects its options from fields, by `command.options`.

They come from five places, which name, default and document them: the arguments of the data's ``from_table`` and
``from_folder`` (columns), the settings of the data, the design, the training, and the `Plan` of the fit, whose defaults
are those of `learner.plan()`. A `Job` suffices for most applications; `command.jobs` has those with options of their
own, such as ``--method``.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import time
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.applications import Application
from headstart.command.options import CommandOption, device_option, json_option, options_in, read_options, source_of
from headstart.command.report import described, report
from headstart.core.errors import ConfigError

if TYPE_CHECKING:
    from headstart.core.engine import Engine
    from headstart.frames.splits import Splitter
    from headstart.training.settings import Plan

__all__ = ["DATA", "NETWORK", "OUTPUT", "TRAINING", "Job", "train_command"]

DATA, NETWORK, TRAINING, OUTPUT = "Data", "Network", "Training", "Output"
"""The groups of options that ``--help`` shows."""

NOT_FOR_PEOPLE = ("split", "codec", "engine", "recipe", "data", "design", "training")
"""Arguments of constructors that no text can be."""

SPLIT = (
    CommandOption("time", str | None, None, "column of dates, times or numbers: the latest rows validate.", DATA),
    CommandOption(
        "valid_from", str | None, None, "first moment whose rows validate, with --time, such as 2015-06-20.", DATA
    ),
    CommandOption(
        "valid_fraction", float | None, None,
        "share of the rows that validate, such as 0.1; 0: none, all rows train.", DATA,
    ),
    CommandOption(
        "stratify", str | None, None,
        "column of classes, usually the target, of which both parts of the random split have the same shares.", DATA,
    ),
    CommandOption(
        "valid_where", str | None, None, "SQL condition: the rows that fulfil it validate, such as \"year = 2024\".",
        DATA,
    ),
)  # fmt: skip
"""How rows are split: the functions of `headstart.frames.splits` as options."""

QUERY = CommandOption(
    "query", str | None, None, "SQL query, if the source is a database such as sqlite:///shop.db.", DATA
)

SEED = "seed of all that is random: first weights, dropout, order of the rows, and the usual split."
"""One option for the seeds of data and training."""


class Job:
    """What ``train`` does for one application: from what was given to data, learner and plan.

    Args:
        application: a line of the table of applications that names its data.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self.data_type = application.data_type()
        self.settings_type = application.settings_type()
        self.learner_type = application.learner_type()

    # ---- what can be given

    @cached_property
    def options(self) -> tuple[CommandOption, ...]:
        """The options of the command, those that must be given first; of two with one name the first counts."""
        from headstart.core.values import arguments_of, options_of
        from headstart.frames.csv import CsvOptions
        from headstart.training.settings import Plan

        settings = options_in(options_of(self.settings_type), DATA)
        network = [*options_in(arguments_of(self.learner_type), NETWORK, leave_out=NOT_FOR_PEOPLE)]
        network += options_in(options_of(self.learner_type.design_type), NETWORK)
        training = [_planned(option) for option in options_in(options_of(Plan), TRAINING)]
        training += [dataclasses.replace(option, panel=TRAINING) for option in settings if option.name == "batch_size"]
        training += options_in(options_of(self.learner_type.training_type), TRAINING)
        files = [
            dataclasses.replace(option, name=f"csv_{option.name}", help=f"of a CSV file: {option.help}")
            for option in options_in(options_of(CsvOptions), DATA, leave_out=["strict"])
        ]
        columns = options_in([*self._table_arguments, *self._folder_arguments], DATA, leave_out=NOT_FOR_PEOPLE)
        by_name: dict[str, CommandOption] = {}
        for option in (
            *columns,
            *self._split_options(),
            *settings,
            *files,
            QUERY,
            *self.own_options(),
            *network,
            *training,
        ):
            first = by_name.setdefault(option.name, option)
            if option.name in ("valid", "time") and option.help != first.help:  # it has two meanings
                further = option.help.partition(";")[0].rstrip(".")
                further = f"of a folder: {further}" if option.name == "valid" else further
                by_name[option.name] = dataclasses.replace(first, help=f"{first.help.rstrip('.')}; {further}.")
        by_name["batch_size"] = dataclasses.replace(by_name["batch_size"], panel=TRAINING)
        by_name["seed"] = dataclasses.replace(by_name["seed"], panel=TRAINING, help=SEED)
        panels = (DATA, NETWORK, TRAINING)
        return tuple(sorted(by_name.values(), key=lambda option: (panels.index(option.panel), not option.required)))

    def _split_options(self) -> list[CommandOption]:
        """Return the options of the split; its default is what the data's constructor says of its own."""
        split = next((option for option in self._table_arguments if option.name == "split"), None)
        usual = "" if split is None else f" None: {re.split('[.;]', split.help.partition('None: ')[2])[0]}."
        return [
            dataclasses.replace(option, help=f"{option.help}{usual}") if option.name == "valid_fraction" else option
            for option in SPLIT
        ]

    def own_options(self) -> tuple[CommandOption, ...]:
        """Return options that are no field of a value."""
        return ()

    @cached_property
    def _table_arguments(self) -> tuple[Any, ...]:
        return self._arguments("from_table")

    @cached_property
    def _folder_arguments(self) -> tuple[Any, ...]:
        return self._arguments("from_folder") if self.application.folders else ()

    def _arguments(self, constructor: str) -> tuple[Any, ...]:
        """Return the options of one of the data's constructors, less the source."""
        from headstart.core.values import arguments_of

        return arguments_of(getattr(self.data_type, constructor))[1:]

    # ---- what is done with it

    def check(self, given: Mapping[str, Any]) -> None:
        """Raise `ConfigError` for options that have no effect beside others; called before the data are read."""

    @staticmethod
    def refuse(given: Mapping[str, Any], idle: Collection[str], reason: str) -> None:
        """Raise `ConfigError` if an idle option was given.

        Args:
            given: options by name.
            idle: names of options without effect.
            reason: with or without which other option that is so, for the message.
        """
        for name in given:
            if name in idle:
                raise ConfigError(f"--{name.replace('_', '-')} has no effect {reason}: leave it out")

    def data(self, source: Any, given: Mapping[str, Any], engine: Engine) -> Any:
        """Return the application's data of a table or folder."""
        from headstart.frames.csv import CsvOptions
        from headstart.frames.folders import is_folder

        settings = self.chosen(given, self.settings_type)
        csv = {name.removeprefix("csv_"): given[name] for name in given if name.startswith("csv_")}
        if csv:
            settings["csv"] = CsvOptions(**csv)
        split = self.split(given)
        if split is not None:
            settings["split"] = split
        folder = self.application.folders and is_folder(source)
        arguments = [{option.name for option in each} for each in (self._table_arguments, self._folder_arguments)]
        known, other = reversed(arguments) if folder else arguments
        for name in given:
            if name in other - known - set(settings):
                here, there = ("a folder", "a table") if folder else ("a table", "a folder")
                raise ConfigError(f"--{name.replace('_', '-')} is for {there}, and {source} is {here}")
        make = self.data_type.from_folder if folder else self.data_type.from_table
        return make(source, **{name: given[name] for name in known if name in given}, **settings, engine=engine)

    def notes(self, data: Any) -> list[str]:
        """Return what a user should know of the data."""
        return list(data.notes)

    def split(self, given: Mapping[str, Any]) -> Splitter | None:
        """Return the split that was asked for; None: the application's usual one.

        Raises:
            ConfigError: options that exclude one another.
        """
        from headstart.frames.splits import USUAL_FRACTION, by_condition, by_time, stratified, train_on_all

        ways = [name for name in ("valid_from", "valid_fraction", "valid_where") if name in given]
        if len(ways) > 1:
            raise ConfigError("give one of --valid-from, --valid-fraction and --valid-where")
        moment, fraction = given.get("time"), given.get("valid_fraction")
        if "stratify" in given:
            if moment is not None or fraction == 0 or any(name in given for name in ("valid_from", "valid_where")):
                raise ConfigError("--stratify is for a random split: leave --time, --valid-from and --valid-where out")
            return stratified(
                given["stratify"], USUAL_FRACTION if fraction is None else fraction, seed=given.get("seed", 0)
            )
        if "valid_where" in given:
            return by_condition(given["valid_where"])
        if fraction == 0:
            return train_on_all
        if moment is None:
            if "valid_from" in given:
                raise ConfigError("--valid-from needs --time, the column of moments that it is compared with")
            return None if fraction is None else self.split_by_fraction(fraction, given)
        if "valid_from" in given:
            return by_time(moment, start=given["valid_from"])
        return by_time(moment, fraction=USUAL_FRACTION if fraction is None else fraction)

    def split_by_fraction(self, fraction: float, given: Mapping[str, Any]) -> Splitter:
        """Return the application's random split with this share of validation rows."""
        from headstart.frames.splits import by_random

        return by_random(fraction, seed=given.get("seed", 0))

    def learner(self, data: Any, given: Mapping[str, Any]) -> Any:
        """Return a fresh learner."""
        return self.learner_type(data, **self.learner_options(self.learner_type, given))

    def learner_options(self, learner_type: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was given of a learner's own arguments, its design and its training."""
        spelt_out = [name for name in inspect.signature(learner_type.__init__).parameters if name in given]
        options = self.chosen(given, learner_type.design_type, learner_type.training_type)
        return {**{name: given[name] for name in spelt_out}, **options}

    def names_of(self, learner_type: Any) -> set[str]:
        """Return the names of all options of a learner: its own arguments, its design and its training."""
        kinds = (learner_type.design_type, learner_type.training_type)
        fields = {field.name for kind in kinds for field in dataclasses.fields(kind)}
        return fields | set(inspect.signature(learner_type.__init__).parameters)

    def chosen(self, given: Mapping[str, Any], *kinds: Any) -> dict[str, Any]:
        """Return what was given of the fields of some values."""
        fields = [field.name for kind in kinds for field in dataclasses.fields(kind)]
        return {name: given[name] for name in dict.fromkeys(fields) if name in given}

    def plan(self, learner: Any, given: Mapping[str, Any]) -> Plan:
        """Return the library's plan, with what was given of it."""
        from headstart.training.settings import Plan

        plan: Plan = learner.plan()
        plan = plan.lasting(given["epochs"]) if "epochs" in given else plan
        return dataclasses.replace(plan, **self.chosen(given, Plan))

    def fit(self, learner: Any, given: Mapping[str, Any]) -> None:
        """Train the learner by its plan."""
        self.fit_by(learner, self.plan(learner, given))

    def fit_by(self, learner: Any, plan: Plan) -> None:
        """Train the learner by a plan.

        Raises:
            ConfigError: the training diverged.
        """
        learner.fit_plan(plan)
        _check_finite(learner, plan)

    def fit_by_preset(self, learner: Any, given: Mapping[str, Any]) -> None:
        """Train a learner that has presets by the one that was given, in the time that was given.

        Raises:
            ConfigError: the training diverged.
        """
        plan = self.plan(learner, given)
        learner.fit_preset(plan=plan, **{name: given[name] for name in ("preset", "minutes", "refit") if name in given})
        _check_finite(learner, plan)

    def save(self, learner: Any, out: Path, *, is_main: bool) -> None:
        """Save the learner, which is called on every process and writes on the main one."""
        learner.save(out)

    def baselines(self, data: Any, learner: Any) -> dict[str, dict[str, float]]:
        """Return the metrics of simple models on the same validation rows, by model; empty: there are none."""
        return {}

    def next_command(self, learner: Any, out: Path) -> str:
        """Return what a user types next."""
        return f"predict {out} {'INPUT' if self.application.folders else 'TABLE'}"


def _check_finite(learner: Any, plan: Plan) -> None:
    """Raise `ConfigError` if a fit diverged."""
    if not math.isfinite(learner.history[-1]["train_loss"]):
        raise ConfigError(f"the training diverged at --lr {plan.lr:g}: lower it; nothing was saved")


def _planned(option: CommandOption) -> CommandOption:
    """Return a field of the plan, whose default depends on the data."""
    usual = option.default if option.name == "keep" else "by the data"
    text = option.help.partition(" None: ")[0].rstrip(";.")
    return dataclasses.replace(option, type=option.type | None, default=None, help=f"{text}. None: {usual}.")


def run(job: Job, source: Any, out: Path, given: Mapping[str, Any], *, device: str, as_json: bool) -> None:
    """Train on a table or folder, save the model, and print the metrics of the weights that were kept."""
    from headstart.core.artefact import check_writable
    from headstart.core.engine import Engine
    from headstart.core.values import to_json

    started = time.perf_counter()
    check_writable(out, "learner")
    job.check(given)
    data = job.data(source, given, Engine(device))
    is_main = data.engine.is_main
    if is_main:
        for line in (*described(to_json(data.codec, {})), repr(data), *job.notes(data)):
            typer.echo(line, err=True)
    learner = job.learner(data, given)
    job.fit(learner, given)
    job.save(learner, out, is_main=is_main)
    if is_main:
        seconds = time.perf_counter() - started
        then, beside = job.next_command(learner, out), job.baselines(data, learner)
        report(learner, out, seconds, then=then, baselines=beside, as_json=as_json)


def train_command(job: Job) -> Callable[..., None]:
    """Return the function that typer makes an application's ``train`` command of.

    Args:
        job: of the application.
    """

    def train(source: str, *, out: Path, device: str = "auto", as_json: bool = False, **arguments: Any) -> None:
        given = read_options(job.options, arguments)
        run(job, source_of(source, given.pop("query", None)), out, given, device=device, as_json=as_json)

    def keyword(name: str, annotation: Any, **default: Any) -> inspect.Parameter:
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, **default)

    what = typer.Argument(metavar="SOURCE" if job.application.folders else "TABLE", help=job.application.source)
    saved_in = typer.Option(
        metavar="FOLDER", help="Folder for the model; a model that is there is replaced.", rich_help_panel=OUTPUT
    )
    parameters = [
        keyword("source", Annotated[str, what]),
        *(parameter for option in job.options for parameter in option.parameters()),
        keyword("device", Annotated[str, device_option(TRAINING)], default="auto"),
        keyword("out", Annotated[Path, saved_in]),
        keyword("as_json", Annotated[bool, json_option(OUTPUT)], default=False),
    ]
    train.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    train.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    train.__doc__ = job.application.title
    return train
