"""The command line on ratings."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import polars as pl
import pytest

import toys
from command_line import run
from headstart import load

ITEMS = pl.DataFrame({"item": [number * 10 for number in range(15)], "title": [f"Film {n:02}" for n in range(15)]})


@pytest.fixture
def table(tmp_path: Path) -> Path:
    toys.ratings().with_row_index("at").write_csv(tmp_path / "ratings.csv")
    ITEMS.write_csv(tmp_path / "items.csv")
    return tmp_path / "ratings.csv"


NAMES = ("--user", "user", "--item", "item")


def test_train_predict_recommend_evaluate_info(table: Path, tmp_path: Path) -> None:
    model, pairs = tmp_path / "model", tmp_path / "pairs.csv"
    code, out, _ = run(
        "train", "collab", table, *NAMES, "--rating", "stars", "--items", tmp_path / "items.csv", "--y-range", "1,5",
        "--epochs", 3, "--factors", 4, "--json", "--out", model,
    )  # fmt: skip
    assert code == 0
    record = json.loads(out.splitlines()[-1])
    assert set(record) == {"metrics", "epochs", "kept", "seconds", "out"} and len(record["epochs"]) == 3
    assert set(record["metrics"]) == {"valid_loss", "rmse", "mae", "r2"}
    pl.DataFrame({"user": ["u01", "nobody"], "item": [10, 777]}).write_csv(pairs)
    code, out, _ = run("predict", model, pairs)
    answers = pl.read_csv(out.encode())
    assert code == 0 and answers.columns == ["user", "item", "prediction"]
    assert answers["prediction"].is_between(1, 5).all()
    code, out, _ = run("recommend", model, "--user", "u01", "-n", 3)
    found = pl.read_csv(out.encode())
    assert code == 0 and found.columns == ["item", "title", "score", "because"] and len(found) == 3
    code, out, _ = run("recommend", model, "-n", 2, "--out", tmp_path / "all.parquet")
    assert code == 0 and out == "" and len(pl.read_parquet(tmp_path / "all.parquet")) == 24
    code, out, _ = run("evaluate", model, table, "--json")
    assert code == 0 and "rmse" in json.loads(out)["metrics"]
    code, out, _ = run("info", model)
    assert code == 0 and "columns stars" in out and "ImplicitDotProductBias" in out
    code, out, _ = run("info", model, "--json")
    assert code == 0 and json.loads(out)["application"] == "collab"


@pytest.mark.parametrize("method", ["ials", "ease", "softmax", "bpr"])
def test_rankings_by_every_method(table: Path, tmp_path: Path, method: str) -> None:
    model = tmp_path / method
    arguments = {"ials": (), "ease": ("--method", "ease")}.get(method, ("--method", method, "--epochs", 2))
    code, out, _ = run(
        "train", "collab", table, *NAMES, *arguments, "--time", "at", "--valid-last", 2, "--json", "--out", model
    )
    assert code == 0
    assert {"ndcg_10", "recall_10", "precision_10", "hit_rate_10", "mrr_10"} <= set(
        json.loads(out.splitlines()[-1])["metrics"]
    )
    for command in (
        ("recommend", model, "--user", "u02"),
        ("info", model),
        ("predict", model, table),
    ):
        assert run(*command)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rating", "star"), "there is no column 'star'; did you mean 'stars'?"),
        (
            ("--rating", "stars", "--method", "eas"),
            "--method must be 'ratings', 'ials', 'ease', 'softmax' or 'bpr'; got 'eas'; did you mean 'ease'?",
        ),
        (("--method", "ratings"), "the method 'ratings' needs a column of ratings"),
        (
            ("--rating", "stars", "--y-range", "5"),
            "--y-range must be a list of numbers; got '5'; write 2 of them with commas, such as 1,2",
        ),
        (("--valid-last", "1", "--valid-fraction", "0.2"), "give one of --valid-last, --valid-from"),
        (("--time", "at", "--valid-last", "1", "--stratify", "stars"), "--valid-where and --stratify"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(
    table: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = run("train", "collab", table, *NAMES, *arguments, "--out", tmp_path / "model")
    assert code == 2 and out == "" and err.count("\n") == 1 and message in err


@pytest.mark.parametrize(
    ("arguments", "idle", "method"),
    [
        (("--rating", "stars"), ("--penalty 5", "--sweeps 3", "--alpha 9", "--ranking-loss bpr"), "ratings"),
        (
            ("--method", "ease"),
            (
                "--sweeps 3", "--alpha 9", "--warm-up .5", "--keep last", "--depth 2", "--factors 9", "--epochs 2",
                "--lr .1", "--batch-size 8", "--negatives 5", "--unknown .1", "--clip 1", "--no-implicit",
                "--preset best", "--minutes 3",
            ),
            "ease",
        ),
        ((), ("--epochs 2", "--weight-decay .1", "--dropout .1"), "ials"),
        (("--method", "bpr"), ("--penalty 5", "--ranking-loss softmax"), "bpr"),
    ],
    ids=["ratings", "ease", "ials", "bpr"],
)  # fmt: skip
def test_an_option_without_effect_is_a_mistake(
    table: Path, tmp_path: Path, arguments: tuple[str, ...], idle: tuple[str, ...], method: str
) -> None:
    for option in idle:
        flag, *value = option.split()
        code, out, err = run("train", "collab", table, *NAMES, *arguments, flag, *value, "--out", tmp_path / "model")
        flag = flag.replace("--no-", "--")
        assert (code, out) == (2, "")
        assert err == f"error: {flag} has no effect with --method {method}: leave it out\n"
    assert not (tmp_path / "model").exists()


def test_the_best_preset_averages_six_models(table: Path, tmp_path: Path) -> None:
    common = ("train", "collab", table, *NAMES, "--rating", "stars", "--preset", "best", "--epochs", 2, "--json")
    code, out, err = run(*common, "--out", tmp_path / "best")
    assert code == 0, err
    record = json.loads(out.splitlines()[-1])
    assert len(record["epochs"]) == 12
    assert load(tmp_path / "best").design.ensemble == 6
    metrics = load(tmp_path / "best").figures
    assert metrics["rmse"] == record["metrics"]["rmse"]
    code, _, err = run(*common, "--minutes", 1e-9, "--out", tmp_path / "short")
    assert code == 0 and load(tmp_path / "short").design.ensemble == 1, err


def test_options_of_the_method_and_the_seed_are_used(table: Path, tmp_path: Path) -> None:
    for arguments, design in (
        (("--factors", 3, "--sweeps", 2, "--alpha", 9, "--seed", 1), {"factors": 3, "sweeps": 2, "alpha": 9.0}),
        (("--method", "ease", "--penalty", 5, "--seed", 1), {"penalty": 5.0}),
        (("--rating", "stars", "--factors", 3, "--epochs", 1, "--seed", 1), {"factors": 3, "ranking_loss": None}),
        (("--rating", "stars", "--factors", 3, "--epochs", 1, "--negatives", 5, "--ranking-loss", "bpr"),
         {"factors": 3, "ranking_loss": "bpr"}),
    ):  # fmt: skip
        assert run("train", "collab", table, *NAMES, *arguments, "--out", tmp_path / "model")[0] == 0
        stored = json.loads((tmp_path / "model" / "learner.json").read_text())["design"]
        assert design.items() <= stored.items()


def test_a_stranger_gets_a_warning_and_an_answer(table: Path, tmp_path: Path) -> None:
    run("train", "collab", table, *NAMES, "--method", "ease", "--out", tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, out, err = run("recommend", tmp_path / "model", "--user", "u77", "-n", 2)
    assert code == 0 and len(pl.read_csv(out.encode())) == 2
    assert err == "warning: there is no user 'u77' in the training rows: these are what suits most users\n"


@pytest.mark.filterwarnings("always::headstart.core.errors.HeadstartWarning")
@pytest.mark.parametrize("separator", ["::", "\t"])
def test_a_dump_without_a_header_is_predicted_as_it_was_trained(separator: str, tmp_path: Path) -> None:
    rows = [(user, item, (user * item) % 5 + 1, 978300000 + user) for user in range(1, 13) for item in range(1, 11)]
    lines = [separator.join(map(str, row)) for row in rows]
    dump, headed = tmp_path / "ratings.dat", tmp_path / "ratings.csv"
    dump.write_text("\n".join([*lines, ""]), encoding="utf-8")
    headed.write_text(
        "person,film,stars,at\n" + "".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8"
    )
    columns = ("--user", "person", "--item", "film", "--rating", "stars")
    code, _, err = run("train", "collab", dump, *columns, "--epochs", 1, "--factors", 4, "--out", tmp_path / "model")
    assert code == 0, err
    code, out, err = run("predict", tmp_path / "model", dump)
    assert code == 0, err
    answers = pl.read_csv(out.encode())
    assert answers.columns == ["person", "film", "stars", "column_4", "prediction"]
    other = pl.read_csv(run("predict", tmp_path / "model", headed)[1].encode())
    assert answers["prediction"].equals(other["prediction"]) and len(answers) == 120
