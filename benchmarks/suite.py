"""headstart's defaults and presets beside their peers, on many sets: one line of JSON per run, so that it can go on.

``HEADSTART_DATA=... python -m benchmarks.suite --out FILE`` runs what the file does not have yet, then prints a table:
each model's loss relative to that of LightGBM's default on the same rows, and its mean rank. Losses are log loss for
classes and RMSE for numbers, on the test rows; fractions of a set are those that its columns ``split0`` and so on hold.

Half of the sets are for development: what is chosen is chosen on *training* rows of these. The other half confirms.

Peers run in an environment of their own, named by ``--peers PYTHON``, with pandas, pyarrow, lightgbm, catboost and
scikit-learn. All run on one thread; seconds are CPU time of the fit (with encoding and validation, without start-up).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from benchmarks.suite_peers import MODELS
from headstart import TabularData, TabularLearner, datasets, splits
from headstart.tabular.learner import Preset

__all__ = ["SETS", "SuiteSet"]

PEERS = Path(__file__).parent / "suite_peers.py"

YARDSTICK = "lightgbm"

OURS: dict[str, Preset] = {"headstart": "default", "headstart_fast": "fast", "headstart_best": "best"}
"""headstart's models, each trained by a preset."""

Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class SuiteSet:
    """One set, and what is predicted.

    Attributes:
        target: the column to predict.
        development: whether settings may be chosen on its training rows.
        splits: number of columns ``split0``, ``split1``, ...; 0: splits are drawn here.
    """

    target: str
    development: bool = False
    splits: int = 3


SETS = {
    "ames": SuiteSet("Sale_Price", development=True),
    "hotel": SuiteSet("avg_price_per_room", development=True, splits=1),
    "chicago": SuiteSet("ridership", development=True, splits=1),
    "home-runs": SuiteSet("hr", development=True, splits=1),
    "visits": SuiteSet("mdvis", development=True),
    "caravan": SuiteSet("Purchase", development=True),
    "deliveries": SuiteSet("time_to_delivery", development=True),
    "loans": SuiteSet("interest_rate", development=True),
    "lending": SuiteSet("Class"),
    "telecom": SuiteSet("churn"),
    "crashes": SuiteSet("dead"),
    "films": SuiteSet("rating"),
    "wages": SuiteSet("realrinc"),
    "housing-by-month": SuiteSet("median", splits=1),
    "california-housing": SuiteSet("MedHouseVal", splits=0),
    "adult": SuiteSet("income", splits=0),
}


def rows_of(name: str, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Training and test rows of a set; sets with fewer splits than seeds use the last one again."""
    about = SETS[name]
    if about.splits == 0:
        table = pl.read_parquet(datasets.get(name)).filter(pl.col(about.target).is_not_null())
        indices = splits.split_rows(table, splits.by_random(0.25, seed=seed))
        return table[indices.train], table[indices.valid]
    table = pl.read_parquet(Path(os.environ["HEADSTART_DATA"]) / "suite" / f"{name}.parquet")
    table = table.filter(pl.col(about.target).is_not_null())
    of_split = f"split{min(seed, about.splits - 1)}"
    marks = [column for column in table.columns if column.startswith("split")]
    train, test = (table.filter(pl.col(of_split) == side).drop(marks) for side in ("train", "test"))
    return train, test


def headstart(
    train: pl.DataFrame, test: pl.DataFrame, target: str, seed: int, *, preset: Preset = "default"
) -> dict[str, Any]:
    """Train by a preset, and predict the test rows."""
    started = time.process_time()
    data = TabularData.from_table(train, target, seed=seed)
    learner = TabularLearner(data, seed=seed, progress="none")
    learner.fit_preset(preset)
    cpu = time.process_time() - started
    started = time.process_time()
    predicted: pl.DataFrame = learner.predict(test)
    seconds = time.process_time() - started
    epochs = {"epochs": len(learner.history), "kept": learner.history.kept()}
    classes = [str(name) for name in learner.codec.target.classes]
    columns = [f"probability_{name}" for name in classes] or ["prediction"]
    values = predicted.select(columns).to_numpy().astype(np.float64)
    return {
        "prediction": values if classes else values[:, 0],
        "classes": classes,
        "cpu": cpu,
        "predict": seconds,
    } | epochs


def peer(python: str, model: str, draws: int) -> Callable[..., dict[str, Any]]:
    """Return a function that fits a peer in its own environment."""

    def run(train: pl.DataFrame, test: pl.DataFrame, target: str, seed: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{side}.parquet" for side in ("train", "test")]
            for path, part in zip(paths, (train, test), strict=True):
                part.write_parquet(path)
            command = [python, str(PEERS), model, *map(str, paths), target, str(seed), str(draws)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{model} failed:\n{done.stderr[-2000:]}")
        record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return {**record, "prediction": np.array(record["prediction"])}

    return run


def figures(prediction: Probabilities, classes: Sequence[str], truth: pl.Series) -> dict[str, float]:
    """Return the figures that matter; ``loss`` is the one that models are ranked by."""
    if not classes:
        error = prediction - truth.cast(pl.Float64).to_numpy()
        rmse = float(np.sqrt(np.mean(error**2)))
        return {"loss": rmse, "rmse": rmse, "mae": float(np.abs(error).mean())}
    names = {name: index for index, name in enumerate(classes)}
    true = np.array([names[str(value)] for value in truth.to_list()])
    probabilities = np.clip(prediction, 1e-15, 1.0)
    log_loss = float(-np.log(probabilities[np.arange(len(true)), true]).mean())
    found = {"loss": log_loss, "log_loss": log_loss, "accuracy": float((prediction.argmax(1) == true).mean())}
    if len(classes) == 2:
        ranks = pl.Series(prediction[:, 1]).rank().to_numpy()
        positives = int((true == 1).sum())
        area = (ranks[true == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(true) - positives))
        found["auc"] = float(area)
    return found | {"calibration_error": calibration_error(prediction, true)}


def calibration_error(prediction: Probabilities, true: NDArray[Any], bins: int = 15) -> float:
    """Return the expected calibration error of the most probable class, in bins of equal width (Guo et al., 2017)."""
    certainty, right = prediction.max(1), prediction.argmax(1) == true
    which = np.minimum((certainty * bins).astype(int), bins - 1)
    parts = [(which == number) for number in range(bins) if (which == number).any()]
    return float(sum(part.mean() * abs(certainty[part].mean() - right[part].mean()) for part in parts))


def done_in(path: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Return the runs that a file has."""
    lines = path.read_text().splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines]
    return {(record["set"], record["model"], record["seed"]): record for record in records}


def print_table(runs: dict[tuple[str, str, int], dict[str, Any]], names: Sequence[str], seeds: int) -> None:
    """Print each model's loss relative to the yardstick's, its worst case, its mean rank and CPU seconds."""
    models = list(dict.fromkeys(model for _, model, _ in runs))

    def ratios(name: str, model: str) -> list[float]:
        pairs = [(runs.get((name, each, seed)) for each in (model, YARDSTICK)) for seed in range(seeds)]
        return [one["loss"] / other["loss"] for one, other in pairs if one is not None and other is not None]

    by_model = {
        model: {name: statistics.geometric_mean(r) for name in names if (r := ratios(name, model))} for model in models
    }
    common = [name for name in names if all(name in found for found in by_model.values())]
    for model, found in by_model.items():
        if not found:
            continue
        better = {name: 1 + sum(other[name] < found[name] for other in by_model.values()) for name in common}
        rank = f"{statistics.mean(better.values()):.2f}" if better else "-"
        mean = statistics.geometric_mean(found.values())
        cpu = [record["cpu"] for (name, each, _), record in runs.items() if each == model and name in names]
        each_set = "  ".join(f"{name} {ratio:.3f}" for name, ratio in found.items())
        worst = max(found.values())
        print(f"{model}: mean {mean:.4f}, worst {worst:.4f}, rank {rank}, {statistics.median(cpu):.1f} s | {each_set}")


def wanted(arguments: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Yield what is to be run: set, model, seed; the first seed of all sets first."""
    for seed in range(arguments.seeds):
        for name in arguments.set or SETS:
            if seed < max(1, SETS[name].splits) or SETS[name].splits == 0:
                for model in arguments.model or [*OURS, *(MODELS if arguments.peers else ())]:
                    yield name, model, seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["tabular"], default="tabular", help="kind of data")
    parser.add_argument("--out", type=Path, default=Path("suite.jsonl"), help="file of the runs")
    parser.add_argument("--peers", metavar="PYTHON", help="Python of the environment that has the peers")
    parser.add_argument("--seeds", type=int, default=1, help="number of splits, each with a seed of its own")
    parser.add_argument("--set", action="append", choices=list(SETS))
    parser.add_argument("--model", action="append", choices=[*OURS, *MODELS])
    parser.add_argument("--draws", type=int, default=20, help="draws of parameters of the tuned LightGBM")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    runs = done_in(arguments.out)
    for name, model, seed in wanted(arguments):
        if (name, model, seed) in runs:
            continue
        if model in MODELS and arguments.peers is None:
            raise SystemExit(f"--peers PYTHON is needed for {model}")
        run: Callable[..., dict[str, Any]] = partial(headstart, preset=OURS.get(model, "default"))
        if model in MODELS:
            run = peer(arguments.peers, model, arguments.draws)
        train, test = rows_of(name, seed)
        found = run(train, test, SETS[name].target, seed)
        rest = {key: value for key, value in found.items() if key not in ("prediction", "classes")}
        record = {"set": name, "model": model, "seed": seed, **rest}
        record |= figures(found["prediction"], found["classes"], test[SETS[name].target])
        runs[name, model, seed] = record
        with arguments.out.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(json.dumps(record), flush=True)
    for title, development in (("development", True), ("confirmation", False)):
        print(f"\n{title} sets")
        print_table(
            runs, [name for name in arguments.set or SETS if SETS[name].development == development], arguments.seeds
        )


if __name__ == "__main__":
    main()
