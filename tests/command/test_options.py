"""The options of ``train``: made from fields, read from text, shown by ``--help``."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from headstart.applications import APPLICATIONS
from headstart.command.jobs import job_of
from headstart.command.main import as_command, main
from headstart.command.options import CommandOption, names, options_in, read_options, source_of
from headstart.core.errors import ConfigError, DataError
from headstart.core.values import Range, Value, options_of
from headstart.frames.csv import CsvOptions
from headstart.frames.files import Query
from headstart.training.optim import SGD, AdamW
from headstart.training.settings import Plan

TRAINED = [name for name, application in APPLICATIONS.items() if application.data]


@dataclass(frozen=True, kw_only=True)
class Settings(Value):
    """Fields of every kind.

    Attributes:
        rate: a rate; None: ``0.3``, by the rows.
        sizes: widths, such as ``(3, 4)``.
        share: one share, or several.
        mode: ``"one"`` or ``"two"``; in Python also a function.
        flag: switch on.
        usual: a path; False: another one.
        by_name: numbers by name.
        column: a column, or several.
        pair: lowest and highest.
        optimizer: `AdamW` or `SGD`.
        plot: has no text form.
        limit: largest; None: no limit.
    """

    rate: Annotated[float | None, Range(above=0)] = None
    sizes: Annotated[tuple[int, ...], Range(low=1)] = (200, 100)
    share: Annotated[float | tuple[float, ...], Range(low=0, below=1)] = 0.1
    mode: Literal["one", "two"] = "one"
    flag: bool = False
    usual: bool = True
    by_name: Mapping[str, int] | None = None
    column: str | tuple[str, ...] = "text"
    pair: tuple[float, float] | None = None
    optimizer: AdamW | SGD = AdamW(eps=1e-8)
    plot: Value | None = None
    limit: Annotated[float | None, Range(above=0)] = 25.0


OPTIONS = {option.name: option for option in options_in(options_of(Settings), "Data")}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rate", "0.5", 0.5),
        ("sizes", "64", (64,)),
        ("sizes", "64, 32", (64, 32)),
        ("share", "0", 0.0),
        ("share", "0.25,0.5", (0.25, 0.5)),
        ("mode", "two", "two"),
        ("by_name", "shop=4,day of week=2", {"shop": 4, "day of week": 2}),
        ("column", "Sales", "Sales"),
        ("column", "a,b", ("a", "b")),
        ("pair", "1,5", (1.0, 5.0)),
        ("optimizer", "sgd", SGD()),
        ("optimizer", "AdamW", AdamW(eps=1e-8)),
        ("limit", "none", None),
    ],
)
def test_a_text_becomes_what_the_field_holds(name: str, text: str, value: Any) -> None:
    assert read_options(OPTIONS.values(), {name: text}) == {name: value}
    Settings(**{name: value})


def test_flags_have_two_forms_and_what_is_left_out_is_not_passed_on() -> None:
    assert read_options(OPTIONS.values(), {"flag": True, "no_usual": True}) == {"flag": True, "usual": False}
    assert read_options(OPTIONS.values(), {"flag": False, "no_flag": False, "rate": None}) == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rate", "fast", "--rate must be a number above 0; got 'fast'"),
        ("rate", "0", "--rate must be a number above 0; got 0"),
        ("sizes", "a,b", "--sizes must be a list of whole numbers of at least 1; got 'a,b'; write them with commas"),
        ("sizes", "3,0", "--sizes must be a list of whole numbers of at least 1; got (3, 0)"),
        ("mode", "tow", "--mode must be 'one' or 'two'; got 'tow'; did you mean 'two'?"),
        ("by_name", "shop", "--by-name must be a dictionary; got 'shop'; write names with equals signs and commas"),
        ("pair", "1", "--pair must be a list of numbers; got '1'; write 2 of them with commas, such as 1,2"),
    ],
)
def test_a_mistake_names_the_option(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_options(OPTIONS.values(), {name: text})
    assert message in str(error.value)


def test_documentation_becomes_help() -> None:
    shown = {name: (option.text(), option.default_text()) for name, option in OPTIONS.items()}
    assert "plot" not in shown
    assert shown["rate"] == ("A rate", "0.3, by the rows")
    assert shown["sizes"] == ("Widths, such as 3,4", "200,100")
    assert shown["mode"] == ("one or two", "one")
    assert shown["by_name"] == ("Numbers by name, written as A=3,B=5", "")
    assert shown["optimizer"] == ("AdamW or SGD", "adamw")
    assert shown["limit"] == ("Largest; none: no limit", "25")
    [off, on] = OPTIONS["usual"].parameters()
    assert off.annotation.__metadata__[0].help == "Switch off: a path; then another one"
    assert on.annotation.__metadata__[0].hidden


@pytest.mark.parametrize("name", TRAINED)
def test_every_field_has_an_option_with_help(name: str) -> None:
    job = job_of(name)
    options = {option.name: option for option in job.options}
    kinds = (job.settings_type, job.learner_type.design_type, job.learner_type.training_type, Plan)
    written = {o.name for kind in kinds for o in options_in(options_of(kind), "")}
    assert written <= options.keys()
    assert {field.name for kind in kinds for field in fields(kind)} - written <= {
        "recipe", "codec", "csv", "vocabulary", "dropouts"
    }, "a field that cannot be written on a command line"  # fmt: skip
    for option in options.values():
        assert option.help and len(option.text()) > 5, option.name
        assert not re.search(r"``|`\w|[Ii]n Python", option.text()), option.text()


@pytest.mark.parametrize("name", TRAINED)
def test_the_contract_of_names(name: str) -> None:
    flags = {option.flag for option in job_of(name).options}
    assert {
        "--where", "--valid-where", "--valid-from", "--valid-fraction", "--time", "--precision", "--epochs", "--lr",
        "--batch-size", "--seed",
    } <= flags  # fmt: skip
    more: dict[str, set[str]] = {
        "tabular": {"--target", "--categorical", "--continuous", "--exclude", "--log-target", "--ensemble", "--hidden"},
        "collab": {"--user", "--item", "--rating", "--method", "--valid-last"},
        "language-model": {"--text", "--language-model"},
        "text": {"--text", "--label", "--language-model", "--transformer"},
        "vision": {"--backbone", "--weights", "--fine-tune", "--precompute"},
    }
    assert more[name] <= flags


@pytest.mark.parametrize("name", TRAINED)
def test_help_is_grouped_and_fits_80_columns(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    monkeypatch.setattr(sys, "argv", ["headstart", "train", name, "--help"])
    monkeypatch.setattr("warnings.showwarning", None)
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr().out
    places = [printed.index(f"─ {panel} ─") for panel in ("Data", "Network", "Training", "Output")]
    assert not ended.value.code and places == sorted(places)
    assert max(map(len, printed.splitlines())) <= 80 and "…" not in printed
    assert printed.partition("Examples")[2].count(f"headstart train {name} ") == 2
    assert (
        "[default: fp32]" in " ".join(printed.replace("│", " ").split()) and "--out" in printed and "--json" in printed
    )


def test_an_option_that_must_be_given_has_no_default() -> None:
    option = CommandOption("target", str, MISSING, "column to predict.", "Data")
    [parameter] = option.parameters()
    assert option.required and parameter.default is parameter.empty and option.default_text() == ""


def test_a_folder_without_a_table_is_refused_where_one_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder without tables; give a file, or a folder of Parquet or CSV parts"):
        job_of("tabular").data(tmp_path, {"target": "a"}, None)  # type: ignore[arg-type]  # it is refused before


@pytest.mark.parametrize("name", TRAINED)
def test_how_a_file_is_read_is_an_option_of_every_training(name: str) -> None:
    options = {option.name: option for option in job_of(name).options}
    fields_of_files = {f"csv_{field.name}" for field in fields(CsvOptions)} - {"csv_strict"}
    assert fields_of_files | {"query"} <= options.keys()
    given = {"csv_separator": ";", "csv_null_values": "?,-", "no_csv_header": True, "csv_skip": "2"}
    read = read_options(options.values(), given)
    assert read == {"csv_separator": ";", "csv_null_values": ("?", "-"), "csv_header": False, "csv_skip": 2}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Sales", "Sales"),
        ("Sales,Returns", ("Sales", "Returns")),
        ("price, USD", "price, USD"),
        ('"a,b",c', ("a,b", "c")),
    ],
)
def test_a_name_with_a_comma_is_one_name(text: str, read: Any) -> None:
    options = {option.name: option for option in job_of("tabular").options}
    assert options["target"].parsed(text) == read
    assert options["exclude"].parsed('"price, USD",id') == ("price, USD", "id")


def test_what_python_advises_is_said_in_the_command_s_words() -> None:
    text = "read with ';'; csv=CsvOptions(separator=';', null_values=['NA', '?'], names=[...]), or csv=CsvOptions(decimal=',')"
    assert as_command(text) == (
        "read with ';'; --csv-separator ';' --csv-null-values 'NA,?' --csv-names ..., or --csv-decimal ','"
    )
    assert as_command("csv=CsvOptions(null_values=['no answer'])") == "--csv-null-values 'no answer'"
    assert as_command("csv=CsvOptions(null_values=[])") == "--csv-null-values ''"


@pytest.mark.parametrize(
    ("python", "command"),
    [
        ("numbers=['Revenue'] reads them", "--numbers Revenue reads them"),
        ("exclude=['Order Date'] if so", "--exclude 'Order Date' if so"),
        ("exclude=['price, USD']", """--exclude '"price, USD"'"""),
        ("exclude=[' a']", "--exclude ' a'"),
        ("target_kind='label'; on_error='skip'", "--target-kind label; --on-error skip"),
    ],
)
def test_advised_arguments_are_options(python: str, command: str) -> None:
    assert as_command(python) == command


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (" größe", [" größe"]),
        ('" größe" , Kunde ', [" größe", "Kunde"]),
        ('"price, USD"', ["price, USD"]),
        ('"5"" pipe",b', ['5" pipe', "b"]),
        ("a, b,,c", ["a", "b", "c"]),
        ("", []),
        ("  ", []),
    ],
)
def test_names_keep_the_blanks_that_are_theirs(text: str, read: list[str]) -> None:
    assert names(text) == read


def test_the_source_may_be_a_database() -> None:
    assert source_of("sqlite:///shop.db", "SELECT 1") == Query("sqlite:///shop.db", "SELECT 1")
    assert source_of("~/t.csv", None) == Path.home() / "t.csv"
