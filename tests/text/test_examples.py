"""The examples run in their fast mode, and go on where they stopped."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs(name: str) -> None:
    if not (Path(os.environ.get("HEADSTART_DATA", "")) / name).is_dir():
        pytest.skip(f"HEADSTART_DATA has no folder {name}")


def test_imdb_forward_backward_and_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Some 10 seconds: two language models and two classifiers, though tiny."""
    needs("imdb")
    for extra in ([], ["--backward"], ["--only", "ensemble"]):
        example("imdb").main(["--out", str(tmp_path), "--fast", *extra])
    printed = capsys.readouterr().out
    assert "tokens/s" in printed and "ensemble {'accuracy'" in printed
    assert (tmp_path / "ensemble" / "learner.json").is_file()


def test_arxiv_writes_by_category(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("arxiv-cs")
    example("arxiv").main(["--out", str(tmp_path), "--fast"])
    assert "<cat> cs cv <summ> algorithms that ... " in capsys.readouterr().out
    assert (tmp_path / "language-model" / "learner.json").is_file()
