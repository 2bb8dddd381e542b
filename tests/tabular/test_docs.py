"""The page on features, interpretation and estimators: its examples run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tables-features.md"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:of .* never seen in training")  # closed days are predicted there, too
def test_the_page_s_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some 30 seconds: three trainings on real data, shortened to one epoch, since the page is what users copy."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    space: dict[str, object] = {}
    for block in blocks:
        exec(block.replace("fit_one_cycle(3e-3, 3)", "fit_one_cycle(3e-3, 1)").replace("repeats=5", "repeats=1"), space)
    assert len(space["worst"].largest_errors(10)) == 10
