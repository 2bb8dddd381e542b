"""The command line is a contract: what it prints, where, and with which exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import headstart
from headstart.command.main import main
from headstart.core.engine import Engine
from headstart.frames.splits import by_time
from headstart.tabular.data import TabularData
from headstart.tabular.learner import TabularLearner

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from headstart.command.main import main; main()", *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def last_json(text: str) -> dict[str, Any]:
    found = json.loads(text.rstrip("\n").rpartition("\n")[2])
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of 600 days of four shops, and a model that was trained on it."""
    folder = tmp_path_factory.mktemp("cli")
    random = np.random.default_rng(0)
    shop = random.integers(1, 5, 600)
    table = pl.DataFrame(
        {
            "day": pl.date_range(pl.date(2020, 1, 1), pl.date(2021, 8, 22), eager=True),
            "shop": [f"shop {number}" for number in shop],
            "heat": random.normal(15, 6, 600),
            "sales": (1000 * shop + random.normal(0, 50, 600)).round(2),
        }
    )
    table.write_csv(folder / "sales.csv")
    table.write_parquet(folder / "sales.parquet")
    done = run(
        "train", "tabular", folder / "sales.csv", "--target", "sales", "--time", "day", "--valid-from", "2021-06-01",
        "--exclude", "day", "--log-target", "--epochs", "12", "--hidden", "16", "--json", "--out", folder / "model",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "train.out").write_text(done.stdout)
    (folder / "train.err").write_text(done.stderr)
    return folder


def test_help_is_quick_and_imports_neither_torch_nor_polars() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and "train" in done.stdout and "demo" in done.stdout
    # The processor's time, since the other tests' work on a shared machine is not the command's.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
    code = (
        "import sys, headstart.command.main as cli\n"
        "try: cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "found = [name for name in ('torch', 'polars', 'numpy', 'matplotlib') if name in sys.modules]\n"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [("train", "--help"), ("predict", "--help"), ("--version",)])
def test_what_needs_no_torch_imports_none(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom headstart.command.main import main\n"
        "try: main()\nexcept SystemExit as ended: assert not ended.code\n"
        "sys.exit(str([name for name in ('torch', 'polars', 'numpy') if name in sys.modules] or 0))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "0" and done.stdout, done.stderr


def test_train_prints_one_object_last_and_all_else_on_stderr(folder: Path) -> None:
    printed = (folder / "train.out").read_text()
    assert printed.count("\n") == 1
    found = last_json(printed)
    assert found.keys() == {"metrics", "epochs", "kept", "seconds", "out", "baselines"}
    assert {"mean", "ridge regression"} <= found["baselines"].keys()
    assert {"rmse", "mae", "rmspe", "r2"} == found["baselines"]["mean"].keys()
    assert found["metrics"]["rmse"] < found["baselines"]["mean"]["rmse"]
    assert {"rmse", "mae", "rmspe", "r2", "valid_loss"} == found["metrics"].keys()
    assert found["metrics"]["rmspe"] < 0.2 and len(found["epochs"]) == 12 and found["out"] == str(folder / "model")
    errors = (folder / "train.err").read_text()
    assert "epoch 12/12" in errors and "excluded" in errors and "\x1b" not in errors


def test_the_kept_epoch_is_told_and_the_metrics_are_its_own(folder: Path, tmp_path: Path) -> None:
    found = last_json((folder / "train.out").read_text())
    best = min(range(12), key=lambda epoch: found["epochs"][epoch]["rmse"])
    assert found["kept"] == best + 1 and found["metrics"]["rmse"] == found["epochs"][best]["rmse"]
    common = ("train", "tabular", folder / "sales.csv", "--target", "sales", "--exclude", "day", "--epochs", 2)
    done = run(*common, "--out", tmp_path / "m")
    assert done.stderr.splitlines()[-2] in (f"kept epoch {n} of 2, the best by rmse" for n in (1, 2))
    done = run(*common, "--keep", "last", "--out", tmp_path / "m")
    assert done.stderr.splitlines()[-2] == "kept epoch 2 of 2, the last"


def test_the_defaults_are_those_of_python(folder: Path, tmp_path: Path) -> None:
    """To the bit, plan included."""
    columns = ("--target", "sales", "--time", "day", "--exclude", "day")
    done = run("train", "tabular", folder / "sales.csv", *columns, "--json", "--out", tmp_path / "m")
    assert done.returncode == 0, done.stderr
    data = TabularData.from_table(
        folder / "sales.csv", "sales", split=by_time("day", fraction=0.2), exclude=["day"], engine=Engine("auto")
    )
    learner = TabularLearner(data, progress="none")
    learner.fit_one_cycle()
    losses = [epoch["valid_loss"] for epoch in last_json(done.stdout)["epochs"]]
    assert losses == [epoch["valid_loss"] for epoch in learner.history]
    loaded = headstart.load(tmp_path / "m")
    assert (loaded.design, loaded.training) == (learner.design, learner.training)


def test_presets_are_options(folder: Path, tmp_path: Path) -> None:
    common = ("train", "tabular", folder / "sales.csv", "--target", "sales", "--exclude", "day", "--json")
    done = run(*common, "--preset", "best", "--epochs", 2, "--refit", "--out", tmp_path / "m")
    assert done.returncode == 0, done.stderr
    assert headstart.load(tmp_path / "m").design.ensemble == 8
    epochs = last_json(done.stdout)["epochs"]
    assert {epoch["fit"] for epoch in epochs} == set(range(16))  # eight networks, and each anew on all rows
    done = run(*common, "--preset", "best", "--minutes", 0.00001, "--out", tmp_path / "m")
    epochs = last_json(done.stdout)["epochs"]
    assert done.returncode == 0 and [epoch["fit"] for epoch in epochs] == [0, 1], done.stderr  # and anew on all rows
    done = run(*common, "--preset", "quick", "--out", tmp_path / "m")
    assert done.returncode == 2 and "quick" in done.stderr


def test_all_rows_train_where_none_shall_validate(folder: Path, tmp_path: Path) -> None:
    done = run(
        "train", "tabular", folder / "sales.csv", "--target", "sales", "--exclude", "day", "--valid-fraction", 0,
        "--epochs", 2, "--precision", "bf16", "--json", "--out", tmp_path / "m",
    )  # fmt: skip
    found = last_json(done.stdout)
    assert found["metrics"] == {} and found["kept"] == 2 and "valid_loss" not in found["epochs"][0]
    assert headstart.load(tmp_path / "m", device="cpu").training.precision == "bf16"


def test_predict_gives_the_rows_and_their_answers(folder: Path) -> None:
    done = run("predict", folder / "model", folder / "sales.parquet", "--out", folder / "answers.parquet")
    assert done.returncode == 0 and done.stdout == "", done.stderr
    answers = pl.read_parquet(folder / "answers.parquet")
    assert answers.columns == ["day", "shop", "heat", "sales", "prediction"]
    own = headstart.load(folder / "model").predict(folder / "sales.parquet")
    assert answers["prediction"].to_list() == own["prediction"].to_list()
    printed = run("predict", folder / "model", folder / "sales.csv")
    assert printed.stdout.splitlines()[0] == "day,shop,heat,sales,prediction" and printed.stdout.count("\n") == 601
    assert run("predict", folder / "model", folder / "sales.csv", "--out", folder / "answers.csv").returncode == 0
    assert (folder / "answers.csv").read_text() == printed.stdout


def test_evaluate_gives_the_metrics_of_all_rows(folder: Path) -> None:
    done = run("evaluate", folder / "model", folder / "sales.csv", "--json")
    expected = headstart.load(folder / "model").evaluate(folder / "sales.csv")
    assert last_json(done.stdout) == {"metrics": expected}
    assert "rmspe" in run("evaluate", folder / "model", folder / "sales.csv").stdout


def test_info_tells_columns_reasons_model_and_history(folder: Path) -> None:
    text = run("info", folder / "model").stdout
    for part in (
        "shop (text with 4 values)",
        "heat (floating-point numbers)",
        "day (excluded)",
        "hidden               16",
        "number (columns sales",
        "train_loss",
    ):
        assert part in text
    assert last_json(run("info", folder / "model", "--json").stdout)["application"] == "tabular"


def test_data_sets_are_listed_and_got() -> None:
    listed = run("datasets", "list").stdout
    assert "flights" in listed and "rossmann-100" in listed
    path = Path(run("datasets", "get", "flights").stdout.strip())
    assert len(pl.read_parquet(path, columns=["date"])) == 336_776


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "tabular", "sales.csv", "--target", "sale", "--out", "new"], "no column 'sale'; did you mean 'sales'?"),
        (["train", "tabular", "none.csv", "--target", "sales", "--out", "new"], "there is no file none.csv"),
        (["train", "tabular", "sales.csv", "--out", "new"], "Missing option '--target'"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--out", "model/learner.json"], "it is a file; give a folder"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--out", "."], "it holds other files"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--out", "model/learner.json/x"], "cannot save to"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--valid-from", "2021-01-01", "--out", "new"], "--valid-from needs --time"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--time", "day", "--valid-from", "June", "--out", "new"], "start must be a date such as 2015-06-20; got 'June'"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--valid-fraction", "2", "--out", "new"], "fraction must lie between 0 and 1; got 2"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--valid-fraction", "0.2", "--valid-where", "heat > 9", "--out", "new"], "give one of --valid-from"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--valid-where", "warm > 9", "--out", "new"], "valid_where is not a SQL condition"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--hidden", "wide", "--out", "new"], "--hidden must be a list of whole numbers of at least 1; got 'wide'; write them with commas, such as 200,100"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--device", "abacus", "--out", "new"], "device 'abacus' is unknown"),
        (["train", "tabular", "sales.csv", "--target", "shop", "--log-target", "--time", "day", "--out", "new"], "are for numbers, but target 'shop'"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--quantiles", "0.1;0.9", "--out", "new"], "--quantiles must be a list of numbers; got '0.1;0.9'; write them with commas, such as 0.1,0.9"),
        (["train", "tabular", "sales.csv", "--target", "sales", "--target-kind", "cont", "--time", "day", "--out", "new"], "--target-kind must be 'number', 'count' or 'label'; got 'cont'; did you mean 'count'?"),
        (["predict", "nowhere", "sales.csv"], "there is no folder nowhere"),
        (["predict", "model", "sales.txt"], "there is no file sales.txt"),
        (["predict", "model", "sales.csv", "--out", "answers.xlsx"], "must end in .csv or .parquet"),
        (["predict", "model", "sales.csv", "--out", "no/answers.csv"], "cannot write no/answers.csv"),
        (["evaluate", "model", "short.csv"], "there is no column 'sales'"),
        (["info", "."], "has no learner.json"),
        (["demo", "tabula"], "no demo 'tabula'; did you mean 'tabular'?"),
        (["datasets", "get", "flight"], "did you mean 'flights'?"),
        (["trian"], "No such command 'trian'"),
    ],
)  # fmt: skip
def test_a_user_s_mistake_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, since each start of torch takes seconds; another test starts the command itself."""
    (folder / "short.csv").write_text("shop,heat\nshop 1,3.5\n")
    before = sorted(path.name for path in folder.iterdir())
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["headstart", *arguments])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main() sets its own
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if not line.startswith("warning: ")]
    assert (ended.value.code, printed.out) == (2, "")
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0], printed.err
    assert sorted(path.name for path in folder.iterdir()) == before


def test_the_command_itself_ends_a_mistake_so(folder: Path) -> None:
    done = run("evaluate", "model", "none.csv", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: table: there is no file none.csv\n"


def test_the_latest_rows_validate_and_it_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:
    done = run("train", "tabular", folder / "sales.csv", "--target", "sales", "--epochs", 1, "--out", tmp_path / "m")
    assert done.returncode == 0
    assert len([line for line in done.stderr.splitlines() if "validation rows are the latest by 'day'" in line]) == 1


@pytest.mark.parametrize("moment", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_training_leaves_no_half_written_model(moment: signal.Signals, folder: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from headstart.command.main import main; main()",
        "train",
        "tabular",
        str(folder / "sales.csv"),
    ]
    options = ["--target", "sales", "--exclude", "day", "--epochs", "2000", "--out", str(tmp_path / "model")]
    process = subprocess.Popen([*command, *options], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 3/"):
            process.send_signal(moment)
            break
    rest = process.stderr.read()
    assert process.wait(timeout=20) == (130 if moment == signal.SIGINT else -9)
    if moment == signal.SIGINT:
        assert "stopped; nothing was saved" in rest and "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_early_is_no_error(folder: Path) -> None:
    command = f"{sys.executable} -c 'from headstart.command.main import main; main()' predict {folder / 'model'} {folder / 'sales.csv'}"
    done = subprocess.run(
        f"{command} | head -1", shell=True, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "day,shop,heat,sales,prediction\n" and "Traceback" not in done.stderr


def test_predict_writes_each_value_as_the_file_has_it(tmp_path: Path) -> None:
    countries = ["NA", "DE", '"x ""y"""']
    rows = [f"{n:06d},{countries[n % 3]},{n % 12 + 1}/1/{2010 + n % 10},{n * 0.5:.2f},{n % 7}" for n in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(["id,country,when,price,y", *rows]) + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = TabularData.from_table(tmp_path / "t.csv", "y", engine=Engine("cpu"))
    TabularLearner(data, hidden=[4], progress="none").save(tmp_path / "model")
    done = run("predict", tmp_path / "model", tmp_path / "t.csv", "--out", tmp_path / "o.csv")
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "o.csv").read_text().splitlines()
    assert written[0] == "id,country,when,price,y,prediction"
    assert [line.rpartition(",")[0] for line in written[1:]] == rows
    done = run("predict", tmp_path / "model", tmp_path / "t.csv", "--out", tmp_path / "o.parquet")
    assert done.returncode == 0, done.stderr
    typed = pl.read_parquet(tmp_path / "o.parquet")
    assert typed.schema["id"] == pl.String and typed.schema["price"] == pl.Float64
    done = run("evaluate", tmp_path / "model", tmp_path / "t.csv", "--where", "price > 1", "--json")
    assert done.returncode == 0, done.stderr
    few = pl.read_csv(tmp_path / "t.csv", schema_overrides={"id": pl.String}).filter(pl.col("price") > 1)
    with pytest.warns(headstart.HeadstartWarning, match="3 in 'when'"):
        expected = headstart.load(tmp_path / "model").evaluate(few)
    assert last_json(done.stdout)["metrics"]["rmse"] == pytest.approx(expected["rmse"])


def test_a_stratified_split_is_an_option(tmp_path: Path) -> None:
    table = pl.DataFrame({"x": np.arange(60.0), "y": ["often"] * 50 + ["rare"] * 9 + ["once"]})
    table.write_csv(tmp_path / "t.csv")
    options = ("--target", "y", "--epochs", "1", "--hidden", "4", "--out", tmp_path / "model")
    done = run("train", "tabular", tmp_path / "t.csv", *options, "--stratify", "y", "--class-weight", "balanced")
    assert done.returncode == 0, done.stderr
    done = run("train", "tabular", tmp_path / "t.csv", *options, "--stratify", "y", "--valid-where", "x > 5")
    assert done.returncode == 2 and "--stratify is for a random split: leave --time, --valid-from" in done.stderr


def test_a_german_sheet_goes_from_file_to_prediction(tmp_path: Path) -> None:
    """Semicolons, decimal commas, cp1252, Windows' line ends, blank lines, a name with a comma; by python -m."""
    random = np.random.default_rng(0)
    lines = ["Artikel;Menge;Preis, EUR"]
    for row in range(300):
        count = int(random.integers(1, 9))
        price = f"{1000 * count + row % 7}.{row % 100:02}"
        lines += [
            f"{['Stühle', 'Bänke'][row % 2]};{count};{price[0]}.{price[1:].replace('.', ',')}",
            *[""] * (row % 50 == 0),
        ]
    path, model = tmp_path / "Verkäufe.csv", tmp_path / "model"
    path.write_bytes("\r\n".join(lines).encode("cp1252"))

    def module(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "headstart", *map(str, arguments)]
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)

    trained = module("train", "tabular", path, "--target", "Preis, EUR", "--epochs", 3, "--out", model)
    assert trained.returncode == 0, trained.stderr
    told = (
        "was read with separator ';'; decimal comma; encoding cp1252; if that is wrong, or to read it so without this"
    )
    assert told in trained.stderr and "--csv-separator ';' --csv-decimal ',' --csv-encoding 'cp1252'" in trained.stderr
    predicted = module("predict", model, path)
    assert predicted.returncode == 0, predicted.stderr
    rows = list(csv.DictReader(io.StringIO(predicted.stdout)))
    written = [line.split(";") for line in lines[1:] if line]
    assert [[row["Artikel"], row["Menge"], row["Preis, EUR"]] for row in rows] == written
    assert all(1000 < float(row["prediction"]) < 9000 for row in rows)
