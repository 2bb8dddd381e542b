"""The command line on images, and the demo."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

import command_line
import vision_toys as toys
from headstart.command.jobs import job_of
from headstart.core.engine import Engine
from headstart.core.errors import DataError
from headstart.demos import vision as demo_vision
from headstart.vision import ImageLearner


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the command, with a cache of its own."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return command_line.run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.make_folder(tmp_path_factory.mktemp("pictures"))


SMALL = ("--backbone", toys.BACKBONE, "--size", toys.SIZE, "--batch-size", 8, "--hidden", "16", "--workers", 0)


def test_train_predict_evaluate_info(run: Any, folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    code, out, err = run(
        "train", "vision", folder, *SMALL, "--weights", toys.weights(), "--epochs", 12, "--lr", 0.02, "--keep", "last", "--json", "--out", model
    )  # fmt: skip
    assert code == 0 and "activations of 19 images" in err
    record = json.loads(out.splitlines()[-1])
    assert set(record) == {"metrics", "epochs", "kept", "seconds", "out"} and len(record["epochs"]) == 12
    assert record["metrics"]["accuracy"] == 1.0
    code, out, _ = run("predict", model, folder)
    answers = pl.read_csv(out.encode())
    assert (
        code == 0
        and answers.columns == ["path", "prediction", "probability_blue", "probability_red"]
        and len(answers) == 24
    )
    code, out, _ = run("predict", model, next(folder.rglob("red_*.png")))
    assert code == 0 and pl.read_csv(out.encode())["prediction"].to_list() == ["red"]
    table = tmp_path / "table.csv"
    pl.DataFrame({"path": [str(path) for path in sorted(folder.rglob("*.png"))], "other": 1}).write_csv(table)
    assert run("predict", model, table, "--out", tmp_path / "out.parquet")[0] == 0
    written = pl.read_parquet(tmp_path / "out.parquet")
    assert (
        written.columns[:3] == ["path", "other", "prediction"]
        and written["prediction"].to_list() == answers["prediction"].to_list()
    )
    pl.read_csv(table).write_ndjson(tmp_path / "table.ndjson")
    code, out, err = run("predict", model, tmp_path / "table.ndjson")
    assert code == 0 and pl.read_csv(out.encode())["prediction"].to_list() == answers["prediction"].to_list(), err
    code, out, _ = run("evaluate", model, folder, "--json")
    assert code == 0 and json.loads(out)["metrics"]["accuracy"] == 1.0
    code, out, _ = run("info", model)
    assert code == 0 and "size 32" in out and "values blue, red" in out and "ImageModel" in out
    code, out, _ = run("info", model, "--json")
    assert code == 0 and json.loads(out)["application"] == "vision"


def test_a_table_of_several_labels_with_changed_copies_and_fine_tuning(run: Any, folder: Path, tmp_path: Path) -> None:
    table, model = tmp_path / "table.csv", tmp_path / "model"
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.png"))]
    pl.DataFrame({"file": names, "tags": ["warm red" if "red" in name else "blue" for name in names]}).write_csv(table)
    code, _, err = run(
        "train", "vision", table, *SMALL, "--weights", toys.weights(), "--path", "file", "--label", "tags", "--separator", " ",
        "--folder", folder, "--augment", "side_on", "--epochs", 2, "--valid-fraction", 0.3, "--where", "file <> 'none'", "--out", model,
    )  # fmt: skip
    assert code == 0, err
    code, out, _ = run("predict", model, folder)
    said = pl.read_csv(out.encode())["prediction"].fill_null("").str.split("|").explode()
    assert code == 0 and set(said) <= {"blue", "red", "warm", ""}
    code, out, err = run(
        "train", "vision", folder, *SMALL, "--weights", "random", "--stages", 1, "--grid", 2, "--epochs", 1, "--fine-tune", 1, "--json", "--out", tmp_path / "second"
    )  # fmt: skip
    assert code == 0 and len(json.loads(out.splitlines()[-1])["epochs"]) == 2, err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--weights", "none.pth"), "there is no file of weights none.pth"),
        (("--augment", "sideways"), "--augment must be 'side_on' or 'top_down'; got 'sideways'"),
        (("--stages", "0"), "--stages must be a whole number of at least 1; got 0"),
        (
            ("--grid", "a"),
            "--grid must be a whole number or a list of whole numbers of at least 1 and at most 16; got 'a'",
        ),
        (("--grid", "4,1"), "grid has 2 numbers, but the head sees 3 stages"),
        (
            ("--hidden", "a"),
            "--hidden must be a list of whole numbers of at least 1; got 'a'; write them with commas, such as 200,100",
        ),
        (("--dropout", "x"), "--dropout must be a number or a list of numbers of at least 0 and below 1; got 'x'"),
        (("--separator", ","), "folder= and separator= are for tables"),
        (("--backbone", "resnt34"), "timm has no model 'resnt34'; did you mean 'res"),
        (("--resize", "cut"), "--resize must be 'crop', 'squish' or 'pad'; got 'cut'"),
        (("--on-error", "x"), "--on-error must be 'raise' or 'skip'; got 'x'"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(
    run: Any, folder: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = run("train", "vision", folder, *SMALL, *arguments, "--out", tmp_path / "model")
    assert code == 2 and out == "" and message in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("options", "fine_tune", "usual"),
    [
        ((), 0, 1),
        (("--augment", "side_on"), 0, 4),
        (("--augment", "side_on"), 1, 1),
        (("--weights", "random", "--augment", "side_on"), 0, 0),
    ],
)
def test_the_usual_copies_are_the_library_s(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], fine_tune: int, usual: int
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    given: dict[str, Any] = {"size": toys.SIZE, "workers": 0, "hidden": (16,), "backbone": toys.BACKBONE}
    given |= {"weights": toys.weights()} | {
        flag[2:]: value for flag, value in zip(options[::2], options[1::2], strict=True)
    }
    job = job_of("vision")
    data = job.data(folder, given, Engine("cpu"))
    assert ImageLearner.usual_copies(data, given["weights"], fine_tune=bool(fine_tune)) == usual
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one copy has no augmentation
        assert job.learner(data, given | {"fine_tune": fine_tune}).copies == usual
        assert job.learner(data, given | {"precompute": 0}).copies == 0


def test_bad_files_are_listed(run: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    own = toys.make_folder(tmp_path / "pictures")
    (own / "red" / "bad.png").write_text("no image")
    arguments = (
        "train",
        "vision",
        own,
        *SMALL,
        "--weights",
        toys.weights(),
        "--epochs",
        1,
        "--out",
        tmp_path / "model",
    )
    code, _, err = run(*arguments, "--on-error", "skip")
    assert code == 0 and "1 of 25 files cannot be decoded" in err and "bad.png is no image" in err
    code, out, _ = run("predict", tmp_path / "model", own, "--on-error", "skip")
    assert code == 0 and "bad.png,,,," in out


def test_the_demo_works_without_a_set_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the tiny backbone, so that it takes seconds."""
    from headstart.vision import learner as learners

    def missing(name: str) -> Path:
        raise DataError(f"no {name} here")

    class Tiny(learners.ImageLearner):
        def __init__(self, data: Any, **options: Any) -> None:
            super().__init__(data, backbone=toys.BACKBONE, weights=toys.weights(), **options)

    monkeypatch.setattr(demo_vision.datasets, "get", missing)
    monkeypatch.setattr(demo_vision, "PIECES", 12)
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(learners, "ImageLearner", Tiny)
    console = Console(record=True, width=200, file=(tmp_path / "said.txt").open("w"))
    demo_vision.demo(tmp_path, console)
    said = console.export_text()
    assert "no fashion-mnist here" in said and "which photo is this a piece of?" in said
    for name in ("model", "batch.png", "predictions.png", "gradcam.png", "confusion.png", "loss.png"):
        assert (tmp_path / name).exists() and name in said
    figures = json.loads((tmp_path / "model" / "learner.json").read_text())["metrics"]
    assert figures["accuracy"] > 0.5


def test_fashion_mnist_is_read_as_its_files_are(tmp_path: Path) -> None:
    import gzip

    content = bytes([0, 0, 8, 3]) + b"".join(number.to_bytes(4, "big") for number in (2, 2, 3)) + bytes(range(12))
    (tmp_path / "images.gz").write_bytes(gzip.compress(content))
    assert demo_vision._idx(tmp_path / "images.gz").tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
