"""The command on text: train, generate, predict, evaluate, info; and the demo's registration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import zoo
from command_line import run
from headstart import datasets
from headstart.demos import DEMOS
from headstart.demos import text as demo_text


def last_json(text: str) -> dict[str, Any]:
    found = json.loads(text.rstrip("\n").rpartition("\n")[2])
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    words = {"pos": ["great", "lovely", "funny"], "neg": ["dull", "flat", "awful"]}
    rows = [
        {"review": f"The film was {words[label][n % 3]}, said viewer {n % 7}.", "stars": label}
        for n in range(120)
        for label in ("pos", "neg")
    ]
    pl.DataFrame(rows).write_csv(folder / "reviews.csv")
    done = run(
        "train", "language-model", folder / "reviews.csv", "--text", "review", "--embedding-size", 16, "--hidden", 16,
        "--layers", 1, "--epochs", 4, "--batch-size", 8, "--bptt", 20, "--json", "--out", folder / "lm",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "lm.out").write_text(done.stdout)
    (folder / "lm.err").write_text(done.stderr)
    return folder


def test_a_language_model_is_trained_and_writes(folder: Path) -> None:
    found = last_json((folder / "lm.out").read_text())
    assert {"perplexity", "accuracy", "vocabulary", "unknown", "valid_loss"} == found["metrics"].keys()
    assert "vocabulary" in (folder / "lm.err").read_text() and len(found["epochs"]) == 4
    first = run("generate", folder / "lm", "--prompt", "the film", "-n", 8, "--seed", 1)
    assert first.returncode == 0 and first.stdout.startswith("the film ")
    assert run("generate", folder / "lm", "--prompt", "the film", "-n", 8, "--seed", 1).stdout == first.stdout
    assert run("generate", folder / "lm", "--prompt", "the", "--beams", 3).stdout.count("the ") >= 1


def test_a_classifier_is_trained_with_and_without_it(folder: Path) -> None:
    columns = ("--text", "review", "--label", "stars", "--epochs", 2, "--json")
    done = run(
        "train", "text", folder / "reviews.csv", *columns, "--language-model", folder / "lm", "--out", folder / "m"
    )
    assert done.returncode == 0, done.stderr
    metrics = last_json(done.stdout)["metrics"]
    assert {"accuracy", "balanced_accuracy", "auc", "log_loss", "valid_loss"} == metrics.keys()
    scratch = run("train", "text", folder / "reviews.csv", *columns, "--out", folder / "scratch")
    assert scratch.returncode == 0, scratch.stderr
    assert run("predict", folder / "m", folder / "reviews.csv", "--out", folder / "answers.parquet").returncode == 0
    assert pl.read_parquet(folder / "answers.parquet").columns == [
        "review", "stars", "prediction", "probability_neg", "probability_pos"
    ]  # fmt: skip
    judged = run("evaluate", folder / "scratch", folder / "reviews.csv", "--json")
    assert last_json(judged.stdout)["metrics"]["accuracy"] > 0.5
    told = run("info", folder / "m").stdout
    for part in (
        "label (column stars, categories (kind text, values neg, pos))",
        "review",
        "vocabulary",
        "TextClassifier",
        "history",
    ):
        assert part in told


@pytest.mark.parametrize(("arguments", "said"), [
    (("generate", "nowhere"), "there is no folder nowhere"),
    (("train", "text", "nothing.csv", "--out", "m"), "nothing.csv"),
    (("train", "text", "{reviews}", "--text", "reveiw", "--out", "m"), "did you mean 'review'"),
    (("train", "language-model", "{folder}", "--out", "m"), "holds no texts; known endings are .txt"),
    (("predict", "{lm}", "{reviews}"), "a language model predicts words, not rows"),
    (("train", "text", "{reviews}", "--language-model", "a", "--transformer", "b", "--out", "m"), "give one of"),
], ids=range(6))  # fmt: skip
def test_a_mistake_is_one_line(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    names = {"reviews": folder / "reviews.csv", "folder": folder / "lm", "lm": folder / "lm"}
    done = run(*(argument.format(**names) for argument in arguments))
    assert done.returncode == 2 and said in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_a_start_is_read_as_it_was_made(folder: Path) -> None:
    columns = ("--text", "review", "--epochs", 1, "--batch-size", 8, "--bptt", 20, "--max-vocab", 300)
    sizes = ("--embedding-size", 8, "--hidden", 8, "--layers", 1)
    parts = run(
        "train", "language-model", folder / "reviews.csv", *columns, *sizes, "--tokenizer", "subwords",
        "--backward", "--out", folder / "parts",
    )  # fmt: skip
    assert parts.returncode == 0, parts.stderr
    start = ("--language-model", folder / "parts")
    further = run("train", "language-model", folder / "reviews.csv", *columns, *start, "--out", folder / "further")
    assert further.returncode == 0, further.stderr
    told = run("info", folder / "further").stdout
    assert "subword" in told and "backward             yes" in told
    for options, said in (
        (("--tokenizer", "subwords"), "the tokenizer must be that of the language model"),
        (("--backward",), "reads forward"),
    ):
        start = ("--language-model", folder / "lm", *options)
        done = run("train", "language-model", folder / "reviews.csv", *columns, *start, "--out", folder / "x")
        assert done.returncode == 2 and said in done.stderr


def test_a_transformer_is_fine_tuned(folder: Path) -> None:
    pytest.importorskip("transformers")
    columns = ("--text", "review", "--label", "stars", "--epochs", 1, "--transformer", zoo.transformer())
    done = run("train", "text", folder / "reviews.csv", *columns, "--json", "--out", folder / "transformer")
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "transformer" / "learner.json").read_text())["application"] == "transformer"
    for options, said in (
        (("--hidden", 8), "--hidden has no effect with --transformer: leave it out"),
        (("--tokenizer", "words"), "give one of --tokenizer and --transformer"),
    ):
        done = run("train", "text", folder / "reviews.csv", *columns, *options, "--out", folder / "x")
        assert done.returncode == 2 and said in done.stderr
    done = run("train", "text", folder / "reviews.csv", *columns[:4], "--head-dropout", 0.1, "--out", folder / "x")
    assert done.returncode == 2 and "--head-dropout has no effect without --transformer" in done.stderr


def test_no_epochs_are_not_taken_for_the_default(folder: Path) -> None:
    columns = ("--text", "review", "--label", "stars")
    done = run("train", "text", folder / "reviews.csv", *columns, "--epochs", 0, "--out", folder / "x")
    assert done.returncode == 2 and "got 0" in done.stderr and not (folder / "x").exists()


def test_a_folder_of_files_is_read(folder: Path) -> None:
    for label in ("pos", "neg"):
        (folder / "files" / label).mkdir(parents=True)
        for number in range(20):
            (folder / "files" / label / f"{number}.txt").write_text(f"It was {'great' if label == 'pos' else 'dull'}.")
    done = run("train", "text", folder / "files", "--epochs", 1, "--json", "--out", folder / "of-files")
    assert done.returncode == 0, done.stderr
    judged = run("evaluate", folder / "of-files", folder / "files", "--json")
    assert "accuracy" in last_json(judged.stdout)["metrics"], judged.stderr
    assert run("predict", folder / "of-files", folder / "files", "--out", folder / "f.parquet").returncode == 0
    assert {"path", "text", "prediction"} <= set(pl.read_parquet(folder / "f.parquet").columns)
    for options, said in (
        (("--where", "label = 'pos'"), "has one class in the training rows ('pos')"),
        (("--label", "stars"), f"--label is for a table, and {folder / 'files'} is a folder"),
    ):
        done = run("train", "text", folder / "files", *options, "--out", folder / "x")
        assert done.returncode == 2 and said in done.stderr
    done = run("train", "text", folder / "reviews.csv", "--text", "review", "--exclude", "unsup", "--out", folder / "x")
    assert done.returncode == 2 and "--exclude is for a folder, and" in done.stderr


def test_the_demo_quotes_the_benchmark_as_the_benchmark_s() -> None:
    measured = " ".join((Path(__file__).parents[2] / "docs" / "text.md").read_text(encoding="utf-8").split())
    for quoted, documented in (
        ("18,000 unlabelled reviews", "out of 18,000 unlabelled IMDB reviews"),
        ("its classifiers reach .811", "with the start made as above): accuracy .8110"),
        ("those from scratch .788", "from scratch on the same splits: .7880"),
        ("which the demo does not use", "`movie-snippets`"),
        ("both are networks alone", "### Networks alone `movie-snippets`"),
    ):
        assert quoted in " ".join(demo_text.BENCHMARK.split()) and documented in measured


def test_the_demo_is_there() -> None:
    assert "text" in DEMOS and any(recipe.name == "movie-snippets" for recipe in datasets.available())
