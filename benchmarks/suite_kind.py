"""What the four kinds of the suite are made of: sets, models, and the figures of predictions."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from headstart.targets.metrics import accuracy, auc, balanced_accuracy, log_loss, mae, rmse

__all__ = ["Kind", "Setting", "SuiteModel", "SuiteSet", "class_figures", "cpu_of", "number_figures", "run_peer"]

Record: TypeAlias = dict[str, Any]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class SuiteSet:
    """A set of the suite.

    Attributes:
        development: whether settings were chosen on it; otherwise it confirms.
        splits: number of splits it has; a seed is the number of one.
    """

    development: bool = False
    splits: int = 3


@dataclass(frozen=True)
class Setting:
    """What a run needs beside its set and its seed.

    Attributes:
        peers: Python of the environment that has the peers; None: only what this environment has is run.
        draws: draws of parameters of the tuned LightGBM.
        cache: folder for images' activations; None: headstart's usual cache.
    """

    peers: str | None = None
    draws: int = 20
    cache: Path | None = None


Run: TypeAlias = Callable[[str, int, Setting], Record]


@dataclass(frozen=True)
class SuiteModel:
    """A model of the suite.

    Attributes:
        run: trains on the training rows of a set's split, predicts its test rows once, and returns their figures.
        sets: the sets that it is for; None: all.
        elsewhere: whether it runs in the peers' environment.
        default: whether it runs unless models are named.
    """

    run: Run
    sets: tuple[str, ...] | None = None
    elsewhere: bool = False
    default: bool = True


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    Attributes:
        title: its heading.
        sets: its sets by name.
        models: its models by name; those of headstart begin with its name.
        figures: what is written of each run; the first two, those that a set has, in the summary too.
        about: what a reader must know of the protocol.
        yardstick: the model to whose loss all others' are relative; None: losses are written as they are.
    """

    title: str
    sets: Mapping[str, SuiteSet]
    models: Mapping[str, SuiteModel]
    figures: tuple[str, ...]
    about: str
    yardstick: str | None = None


def number_figures(prediction: Floats, truth: Floats) -> Record:
    """Return the figures of predicted numbers, ``(rows,)``; ``loss`` is the one that models are ranked by."""
    pair = torch.from_numpy(np.asarray(prediction, np.float64)), torch.from_numpy(np.asarray(truth, np.float64))
    return {"loss": rmse(*pair), "rmse": rmse(*pair), "mae": mae(*pair)}


def class_figures(probabilities: Floats, classes: Sequence[str], truth: Sequence[object]) -> Record:
    """Return the figures of the classes' probabilities, ``(rows, classes)``; ``loss`` is the log loss."""
    numbers = {name: index for index, name in enumerate(classes)}
    predicted = torch.from_numpy(np.asarray(probabilities, np.float64))
    true = torch.tensor([numbers[str(value)] for value in truth])
    loss = log_loss(predicted, true)
    figures = {metric.name: metric(predicted, true) for metric in (accuracy, balanced_accuracy, auc)}
    return {"loss": loss, "log_loss": loss, **figures, "calibration_error": calibration_error(predicted, true)}


def calibration_error(predicted: torch.Tensor, true: torch.Tensor, bins: int = 15) -> float:
    """Return the expected calibration error of the most probable class, in bins of equal width (Guo et al., 2017)."""
    certainty, named = predicted.max(1)
    bin_of_row = (certainty * bins).long().clamp_max(bins - 1)
    parts = [bin_of_row == number for number in range(bins)]
    right = (named == true).double()
    return float(sum(part.double().mean() * (certainty[part].mean() - right[part].mean()).abs()
                     for part in parts if part.any()))  # fmt: skip


def cpu_of(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what some work returns, and its CPU seconds."""
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


def run_peer(
    setting: Setting, script: str, model: str, train: pl.DataFrame, test: pl.DataFrame, *arguments: object
) -> Record:
    """Run a script of this folder in the peers' environment, and return the JSON of its last line.

    Args:
        setting: names the environment.
        script: file, called as ``python script MODEL TRAIN TEST ...``.
        model: model of the script.
        train: training rows, which the script gets as a Parquet file.
        test: test rows, likewise.
        arguments: the script's further arguments.
    """
    if setting.peers is None:
        raise SystemExit(f"{model} runs in the peers' environment: name it by --peers PYTHON")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{part}.parquet" for part in ("train", "test")]
        for path, part in zip(paths, (train, test), strict=True):
            part.write_parquet(path)
        command = [setting.peers, str(Path(__file__).with_name(script)), model, *map(str, (*paths, *arguments))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{model} failed:\n{done.stderr[-2000:]}")
    record: Record = json.loads(done.stdout.splitlines()[-1])
    return record
