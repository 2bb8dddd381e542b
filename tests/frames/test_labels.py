"""Several labels in one text."""

from __future__ import annotations

import polars as pl
import pytest

from headstart import DataError
from headstart.frames.labels import split_labels


def test_labels_in_a_text_become_a_list() -> None:
    frame = pl.DataFrame({"tags": ["comedy|drama", " comedy ", "", None, "|a|"]})
    expected = [["comedy", "drama"], ["comedy"], [], [], ["a"]]
    assert split_labels(frame, "tags", "|", "table")["tags"].to_list() == expected
    assert split_labels(frame, "tags", None, "table").equals(frame)
    lists = pl.DataFrame({"tags": [["a"], ["b", "c"]]})
    assert split_labels(lists, "tags", "|", "table").equals(lists)
    with pytest.raises(DataError, match="separator= is for labels in a text, but column 'tags' holds Int64"):
        split_labels(pl.DataFrame({"tags": [1]}), "tags", "|", "table")
