"""Values: fields are checked when one is made, and the JSON of each gives the same value again."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.core.errors import ConfigError
from headstart.core.values import (
    Range,
    Value,
    differences,
    from_json,
    options_of,
    replaced,
    to_json,
    unknown_option,
)

Plain = str | int | bool


@dataclass(frozen=True)
class Inner:
    """A part.

    Attributes:
        names: of anything plain.
        weights: numbers.
    """

    names: tuple[Plain, ...] = ()
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class Other:
    """Another part."""

    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True, kw_only=True)
class Whole(Value):
    """A value.

    Attributes:
        size: a width, in
            columns.
        share: between 0 and 1.
        part: one of two, or None.
        counts: by name.
        pair: text and a number.
        mode: one of two words.
    """

    size: Annotated[int, Range(low=1)]
    share: Annotated[float, Range(low=0, below=1)] = 0.5
    part: Inner | Other | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    pair: tuple[str, int] | None = None
    mode: Literal["fast", "slow"] = "fast"
    widths: tuple[Annotated[int, Range(low=1)], ...] | None = None


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.text(max_size=3) | st.integers() | st.booleans()
INNER = st.builds(Inner, st.lists(PLAIN).map(tuple), st.lists(FLOATS).map(tuple))
WHOLE = st.builds(
    Whole,
    size=st.integers(1),
    share=st.floats(0, 1, exclude_max=True),
    part=st.none() | INNER | st.builds(Other, st.sampled_from(["a", "b"])),
    counts=st.dictionaries(st.text(max_size=3), st.integers()),
    pair=st.none() | st.tuples(st.text(max_size=3), st.integers()),
    mode=st.sampled_from(["fast", "slow"]),
    widths=st.none() | st.lists(st.integers(1)).map(tuple),
)


@given(WHOLE)
def test_a_value_survives_json(value: Whole) -> None:
    again = from_json(Whole, json.loads(json.dumps(to_json(value))))
    assert again == value


@given(INNER)
def test_text_whole_numbers_and_booleans_stay_what_they_are(value: Inner) -> None:
    again = from_json(Inner, json.loads(json.dumps(to_json(value))))
    assert [(type(name), name) for name in again.names] == [(type(name), name) for name in value.names]
    assert all(type(weight) is float for weight in again.weights)


@given(st.lists(st.text(max_size=2) | st.integers() | st.booleans() | FLOATS | st.none()))
def test_the_short_way_of_plain_elements_gives_what_the_long_way_gives(values: list[Any]) -> None:
    kinds = str | int | bool | float | None
    assert to_json(tuple(values)) == [to_json(value) for value in values]
    again = from_json(tuple[kinds, ...], values)
    assert again == tuple(from_json(kinds, value) for value in values)
    assert [type(value) for value in again] == [type(value) for value in values]


@pytest.mark.parametrize("values", [("text",) * 60_000, tuple(range(60_000)), (True, 1, "1") * 20_000])
def test_a_long_vocabulary_is_stored_and_read_without_delay(values: tuple[Plain, ...]) -> None:
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        record = to_json(Inner(values))
        again = from_json(Inner, record)
        best = min(best, time.perf_counter() - start)
    assert again.names == values
    assert best < 0.05


def test_the_class_of_a_union_is_written_down_and_of_a_single_class_is_not() -> None:
    assert to_json(Inner(("a",)), kind=Inner | Other) == {"type": "Inner", "names": ["a"], "weights": []}
    assert to_json(Other(), kind=Other | None) == {"kind": "a"}
    assert from_json(Other | None, None) is None
    assert from_json(Inner | Other, {"type": "Other", "kind": "b"}) == Other("b")


def test_tensors_lie_beside_the_record() -> None:
    tensors: dict[str, torch.Tensor] = {}
    record = to_json({"a": (torch.ones(2), 3)}, tensors, name="model")
    assert record == {"a": [{"tensor": "model.a.0"}, 3]} and list(tensors) == ["model.a.0"]
    assert from_json(torch.Tensor, record["a"][0], tensors) is tensors["model.a.0"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "model is nan; JSON supports finite numbers only"),
        ((1.0, math.inf), "model.1 is inf; JSON supports finite numbers only"),
        (Inner(weights=(math.nan,)), "model.weights.0 is nan; JSON supports finite numbers only"),
        ({"a": object()}, "model.a is a object, which cannot be represented in JSON"),
        (torch.ones(1), "model is a tensor, which this record cannot store"),
    ],
)
def test_what_json_cannot_hold_is_named(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        to_json(value, name="model")


@pytest.mark.parametrize(
    ("kind", "record", "message"),
    [
        (Whole, {}, "the field 'size' of Whole is missing"),
        (Whole, {"size": 1, "depth": 2}, "Whole has no field 'depth'"),
        (Whole, {"size": "1"}, "expected a whole number; got '1'"),
        (Inner | Other, {"type": "Rank"}, "expected one of Inner, Other; got 'Rank'"),
        (Inner | Other, {}, "expected one of Inner, Other; got None"),
        (Other, {"kind": "c"}, "expected 'a' or 'b'; got 'c'"),
        (Inner, {"names": [1.5]}, "expected text or a whole number or True or False; got 1.5"),
        (Inner, {"names": ["a", None]}, "expected text or a whole number or True or False; got None"),
        (Inner, {"weights": [1, "x"]}, "expected a number; got 'x'"),
        (Inner, [], r"expected an Inner; got \[\]"),
        (tuple[str, int], ["a"], "expected a list of texts and whole numbers; got"),
    ],
)
def test_a_record_of_something_else_is_refused(kind: Any, record: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(kind, record)


def test_fields_are_normalised() -> None:
    value = Whole(size=3, share=0, pair=["a", 1], widths=[1, 2])  # type: ignore[arg-type]  # it is converted
    assert value == Whole(size=3, share=0.0, pair=("a", 1), widths=(1, 2))
    assert type(value.share) is float and type(value.pair) is tuple


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be a whole number of at least 1; got 0"),
        ({"size": True}, "size must be a whole number of at least 1; got True"),
        ({"size": 1, "share": 1.0}, "share must be a number of at least 0 and below 1; got 1.0"),
        ({"size": 1, "share": math.nan}, "share must be a number of at least 0 and below 1; got nan"),
        ({"size": 1, "mode": "quick"}, "mode must be 'fast' or 'slow'; got 'quick'"),
        ({"size": 1, "widths": [4, 0]}, "widths must be .* of at least 1, or None; got"),
        ({"size": 1, "part": 3}, "part must be an Inner or an Other, or None; got 3"),
        ({"size": 1, "counts": [1]}, r"counts must be a dictionary; got \[1\]"),
        ({"size": 1, "pair": ("a",)}, "pair must be a list of texts and whole numbers, or None; got"),
    ],
)
def test_a_wrong_field_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Whole(**options)


def test_options_are_the_fields_with_their_documentation() -> None:
    size, share, *_, counts, _, _, widths = options_of(Whole)
    assert (size.name, size.type, size.help, str(size.range)) == ("size", int, "a width, in columns.", "at least 1")
    assert (share.default, str(share.range)) == (0.5, "at least 0 and below 1")
    assert counts.default == {} and widths.help == ""


def test_replacing_ignores_the_options_of_others_and_names_unknown_ones() -> None:
    value = Whole(size=1)
    assert replaced(value, {"size": 2, "depth": 3}) == Whole(size=2)
    assert replaced(value, {"depth": 3}) is value
    assert str(unknown_option("shar", "Learner", Whole, Other)) == "Learner has no option 'shar'; did you mean 'share'?"


@given(WHOLE, WHOLE)
def test_records_differ_where_values_differ(one: Whole, other: Whole) -> None:
    before, after = to_json(one), to_json(other)
    changes = list(differences(before, after))
    assert bool(changes) == (one != other)
    assert list(differences(before, before)) == []
    assert {name.split(".")[0] for name, _, _ in changes} == {name for name in before if before[name] != after[name]}
