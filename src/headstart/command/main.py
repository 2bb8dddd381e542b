"""The command ``headstart``. Importing this imports neither torch nor polars, so that ``--help`` answers at once.

A user's mistake is one line on standard error and exit code 2; a traceback is a bug. With ``--json`` the last line of
standard output is one JSON object, and everything else goes to standard error.
"""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from headstart.command.collab import recommend, train_collab
from headstart.command.options import AsJson, Device, Folder, Input, names, numbers, split_of
from headstart.command.report import metrics_of, print_metrics, report
from headstart.command.text import generate, rows_to_predict, train_language_model, train_text
from headstart.command.vision import predict_vision, train_vision
from headstart.core.errors import ConfigError, HeadstartError

if TYPE_CHECKING:
    import polars as pl

    from headstart.tabular.learner import TabularLearner
    from headstart.targets.fit import KindOption

__all__ = ["app", "main"]

app = typer.Typer(
    help="Give your model a head start: deep learning on tables, ratings, text and images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
datasets_app = typer.Typer(help="Named data sets, ready to train on.", no_args_is_help=True)
train_app = typer.Typer(help="Train a model and save it to a folder.", no_args_is_help=True)
app.add_typer(datasets_app, name="datasets")
app.add_typer(train_app, name="train")

USAGE_ERROR: Any = typer.BadParameter.__base__
"""What a misspelt option raises: click's UsageError, or that of the copy of click in newer releases of typer."""


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Give your model a head start."""
    if version:
        from headstart import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo(
    application: Annotated[str, typer.Argument(help="tabular, collab, text or vision.")] = "tabular",
    out: Annotated[Path, typer.Option(help="Where the model and the plots go.")] = Path("headstart-demo"),
) -> None:
    """Do the main job on real data: from data to a saved model, plots and predictions."""
    from headstart.demos.tables_and_ratings import run_demo

    run_demo(application, out)


@datasets_app.command("list")
def list_datasets() -> None:
    """Print the names, what each holds, and where it comes from."""
    from headstart.datasets.get import available

    for recipe in available():
        rows = f"{recipe.rows:,} rows, " if recipe.rows else ""
        typer.echo(f"{recipe.name:<16} {recipe.description} ({rows}{recipe.kind})")
        typer.echo(f"{'':<16} {recipe.terms}")


@datasets_app.command("get")
def get_dataset(name: Annotated[str, typer.Argument(help="A name that 'datasets list' prints.")]) -> None:
    """Fetch a data set if need be, and print its path: a Parquet table, or a folder."""
    from headstart.datasets.get import get

    typer.echo(str(get(name)))


@train_app.command("tabular")
def train_tabular(
    table: Annotated[Path, typer.Argument(help="A CSV or Parquet file.")],
    target: Annotated[str, typer.Option(help="Column to predict; several columns of numbers with commas.")],
    out: Annotated[Path, typer.Option(help="Folder for the model; an earlier model there is replaced.")],
    time_column: Annotated[
        str | None, typer.Option("--time", help="Split by this column: the latest validate.")
    ] = None,
    valid_from: Annotated[str | None, typer.Option(help="First validating moment, with --time.")] = None,
    valid_fraction: Annotated[
        float | None, typer.Option(help="Share of validating rows; 0.2 if nothing is said.")
    ] = None,
    valid_where: Annotated[str | None, typer.Option(help="SQL condition: these rows validate.")] = None,
    where: Annotated[str | None, typer.Option(help="SQL condition: only these rows are used.")] = None,
    categorical: Annotated[str, typer.Option(help="Columns that are categorical, with commas.")] = "",
    continuous: Annotated[str, typer.Option(help="Columns that are continuous, with commas.")] = "",
    dates: Annotated[str, typer.Option(help="Columns that are dates, with commas.")] = "",
    exclude: Annotated[str, typer.Option(help="Columns not to use, with commas.")] = "",
    log_target: Annotated[
        bool, typer.Option("--log-target", help="Predict the logarithm of a positive target.")
    ] = False,
    target_kind: Annotated[
        str | None, typer.Option(help="number, count or label; by the column's values if nothing is said.")
    ] = None,
    quantiles: Annotated[
        str | None, typer.Option(help="Predict these quantiles of a number, with commas: 0.1,0.5,0.9.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of one cycle; by the number of rows.")] = None,
    lr: Annotated[float | None, typer.Option(help="Top learning rate; 0.01, or 0.003 with --members.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per step; by the number of rows.")] = None,
    hidden: Annotated[
        str | None, typer.Option(help="Width of each hidden layer, with commas; 200,100, or 256,128 with --members.")
    ] = None,
    lesson: Annotated[bool, typer.Option("--lesson", help="The network of fast.ai's lesson.")] = False,
    members: Annotated[
        int | None, typer.Option(help="Instead of one network so many in one, which share weights: 4, say.")
    ] = None,
    ensemble: Annotated[int, typer.Option(help="How many models to average.")] = 1,
    seed: Annotated[int, typer.Option(help="Of weights, dropout, order and random split.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train on a table; print the metrics of the validation rows."""
    from headstart.core.artefact import check_writable
    from headstart.core.engine import Engine
    from headstart.tabular import (
        LESSON_NETWORK,
        MEMBERS_NETWORK,
        TabularData,
        TabularLearner,
        suggested_epochs,
        suggested_lr,
    )

    started = time.perf_counter()
    if lesson and members is not None:
        raise ConfigError("give --lesson or --members, not both")
    network = LESSON_NETWORK if lesson else {} if members is None else MEMBERS_NETWORK | {"members": members}
    network = network | ({} if hidden is None else {"hidden": _widths(hidden)})
    if lr is None:
        lr = suggested_lr() if members is None else 0.003
    check_writable(out, "learner")
    data = TabularData.from_table(
        table, names(target) if "," in target else target,
        split=split_of(time_column, valid_from, valid_fraction, valid_where, seed), categorical=names(categorical),
        continuous=names(continuous), dates=names(dates), exclude=names(exclude), where=where, log_target=log_target,
        target_kind=cast("KindOption | None", target_kind), quantiles=numbers(quantiles, "--quantiles"),
        batch_size=batch_size, seed=seed, engine=Engine(device),
    )  # fmt: skip
    learner = TabularLearner(data, **network, ensemble=ensemble, seed=seed)
    if learner.engine.is_main:
        for line in (*_describe_columns(learner), *data.notes):
            typer.echo(line, err=True)
    history = learner.fit_one_cycle(lr, suggested_epochs(data.train.steps(0)) if epochs is None else epochs)
    if not math.isfinite(history[-1]["train_loss"]):
        raise ConfigError(f"the training diverged at --lr {lr}: lower it; nothing was saved")
    learner.save(out)
    if learner.engine.is_main:
        report(learner.history, out, time.perf_counter() - started, as_json=as_json)


train_app.command("collab")(train_collab)
train_app.command("language-model")(train_language_model)
train_app.command("text")(train_text)
train_app.command("vision")(train_vision)
app.command()(recommend)
app.command()(generate)


@app.command()
def predict(
    folder: Folder,
    table: Input,
    out: Annotated[Path | None, typer.Option(help="A .csv or .parquet file; else CSV on standard output.")] = None,
    on_error: Annotated[
        str, typer.Option(help="Images: raise, or skip those that cannot be decoded; a column says why.")
    ] = "raise",
    device: Device = "auto",
) -> None:
    """Predict each row of a table, or each image or text of a folder: its columns, and beside them the predictions."""
    from headstart import load
    from headstart.frames.door import check_output

    if out is not None:
        check_output(out)
    learner = load(folder, device=device)
    if learner.application == "vision":
        result = predict_vision(learner, table, on_error, flat=out is None or out.suffix == ".csv")
        _write(result, out)
        return
    frame = rows_to_predict(learner, table)
    answers = learner.predict(frame)
    for name in answers.columns:
        if name in frame.columns:
            typer.echo(f"warning: the column {name!r} of the input is replaced by the new predictions", err=True)
    _write(frame.with_columns(answers), out)


def _write(frame: pl.DataFrame, out: Path | None) -> None:
    """A table as CSV on standard output, or into a file."""
    from headstart.frames.door import csv_text, write_table

    if out is None:
        sys.stdout.write(csv_text(frame))
    else:
        write_table(frame, out)


@app.command()
def evaluate(folder: Folder, table: Input, device: Device = "auto", as_json: AsJson = False) -> None:
    """Print the metrics of a saved model over all rows of a table that has the target, or a folder per class."""
    from headstart import load

    metrics = metrics_of(load(folder, device=device).evaluate(table))
    if as_json:
        typer.echo(json.dumps({"metrics": metrics}))
    else:
        print_metrics(metrics)


@app.command()
def info(folder: Folder, as_json: AsJson = False) -> None:
    """Print what is in a saved folder: data, model, history."""
    from headstart import load
    from headstart.core.artefact import read_folder

    record, _ = read_folder(folder, "learner")
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    learner = load(folder, device="cpu")
    typer.echo(f"application  {record['application']} (headstart {record['headstart']})")
    for line in _describe_columns(learner) if record["application"] == "tabular" else learner.describe():
        typer.echo(line)
    if hasattr(learner, "model"):
        parameters = sum(parameter.numel() for parameter in learner.model.parameters())
        typer.echo(f"model        {record['model']['class']}, {parameters:,} parameters: " + _settings(record["model"]))
        typer.echo("history")
        typer.echo(repr(learner.history))
    else:
        typer.echo(f"model        {record['model']['class']}: {_settings(record['model'])}")
        print_metrics(metrics_of(learner.metrics))


def main() -> None:
    """Runs the command; a user's mistake becomes one line on standard error and exit code 2."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # it takes what it needs of the arguments
    code = 2
    try:
        code = app(standalone_mode=False) or 0
    except USAGE_ERROR as error:
        said = error.format_message()  # after a command without arguments the whole help, in its own lines
        helpful = type(error).__name__ == "NoArgsIsHelpError"
        typer.echo(said if helpful else f"error: {' '.join(said.split())}", err=True)
    except HeadstartError as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the pipe has gone: nobody to tell
        code = 1
    if code == 130:
        typer.echo("stopped; nothing was saved", err=True)
    sys.exit(code)


def _widths(text: str) -> list[int]:
    try:
        return [int(width) for width in names(text)]
    except ValueError:
        raise ConfigError(f"--hidden must be whole numbers with commas, such as 200,100; got {text!r}") from None


def _describe_columns(learner: TabularLearner) -> list[str]:
    codec = learner.codec
    lines = [f"target       {', '.join(codec.target.columns)} ({codec.target.kind})"]
    for place, columns in (
        ("categorical", codec.categorical),
        ("continuous", codec.continuous),
        ("dates", codec.dates),
    ):
        described = ", ".join(f"{column.name} ({column.reason})" for column in columns)
        lines.append(f"{place:<12} {described or '-'}")
    if codec.recipe is not None:
        lines.append(f"features     made of {', '.join(codec.recipe.inputs)}: {', '.join(codec.recipe.outputs)}")
    left_out = ", ".join(f"{name} ({reason})" for name, reason in codec.left_out.items())
    return [*lines, f"left out     {left_out or '-'}"]


def _settings(model: dict[str, Any]) -> str:
    aside = ("class", "config", "cardinalities", "continuous", "output_range", "bins")
    return ", ".join(f"{name} {value}" for name, value in model.items() if name not in aside)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    typer.echo(f"warning: {message}", err=True)


if __name__ == "__main__":
    main()
