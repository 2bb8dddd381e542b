"""The page on features, interpretation and estimators: its examples run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import toys

PAGE = Path(__file__).parents[2] / "docs" / "tables-features.md"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:of .* never seen in training")  # closed days are predicted there, too
def test_the_page_s_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three trainings on every tenth day of real data, shortened to one epoch: the page is what users copy."""
    monkeypatch.chdir(tmp_path)
    toys.every_nth_row(monkeypatch, tmp_path, "rossmann-100", 10)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    space: dict[str, object] = {}
    for block in blocks:
        exec(block.replace("fit_one_cycle()", "fit_one_cycle(0.01, 1)").replace("repeats=5", "repeats=1"), space)
    assert len(space["worst"].largest_errors(10)) == 10
