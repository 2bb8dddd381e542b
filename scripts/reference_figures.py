"""Reference figures: what the code gives now, so that a change which must change nothing can prove it, to the bit.

    python -m scripts.reference_figures --check              # all runs against tests/reference_figures.json
    python -m scripts.reference_figures --check --suite      # the quick ones alone, as the tests do
    python -m scripts.reference_figures --update             # write that file anew
    python -m scripts.reference_figures --list
    python -m scripts.reference_figures --only "text/*" --out figures.json

Each run trains something small with fixed seeds, on a processor, with one thread, and tells the losses and metrics of
each epoch, some predictions, a SHA-256 of the weights, and whether the model says the same after saving and loading.
On the machine and versions that the file names (its fingerprint) everything must be equal to the bit; elsewhere losses
and predictions must agree within `TOLERANCES`, and nothing else is compared.

To add a run is to add a function under ``@run``. Nothing but headstart's public names is used here; where a name lives
that the package itself does not offer yet is said once, in `BESIDE`.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import importlib
import importlib.util
import json
import math
import os
import platform
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any

# Before numpy: its linear algebra sums in another order with other threads.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

import headstart
from headstart import (
    EASE,
    IALS,
    Batch,
    Callback,
    CollabLearner,
    Data,
    DataError,
    EarlyStopping,
    Engine,
    ImageData,
    ImageLearner,
    KeepBest,
    LanguageModelData,
    LanguageModelLearner,
    Learner,
    RatingsData,
    TabularData,
    TabularLearner,
    TextData,
    TextLearner,
    datasets,
    features,
    optim,
    schedules,
    splits,
    tensor_data,
)

FILE = Path(__file__).parents[1] / "tests" / "reference_figures.json"

BESIDE = {
    "TextEnsemble": "headstart.text",
    "TransformerLearner": "headstart.text",
    "read_tokenizer": "headstart.text",
    "side_on": "headstart.vision",
}
"""Names that headstart offers in a part of its own, until the package itself has them."""

TOLERANCES = {"loss": 0.15, "prediction": 0.5}
"""On another machine: how far from the reference, losses relative and predictions in shares of the largest of them.
Other metrics are not compared there, nor weights and words. So wide, because rounding grows in these small trainings:
on the reference's own machine, kept from AVX-512, one run's losses moved by a tenth; kept from all vector instructions,
which also draw other random numbers, predictions of flights' delays moved by a third of the largest."""

FAILED = "failed"
"""Of a run that broke, the figure that says how."""

Json = dict[str, Any]
Numbers = Callable[[Any], Any]


class SkippedError(Exception):
    """What the run needs is not here."""


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: application and what is tried.
        function: trains in a folder of its own and tells the figures.
        suite: whether the tests run it too.
    """

    name: str
    function: Callable[[Path], Json]
    suite: bool


RUNS: dict[str, Run] = {}


def run(name: str, *, suite: bool = True) -> Callable[[Callable[[Path], Json]], Callable[[Path], Json]]:
    """Registers a function as a run; ``suite=False`` keeps it out of the tests: it needs much time, or other data."""

    def register(function: Callable[[Path], Json]) -> Callable[[Path], Json]:
        assert name not in RUNS
        RUNS[name] = Run(name, function, suite)
        return function

    return register


# ---- what is told


def told(learner: Any, predict: Numbers, folder: Path | None = None, *, words: Sequence[str] = (), **more: Any) -> Json:
    """The figures of a trained learner.

    Args:
        learner: any of headstart's.
        predict: takes the learner, or the same after loading, and gives numbers, of which ten are kept.
        folder: where to save the learner, to be loaded again; None: it is of a class that `headstart.load` cannot know.
        words: what the learner says in words.
        more: further numbers, by name.
    """
    found = numbers(predict(learner))
    figures: Json = {
        "history": [
            {name: shown(v) for name, v in epoch.items() if name != "seconds"} for epoch in history_of(learner)
        ],
        "predictions": [shown(value) for value in found[:10]],
        "weights": digest(tensors_of(learner)),
    }
    for name, value in more.items():
        figures[name] = [shown(number) for number in numbers(value)]
    if words:
        figures["words"] = list(words)
    if folder is not None:
        learner.save(folder / "saved")
        again = numbers(predict(headstart.load(folder / "saved", device="cpu")))
        same = len(again) == len(found) and all(a == b or a != a for a, b in zip(again, found, strict=True))
        figures["loaded"] = "the same" if same else [shown(value) for value in again[:10]]
    return figures


def shown(value: float) -> str:
    """A number to the bit, and to be read."""
    return f"{float(value).hex()} {float(value):.6g}"


def hidden(text: str) -> float:
    """The number that `shown` wrote."""
    return float.fromhex(text.split()[0])


def numbers(found: Any) -> list[float]:
    """Numbers out of a tensor, a frame, a dictionary, or what holds them."""
    if isinstance(found, Tensor):
        return [float(value) for value in found.flatten().tolist()]
    if isinstance(found, np.ndarray):
        return [float(value) for value in found.flatten().tolist()]
    if isinstance(found, pl.DataFrame):
        numeric = [column for column in found.iter_columns() if column.dtype.is_numeric()]
        return [float(value) for row in zip(*numeric, strict=True) for value in row]
    if isinstance(found, dict):
        return [float(value) for value in found.values() if isinstance(value, int | float)]
    if isinstance(found, int | float):
        return [float(found)]
    return [number for part in found for number in numbers(part)]


def history_of(learner: Any) -> list[dict[str, float]]:
    """Its epochs; for what is solved at once the metrics, as if they were of one."""
    history = getattr(learner, "history", None)
    if history is None:
        return [dict(learner.metrics)]
    return [dict(epoch) for epoch in history]


def tensors_of(learner: Any) -> list[tuple[str, Tensor]]:
    """What was learnt, by name."""
    if hasattr(learner, "learners"):
        return [tensor for member in learner.learners for tensor in tensors_of(member)]
    model = getattr(learner, "whole", None) or getattr(learner, "model", None)
    if model is not None:
        return list(model.state_dict().items())
    with tempfile.TemporaryDirectory() as folder:
        learner.save(Path(folder) / "saved")
        return list(load_file(Path(folder) / "saved" / "weights.safetensors").items())


def digest(tensors: Sequence[tuple[str, Tensor]]) -> dict[str, str]:
    """SHA-256 of the tensors in whatever order, and of their names and shapes, so that it is seen which has changed."""
    each = []
    for _, tensor in tensors:
        plain = tensor.detach().cpu().contiguous()
        said = hashlib.sha256(f"{tuple(plain.shape)} {plain.dtype}".encode())
        said.update(plain.flatten().view(torch.uint8).numpy().tobytes())
        each.append(said.hexdigest())
    names = sorted(f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in tensors)
    return {
        "tensors": hashlib.sha256("\n".join(sorted(each)).encode()).hexdigest(),
        "names": hashlib.sha256("\n".join(names).encode()).hexdigest(),
    }


# ---- what several runs need


def cpu() -> Engine:
    """The engine of all runs."""
    return Engine("cpu")


def beside(name: str) -> Any:
    """A public name of headstart or, until it is one, of the part that has it."""
    return (
        getattr(headstart, name) if name in headstart.__all__ else getattr(importlib.import_module(BESIDE[name]), name)
    )


def named_set(name: str) -> Path:
    """A data set of `headstart.datasets`.

    Raises:
        SkippedError: it cannot be had here.
    """
    try:
        return datasets.get(name)
    except DataError as error:
        raise SkippedError(f"{name}: {error}") from error


def need(*names: str) -> None:
    """Modules of extras; they are not imported, since headstart has its own way of that.

    Raises:
        SkippedError: one is not installed.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise SkippedError(f"{name} is not installed")


class Interrupt(Callback):
    """Breaks a fit off at the end of an epoch, counted from 1, before its checkpoint is written; 0: never."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, progress: Any) -> None:
        """Once, in that epoch."""
        if progress.epoch == self.epoch:
            raise KeyboardInterrupt


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A module with the weights of seed 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


# ---- a user's own model on the common loop


def row_loss(losses: Tensor, batch: Batch) -> Tensor:
    """The mean, by the rows' weights where there are any."""
    return losses.mean() if batch.weight is None else (losses * batch.weight).mean()


def square_loss(outputs: Tensor, batch: Batch) -> Tensor:
    """Squared error."""
    assert batch.target is not None
    return row_loss((outputs - batch.target).square().mean(1), batch)


def plain_learner(**options: Any) -> Learner:
    """A regression with dropout on 37 rows."""
    random = torch.Generator().manual_seed(1)
    inputs = torch.randn(37, 5, generator=random)
    target = inputs @ torch.arange(5.0)[:, None] + 1
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 1)))
    data = tensor_data((inputs, target), (inputs, target), batch_size=8, engine=cpu())
    return Learner(model, data, loss=square_loss, metrics=["rmse"], progress="none", **options)


def of_valid(learner: Any) -> Tensor:
    """Predictions for the validation rows."""
    return learner.predict_with_targets()[0]  # type: ignore[no-any-return]


@run("own/plain")
def own_plain(folder: Path) -> Json:
    learner = plain_learner()
    learner.fit_one_cycle(0.02, 4)
    return told(learner, of_valid)


@run("own/optimizers and schedules")
def own_schedules(folder: Path) -> Json:
    learner = plain_learner(optimizer=optim.SGD(momentum=0.8, nesterov=True), clip=1.0, accumulate=2)
    learner.fit(0.02, 2)
    learner.fit(0.02, 2, cycle_len=1, cycle_mult=2)
    learner.fit_schedule(0.02, schedules.Triangular(3))
    learner.fit_one_cycle(0.02, 2, warm_up=0.5)
    return told(learner, of_valid)


@run("own/callbacks")
def own_callbacks(folder: Path) -> Json:
    learner = plain_learner()
    learner.fit(0.1, 6, callbacks=[KeepBest("rmse"), EarlyStopping("rmse", patience=2)])
    return told(learner, of_valid, kept=learner.validate())


@run("own/rate finder")
def own_rates(folder: Path) -> Json:
    learner = plain_learner()
    curve = learner.find_lr(steps=40)
    return told(learner, of_valid, losses=curve.losses[::5], suggestion=curve.suggestion)


@run("own/checkpoint")
def own_checkpoint(folder: Path) -> Json:
    whole, broken, resumed = (plain_learner(clip=1.0) for _ in range(3))
    whole.fit_one_cycle(0.02, 4)
    try:
        broken.fit_one_cycle(0.02, 4, callbacks=[Interrupt(3)], checkpoint=folder / "checkpoint")
    except KeyboardInterrupt:
        resumed.fit_one_cycle(0.02, 4, callbacks=[Interrupt(0)], checkpoint=folder / "checkpoint", resume=True)
    assert digest(tensors_of(whole)) == digest(tensors_of(resumed))
    return told(resumed, of_valid)


class PhotoModel(nn.Module):
    """Three groups: two convolutions and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """From the input side on."""
        return [[self.early], [self.late], [self.head]]

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        outputs: Tensor = self.head(self.late(self.early(images).relu()).relu().amax((2, 3)))
        return outputs


def class_loss(outputs: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy."""
    assert batch.target is not None
    return row_loss(F.cross_entropy(outputs, batch.target, reduction="none"), batch)


@run("own/groups")
def own_groups(folder: Path) -> Json:
    random = torch.Generator().manual_seed(5)
    label = torch.arange(32) % 2
    images = torch.rand(32, 1, 6, 6, generator=random) * 0.3
    images[label == 1, :, 2:4, 2:4] += 1
    data = tensor_data((images, label), (images, label), batch_size=8, engine=cpu())
    learner = Learner(seeded(PhotoModel), data, loss=class_loss, metrics=["accuracy"], progress="none")
    learner.freeze()
    learner.fit_one_cycle(0.05, 2)
    learner.unfreeze()
    learner.fit_one_cycle([1e-3, 3e-3, 1e-2], 2)
    learner.fine_tune(0.01, 2)
    return told(learner, of_valid)


STREAMS, TOKENS, WORDS = 8, 40, 11


class StreamModel(nn.Module):
    """A recurrent language model with tied weights that carries its state from window to window."""

    carried: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 12)
        self.recurrent = nn.GRU(12, 12, batch_first=True)
        self.decoder = nn.Linear(12, WORDS)
        self.decoder.weight = self.embedding.weight
        self.register_buffer("carried", torch.zeros(1, 0, 12), persistent=False)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """From the input side on."""
        return [[self.embedding], [self.recurrent], [self.decoder]]

    def forward(self, tokens: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the activations that are penalised."""
        if self.carried.shape[1] != len(tokens):
            self.carried = torch.zeros(1, len(tokens), 12)
        activations, state = self.recurrent(self.embedding(tokens), self.carried * ~fresh[None, :, None])
        self.carried = state.detach()
        return self.decoder(activations), activations


class StreamLoader:
    """Windows of 3 to 7 tokens along eight streams, each at a rate by its length."""

    def __init__(self) -> None:
        start = torch.arange(STREAMS)[:, None] * 3
        self.tokens = (start + torch.arange(TOKENS + 1) * (1 + start % 2)) % WORDS

    def windows(self, epoch: int) -> list[tuple[int, int]]:
        """First token and end of each."""
        random = torch.Generator().manual_seed(7 + epoch)
        ends = [0]
        while ends[-1] < TOKENS:
            ends.append(min(TOKENS, ends[-1] + int(torch.randint(3, 8, (), generator=random))))
        return list(pairwise(ends))

    def steps(self, epoch: int) -> int:
        """The number of windows."""
        return len(self.windows(epoch))

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """A window each."""
        for start, end in self.windows(epoch)[start_step:]:
            fresh = torch.full((STREAMS,), start == 0)
            yield Batch(
                inputs=(self.tokens[:, start:end], fresh), target=self.tokens[:, start + 1 : end + 1],
                rows=STREAMS * (end - start), rate=(end - start) / 5,
            )  # fmt: skip


class ActivationPenalty(Callback):
    """Adds to what is minimised."""

    def on_loss(self, progress: Any, batch: Batch, outputs: Any, loss: Tensor) -> Tensor:
        """A hundredth of the mean square."""
        penalty: Tensor = outputs[1].square().mean()
        return loss + 0.01 * penalty


def stream_loss(outputs: Any, batch: Batch) -> Tensor:
    """Cross-entropy of each next token."""
    assert batch.target is not None
    return F.cross_entropy(outputs[0].flatten(0, 1), batch.target.flatten())


@run("own/stream")
def own_stream(folder: Path) -> Json:
    data = Data(train=StreamLoader(), valid=None, engine=cpu())
    learner = Learner(
        seeded(StreamModel), data, loss=stream_loss, callbacks=[ActivationPenalty()], clip=0.5, progress="none"
    )
    learner.fit_one_cycle(0.02, 3)
    return told(learner, lambda learner: learner.model.decoder.weight[0])


class PairModel(nn.Module):
    """By how much a user likes one item more than another."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(9, 6), nn.Embedding(13, 6)

    def forward(self, user: Tensor, liked: Tensor) -> Tensor:
        """A number per pair of items."""
        by: Tensor = self.users(user) * (self.items(liked[:, 0]) - self.items(liked[:, 1]))
        return by.sum(1)


def pair_loss(outputs: Tensor, batch: Batch) -> Tensor:
    """Of pairs in the wrong order."""
    return row_loss(-F.logsigmoid(outputs), batch)


@run("own/pairs")
def own_pairs(folder: Path) -> Json:
    user = torch.arange(36) % 9
    pairs = torch.stack([user % 13, (user + 5 + torch.arange(36) // 9) % 13], 1)
    data = tensor_data((user, pairs, user), (user, pairs, user), batch_size=12, engine=cpu())
    learner = Learner(seeded(PairModel), data, loss=pair_loss, metrics=[], progress="none")
    learner.fit_one_cycle(0.05, 3)
    return told(learner, of_valid)


# ---- tables


def table(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    """Rows with categories, numbers with gaps and a date, and a target of each kind that follows from them."""
    random = np.random.default_rng(seed)
    shop, colour = random.integers(0, 12, rows), random.integers(0, 3, rows)
    size, age = random.normal(size=rows), random.uniform(0, 50, rows)
    day = random.integers(0, 700, rows)
    signal = np.sin(shop) + 0.5 * size + 0.02 * age + 0.3 * (day % 7 > 4)
    gap: NDArray[np.bool_] = random.random(rows) < 0.1
    frame = pl.DataFrame(
        {
            "shop": [f"s{number:02}" for number in shop],
            "colour": [("red", "green", "blue")[number] for number in colour],
            "size": size,
            "age": [None if missing else float(value) for missing, value in zip(gap, age, strict=True)],
            "day": day,
            "amount": signal + 0.1 * random.normal(size=rows),
            "other": signal * 10 + colour,
            "price": np.exp(signal),
            "count": random.poisson(np.exp(0.5 * signal)),
            "grade": [("low", "middle", "high")[int(value > 0.3) + int(value > 1.5)] for value in signal],
            "weight": random.uniform(0.5, 2, rows),
        }
    )
    return frame.with_columns(pl.date(2020, 1, 1) + pl.duration(days=pl.col("day")))


TARGETS = ("amount", "other", "price", "count", "grade", "weight")


def table_data(target: str | Sequence[str], **options: Any) -> TabularData:
    """The table for one target, without the others; the last 100 rows validate."""
    frame = table()
    kept = [target] if isinstance(target, str) else list(target)
    kept.append(options.get("weight", target))
    frame = frame.drop([name for name in TARGETS if name not in kept])
    return TabularData.from_table(frame[:300], target, valid=frame[300:], engine=cpu(), **options)


def table_learner(target: str | Sequence[str], data: Json | None = None, **options: Any) -> TabularLearner:
    """The learner of these data, by default with the default options."""
    return TabularLearner(table_data(target, **(data or {})), progress="none", **options)


def of_table(learner: Any) -> Any:
    """Predictions for rows that it has not seen."""
    return learner.predict(table(5, seed=1))


def trained_table(folder: Path, target: str | Sequence[str], data: Json | None = None, **options: Any) -> Json:
    """The figures of such a learner after two epochs."""
    learner = table_learner(target, data, **options)
    learner.fit_one_cycle(0.01, 2)
    return told(learner, of_table, folder)


@run("tabular/numbers")
def tabular_numbers(folder: Path) -> Json:
    return trained_table(folder, "amount")


@run("tabular/classes")
def tabular_classes(folder: Path) -> Json:
    return trained_table(folder, "grade")


@run("tabular/class weights")
def tabular_class_weights(folder: Path) -> Json:
    return trained_table(folder, "grade", {"class_weight": "balanced", "batch_size": 32})


@run("tabular/several numbers")
def tabular_several(folder: Path) -> Json:
    return trained_table(folder, ["amount", "other"])


@run("tabular/quantiles")
def tabular_quantiles(folder: Path) -> Json:
    return trained_table(folder, "amount", {"quantiles": [0.1, 0.5, 0.9]})


@run("tabular/counts")
def tabular_counts(folder: Path) -> Json:
    return trained_table(folder, "count", {"target_kind": "count"})


@run("tabular/logarithm, range and weights")
def tabular_log(folder: Path) -> Json:
    return trained_table(folder, "price", {"log_target": True, "y_range": (0.01, 100.0), "weight": "weight"})


@run("tabular/ensemble")
def tabular_ensemble(folder: Path) -> Json:
    return trained_table(folder, "amount", ensemble=2)


@run("tabular/members")
def tabular_members(folder: Path) -> Json:
    return trained_table(folder, "grade", members=4)


@run("tabular/members network")
def tabular_members_network(folder: Path) -> Json:
    return trained_table(
        folder, "amount", hidden=(256, 128), members=4, numeric_embedding="piecewise_linear", batch_norm=False,
        dropout=0.3, embedding_dropout=0.1,
    )  # fmt: skip


@run("tabular/members network in an ensemble")
def tabular_members_in_ensemble(folder: Path) -> Json:
    return trained_table(folder, "grade", hidden=(32, 16), members=2, batch_norm=False, ensemble=2)


@run("tabular/lesson network")
def tabular_lesson(folder: Path) -> Json:
    return trained_table(folder, "amount", numeric_embedding=None, norm_first=False, embedding_sizes={"shop": 3})


@run("tabular/periodic")
def tabular_periodic(folder: Path) -> Json:
    return trained_table(folder, "amount", numeric_embedding="periodic", straight=False, dropout=[0.0, 0.2])


@run("tabular/clip, accumulate, decay")
def tabular_options(folder: Path) -> Json:
    return trained_table(
        folder, "grade", {"seed": 3}, clip=0.5, accumulate=3, weight_decay=0.3, metrics=["accuracy", "log_loss"], seed=5
    )


@run("tabular/freeze and rates")
def tabular_rates(folder: Path) -> Json:
    learner = table_learner("amount", hidden=(32, 16))
    learner.freeze()
    learner.fit_one_cycle(0.01, 1)
    learner.unfreeze()
    learner.fit_one_cycle([0.001 * (number + 1) for number in range(len(learner.groups))], 1)
    learner.fine_tune(0.01, 1)
    return told(learner, of_table, folder)


@run("tabular/snapshots")
def tabular_snapshots(folder: Path) -> Json:
    learner = table_learner("amount", hidden=(32, 16), folder=folder / "models")
    learner.fit(0.01, 2, cycle_len=1, cycle_mult=2, snapshot="cycles")
    mean = learner.predict(table(5, seed=1), snapshot="cycles")
    learner.load_cycle("cycles", 0)
    return told(learner, of_table, folder, mean_of_cycles=mean)


@run("tabular/checkpoint")
def tabular_checkpoint(folder: Path) -> Json:
    broken, resumed = (table_learner("grade", hidden=(32, 16), clip=1.0) for _ in range(2))
    try:
        broken.fit_one_cycle(0.01, 3, callbacks=[Interrupt(2)], checkpoint=folder / "checkpoint")
    except KeyboardInterrupt:
        resumed.fit_one_cycle(0.01, 3, callbacks=[Interrupt(0)], checkpoint=folder / "checkpoint", resume=True)
    return told(resumed, of_table, folder)


@run("tabular/on from loaded")
def tabular_go_on(folder: Path) -> Json:
    learner = table_learner("amount", hidden=(32, 16))
    learner.fit_one_cycle(0.01, 1)
    learner.save(folder / "model")
    loaded = headstart.load(folder / "model", device="cpu")
    loaded.progress = "none"
    loaded.data = table_data("amount", codec=loaded.codec)
    loaded.fit_one_cycle(0.01, 1)
    return told(loaded, of_table, folder)


@run("tabular/recipe")
def tabular_recipe(folder: Path) -> Json:
    random = np.random.default_rng(0)
    days = np.tile(np.arange(120), 3)
    promo: NDArray[np.bool_] = random.random(360) < 0.4
    sales = 100 * (1 + promo) + random.normal(size=360)
    frame = pl.DataFrame(
        {"shop": np.repeat(["a", "b", "c"], 120), "number": days, "promo": promo, "sales": sales}
    ).with_columns((pl.date(2014, 1, 1) + pl.duration(days=pl.col("number"))).alias("day")).drop("number")  # fmt: skip
    recipe = features.FeatureRecipe(
        [
            features.AddDateparts("day", parts=("month", "day_of_week", "days_left_in_month")),
            features.AddElapsed("promo", date="day", group="shop", cap=5),
            features.AddRolling("promo", date="day", group="shop", window=3),
        ]
    )
    data = TabularData.from_table(
        frame, "sales", split=splits.by_time("day", start="2014-04-10"), exclude=["day"], recipe=recipe, engine=cpu()
    )
    learner = TabularLearner(data, hidden=(32,), progress="none")
    learner.fit_one_cycle(0.02, 2)
    return told(learner, lambda learner: learner.predict(frame)[100:110], folder)


@run("tabular/what it has learnt")
def tabular_learnt(folder: Path) -> Json:
    learner = table_learner("amount", hidden=(32, 16))
    learner.fit_one_cycle(0.02, 2)
    importance = learner.feature_importance(repeats=2).frame()
    return told(
        learner, of_table, folder,
        words=importance[importance.columns[0]].to_list(),
        importance=importance,
        dependence=learner.partial_dependence("size", values=4).frame(),
        embeddings=numbers(learner.embeddings("shop").frame())[:10],
        features=numbers(learner.transform(table(2, seed=1)))[:10],
        one=learner.predict(table(1, seed=1).row(0, named=True)),
    )  # fmt: skip


@run("tabular/scikit-learn")
def tabular_sklearn(folder: Path) -> Json:
    need("sklearn")
    from headstart import TabularClassifier, TabularRegressor

    frame, inputs = table(200), ["shop", "colour", "size", "age"]
    regressor = TabularRegressor(epochs=2, lr=0.01, device="cpu").fit(frame[inputs], frame["amount"].to_numpy())
    classifier = TabularClassifier(epochs=2, lr=0.01, members=2, device="cpu")
    classifier.fit(frame[inputs], frame["grade"].to_numpy())
    judged = table(5, seed=1)[inputs]
    return {
        "predictions": [shown(value) for value in numbers(regressor.predict(judged))],
        "probabilities": [shown(value) for value in numbers(classifier.predict_proba(judged))],
        "words": [str(value) for value in classifier.predict(judged)],
    }


def flights() -> pl.DataFrame:
    """20,000 flights, evenly over the year, that were not cancelled."""
    frame = pl.read_parquet(datasets.get("flights")).filter(pl.col("arr_delay").is_not_null())
    return frame.gather_every(16)[:20_000].drop("dep_delay", "tailnum")


@run("tabular/flights")
def tabular_flights(folder: Path) -> Json:
    frame = flights()
    data = TabularData.from_table(frame, "arr_delay", split=splits.by_time("date", fraction=0.2), engine=cpu())
    learner = TabularLearner(data, progress="none")
    learner.fit_one_cycle(0.01, 2)
    return told(learner, lambda learner: learner.predict(frame[:10]), folder)


@run("tabular/flights, classes by members", suite=False)
def tabular_flights_classes(folder: Path) -> Json:
    frame = flights().with_columns((pl.col("arr_delay") > 15).alias("late")).drop("arr_delay")
    data = TabularData.from_table(
        frame, "late", class_weight="balanced", split=splits.by_time("date", fraction=0.2), engine=cpu()
    )
    learner = TabularLearner(data, members=4, ensemble=2, progress="none")
    learner.fit_one_cycle(0.003, 2)
    return told(learner, lambda learner: learner.predict(frame[:5]), folder)


# ---- ratings


def ratings(seed: int = 0) -> pl.DataFrame:
    """Two tastes: users and items of one kind like each other; half of the pairs are rated, some of them twice."""
    random = np.random.default_rng(seed)
    user, item = random.integers(0, 40, 900), random.integers(0, 30, 900)
    stars = np.where(user % 2 == item % 2, 4, 2) + random.integers(-1, 2, 900)
    return pl.DataFrame(
        {"user": [f"u{number:02}" for number in user], "item": item * 10, "stars": stars, "time": np.arange(900)}
    )


PAIRS = pl.DataFrame({"user": [f"u{number % 11:02}" for number in range(10)], "item": [30 * n for n in range(10)]})
FACTS = pl.DataFrame({"item": [10 * n for n in range(30)], "title": [f"film {n}" for n in range(30)]})


def ratings_data(rating: str | None = "stars", **options: Any) -> RatingsData:
    """Ratings, or choices: what has at least four stars."""
    frame = ratings() if rating else ratings().filter(pl.col("stars") > 3)
    return RatingsData.from_table(frame, "user", "item", rating, time="time", items=FACTS, engine=cpu(), **options)


def of_pairs(learner: Any) -> Any:
    """Predictions for some pairs."""
    return learner.predict(PAIRS)


def recommended(learner: Any) -> list[str]:
    """Titles for a user, with reasons; for a new one; and what is like an item."""
    new = learner.fold_in(dict.fromkeys([0, 20, 40], 5.0))
    frames = [learner.recommend("u01", 3, because=True), learner.recommend(new, 3), learner.similar_items(20, 3)]
    return ["; ".join(str(value) for value in frame["title"]) for frame in frames]


def trained_ratings(folder: Path, data: RatingsData, **options: Any) -> Json:
    """The figures of a learner of ratings or rankings after two epochs."""
    learner = CollabLearner(data, progress="none", **options)
    learner.fit_one_cycle(0.02, 2)
    scores = learner.recommend("u01", 3)["score"].to_list()
    return told(learner, of_pairs, folder, words=recommended(learner), scores=scores)


@run("collab/ratings")
def collab_ratings(folder: Path) -> Json:
    return trained_ratings(folder, ratings_data())


@run("collab/ratings, without implicit terms")
def collab_plain(folder: Path) -> Json:
    return trained_ratings(folder, ratings_data(unknown=0.05, y_range=(0.0, 6.0)), implicit=False, factors=8)


@run("collab/ratings, options")
def collab_options(folder: Path) -> Json:
    options: Json = {"dropout": 0.2, "weight_decay": 0.5, "clip": 0.1, "accumulate": 2, "seed": 4, "metrics": ["mae"]}
    return trained_ratings(folder, ratings_data(batch_size=40, seed=2), factors=6, **options)


@run("collab/softmax")
def collab_softmax(folder: Path) -> Json:
    return trained_ratings(folder, ratings_data(None))


@run("collab/softmax with implicit terms")
def collab_softmax_implicit(folder: Path) -> Json:
    return trained_ratings(folder, ratings_data(None, negatives=10), implicit=True, factors=8)


@run("collab/bpr")
def collab_bpr(folder: Path) -> Json:
    return trained_ratings(folder, ratings_data(None, negatives=5), ranking_loss="bpr")


@run("collab/checkpoint")
def collab_checkpoint(folder: Path) -> Json:
    broken, resumed = (CollabLearner(ratings_data(), factors=6, progress="none") for _ in range(2))
    try:
        broken.fit_one_cycle(0.02, 3, callbacks=[Interrupt(2)], checkpoint=folder / "checkpoint")
    except KeyboardInterrupt:
        resumed.fit_one_cycle(0.02, 3, callbacks=[Interrupt(0)], checkpoint=folder / "checkpoint", resume=True)
    resumed.data = ratings_data(codec=resumed.codec, seed=9)
    resumed.fit(0.002, 1)
    return told(resumed, of_pairs, folder)


@run("collab/ease")
def collab_ease(folder: Path) -> Json:
    ranker = EASE(ratings_data(None), penalty=20.0)
    return told(ranker, of_pairs, folder, words=recommended(ranker))


@run("collab/ials")
def collab_ials(folder: Path) -> Json:
    ranker = IALS(ratings_data(None), factors=8, sweeps=3)
    return told(ranker, of_pairs, folder, words=recommended(ranker))


def ml_100k(rating: str | None, where: str | None = None) -> RatingsData:
    """MovieLens's hundred thousand; a random fifth validates."""
    return RatingsData.from_table(
        named_set("ml-100k"), "user", "item", rating, where=where, items=named_set("ml-100k-items"), engine=cpu()
    )


ML_PAIRS = pl.DataFrame({"user": list(range(1, 11)), "item": [50 * n + 1 for n in range(10)]})


def of_ml(learner: Any) -> Any:
    """Predictions for some pairs of these."""
    return learner.predict(ML_PAIRS)


@run("collab/ml-100k, ratings", suite=False)
def collab_ml(folder: Path) -> Json:
    learner = CollabLearner(ml_100k("rating"), progress="none")
    learner.fit_one_cycle(0.01, 3)
    return told(learner, of_ml, folder, words=learner.recommend(1, 5)["title"].to_list())


@run("collab/ml-100k, softmax", suite=False)
def collab_ml_softmax(folder: Path) -> Json:
    learner = CollabLearner(ml_100k(None, "rating > 3"), progress="none")
    learner.fit_one_cycle(0.01, 3)
    return told(learner, of_ml, folder, words=learner.recommend(1, 5)["title"].to_list())


@run("collab/ml-100k, ease", suite=False)
def collab_ml_ease(folder: Path) -> Json:
    ranker = EASE(ml_100k(None, "rating > 3"))
    return told(ranker, of_ml, folder, words=ranker.recommend(1, 5)["title"].to_list())


@run("collab/ml-100k, ials", suite=False)
def collab_ml_ials(folder: Path) -> Json:
    ranker = IALS(ml_100k(None, "rating > 3"), factors=32, sweeps=3)
    return told(ranker, of_ml, folder, words=ranker.recommend(1, 5)["title"].to_list())


# ---- text


def sentences(rows: int = 160, seed: int = 0) -> pl.DataFrame:
    """Sentences of a few patterns, each with a label, and with several."""
    random = np.random.default_rng(seed)
    things, good, bad = ("film", "story", "plot", "cast"), ("good", "great", "moving"), ("bad", "dull", "flat")
    texts, labels, tags = [], [], []
    for _ in range(rows):
        kind, fine, turned = int(random.integers(4)), bool(random.random() < 0.6), bool(random.random() < 0.3)
        word = str(random.choice(good if fine != turned else bad))
        end = " and we saw it twice" if random.random() < 0.5 else ""
        texts.append(f"The {things[kind]} was {'not ' if turned else ''}{word}{end}.")
        labels.append("pos" if fine else "neg")
        tags.append([things[kind], *(["long"] if end else [])])
    return pl.DataFrame({"text": texts, "label": labels, "tags": tags})


NEW = ["The film was not dull.", "The cast was moving and we saw it twice.", "A flat story", "", "What a great plot!"]
SMALL: Json = {"embedding_size": 16, "hidden": 24, "layers": 2, "dropout": 1.0, "progress": "none"}


def language_data(**options: Any) -> LanguageModelData:
    """All sentences but the last 30, which validate."""
    frame = sentences()
    chosen = {"min_freq": 1, "batch_size": 4, "bptt": 12, "workers": 1, "engine": cpu(), **options}
    return LanguageModelData.from_table(frame[:130], "text", valid=frame[130:], **chosen)


def language_model(folder: Path, *, backward: bool = False) -> Path:
    """A language model's folder, to start from."""
    learner = LanguageModelLearner(language_data(backward=backward), **SMALL)
    learner.fit_one_cycle(0.01, 1)
    return learner.save(folder / "language-model")


def of_words(learner: Any) -> list[float]:
    """The probabilities of the likeliest next words."""
    return [probability for _, probability in learner.next_words("The film was", 10)]


def spoken(learner: LanguageModelLearner) -> list[str]:
    """How it goes on: drawn, and sought."""
    return [
        learner.generate("The film", 12, temperature=0.8, seed=1),
        learner.generate("The film", 8, top_k=4, top_p=0.9, seed=2),
        learner.beam_search("The plot", 5, beams=2)[0].text,
    ]  # fmt: skip


@run("text/language model")
def text_language_model(folder: Path) -> Json:
    learner = LanguageModelLearner(language_data(), **SMALL)
    learner.fit_one_cycle(0.01, 2)
    return told(learner, of_words, folder, words=spoken(learner))


@run("text/language model, default sizes")
def text_language_model_default(folder: Path) -> Json:
    learner = LanguageModelLearner(
        language_data(batch_size=16), embedding_size=128, hidden=256, layers=2, dropout=1.0, progress="none"
    )
    learner.fit_one_cycle(0.003, 1)
    return told(learner, of_words)


@run("text/language model, options")
def text_language_model_options(folder: Path) -> Json:
    learner = LanguageModelLearner(
        language_data(backward=True, seed=2), from_counts=False, sampled=8, alpha=1.0, beta=0.5, clip=0.1,
        accumulate=2, weight_decay=0.1, seed=3, **{**SMALL, "dropout": 0.5},
    )  # fmt: skip
    learner.fit(0.01, 2, cycle_len=1)
    return told(learner, of_words, folder)


@run("text/language model from another")
def text_language_model_from(folder: Path) -> Json:
    start = language_model(folder)
    texts = ["The song was dull .", "The film was loud and we saw it twice ."] * 20
    data = LanguageModelData.from_texts(texts, valid=texts[:8], min_freq=1, batch_size=4, bptt=12, engine=cpu())
    learner = LanguageModelLearner(data, language_model=start, dropout=1.0, progress="none")
    learner.freeze()
    learner.fit_one_cycle(0.01, 1)
    learner.unfreeze()
    learner.fit_one_cycle(0.005, 1, checkpoint=folder / "checkpoint")
    return told(learner, of_words, folder)


@run("text/language model of subwords")
def text_subwords(folder: Path) -> Json:
    need("tokenizers")
    learner = LanguageModelLearner(language_data(tokenizer="subwords", max_vocab=320), **SMALL)
    learner.fit_one_cycle(0.01, 1)
    return told(learner, of_words, folder, words=[learner.generate("The film", 12, seed=1)])


def text_data(label: str = "label", **options: Any) -> TextData:
    """The same sentences with their labels."""
    frame = sentences().select("text", label)
    chosen = {"batch_size": 16, "workers": 1, "word_vectors": "none", "engine": cpu(), **options}
    if "language_model" not in chosen:
        chosen["min_freq"] = 1
    return TextData.from_table(frame[:130], "text", label, valid=frame[130:], **chosen)


def of_texts(learner: Any) -> Any:
    """Predictions for other sentences."""
    return learner.predict(NEW)


@run("text/classifier from scratch")
def text_classifier(folder: Path) -> Json:
    learner = TextLearner(text_data(), **SMALL)
    learner.fit_one_cycle(0.01, 2)
    return told(learner, of_texts, folder, one=learner.predict(NEW[0]))


@run("text/classifier, options")
def text_classifier_options(folder: Path) -> Json:
    learner = TextLearner(
        text_data(class_weight="balanced", seed=2), head_hidden=0, bptt=5, max_length=10, alpha=0.0, beta=0.0,
        clip=0.5, accumulate=2, weight_decay=0.1, seed=3, metrics=["accuracy", "auc"], **{**SMALL, "dropout": 0.5},
    )  # fmt: skip
    learner.fit_one_cycle([0.002 * (number + 1) for number in range(len(learner.groups))], 2)
    return told(learner, of_texts, folder)


@run("text/classifier of several labels")
def text_labels(folder: Path) -> Json:
    learner = TextLearner(text_data("tags"), **SMALL)
    learner.fit_one_cycle(0.01, 2)
    return told(learner, of_texts, folder)


def classifier_from(folder: Path, *, backward: bool = False) -> TextLearner:
    """A classifier that starts from a language model, gradually unfrozen."""
    data = text_data(language_model=language_model(folder, backward=backward))
    learner = TextLearner(data, dropout=1.0, progress="none")
    learner.fine_tune(0.02, 1)
    return learner


@run("text/classifier from a language model")
def text_from_language_model(folder: Path) -> Json:
    return told(classifier_from(folder), of_texts, folder)


@run("text/ensemble")
def text_ensemble(folder: Path) -> Json:
    members = [classifier_from(folder / side, backward=side == "backward") for side in ("forward", "backward")]
    ensemble = beside("TextEnsemble")(members)
    figures: Json = {
        "history": [{name: shown(value) for name, value in ensemble.validate().items()}],
        "predictions": [shown(value) for value in numbers(of_texts(ensemble))],
        "weights": digest(tensors_of(ensemble)),
    }
    ensemble.save(folder / "ensemble")
    again = numbers(of_texts(headstart.load(folder / "ensemble", device="cpu")))
    return figures | {"loaded": "the same" if again == numbers(of_texts(ensemble)) else [shown(v) for v in again]}


@run("text/transformer", suite=False)
def text_transformer(folder: Path) -> Json:
    need("transformers")
    encoder = named_set("sentence-encoder")
    tokenizer = beside("read_tokenizer")(encoder)
    data = TextData.from_table(
        sentences(48), "text", "label", tokenizer=tokenizer, batch_size=8, workers=1, word_vectors="none", engine=cpu()
    )
    learner = beside("TransformerLearner")(data, encoder, progress="none")
    learner.freeze()
    learner.fit_one_cycle(0.02, 2)
    learner.unfreeze()
    learner.fit_one_cycle(1e-4, 1)
    return told(learner, of_texts)


@run("text/movie snippets", suite=False)
def text_snippets(folder: Path) -> Json:
    frame = pl.read_parquet(named_set("movie-snippets")).filter(pl.col("label").is_not_null()).gather_every(2)
    half = frame.gather_every(2)
    language = LanguageModelData.from_table(frame, "text", batch_size=32, workers=1, engine=cpu())
    learner = LanguageModelLearner(
        language, embedding_size=64, hidden=96, layers=2, dropout=1.0, sampled=0, progress="none"
    )
    learner.fit_one_cycle(0.01, 2)
    said = [learner.generate("the film", 20, temperature=0.7, seed=0)]
    data = TextData.from_table(
        half,
        "text",
        "label",
        language_model=learner.save(folder / "language-model"),
        workers=1,
        word_vectors="none",
        engine=cpu(),
    )
    classifier = TextLearner(data, dropout=0.5, progress="none")
    classifier.fine_tune(0.02, 1)
    perplexity = [learner.history[-1][name] for name in ("train_loss", "valid_loss", "perplexity")]
    return told(classifier, of_texts, folder, words=said, language_model=perplexity)


# ---- images

TINY = "test_efficientnet"


def drawn_images(rows: int = 24, side: int = 40) -> tuple[NDArray[np.uint8], list[str]]:
    """A red or a blue square somewhere on noise."""
    images, labels = [], []
    for row in range(rows):
        random = np.random.default_rng([row, row % 2])
        pixels = random.integers(90, 160, (side, side, 3)).astype(np.uint8)
        top, left = (int(value) for value in random.integers(0, side // 2, 2))
        colour = (220, 30, 30) if row % 2 else (30, 30, 220)
        pixels[top : top + side // 2, left : left + side // 2] = colour
        images.append(pixels)
        labels.append("red" if row % 2 else "blue")
    return np.stack(images), labels


def tiny_weights(folder: Path) -> Path:
    """Weights of a tiny backbone: random, but its batch norms know what images are like."""
    need("timm", "torchvision", "PIL")
    ImageLearner(image_data(folder), backbone=TINY, weights=False, progress="none")  # imports torchvision its own way
    timm: Any = importlib.import_module("timm")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(TINY, pretrained=False).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(torch.from_numpy(drawn_images()[0]).permute(0, 3, 1, 2).float() / 127.5 - 1)
    file = folder / f"{TINY}.pth"
    torch.save(model.state_dict(), file)
    return file


def image_data(folder: Path, *, several: bool = False, **options: Any) -> ImageData:
    """The drawn images; they validate as well."""
    images, names = drawn_images()
    labels: list[Any] = [[name, *(["third"] if row % 3 == 0 else [])] for row, name in enumerate(names)]
    chosen = labels if several else names
    arguments: Json = {"size": 32, "batch_size": 8, "cache": folder / "cache", "engine": cpu(), **options}
    return ImageData.from_arrays(images, chosen, valid=(images, chosen), **arguments)


def image_learner(folder: Path, data: Json | None = None, **options: Any) -> ImageLearner:
    """A learner of them on the tiny backbone."""
    arguments: Json = {
        "backbone": TINY, "weights": tiny_weights(folder), "hidden": (16,), "progress": "none", **options,
    }  # fmt: skip
    return ImageLearner(image_data(folder, **(data or {})), **arguments)


def of_images(learner: Any) -> Any:
    """Predictions for five of them."""
    return learner.predict(drawn_images()[0][:5])


@run("vision/head from pictures")
def vision_head(folder: Path) -> Json:
    learner = image_learner(folder)
    learner.fit_one_cycle(0.01, 2)
    return told(learner, of_images, folder)


@run("vision/head from activations")
def vision_precompute(folder: Path) -> Json:
    learner = image_learner(folder, precompute=True)
    learner.fit_one_cycle(0.01, 2)
    return told(learner, of_images, folder)


@run("vision/copies, then fine-tuned")
def vision_fine_tune(folder: Path) -> Json:
    learner = image_learner(folder, {"augment": beside("side_on")()}, precompute=2)
    learner.fit_one_cycle(0.01, 2)
    learner.unfreeze()
    learner.fit_one_cycle([1e-4, 3e-4, 1e-3], 2)
    views = learner.predict_with_targets(tta=2)[0][:5]
    return told(learner, of_images, folder, views=views)


@run("vision/fine_tune")
def vision_fine_tune_at_once(folder: Path) -> Json:
    learner = image_learner(folder, clip=0.5, accumulate=2, weight_decay=0.1, fixed_norms=False)
    learner.fine_tune(0.01, 1)
    return told(learner, of_images, folder)


@run("vision/from scratch")
def vision_scratch(folder: Path) -> Json:
    learner = image_learner(folder, weights=False, stages=1, hidden=(), label_smoothing=0.1)
    learner.fit_one_cycle(0.01, 2)
    return told(learner, of_images, folder)


@run("vision/grid and several labels")
def vision_grid(folder: Path) -> Json:
    learner = image_learner(folder, {"several": True}, precompute=True, stages=2, grid=[2, 1], dropout=0.1)
    learner.fit_one_cycle(0.01, 2)
    return told(learner, of_images, folder)


@run("vision/snapshots and checkpoint")
def vision_snapshots(folder: Path) -> Json:
    learner = ImageLearner(
        image_data(folder), backbone=TINY, weights=tiny_weights(folder), hidden=(16,), precompute=True,
        folder=folder / "models", progress="none",
    )  # fmt: skip
    learner.fit(0.01, 2, cycle_len=1, snapshot="cycles", checkpoint=folder / "checkpoint")
    mean = learner.predict_with_targets(snapshot="cycles")[0][:5]
    return told(learner, of_images, folder, mean_of_cycles=mean)


@run("vision/files")
def vision_files(folder: Path) -> Json:
    need("PIL")
    pillow: Any = importlib.import_module("PIL.Image")
    for row, (pixels, label) in enumerate(zip(*drawn_images(), strict=True)):
        home = folder / "pictures" / ("valid" if row % 4 == 0 or row % 4 == 3 else "train") / label
        home.mkdir(parents=True, exist_ok=True)
        pillow.fromarray(pixels[: 40 - row % 5]).save(home / f"{row:02}.png")
    data = ImageData.from_folder(
        folder / "pictures", size=32, batch_size=4, resize="pad", augment=beside("side_on")(cutout=0.2), workers=0,
        cache=folder / "cache", engine=cpu(),
    )  # fmt: skip
    learner = ImageLearner(
        data, backbone=TINY, weights=tiny_weights(folder), hidden=(16,), progress="none", optimizer=optim.SGD()
    )
    learner.unfreeze()
    learner.fit_one_cycle([1e-3, 3e-3, 1e-2], 2)
    return told(learner, lambda learner: learner.predict(folder / "pictures" / "valid", workers=0)[:5], folder)


@run("vision/dogs and cats", suite=False)
def vision_dogs(folder: Path) -> Json:
    """200 photos with EfficientNet-Lite0: the head from activations, then all of it, from smaller pictures."""
    need("timm", "torchvision", "PIL")
    named_set("efficientnet-lite0")
    home = named_set("dogs-vs-cats")
    files = [
        {"path": str(file.relative_to(home)), "label": label, "part": part}
        for part, count in (("train", 70), ("valid", 30))
        for label in ("cats", "dogs")
        for file in sorted((home / part / label).iterdir())[:count]
    ]
    frame = pl.DataFrame(files)
    train, valid = (frame.filter(pl.col("part") == part).drop("part") for part in ("train", "valid"))
    data = ImageData.from_table(
        train, "path", "label", folder=home, valid=valid, size=160, batch_size=32, workers=0, cache=folder / "cache",
        engine=cpu(),
    )  # fmt: skip
    learner = ImageLearner(data, precompute=True, progress="none")
    learner.fit_one_cycle(0.01, 3)
    learner.unfreeze()
    learner.fit_one_cycle([1e-5, 1e-4, 1e-3], 1)
    paths = [home / path for path in valid["path"][::12]]
    return told(learner, lambda learner: learner.predict(paths, workers=0), folder)


# ---- the file, and comparing with it


def fingerprint() -> dict[str, str]:
    """What the bits may depend on: processor, its instructions that are used, and versions."""

    def installed(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "none"

    packages = (
        "torch",
        "numpy",
        "polars",
        "pyarrow",
        "safetensors",
        "tokenizers",
        "transformers",
        "timm",
        "torchvision",
    )
    return {
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: installed(name) for name in (*packages, "pillow", "scikit-learn")},
    }


def processor() -> str:
    """The processor's name and make."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    known = [facts[name] for name in ("model name", "cpu family", "model", "stepping") if name in facts]
    return " ".join(known) or platform.processor()


def measure(chosen: Sequence[Run]) -> tuple[dict[str, Json], dict[str, str]]:
    """The figures of all runs that can be made here, and why the others cannot."""
    torch.set_num_threads(1)
    found: dict[str, Json] = {}
    skipped: dict[str, str] = {}
    for each in chosen:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="headstart-reference-") as folder:
            try:
                torch.manual_seed(0)  # nothing should need it
                found[each.name] = each.function(Path(folder))
            except SkippedError as error:
                skipped[each.name] = str(error)
            except Exception as error:  # noqa: BLE001  # a run that breaks is one difference; the others go on
                traceback.print_exc()
                found[each.name] = {FAILED: repr(error)}
        said = f"skipped: {skipped[each.name]}" if each.name in skipped else ""
        said = found.get(each.name, {}).get(FAILED, said)
        print(f"{time.perf_counter() - started:6.2f} s  {each.name} {said}", file=sys.stderr, flush=True)
    return found, skipped


def differences(name: str, expected: Any, got: Any, *, exact: bool) -> Iterator[str]:
    """What differs between two runs' figures, a line each."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in dict.fromkeys([*expected, *got]):
            if key not in expected or key not in got:
                yield f"{name}: {key} {'is new' if key in got else 'is missing'}"
            elif exact or key not in ("weights", "words"):
                yield from differences(f"{name}: {key}", expected[key], got[key], exact=exact)
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield f"{name}: {len(expected)} before, now {len(got)}"
        largest = max((abs(hidden(text)) for text in expected if is_number(text)), default=0.0)
        for place, (old, new) in enumerate(zip(expected, got, strict=False)):
            if exact or not (is_number(old) and is_number(new)):
                yield from differences(f"{name}[{place}]", old, new, exact=exact)
            elif not math.isclose(hidden(old), hidden(new), abs_tol=TOLERANCES["prediction"] * largest):
                yield f"{name}[{place}]: {old} before, now {new}"
    elif not exact and is_number(expected) and is_number(got):
        if name.endswith("_loss") and not math.isclose(hidden(expected), hidden(got), rel_tol=TOLERANCES["loss"]):
            yield f"{name}: {expected} before, now {got}"
    elif expected != got:
        yield f"{name}: {expected} before, now {got}"


def is_number(text: Any) -> bool:
    """Whether `shown` wrote it."""
    if not isinstance(text, str) or len(text.split()) != 2:
        return False
    try:
        hidden(text)
    except ValueError:
        return False
    return True


def check(committed: Json, found: dict[str, Json], skipped: dict[str, str], names: Sequence[str]) -> int:
    """Prints which case applies and each difference, and gives their number."""
    own, theirs = fingerprint(), committed["fingerprint"]
    exact = own == theirs
    if exact:
        print("the machine and versions of the reference: figures must be equal to the bit")
    else:
        other = [f"{key} {theirs.get(key)!r}, here {own.get(key)!r}" for key in own if own.get(key) != theirs.get(key)]
        print(f"not the machine or versions of the reference ({'; '.join(other)}): tolerances apply ({TOLERANCES})")
    lines = []
    for name in names:
        if name in found and name not in committed["runs"]:
            lines.append(f"{name}: there is no reference; write it with --update")
        elif name in found:
            lines += differences(name, committed["runs"][name], found[name], exact=exact)
    for name, reason in skipped.items():
        print(f"skipped: {name} ({reason})")
    for line in lines:
        print(line)
    print(f"{len(found)} runs compared, {len(skipped)} skipped, {len(lines)} differences")
    return len(lines)


def write(file: Path, found: dict[str, Json], kept: dict[str, Json]) -> None:
    """Writes the figures, those of other runs that the file had besides."""
    runs = {name: found.get(name, kept.get(name)) for name in RUNS if name in found or name in kept}
    text = json.dumps({"fingerprint": fingerprint(), "runs": runs}, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Reference figures of all that headstart trains.")
    parser.add_argument("--out", type=Path, help="write the figures to this file")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="these runs; * stands for anything")
    parser.add_argument("--suite", action="store_true", help="the runs of the tests alone: quick, without other data")
    parser.add_argument("--check", action="store_true", help=f"compare with {FILE.name}; exit status 1 if any differ")
    parser.add_argument("--update", action="store_true", help=f"write {FILE.name} anew")
    parser.add_argument("--list", action="store_true", help="the runs' names")
    asked = parser.parse_args(arguments)
    chosen = [
        each
        for each in RUNS.values()
        if (not asked.suite or each.suite)
        and (not asked.only or any(fnmatch.fnmatchcase(each.name, name) for name in asked.only))
    ]
    if not chosen:
        parser.error(f"no run is named {' or '.join(asked.only)}; --list shows them")
    if asked.list:
        print(*(f"{each.name}{'' if each.suite else '  (not in the suite)'}" for each in chosen), sep="\n")
        return 0
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    found, skipped = measure(chosen)
    print(f"{time.perf_counter() - started:6.1f} s in all", file=sys.stderr)
    committed: Json = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"fingerprint": {}, "runs": {}}
    if asked.out is not None:
        write(asked.out, found, {})
    if asked.update:
        broken = [name for name, figures in found.items() if FAILED in figures]
        if broken:
            parser.error(f"nothing is written, since these runs broke: {', '.join(broken)}")
        same = committed["fingerprint"] == fingerprint()
        missing = [name for name in RUNS if name not in found and name in committed["runs"]]
        if missing and not same:
            parser.error(f"the file is of another machine, and these runs would be lost: {', '.join(missing)}")
        write(FILE, found, committed["runs"])
    if asked.check:
        return 1 if check(committed, found, skipped, [each.name for each in chosen]) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
