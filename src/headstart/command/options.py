"""Options of ``headstart train NAME``, made from the fields of values that `Job.options` in `command.train` lists.

Name, type, default and documentation of an option are those of its field, and stand in the library alone.
A field ``batch_size: Annotated[int | None, Range(low=1)] = None`` becomes ``--batch-size N``. What is written after an
option stays text until `read_options` turns it into what the field holds, so that a mistake is reported in the same
words as in Python. Options that are not given are not passed on: the library's defaults apply.

=================================  =================================================================
a field of                         is written as
=================================  =================================================================
``bool``                           ``--log-target``, ``--no-log-target``
``int``, ``float``, ``str``, path  ``--epochs 5``
``Literal``                        ``--resize pad``: one of its choices
``tuple``                          ``--hidden 200,100``: with commas
``Mapping``                        ``--embedding-sizes shop=4,day=2``
``X | None``, None by default      as X; left out: by the data
``X | None``, X by default         as X, or ``none``
a value among several              its name in lower case: ``--optimizer sgd``
=================================  =================================================================
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from rich.markup import escape

from headstart.core.errors import ConfigError, did_you_mean

__all__ = [
    "AsJson",
    "CommandOption",
    "Device",
    "Folder",
    "Input",
    "Query",
    "device_option",
    "json_option",
    "names",
    "options_in",
    "read_options",
    "source_of",
]


def device_option(panel: str | None = None) -> Any:
    """Return ``--device`` for a group of ``--help``."""
    text = "Where to compute: auto, cpu, cuda, cuda:1 or mps."
    return typer.Option(metavar="NAME", help=text, rich_help_panel=panel)


def json_option(panel: str | None = None) -> Any:
    """Return ``--json`` for a group of ``--help``."""
    text = "Print one JSON object as the last line, and everything else to stderr."
    return typer.Option("--json", help=text, metavar=" ", rich_help_panel=panel)


AsJson = Annotated[bool, json_option()]
Device = Annotated[str, device_option()]
Folder = Annotated[Path, typer.Argument(help="Folder of a model, as written by 'headstart train ... --out'.")]
Input = Annotated[
    str,
    typer.Argument(
        help="File, folder of parts or database of a table; for text also a folder of .txt files, for images a folder"
        " or file."
    ),
]
Query = Annotated[
    str | None, typer.Option(metavar="SQL", help="Query, if the input is a database such as sqlite:///shop.db.")
]


def source_of(text: str, query: str | None) -> Any:
    """Return what a command was given as a source: a path, or a `Query` on a database.

    Args:
        text: a path, or the database.
        query: SQL; None: the source is a file or a folder.
    """
    from headstart.core.paths import expanded
    from headstart.frames.files import Query

    return expanded(text) if query is None else Query(text, query)


@dataclass(frozen=True)
class CommandOption:
    """One option of a command.

    Attributes:
        name: the field's name, such as ``batch_size``.
        type: what the field holds, with its range.
        default: its default; `dataclasses.MISSING`: the option must be given.
        help: its documentation.
        panel: title of the group in which ``--help`` shows it.
    """

    name: str
    type: Any
    default: Any
    help: str
    panel: str

    @property
    def flag(self) -> str:
        """What is typed, such as ``--batch-size``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is dataclasses.MISSING

    def parameters(self) -> list[inspect.Parameter]:
        """Return the parameters of a typer command that read this option: of a boolean two, one of them hidden."""
        if _kinds(self.type) == [bool]:
            on, off = self.flag, f"--no-{self.flag[2:]}"
            shown = off if self.default is True else on
            text, default = self.text(), self.default_text()
            if self.default is True:
                usual, _, otherwise = text.partition("; False: ")
                text = f"Switch off: {usual[:1].lower()}{usual[1:]}" + (f"; then {otherwise}" if otherwise else "")
            elif self.default is None:
                text += f"; {off}: not {_dim(default)}"
            option = typer.Option(shown, help=text, metavar=" ", rich_help_panel=self.panel, show_default=False)
            other = typer.Option(on if shown == off else off, hidden=True)
            return [
                _parameter(self.name if shown == on else f"no_{self.name}", bool, option, default=False),
                _parameter(self.name if shown == off else f"no_{self.name}", bool, other, default=False),
            ]
        text = self.text()
        default = self.default_text()
        if default:
            text += f" {_dim(default)}"
        option = typer.Option(
            self.flag, help=text, metavar=_metavar(self.type), rich_help_panel=self.panel, show_default=False
        )
        if self.required:
            return [_parameter(self.name, str, option)]
        return [_parameter(self.name, str | None, option, default=None)]

    def parsed(self, text: str) -> Any:
        """Return a text as the field holds it.

        Raises:
            ConfigError: it has another form, or lies outside the range.
        """
        from headstart.core.values import checked

        if self.default is not None and text.lower() == "none" and type(None) in _arms(self.type):
            return None
        if type(self.default) in _named_values(self.type) and text.lower() == type(self.default).__name__.lower():
            return self.default
        found = _read(text, self.type)
        kind: Any = Union[tuple(_kinds(self.type))]  # noqa: UP007  # a union of what a list holds
        if get_origin(self.type) is Annotated:
            kind = Annotated[kind, *get_args(self.type)[1:]]
        try:
            return checked(self.flag, kind, text if found is UNREADABLE else found)
        except ConfigError as error:
            advice = did_you_mean(text, _choices(self.type)) if _choices(self.type) else ""
            advice = advice if advice.startswith("did") else ""
            if found is UNREADABLE and _form(self.type):
                advice = f"write {_form(self.type)}"
            raise ConfigError(f"{error}; {advice}" if advice else str(error)) from None

    def text(self) -> str:
        """Return the documentation without marks for code, and without what stands in `default_text`."""
        text = re.sub(r"[.;,] [Ii]n Python also (?:[^.;`]|`[^`]*`)*", "", self.help)
        text = text[:1].upper() + text[1:]
        if self.default is None:
            text = NONE_MEANS.sub(lambda match: "." if match.end() < len(match.string) else "", text)
        text = re.sub(r"``\(([-\d., ]+)\)``", lambda match: match[1].replace(", ", ","), text)
        text = re.sub(r"``\"?(.*?)\"?``", r"\1", text)
        text = re.sub(r"`(?:[\w.]*\.)?(\w+)`", r"\1", text).strip().rstrip(".;,")
        if self.default is not None:
            text = re.sub(r"\bNone\b", "none", text)
        choices = _choices(self.type)
        if choices and not all(choice.lower() in text.lower() for choice in choices):
            text += f" ({', '.join(choices)})"
        if any(get_origin(arm) in (dict, Mapping) for arm in _kinds(self.type)) and str not in _kinds(self.type):
            text += ", written as A=3,B=5"
        return escape(text)

    def default_text(self) -> str:
        """Return the default in words."""
        if self.required:
            return ""
        if self.default is None:
            meaning = NONE_MEANS.search(self.help)
            return re.sub(r"[`\"]", "", meaning["meaning"]).strip() if meaning else ""
        return _written(self.default)


UNREADABLE = object()

NONE_MEANS = re.compile(r"[;,.]?\s*(?:\bor )?\bNone: (?P<meaning>[^.;]*(?:\.\d[^.;]*)*)[.;]?", re.DOTALL)
"""What a field's documentation says of None, its default: ``; None: by the number of rows``."""


def options_in(options: Iterable[Any], panel: str, *, leave_out: Iterable[str] = ()) -> list[CommandOption]:
    """Return the options of a command that fields can be written as; others (callbacks, codecs) have none.

    Args:
        options: from `headstart.core.values.options_of` or `arguments_of`.
        panel: group in which ``--help`` shows them.
        leave_out: names to leave out.
    """
    found = []
    for option in options:
        hint = option.type if option.range is None else Annotated[option.type, option.range]
        if option.name not in set(leave_out) and _kinds(hint):
            found.append(CommandOption(option.name, hint, option.default, option.help, panel))
    return found


def read_options(options: Iterable[CommandOption], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given, by name, as the fields hold it; an option that was left out is not in it.

    Args:
        options: those of the command.
        arguments: what typer read: text, or True for a flag.

    Raises:
        ConfigError: one has another form, or lies outside its range.
    """
    given = {}
    for option in options:
        text = arguments.get(option.name)
        if _kinds(option.type) == [bool]:
            if text or arguments.get(f"no_{option.name}"):
                given[option.name] = bool(text)
        elif text is not None:
            given[option.name] = option.parsed(text)
    return given


def names(text: str) -> list[str]:
    """Return names with commas between them as a list.

    A name with a comma, or with blanks at an end in a list, has quotation marks: ``"price, USD"," id"``. A single name
    is taken as it is.
    """
    if not re.search('[,"]', text):
        return [text] if text.strip() else []
    parts = re.findall(r'\s*("(?:[^"]|"")*"|[^,]+)\s*(?:,|$)', text)
    found = (part[1:-1].replace('""', '"') if part[:1] == part[-1:] == '"' else part.strip() for part in parts)
    return [name for name in found if name.strip()]


# ---- types


def _arms(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself; ranges taken off."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(arm for part in get_args(hint) for arm in _arms(part))
    return (hint,)


def _kinds(hint: Any) -> list[Any]:
    """Return the members that can be written on a command line."""
    named = _named_values(hint)
    return [arm for arm in _arms(hint) if arm is not type(None) and (arm in named or _writable(arm))]


def _writable(arm: Any) -> bool:
    origin = get_origin(arm)
    if origin in (tuple, Sequence, list):
        return all(_kinds(part) for part in get_args(arm) if part is not Ellipsis)
    if origin in (dict, Mapping):
        return all(_kinds(part) for part in get_args(arm))
    return origin is Literal or arm in (bool, int, float, str, Path, Any)


def _named_values(hint: Any) -> list[type[Any]]:
    """Return the values among a type's members that need no arguments, if there are several: choices by name."""
    found = [
        arm
        for arm in _arms(hint)
        if inspect.isclass(arm)
        and dataclasses.is_dataclass(arm)
        and all(
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            for field in dataclasses.fields(arm)
        )
    ]
    return found if len(found) > 1 and not any(get_origin(arm) is Literal for arm in _arms(hint)) else []


def _choices(hint: Any) -> list[str]:
    literals = [str(choice) for arm in _kinds(hint) if get_origin(arm) is Literal for choice in get_args(arm)]
    return literals + [arm.__name__.lower() for arm in _named_values(hint)]


def _read(text: str, hint: Any) -> Any:
    """Return a text as one of a type's members has it, the narrowest first; `UNREADABLE` if it is none of them."""
    kinds = _kinds(hint)
    for arm in sorted(kinds, key=_breadth):
        origin = get_origin(arm)
        found: Any = UNREADABLE
        if origin is Literal:
            found = next((choice for choice in get_args(arm) if str(choice) == text), UNREADABLE)
        elif arm in (int, float):
            try:
                found = arm(text)
            except ValueError:
                continue
        elif origin in (tuple, Sequence, list):
            # --target Sales is one column, --target Sales,Returns are two, and --target "price, USD" is one again
            if str not in kinds or (len(names(text)) > 1 and ", " not in text):
                found = _read_parts(text, arm)
        elif origin in (dict, Mapping):
            found = _read_mapping(text, arm)
        elif arm in _named_values(hint):
            found = arm() if text.lower() == arm.__name__.lower() else UNREADABLE
        elif arm is Path:
            found = Path(text)
        else:
            found = text
        if found is not UNREADABLE:
            return found
    return UNREADABLE


def _breadth(arm: Any) -> int:
    order: tuple[Any, ...] = (Literal, int, float, dict, Mapping, tuple, Sequence, list)
    kind = get_origin(arm) or arm
    return order.index(kind) if kind in order else len(order)


def _read_parts(text: str, arm: Any) -> Any:
    inner = [part for part in get_args(arm) if part is not Ellipsis]
    parts = names(text)
    if len(inner) > 1 and len(inner) != len(parts):
        return UNREADABLE
    found = tuple(_read(part, inner[min(number, len(inner) - 1)]) for number, part in enumerate(parts))
    return UNREADABLE if UNREADABLE in found else found


def _read_mapping(text: str, arm: Any) -> Any:
    found = {}
    for entry in names(text):
        name, equals, content = entry.rpartition("=")
        if not equals:
            return UNREADABLE
        found[name.strip()] = _read(content.strip(), get_args(arm)[1])
    return UNREADABLE if UNREADABLE in found.values() or not found else found


# ---- words


def _metavar(hint: Any) -> str:
    kinds = sorted(_kinds(hint), key=_breadth)
    if _choices(hint):
        return "NAME"
    return _word(kinds[-1] if kinds[0] not in (int, float) else kinds[0])


def _word(arm: Any) -> str:
    if get_origin(arm) in (tuple, Sequence, list):
        inner = [_word(_kinds(part)[0]) for part in get_args(arm) if part is not Ellipsis]
        return ",".join(inner if len(inner) > 1 else [inner[0], "..."])
    if get_origin(arm) in (dict, Mapping):
        return f"NAME={_word(_kinds(get_args(arm)[1])[0])},..."
    return {int: "N", float: "X", Path: "PATH", Any: "FILE"}.get(arm, "TEXT")


def _form(hint: Any) -> str:
    """How lists and mappings are written, by an example."""
    for arm in _kinds(hint):
        if get_origin(arm) in (tuple, Sequence, list):
            parts = [part for part in get_args(arm) if part is not Ellipsis]
            if len(parts) > 1:
                return f"{len(parts)} of them with commas, such as {','.join(str(n) for n in range(1, len(parts) + 1))}"
            one, two = {int: ("200", "100"), float: ("0.1", "0.9")}.get(_kinds(parts[0])[0], ("A", "B"))
            return f"them with commas, such as {one},{two}"
        if get_origin(arm) in (dict, Mapping):
            return "names with equals signs and commas, such as A=3,B=5"
    return ""


def _written(value: Any) -> str:
    """Return a default as one would write it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return ",".join(_written(part) for part in value)
    if isinstance(value, Mapping):
        return ",".join(f"{name}={_written(part)}" for name, part in value.items())
    if isinstance(value, float):
        return format(value, "g")
    if dataclasses.is_dataclass(value):
        return type(value).__name__.lower()
    return str(value)


def _dim(default: str) -> str:
    return f"[dim]{escape(f'[default: {default}]')}[/dim]"


def _parameter(name: str, kind: Any, option: Any, **default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, option], **default)
