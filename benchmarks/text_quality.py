"""Quality on text: movie-snippets from a starting language model and from scratch, and clothing-reviews.

    python -m scripts.make_language_model --out START                # some ten minutes of one thread, once
    python -m benchmarks.text_quality --start START [--backward-start START] [--only snippets|clothing] [--splits 5]

The networks alone, without the linear path (`benchmarks.suite` measures the default). Protocols, one thread, bf16
where the processor has it, the same settings for every split:

snippets   movie-snippets without the sentences of score 0. Split s: numpy's RandomState(s).permutation, the first 20 %
           are tested, nothing of them is seen before. The language model starts from the one given, which has read
           unlabelled IMDB reviews, and is fine-tuned on the split's training texts; its encoder becomes the classifier.
           ``scratch`` is the same classifier on the same split with fresh weights and its own vocabulary. With
           --backward-start a second, backward chain is averaged in.
clothing   clothing-reviews without those of rating 3, the text alone; positive is above 3. Splits likewise. A chain is
           a language model on the training texts and on those of rating 3, which have no label, with their own
           vocabulary; and classifiers from it with class_weight="balanced". Chains forward and backward are averaged.
           Fresh weights unless --start and --backward-start are given; measured with fresh ones. Five epochs of the
           classifier instead of three were taken after split 0 had been seen: docs/text.md.

``--inner`` judges settings without the judged rows: the first 20 % of a permutation of the split's training rows are
tested instead, and the others train.

The seconds of each split are its own CPU time; the starting model's cost is to be added to each.
TF-IDF with logistic regression on such splits: ``python -m benchmarks.suite --kind text --model tfidf``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import torch
from torch import Tensor

from headstart import Engine, datasets
from headstart.core.engine import Precision
from headstart.frames.splits import by_indices
from headstart.targets.metrics import accuracy, auc, balanced_accuracy
from headstart.text import Dropouts, LanguageModelData, LanguageModelLearner, TextData, TextLearner
from headstart.text.models.awd_lstm import lstm_runs_in_bf16
from headstart.text.pretrained import read_codec

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

GOALS = {"snippets": {"accuracy": 0.80}, "clothing": {"auc": 0.972, "balanced_accuracy": 0.88}}


PRECISION: Precision = "bf16" if lstm_runs_in_bf16() else "fp32"


def labelled(name: str, seed: int, *, inner: bool) -> tuple[pl.DataFrame, Rows]:
    """Return a set's labelled rows, and which of them are tested; ``inner``: of the training rows alone."""
    table = pl.read_parquet(datasets.get(name)).filter(pl.col("label").is_not_null())
    judged = split_of(len(table), seed)
    if not inner:
        return table, judged
    train = table[np.setdiff1d(np.arange(len(table)), judged)]
    return train, split_of(len(train), 100 + seed)


def split_of(rows: int, seed: int) -> Rows:
    return np.random.RandomState(seed).permutation(rows)[: round(0.2 * rows)]


def texts_but(table: pl.DataFrame, judged: Rows) -> list[str]:
    return table["text"].gather(np.setdiff1d(np.arange(len(table)), judged)).to_list()


def tuned_language_model(
    texts: list[str], start: Path | None, out: Path, seed: int, settings: dict[str, Any], *, backward: bool = False
) -> None:
    """Train a language model on texts, from a start or from scratch, and save it."""
    codec = None if start is None else read_codec(start)
    data = LanguageModelData.from_pieces(
        [texts], None, vocabulary=None if codec is None or settings["own_words"] else codec.vocabulary, min_freq=2,
        backward=backward if codec is None else codec.backward, batch_size=settings["lm_batch"],
        bptt=settings["lm_bptt"], seed=seed, engine=Engine("cpu"),
    )  # fmt: skip
    sizes: dict[str, Any] = settings["sizes"] if start is None else {}
    learner = LanguageModelLearner(
        data, language_model=start, dropout=settings["lm_dropout"], sampled=1000, precision=PRECISION, seed=seed,
        progress="none", **sizes,
    )  # fmt: skip
    learner.fit_one_cycle(settings["lm_lr"], settings["lm_epochs"])
    learner.save(out)


def answers(learner: TextLearner) -> tuple[Tensor, Tensor]:
    prediction, target = learner.predict_with_targets()
    return prediction.cpu(), target.cpu()


def classifier(
    table: pl.DataFrame, judged: Rows, language_model: Path | None, seed: int, settings: dict[str, Any]
) -> TextLearner:
    data = TextData.from_table(
        table, "text", "label", split=by_indices(judged), language_model=language_model, min_freq=2,
        class_weight=settings["class_weight"], linear=False, batch_size=settings["batch"], seed=seed,
        engine=Engine("cpu"),
    )  # fmt: skip
    sizes: dict[str, Any] = settings["sizes"] if language_model is None else {}
    learner = TextLearner(
        data, dropouts=Dropouts(*settings["dropouts"]), dropout=settings["dropout"], precision=PRECISION, seed=seed,
        progress="none", **sizes,
    )  # fmt: skip
    if language_model is None:
        learner.fit_one_cycle(settings["scratch_lr"], settings["scratch_epochs"])
    else:
        learner.fine_tune(settings["lr"], settings["epochs"], frozen_epochs=settings["frozen_epochs"])
    return learner


SNIPPETS: dict[str, Any] = {
    "lm_batch": 32, "lm_bptt": 40, "lm_dropout": 0.4, "lm_lr": 5e-3, "lm_epochs": 2,
    "batch": 32, "dropouts": (0.05, 0.4, 0.5, 0.3, 0.4), "dropout": 0.6, "lr": 5e-3, "epochs": 3, "frozen_epochs": 0,
    "scratch_lr": 1e-2, "scratch_epochs": 3, "class_weight": None, "own_words": False,
    "sizes": {"embedding_size": 160, "hidden": 256, "layers": 2},
}  # fmt: skip
CLOTHING: dict[str, Any] = {
    **SNIPPETS, "sizes": {"embedding_size": 64, "hidden": 96, "layers": 2}, "own_words": True,
    "lm_batch": 64, "lm_bptt": 72, "lm_dropout": 0.3, "lm_lr": 1e-2, "lm_epochs": 3,
    "lr": 1e-2, "epochs": 5, "class_weight": "balanced", "members": 1,
}  # fmt: skip


def measure_snippets(
    starts: Sequence[Path], splits: Sequence[int], settings: dict[str, Any], *, scratch: bool, inner: bool
) -> list[dict[str, float]]:
    found = []
    for seed in splits:
        table, judged = labelled("movie-snippets", seed, inner=inner)
        figures: dict[str, float] = {"split": seed}
        predictions: list[Tensor] = []
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            for number, start in enumerate(starts):
                tuned = Path(folder) / str(number)
                tuned_language_model(texts_but(table, judged), start, tuned, seed, settings)
                prediction, target = answers(classifier(table, judged, tuned, seed, settings))
                predictions.append(prediction)
                figures[f"accuracy_{number}"] = accuracy(prediction, target)
        mean = torch.stack(predictions).mean(0)
        figures |= {"accuracy": accuracy(mean, target), "auc": auc(mean, target)}
        figures["seconds"] = time.process_time() - started
        if scratch:
            started = time.process_time()
            prediction, target = answers(classifier(table, judged, None, seed, settings))
            figures |= {"scratch": accuracy(prediction, target), "scratch_seconds": time.process_time() - started}
        print("snippets", json.dumps({name: round(value, 4) for name, value in figures.items()}), flush=True)
        found.append(figures)
    return found


def measure_clothing(
    starts: Sequence[Path | None], splits: Sequence[int], settings: dict[str, Any], *, inner: bool
) -> list[dict[str, float]]:
    whole = pl.read_parquet(datasets.get("clothing-reviews"))
    unlabelled = whole.filter(pl.col("label").is_null() & pl.col("text").is_not_null())["text"].to_list()
    found = []
    for seed in splits:
        table, judged = labelled("clothing-reviews", seed, inner=inner)
        texts = texts_but(table, judged) + unlabelled
        figures: dict[str, float] = {"split": seed}
        predictions: list[Tensor] = []
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            for start, direction in zip(starts, ("forward", "backward"), strict=True):
                tuned = Path(folder) / direction
                tuned_language_model(texts, start, tuned, seed, settings, backward=direction == "backward")
                for member in range(settings["members"]):
                    prediction, target = answers(classifier(table, judged, tuned, seed + 1000 * member, settings))
                    predictions.append(prediction)
                    figures[f"auc_{direction}_{member}"] = auc(prediction, target)
        mean = torch.stack(predictions).mean(0)
        figures |= {"auc": auc(mean, target), "balanced_accuracy": balanced_accuracy(mean, target)}
        figures |= {"accuracy": accuracy(mean, target), "seconds": time.process_time() - started}
        print("clothing", json.dumps({name: round(value, 4) for name, value in figures.items()}), flush=True)
        found.append(figures)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of each split and their means; return 1 if a goal is missed, else 0."""
    parser = argparse.ArgumentParser(description="Quality on text.")
    parser.add_argument("--start", type=Path, help="folder of the starting language model")
    parser.add_argument("--backward-start", type=Path, help="the same, backward")
    parser.add_argument("--only", choices=list(GOALS))
    parser.add_argument("--splits", type=int, help="how many; 5 for snippets, 3 for clothing")
    parser.add_argument("--first", type=int, default=0, help="number of the first split")
    parser.add_argument("--inner", action="store_true", help="judge on a part of the training rows, to choose settings")
    parser.add_argument("--no-scratch", action="store_true", help="leave the classifier from scratch out")
    parser.add_argument("--set", default="{}", help="other settings, as JSON, to try")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    missed = []
    for name in [asked.only] if asked.only else GOALS:
        if name == "snippets":
            if asked.start is None:
                parser.error("snippets need --start: python -m scripts.make_language_model --out START")
            starts = [start for start in (asked.start, asked.backward_start) if start is not None]
            settings = SNIPPETS | json.loads(asked.set)
            splits = range(asked.first, asked.first + (asked.splits or 5))
            found = measure_snippets(starts, splits, settings, scratch=not asked.no_scratch, inner=asked.inner)
        else:
            splits = range(asked.first, asked.first + (asked.splits or 3))
            both = (asked.start, asked.backward_start)
            found = measure_clothing(both, splits, CLOTHING | json.loads(asked.set), inner=asked.inner)
        for figure in found[0]:
            values = [figures[figure] for figures in found]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            if figure != "split":
                print(f"{name} {figure}: {statistics.fmean(values):.4f} +- {spread:.4f}")
        for figure, goal in GOALS[name].items():
            if statistics.fmean(figures[figure] for figures in found) < goal:
                missed.append(f"{name} {figure} (goal {goal})")
    print("missed: " + (", ".join(missed) or "nothing"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
