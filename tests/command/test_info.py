"""``info``: what is in a folder, for every application, without torch."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from headstart.command.info import lines
from headstart.command.report import described, print_history
from headstart.core.errors import ArtifactError
from headstart.core.record import read_record, stored_shapes

pytestmark = pytest.mark.filterwarnings("ignore:.*:headstart.core.errors.HeadstartWarning")


@pytest.mark.parametrize("name", [*zoo.ZOO, *zoo.SOLVED])
def test_it_tells_the_values_that_a_model_is_made_of(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learner = zoo.SOLVED[name]() if name in zoo.SOLVED else zoo.ZOO[name].learner(zoo.ZOO[name].data(None))
    learner.save(tmp_path / "model")
    lines(read_record(tmp_path / "model", "learner"), tmp_path / "model")
    told = capsys.readouterr().out
    assert learner.application in told and "numbers in" in told and max(map(len, told.splitlines())) < 2000
    of = learner.learners[0] if hasattr(learner, "learners") else learner
    values = [value for value in (of.design, getattr(of, "training", None)) if value is not None]
    for value in values:
        for field in dataclasses.fields(value):
            assert f"  {field.name.replace('_', ' ')} " in told, field.name
    if hasattr(learner, "model"):
        numbers = sum(tensor.numel() for tensor in learner.model.state_dict().values())
        assert f"{type(learner.model).__name__}, " in told
        shapes = stored_shapes(tmp_path / "model")  # of tied tensors one is stored
        assert sum(torch.Size(shape).numel() for n, shape in shapes.items() if n.startswith("model.")) <= numbers


def test_the_members_of_an_ensemble_are_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ensemble = zoo.SOLVED["text-ensemble"]()
    ensemble.save(tmp_path / "model")
    lines(read_record(tmp_path / "model", "learner"), tmp_path / "model")
    printed = capsys.readouterr().out
    models = [learner.model.state_dict() for learner in ensemble.learners]
    numbers = sum(tensor.numel() for model in models for tensor in model.values())
    assert f"TextEnsemble, {numbers:,} numbers in {sum(map(len, models))} tensors" in printed
    for member in (1, 2):
        of_member = printed.partition(f"training of member {member} of 2")[2].partition(" of member ")[0]
        assert f"\n  {'seed':<20} {member - 1}\n" in of_member
        assert f"\ndata of member {member} of 2\n  {'columns':<20} text\n" in printed
        assert f"\nnetwork of member {member} of 2\n  {'embedding size':<20} 16\n" in printed


def test_it_imports_no_torch(tmp_path: Path) -> None:
    zoo.ZOO["tabular"].learner(zoo.ZOO["tabular"].data(None)).save(tmp_path / "model")
    code = (
        "import sys\nfrom headstart.command.main import main\n"
        "try: main()\nexcept SystemExit as ended: assert not ended.code\n"
        "sys.exit(str([name for name in ('torch', 'polars', 'numpy') if name in sys.modules] or 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "info", str(tmp_path / "model")], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "0" and "hidden" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (True, "yes"),
        (None, "-"),
        (0.25, "0.25"),
        ([200, 100], "200, 100"),
        ([], "-"),
        (list(range(20)), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ... (20 in all)"),
        ([{"name": "shop", "reason": "text with 4 values"}], "shop (text with 4 values)"),
        ({"day": "excluded"}, "day (excluded)"),
        ({"type": "Number", "columns": ["sales"], "log": False}, "number (columns sales, log no)"),
        ({"tensor": "codec.seen"}, ""),
        ({"values": ["a", "b"]}, "a, b"),
    ],
)
def test_a_record_in_words(content: Any, words: str) -> None:
    expected = [f"{'some field':<20} {words}"] if words else []
    assert described({"some_field": content}) == expected


def test_the_history_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_history([{"fit": 0, "epoch": 0, "train_loss": 1.0, "kept": 0.0}, {"fit": 0, "epoch": 1, "kept": 1.0}])
    assert (
        capsys.readouterr().out
        == "fit  epoch  train_loss  kept\n  1      1           1\n  1      2                 *\n"
    )


def test_a_header_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes((99).to_bytes(8, "little") + json.dumps({"a": {}}).encode())
    with pytest.raises(ArtifactError, match="cut short or altered"):
        stored_shapes(tmp_path)
