"""A fifth application enters with one package and one line: what the others can, it can."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from typer.main import get_command

import fifth
import headstart
from headstart.applications import APPLICATIONS, Application
from headstart.core.errors import ArtifactError

LINE = Application(
    "line", "fifth", "LineLearner", data="fifth:LineData", title="Draw a line.", examples=("points.csv --target y --out m",)
)  # fmt: skip


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setitem(APPLICATIONS, "line", LINE)  # the one line
    x = np.random.default_rng(0).normal(size=(200, 2))
    table = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": 3 * x[:, 0] - x[:, 1] + 5, "note": ["-"] * 200})
    table.write_parquet(tmp_path / "points.parquet")
    return tmp_path / "points.parquet"


def test_it_trains_is_saved_loaded_and_trains_on(points: Path, tmp_path: Path) -> None:
    data = fifth.LineData.from_table(points, "y")
    learner = fifth.LineLearner(data, dropout=0.1, clip=1.0, progress="none")
    learner.fit_one_cycle()
    assert len(learner.history) == 8 and sum(epoch["kept"] for epoch in learner.history) == 1
    learner.save(tmp_path / "model")
    again = headstart.load(tmp_path / "model", device="cpu")
    assert again.design == fifth.LineDesign(dropout=0.1) and again.training.clip == 1.0
    again.data, again.progress = data, "none"
    assert [e["train_loss"] for e in again.fit(0.01, 2)] == [e["train_loss"] for e in learner.fit(0.01, 2)]
    with pytest.raises(ArtifactError, match=r"another design .*design\.bias"):
        fifth.LineLearner(data, bias=False).load(tmp_path / "model")


def test_the_command_knows_it(points: Path, tmp_path: Path) -> None:
    from headstart.command.main import app

    def run(*arguments: object) -> str:
        done = CliRunner().invoke(get_command(app), [str(argument) for argument in arguments])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    model = tmp_path / "by-command"
    listed = run("train", "--help")
    assert "line" in listed and "Draw a line." in listed
    told = run("train", "line", "--help")
    for part in ("--target", "--dropout", "Probability of dropping an input", "--weight-decay", "points.csv"):
        assert part in told
    trained = json.loads(
        run("train", "line", points, "--target", "y", "--lr", 0.2, "--seed", 3, "--out", model, "--json").splitlines()[
            -1
        ]
    )
    assert trained["metrics"]["rmse"] < 1.5 and len(trained["epochs"]) == 8
    assert json.loads(run("evaluate", model, points, "--json"))["metrics"]["rmse"] < 1.5
    assert "dropout" in run("info", model)
    run("predict", model, points, "--out", tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").columns == ["a", "b", "y", "note", "prediction"]
