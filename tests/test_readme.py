"""The README's Python runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import toys
import vision_toys
from headstart.applications import APPLICATIONS
from headstart.command.jobs import job_of

README = Path(__file__).parents[1] / "README.md"


def block(having: str) -> str:
    """The one example that has this in it."""
    [code] = [code for code in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if having in code]
    return code


def test_the_commands_that_are_shown_have_these_options() -> None:
    pages = [README, *(README.parent / "docs").glob("*.md")]
    shown = [line for page in pages for line in re.findall(r"headstart train [^`\n|]*", page.read_text())]
    shown += [f"headstart train {a.name} {example}" for a in APPLICATIONS.values() for example in a.examples]
    assert len(shown) > 12
    for command in shown:
        _, _, name, *words = shlex.split(re.sub(r"\$\(.*?\)", "TABLE", command))
        flags = {option.flag for option in job_of(name).options} | {"--out", "--json", "--device", "--help"}
        assert {word for word in words if word.startswith("--")} <= flags, command


def test_the_readme_s_own_model_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    exec(block("tensor_data("), space)
    assert space["learner"].history[-1]["rmse"] < 1.0


@pytest.mark.slow
def test_the_readme_s_first_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a newcomer pastes first: one epoch on a tenth of the flights."""
    monkeypatch.chdir(tmp_path)
    toys.every_nth_row(monkeypatch, tmp_path, "flights", 10)
    exec(block("flight = {").replace("fit_one_cycle()", "fit_one_cycle(5e-3, 1)"), {})
    printed = capsys.readouterr().out
    assert re.fullmatch(r"\{'prediction': -?\d+\.\d+\}\n", printed)
    assert (tmp_path / "model" / "learner.json").is_file()


@pytest.mark.slow
def test_the_readme_s_saved_values_and_own_network_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch of two, and January alone."""
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    code = block('again = load("january")').replace("fit_one_cycle(5e-3, 2, ", "fit_one_cycle(5e-3, 1, ")
    exec(code.replace("2013-03-01", "2013-01-10"), space)
    assert (space["again"].design, space["again"].training) == (space["learner"].design, space["learner"].training)
    assert repr(space["learner"].plan()).startswith("Plan(lr=0.003, epochs=19, ")
    exec(block("network=lambda").replace("2013-02-01", "2013-01-10"), space)
    assert "Linear" in repr(space["learner"])


@pytest.mark.slow
def test_the_readme_s_ratings_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some 4 seconds: two of its fifteen epochs."""
    monkeypatch.chdir(tmp_path)
    exec(block("RatingsData.from_table").replace("fit_one_cycle()", "fit_one_cycle(0.01, 2)"), {})
    assert capsys.readouterr().out.count("shape: (10, ") == 2
    assert (tmp_path / "taste.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_readme_s_images_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 small images through a real backbone, both ways; one epoch of three at the end, and a small size."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("headstart.vision.store.usual_cache", lambda: tmp_path / "cache")
    vision_toys.make_folder(tmp_path / "photos", 9)
    (tmp_path / "photos" / "red" / "red_00.png").rename(tmp_path / "new.png")
    code = block("ImageData.from_folder").replace('from_folder("photos")', 'from_folder("photos", size=96)')
    exec(code.replace("1e-4], 3)", "1e-4], 1)"), {})
    assert (tmp_path / "top-losses.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "model" / "learner.json").is_file()


@pytest.mark.slow
def test_the_readme_s_text_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One epoch of four, and of three, on every sixth of ten thousand sentences."""
    monkeypatch.chdir(tmp_path)
    toys.every_nth_row(monkeypatch, tmp_path, "movie-snippets", 6)
    code = block("LanguageModelData.from_table").replace("fit_one_cycle(1e-2, 4)", "fit_one_cycle(1e-2, 1)")
    exec(code.replace("fit_one_cycle()", "fit_one_cycle(5e-3, 1)"), {})
    assert "'prediction': " in capsys.readouterr().out
