"""`fit_target`: the kind that a column suggests, and options that do not go together."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from headstart.core.errors import ConfigError
from headstart.targets.fit import fit_target

FRAME = pl.DataFrame(
    {
        "price": [1.5, 2.5, 4.0],
        "visits": [3, 1, 4],
        "bought": [0, 1, 0],
        "flag": [True, False, True],
        "kind": ["a", "b", "a"],
        "tags": [["a"], [], ["a", "b"]],
    }
)


@pytest.mark.parametrize(
    ("columns", "options", "kind"),
    [
        (["price"], {}, "number"),
        (["visits"], {}, "number"),
        (["bought"], {}, "label"),
        (["flag"], {}, "label"),
        (["kind"], {}, "label"),
        (["tags"], {}, "labels"),
        (["price", "visits"], {}, "number"),
        (["price", "bought"], {"kind": "number"}, "number"),
        (["bought"], {"kind": "number"}, "number"),
        (["visits"], {"kind": "label"}, "label"),
        (["tags"], {"kind": "label"}, "labels"),
        (["visits"], {"kind": "count"}, "count"),
        (["price"], {"quantiles": [0.1, 0.9]}, "quantiles"),
    ],
)
def test_the_kind_of_a_target(columns: list[str], options: dict[str, Any], kind: str) -> None:
    target = fit_target(FRAME, columns, **options)
    assert target.kind == kind and target.columns == tuple(columns)


def test_options_of_numbers() -> None:
    target = fit_target(FRAME, ["price"], log=True, y_range=(1, 10))
    assert target.kind == "number" and target.log and target.range == (1.0, 10.0)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (["price"], {"kind": "labels"}, "target_kind must be 'number', 'count' or 'label'; did you mean 'label'"),
        (["price", "visits"], {"kind": "count"}, "a count is one target; train a model for each"),
        (["price", "visits"], {"kind": "label"}, "several targets must be numbers; for several classes per row use"),
        (["kind"], {"log": True}, "log_target, y_range and quantiles are for numbers, but target 'kind' is a class"),
        (["tags"], {"quantiles": [0.5]}, "are for numbers, but target 'tags' holds several classes per row"),
        (["visits"], {"kind": "count", "y_range": (0, 9)}, "are for numbers, but target 'visits' is a count"),
    ],
)
def test_options_that_do_not_go_together(columns: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_target(FRAME, columns, **options)
