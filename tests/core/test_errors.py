"""The tree of errors, and the end of a message about an unknown name."""

from __future__ import annotations

from typing import Any

import pytest

from headstart.core import errors
from headstart.core.errors import did_you_mean


def test_every_error_has_one_root_and_mistakes_are_value_errors() -> None:
    kinds = (errors.DataError, errors.ConfigError, errors.ArtifactError, errors.NotFittedError)
    assert all(issubclass(kind, errors.HeadstartError) for kind in kinds)
    assert [issubclass(kind, ValueError) for kind in kinds] == [True, True, False, False]
    assert issubclass(errors.HeadstartWarning, UserWarning)


@pytest.mark.parametrize(
    ("name", "known", "end"),
    [
        ("sales", ["Store", "Sales"], "did you mean 'Sales'?"),
        ("Slaes", ["Store", "Sales"], "did you mean 'Sales'?"),
        ("zzz", ["Store", "Sales"], "there are: 'Store', 'Sales'"),
        ("zzz", range(21), "there are: " + ", ".join(f"'{number}'" for number in range(20)) + ", ..."),
        ("zzz", [], "there are none"),
        (7, ["x7"], "did you mean 'x7'?"),
        ("10", [10], "did you mean '10'?"),
    ],
)
def test_an_unknown_name_gets_the_nearest_or_the_list(name: Any, known: Any, end: str) -> None:
    assert did_you_mean(name, known) == end
