"""Values: frozen dataclasses that are checked, documented, compared and stored as JSON by one mechanism.

A learner consists of a few values: its codec, its design and its training. Each is a frozen dataclass, and its fields
are the only place where an option's name, type, default, range and documentation are defined. They provide

- the keyword arguments of constructors (`replaced`), with errors that name the field;
- ``learner.json`` and back (`to_json`, `from_json`);
- the command line's options and the reference documentation (`options_of`);
- the settings that a checkpoint compares before a fit resumes (`differences`).

A field is documented by its entry in the section ``Attributes`` of the class docstring.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from torch import Tensor

from headstart.core.errors import ConfigError, did_you_mean

__all__ = [
    "Json",
    "Option",
    "Range",
    "Value",
    "arguments_of",
    "checked",
    "differences",
    "from_json",
    "options_of",
    "replaced",
    "to_json",
    "unknown_option",
]

Json = dict[str, Any]

TYPE = "type"
"""Key under which a record stores the name of its class, where the declared type allows several."""

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """Bounds of a number, used as in ``Annotated[float, Range(low=0, below=1)]``; None: no such bound.

    Attributes:
        low: inclusive lower bound.
        above: exclusive lower bound.
        high: inclusive upper bound.
        below: exclusive upper bound.
    """

    low: float | None = None
    above: float | None = None
    high: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.low is None or value >= self.low)
            and (self.above is None or value > self.above)
            and (self.high is None or value <= self.high)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        lower = f"at least {self.low:g}" if self.low is not None else None
        lower = f"above {self.above:g}" if self.above is not None else lower
        upper = f"at most {self.high:g}" if self.high is not None else None
        upper = f"below {self.below:g}" if self.below is not None else upper
        return " and ".join(part for part in (lower, upper) if part)


class Value:
    """Base class of values that users construct: the constructor checks the type and range of every field.

    Lists are converted to tuples and integers to floats where the declared type requires it, so that equal values
    compare equal.

    Raises:
        ConfigError: a field has the wrong type or lies outside its range; the message names the field.
    """

    def __post_init__(self) -> None:
        """Check and normalise all fields."""
        for name, hint in _hints(type(self)).items():
            object.__setattr__(self, name, checked(name, hint, getattr(self, name)))


@dataclass(frozen=True)
class Option:
    """A field of a value, or a parameter of a function, as constructors, commands and documentation present it.

    Attributes:
        name: name of the field or parameter.
        type: declared type, without the range.
        default: default; `dataclasses.MISSING` if there is none.
        help: documentation, on one line: the entry under ``Attributes`` or ``Args``.
        range: bounds, or None.
    """

    name: str
    type: Any
    default: Any
    help: str
    range: Range | None = None


def options_of(kind: type[Any]) -> tuple[Option, ...]:
    """Return the fields of a value's class, starting with those of its base classes.

    Args:
        kind: a dataclass.
    """
    documentation = _documentation(kind)
    options = []
    for field in dataclasses.fields(kind):
        hint, bounds = _without_range(_hints(kind)[field.name])
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        options.append(Option(field.name, hint, default, documentation.get(field.name, ""), bounds))
    return tuple(options)


def arguments_of(function: Any) -> tuple[Option, ...]:
    """Return the named parameters of a function, documented by the section ``Args`` of its docstring.

    Args:
        function: a function or method, or a class, for its constructor; ``self``, ``*args`` and ``**kwargs`` are
            omitted.
    """
    documentation = _entries(inspect.getdoc(function) or "", "Args:")
    annotated = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(annotated, include_extras=True)
    arguments = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            hint, bounds = _without_range(hints.get(name, Any))
            default = dataclasses.MISSING if parameter.default is parameter.empty else parameter.default
            arguments.append(Option(name, hint, default, documentation.get(name, ""), bounds))
    return tuple(arguments)


def checked(name: str, kind: Any, given: Any) -> Any:
    """Return a value converted to its declared type: lists to tuples, integers to floats.

    Args:
        name: name of the field or argument, for the message.
        kind: declared type, with its range.
        given: the value that the user passed.

    Raises:
        ConfigError: the value has the wrong type or lies outside the range.
    """
    try:
        return _coerced(kind, given)
    except _MismatchError as error:
        raise ConfigError(f"{name} must be {error.expected}; got {given!r}") from None


def replaced(value: T, options: Mapping[str, Any]) -> T:
    """Return a copy of a value with some fields changed.

    Args:
        value: an instance of a frozen dataclass.
        options: new contents by field name; names that are not fields of the value are ignored.

    Raises:
        ConfigError: a new content has the wrong type or lies outside its range.
    """
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise ConfigError(f"expected a value, such as a design or a training; got {value!r}")
    names = {field.name for field in dataclasses.fields(value)}
    changed = {name: content for name, content in options.items() if name in names}
    return dataclasses.replace(value, **changed) if changed else value


def unknown_option(name: str, owner: str, *kinds: type[Any], besides: Sequence[str] = ()) -> ConfigError:
    """Return the error for a keyword argument that none of several values has as a field.

    Args:
        name: the keyword argument.
        owner: name of the class or function that received it, for the message.
        kinds: classes of the values, whose fields are suggested.
        besides: other names that are suggested.
    """
    known = [*(option.name for kind in kinds for option in options_of(kind)), *besides]
    return ConfigError(f"{owner} has no option {name!r}; {did_you_mean(name, known)}")


def to_json(value: Any, tensors: dict[str, Tensor] | None = None, *, kind: Any = None, name: str = "value") -> Any:
    """Convert a value to objects that JSON supports, and collect its tensors.

    Args:
        value: a dataclass, or anything that its fields may contain: numbers, strings, booleans, None, tuples, mappings
            with strings as keys, and tensors.
        tensors: receives each tensor under its dotted name; None: tensors are not allowed.
        kind: declared type; None: the type of the value.
        name: prefix of the tensors' names.

    Returns:
        What `from_json` converts back.

    Raises:
        TypeError: a part of the value cannot be represented in JSON.
    """
    hint, _ = _without_range(type(value) if kind is None else kind)
    if isinstance(value, Tensor):
        if tensors is None:
            raise TypeError(f"{name} is a tensor, which this record cannot store")
        tensors[name] = value
        return {"tensor": name}
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{name} is {value}; JSON supports finite numbers only")
        return value
    if hasattr(value, "to_json"):
        record = value.to_json()
    elif dataclasses.is_dataclass(value):
        hints = _hints(type(value))
        record = {
            field: to_json(getattr(value, field), tensors, kind=hint_of_field, name=f"{name}.{field}")
            for field, hint_of_field in hints.items()
        }
    elif isinstance(value, Mapping):
        inner = get_args(hint)[1] if len(get_args(hint)) == 2 else None
        return {str(key): to_json(part, tensors, kind=inner, name=f"{name}.{key}") for key, part in value.items()}
    elif isinstance(value, tuple | list):
        if _all_plain(value):
            return list(value)
        inner = _element_types(hint, len(value))
        return [
            to_json(part, tensors, kind=element, name=f"{name}.{number}")
            for number, (part, element) in enumerate(zip(value, inner, strict=True))
        ]
    else:
        raise TypeError(f"{name} is a {type(value).__name__}, which cannot be represented in JSON")
    return {TYPE: type(value).__name__, **record} if len(_classes(hint)) > 1 else record


def from_json(kind: Any, record: Any, tensors: Mapping[str, Tensor] | None = None) -> Any:
    """Return the value that `to_json` converted, created by the constructor of its class.

    Args:
        kind: declared type: a dataclass, a union of dataclasses, or a type that their fields may have.
        record: what `to_json` returned.
        tensors: the tensors that it collected.

    Raises:
        ValueError: the record does not describe a value of this type.
    """
    hint, _ = _without_range(kind)
    if hint is Any:
        return record
    if isinstance(record, dict) and set(record) == {"tensor"} and Tensor in _arms(hint):
        return (tensors or {})[record["tensor"]]
    classes = _classes(hint)
    if classes and isinstance(record, dict):
        record = dict(record)
        target = classes[0]
        if len(classes) > 1:
            by_name = {candidate.__name__: candidate for candidate in classes}
            class_name = record.pop(TYPE, None)
            if class_name not in by_name:
                raise ValueError(f"expected one of {', '.join(by_name)}; got {class_name!r}")
            target = by_name[class_name]
        return _object(target, record, tensors)
    for arm in _arms(hint):
        origin = get_origin(arm)
        if isinstance(record, list) and origin in (tuple, Sequence, list) and _fits_length(arm, record):
            if _fits_plainly(arm, record):
                return tuple(record)
            inner = _element_types(arm, len(record))
            return tuple(from_json(element, part, tensors) for element, part in zip(inner, record, strict=True))
        if isinstance(record, dict) and (origin in (dict, Mapping) or arm in (dict, Mapping)):
            inner_type = get_args(arm)[1] if len(get_args(arm)) == 2 else Any
            return {key: from_json(inner_type, part, tensors) for key, part in record.items()}
    try:
        return _coerced(hint, record)
    except _MismatchError as error:
        raise ValueError(f"expected {error.expected}; got {record!r}") from None


def differences(before: Any, after: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the differences between two JSON records: the dotted name, the earlier content and the later content.

    Args:
        before: the earlier record.
        after: the later record; a name that is missing in one of them counts as None there.
        name: prefix of the yielded names.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*after, *before]):
            yield from differences(before.get(key), after.get(key), f"{name}.{key}" if name else str(key))
    elif before != after:
        yield name, before, after


# ---- inside


class _MismatchError(Exception):
    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


_KNOWN_HINTS: dict[type[Any], dict[str, Any]] = {}


def _hints(kind: type[Any]) -> dict[str, Any]:
    """Return the declared types of a dataclass's fields, from a cache."""
    if kind not in _KNOWN_HINTS:
        hints = typing.get_type_hints(kind, include_extras=True)
        _KNOWN_HINTS[kind] = {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}
    return _KNOWN_HINTS[kind]


def _documentation(kind: type[Any]) -> dict[str, str]:
    """Return each field's entry in the ``Attributes`` sections of a class and its bases, on one line."""
    documentation: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        documentation |= _entries(inspect.cleandoc(base.__dict__.get("__doc__") or ""), "Attributes:")
    return documentation


def _entries(docstring: str, section: str) -> dict[str, str]:
    """Return the entries of one section of a docstring by name, each on one line."""
    lines = docstring.splitlines()
    entries: dict[str, str] = {}
    name = ""
    for line in lines[lines.index(section) + 1 :] if section in lines else ():
        if line and not line.startswith(" "):
            break
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            name, entries[entry[1]] = entry[1], entry[2]
        elif name and line.strip():
            entries[name] += f" {line.strip()}"
    return entries


def _object(kind: type[Any], record: Json, tensors: Mapping[str, Tensor] | None) -> Any:
    if hasattr(kind, "from_json"):
        return kind.from_json(record)
    hints = _hints(kind)
    unknown = [name for name in record if name not in hints]
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {unknown[0]!r}")
    missing = [
        field.name
        for field in dataclasses.fields(kind)
        if field.name in hints
        and field.name not in record
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"the field {missing[0]!r} of {kind.__name__} is missing")
    return kind(**{name: from_json(hints[name], part, tensors) for name, part in record.items()})


def _without_range(hint: Any) -> tuple[Any, Range | None]:
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        return inner, next((extra for extra in extras if isinstance(extra, Range)), None)
    return hint, None


def _arms(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself, without ``Annotated`` and its ranges."""
    hint, _ = _without_range(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(arm for part in get_args(hint) for arm in _arms(part))
    return (hint,)


def _classes(hint: Any) -> list[type[Any]]:
    """Return the members of a type that are stored as records."""
    return [
        arm
        for arm in _arms(hint)
        if inspect.isclass(arm) and (dataclasses.is_dataclass(arm) or hasattr(arm, "from_json"))
    ]


def _element_types(hint: Any, count: int) -> list[Any]:
    for arm in _arms(hint):
        parts = get_args(arm)
        if get_origin(arm) is tuple and not (len(parts) == 2 and parts[1] is Ellipsis):
            return list(parts) if len(parts) == count else [Any] * count
        if get_origin(arm) in (tuple, Sequence, list) and parts:
            return [parts[0]] * count
    return [None if hint is None else Any] * count


_PLAIN = frozenset({str, int, bool, type(None)})
"""Types whose values are represented identically in Python and in JSON."""


def _all_plain(values: Sequence[Any]) -> bool:
    """Return whether a sequence needs no conversion to JSON, without a call per element: vocabularies are long."""
    kinds = set(map(type, values))
    return kinds <= _PLAIN or (kinds == {float} and all(map(math.isfinite, values)))


def _fits_plainly(arm: Any, record: Sequence[Any]) -> bool:
    """Return whether the elements of a sequence already have the type X of ``arm``, ``tuple[X, ...]``."""
    parts = get_args(arm)
    if not parts or not _unbounded(parts[0]) or (get_origin(arm) is tuple and parts[1:] != (Ellipsis,)):
        return False
    return set(map(type, record)) <= _PLAIN.intersection(_arms(parts[0]))


def _fits_length(arm: Any, record: Sequence[Any]) -> bool:
    """Return whether a sequence has the length that ``arm`` declares: any, except for tuples like ``tuple[X, Y]``."""
    parts = get_args(arm)
    return get_origin(arm) is not tuple or parts[1:] == (Ellipsis,) or len(parts) == len(record)


def _unbounded(hint: Any) -> bool:
    return get_origin(hint) is not Annotated and all(get_origin(arm) is not Annotated for arm in get_args(hint))


def _coerced(hint: Any, given: Any) -> Any:
    """Return a value converted to its declared type; raise `_MismatchError` if that is impossible."""
    inner, bounds = _without_range(hint)
    arms = _arms(inner)
    if given is None and type(None) in arms:
        return None
    expected: list[str] = []
    for arm in arms:
        if arm is type(None):
            continue
        try:
            coerced = _coerced_to(arm, given)
        except _MismatchError as error:
            expected.append(error.expected)
            continue
        numbers = coerced if isinstance(coerced, tuple) else (coerced,)
        if bounds is not None and not all(float(n) in bounds for n in numbers if isinstance(n, int | float)):
            expected = [_named(arm)]
            break
        return coerced
    description = " or ".join(dict.fromkeys(expected))
    if bounds is not None:
        description += f" of {bounds}" if str(bounds).startswith("at") else f" {bounds}"
    raise _MismatchError(description + (", or None" if type(None) in arms else ""))


def _coerced_to(arm: Any, given: Any) -> Any:
    origin = get_origin(arm)
    if arm is Any or (origin is None and not inspect.isclass(arm)):
        return given
    if origin is Literal:
        if any(given is choice or (type(given) is type(choice) and given == choice) for choice in get_args(arm)):
            return given
        raise _MismatchError(_named(arm))
    if arm is bool:
        if isinstance(given, bool):
            return given
    elif arm is int:
        if isinstance(given, Integral) and not isinstance(given, bool):
            return int(given)
    elif arm is float:
        if isinstance(given, Real) and not isinstance(given, bool) and math.isfinite(given):
            return float(given)
    elif origin in (tuple, Sequence, list):
        if isinstance(given, Sequence) and not isinstance(given, str | bytes):
            inner = _element_types(arm, len(given))
            fixed = get_args(arm) and get_args(arm)[-1] is not Ellipsis and origin is tuple
            if not fixed or len(get_args(arm)) == len(given):
                return tuple(_coerced(element, part) for element, part in zip(inner, given, strict=True))
    elif origin in (dict, Mapping):
        if isinstance(given, Mapping):
            key, content = get_args(arm)
            return {_coerced(key, name): _coerced(content, part) for name, part in given.items()}
    elif inspect.isclass(arm):
        if isinstance(given, arm):
            return given
    else:
        return given
    raise _MismatchError(_named(arm))


def _named(arm: Any) -> str:
    """Describe a type in words, for messages."""
    arm, _ = _without_range(arm)
    words = {bool: "True or False", int: "a whole number", float: "a number", str: "text", type(None): "None"}
    if arm in words:
        return words[arm]
    if get_origin(arm) is Literal:
        *first, last = (repr(choice) for choice in get_args(arm))
        return f"{', '.join(first)} or {last}" if first else last
    if get_origin(arm) in (tuple, Sequence, list):
        inner = [part for part in get_args(arm) if part is not Ellipsis]
        return f"a list of {' and '.join(_plural(part) for part in dict.fromkeys(inner))}"
    if get_origin(arm) in (dict, Mapping):
        return "a dictionary"
    name = str(getattr(arm, "__name__", arm))
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"


def _plural(arm: Any) -> str:
    words = {int: "whole numbers", float: "numbers", str: "texts"}
    inner, _ = _without_range(arm)
    return words.get(inner, f"{_named(inner)} each")
