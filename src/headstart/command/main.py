"""The command ``headstart``. Importing this imports neither torch nor polars, so that ``--help`` answers at once.

A user's mistake is one line on standard error and exit code 2; a traceback is a bug. With ``--json`` the last line of
standard output is one JSON object, and everything else goes to standard error.
"""

from __future__ import annotations

import re
import shlex
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from headstart.applications import APPLICATIONS
from headstart.command.check import check
from headstart.command.info import info
from headstart.command.predict import evaluate, generate, predict, recommend
from headstart.core.errors import HeadstartError

__all__ = ["app", "as_command", "main"]

ADVISED = ("numbers", "exclude", "target_kind", "on_error")
"""Arguments that messages advise by name, and that the command has as options."""

USAGE_ERROR: Any = typer.BadParameter.__base__
"""What a misspelt option raises: click's UsageError, or that of the copy of click in newer releases of typer."""


class TrainGroup(TyperGroup):
    """``train``: a command for each application that has data; its options are made when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the applications that can be trained."""
        return [name for name, application in APPLICATIONS.items() if application.data]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command with its title and no options, for the list of commands."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return TyperCommand(cmd_name, help=APPLICATIONS[cmd_name].title, rich_markup_mode="rich")

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called, with all its options."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and trainer(name), rest  # type: ignore[arg-type]  # a name, if there is a command


def trainer(name: str) -> Any:
    """Return the command that trains an application, made from the fields of its values; imports torch."""
    from headstart.command.jobs import job_of
    from headstart.command.train import train_command

    job = job_of(name)
    commands = [f"headstart train {name} {example}" for example in job.application.examples]
    examples = "\n\n".join(["[bold]Examples[/bold]", *map(escape, commands)]) if commands else None
    one = typer.Typer(add_completion=False, rich_markup_mode="rich")
    one.command(name, epilog=examples)(train_command(job))
    return get_command(one)


app = typer.Typer(
    help="Give your model a head start: deep learning on tables, ratings, text and images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)
datasets_app = typer.Typer(help="Named data sets, ready to train on.", no_args_is_help=True, rich_markup_mode="rich")
train_app = typer.Typer(
    cls=TrainGroup, help="Train a model and save it to a folder.", no_args_is_help=True, rich_markup_mode="rich"
)
app.add_typer(datasets_app, name="datasets")
app.add_typer(train_app, name="train")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", metavar=" ", help="Print the version.")] = False) -> None:
    """Give your model a head start."""
    if version:
        from headstart import __version__

        typer.echo(__version__)
        raise typer.Exit


@train_app.callback()
def train() -> None:
    """Train a model and save it to a folder. The defaults are those of Python: give SOURCE and --out, and what is said
    to be required.
    """


@app.command()
def demo(
    application: Annotated[str, typer.Argument(help="tabular, collab, text or vision.")] = "tabular",
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the model and the plots.")] = Path(
        "headstart-demo"
    ),
) -> None:
    """Do an application's main job on real data: from data to a saved model, plots and predictions."""
    from headstart.demos import run_demo

    run_demo(application, out)


@datasets_app.command("list")
def list_datasets() -> None:
    """Print each data set's name, what it holds, and its terms of use."""
    from headstart.datasets.get import available

    for recipe in available():
        rows = f"{recipe.rows:,} rows, " if recipe.rows else ""
        typer.echo(f"{recipe.name:<16} {recipe.description} ({rows}{recipe.kind})")
        typer.echo(f"{'':<16} {recipe.terms}")


@datasets_app.command("get")
def get_dataset(name: Annotated[str, typer.Argument(help="A name that 'headstart datasets list' prints.")]) -> None:
    """Fetch a data set if it is not there yet, and print its path: a Parquet table, or a folder."""
    from headstart.datasets.get import get

    typer.echo(str(get(name)))


app.command()(check)
app.command()(predict)
app.command()(evaluate)
app.command()(recommend)
app.command()(generate)
app.command()(info)


def main() -> None:
    """Run the command; a user's mistake becomes one line on standard error and exit code 2."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # it takes what it needs of the arguments
    code = 2
    try:
        code = app(standalone_mode=False) or 0
    except USAGE_ERROR as error:
        message = error.format_message()  # after a command without arguments the whole help, in its own lines
        helpful = type(error).__name__ == "NoArgsIsHelpError"
        typer.echo(message if helpful else f"error: {' '.join(message.split())}", err=True)
    except HeadstartError as error:
        typer.echo(f"error: {as_command(' '.join(str(error).split()))}", err=True)
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the pipe has gone: nobody to tell
        code = 1
    if code == 130:
        typer.echo("stopped; nothing was saved", err=True)
    sys.exit(code)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    typer.echo(f"warning: {as_command(str(message))}", err=True)


def as_command(text: str) -> str:
    """Return a message with Python's arguments as the command's options.

    ``csv=CsvOptions(separator=';')`` becomes ``--csv-separator ';'``, ``numbers=['price']`` ``--numbers price``.
    """

    def flags(call: re.Match[str]) -> str:
        given = re.findall(r"(\w+)=('[^']*'|\[[^]]*\]|[^,]+)", call[1])
        values = (
            (name, shlex.quote(value[1:-1].replace("'", "").replace(", ", ",")) if value[0] == "[" else value)
            for name, value in given
        )
        return " ".join(f"--csv-{name.replace('_', '-')} {value}" for name, value in values)

    def flag(option: re.Match[str]) -> str:
        values = re.findall(r"'([^']*)'", option[2])
        quoted = (f'"{value}"' if "," in value or value != value.strip() else value for value in values)
        value = values[0] if len(values) == 1 else ",".join(quoted)
        if len(values) == 1 and "," in value and option[2][0] == "[":
            value = f'"{value}"'
        return f"--{option[1].replace('_', '-')} {shlex.quote(value)}"

    text = re.sub(r"csv=CsvOptions\(((?:'[^']*'|[^)'])*)\)", flags, text)
    return re.sub(rf"\b({'|'.join(ADVISED)})=(\['[^]]*'\]|'[^']*')", flag, text)


if __name__ == "__main__":
    main()
