"""What each of two processes does; also run in one, whose results the test compares. Started by test_two_processes.py."""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import torch
from safetensors.torch import save_file
from torch import Tensor

import toys
from headstart import Callback, Engine, HeadstartWarning, TabularData, TabularLearner, TextData
from headstart.frames.splits import train_on_all
from headstart.text.linear import fit_linear
from headstart.training.learner import Learner
from headstart.training.loaders import tensor_data
from headstart.training.optim import SGD
from headstart.training.progress import Progress

SCHEDULE = {"cycle_len": 1, "cycle_mult": 2}


class Crash(Callback):
    """Ends a fit in its second epoch, as a crash would."""

    def on_epoch_end(self, progress: Progress) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt


def trained(make: object, engine: Engine) -> Learner:
    learner = make(engine)
    learner.training = replace(learner.training, optimizer=SGD())
    learner.fit(0.05, 2, **SCHEDULE)
    return learner


def linear_learner(engine: Engine) -> Learner:
    """37 rows in batches of 8, two to a step: the last step has one ragged batch of 5."""
    inputs = torch.randn(37, 4, generator=torch.Generator().manual_seed(2))
    data = tensor_data((inputs, inputs.sum(1, keepdim=True)), (inputs, inputs[:, :1]), batch_size=8, engine=engine)
    model = toys.seeded(lambda: torch.nn.Linear(4, 1))
    return Learner(model, data, loss=toys.square_loss, metrics=["rmse"], accumulate=2, progress="none")


def resumed(engine: Engine, out: Path) -> Learner:
    first = toys.stream_learner(engine)
    try:
        first.fit(0.05, 2, **SCHEDULE, checkpoint=out / "checkpoint", callbacks=[Crash()])
    except KeyboardInterrupt:
        engine.wait()
    second = toys.stream_learner(engine)
    Crash.on_epoch_end = Callback.on_epoch_end
    second.fit(0.05, 2, **SCHEDULE, checkpoint=out / "checkpoint", callbacks=[Crash()], resume=True)
    return second


WITHOUT_DROPOUT = ("stream", "tagging", "pairs", "photos", "ratings", "implicit ratings")
"""And without batch norm: those of the toys that give the same on one process and on two."""


def table_learner(engine: Engine, out: Path) -> TabularLearner:
    """Each process sees a table with other rows first; the codec must be the main one's."""
    names = ["a", "b", "c", "d"] if engine.is_main else ["b", "c", "d", "e"]
    table = pl.DataFrame({"x": names * 10, "y": [float(number) for number in range(40)]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeadstartWarning)
        data = TabularData.from_table(table, "y", batch_size=8, engine=engine)
        learner = TabularLearner(data, batch_norm=True, progress="none")
    assert learner.codec.categorical[0].vocab.values == ("a", "b", "c", "d")
    learner.fit_one_cycle(0.01, 2)
    learner.save(out / "table")
    return learner


def linear_path_of_texts(engine: Engine) -> Tensor:
    """Return its outputs for the training texts; the main process alone solves it, for all."""
    words = ["good", "bad", "dull", "fine", "film", "plot", "end"]
    texts = [f"{words[n % 7]} {words[n * n % 5]} {words[n % 4]}" for n in range(60)]
    labels = ["up" if ("good" in text) != ("dull" in text) else "down" for text in texts]
    solved: list[int] = []

    def counted(*arguments: Any) -> Any:
        solved.append(engine.rank)
        return fit_linear(*arguments)

    with mock.patch("headstart.text.data.fit_linear", counted):
        data = TextData.from_texts(texts, labels, split=train_on_all, word_vectors="none", min_freq=1, engine=engine)
    assert solved == ([0] if engine.is_main else []) and data.codec.linear is not None and data.train.linear is not None
    assert len(set(engine.from_all(data.codec.linear.digest))) == 1
    outputs = engine.gather(data.train.linear[None])
    assert all(torch.equal(each, outputs[0]) for each in outputs)
    return outputs[0]


def main(out: Path) -> None:
    engine = Engine("cpu")
    results: dict[str, Tensor] = {}

    def note(name: str, learner: Learner) -> None:
        results.update({f"{name}/{key}": value.clone() for key, value in learner.model.state_dict().items()})
        losses = [[row["train_loss"], row.get("valid_loss", 0.0), row.get("rmse", 0.0)] for row in learner.history]
        results[f"{name}/history"] = torch.tensor(losses)

    for name in WITHOUT_DROPOUT:
        note(name, trained(toys.LEARNERS[name], engine))
    note("linear", trained(linear_learner, engine))
    note("whole", toys_whole := toys.stream_learner(engine))
    toys_whole.fit(0.05, 2, **SCHEDULE)
    results.update({f"whole/{key}": value.clone() for key, value in toys_whole.model.state_dict().items()})
    note("resumed", resumed(engine, out))
    results["order"] = trained(toys.tagging_learner, engine).predict_with_targets()[0]
    results["few"] = engine.gather(torch.arange(engine.rank, engine.rank + 1))
    results["rate"] = torch.tensor(linear_learner(engine).find_lr(steps=20).losses)
    results["texts"] = linear_path_of_texts(engine)
    learner = table_learner(engine, out)
    if engine.world_size > 1:
        # The processes' batch norms saw other rows; they agree at the end of an epoch.
        norms = [layer for layer in learner.model.modules() if isinstance(layer, torch.nn.BatchNorm1d)]
        assert len(norms) >= len(learner.design.hidden)
        for norm in norms:
            gathered = engine.gather(norm.running_mean[None])
            assert torch.equal(gathered[0], gathered[1])
    if engine.is_main:
        save_file(results, out / "results.safetensors")
    engine.wait()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
    # What is tested is done and on disk. At exit torch now and then tears gloo's threads down under themselves, which
    # ends the process with an abort; the engine leaves its group before, but that is not what is tested here.
    sys.stdout.flush()
    os._exit(0)
