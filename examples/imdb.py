"""The lesson on IMDB: a language model reads 100,000 reviews, and becomes a classifier of 25,000.

    python examples/imdb.py --out FOLDER [--fast] [--backward]
    python examples/imdb.py --out FOLDER --only ensemble

Stages, each of which is skipped when its result is in the folder already, and goes on where it stopped:

language-model   on all reviews but a tenth of the unlabelled, which validate, for 15 epochs of SGDR: cycles of 1, 2, 4
                 and 8
classifier       on the 25,000 training reviews, validated on the 25,000 test reviews, by gradual unfreezing
ensemble         forward and backward together, once both were trained

Full size needs a GPU. ``--minutes M`` ends a run after the epoch that passes M minutes; run it again to go on: all
state is in the folder's checkpoints. ``--fast`` takes some dozens of reviews and tiny models, in seconds, to see that
everything works.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from headstart import Engine, LanguageModelData, LanguageModelLearner, TextData, TextLearner, datasets, load
from headstart.text import TextEnsemble
from headstart.training.callbacks import Deadline


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The lesson on IMDB.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fast", action="store_true", help="some dozens of reviews, tiny models")
    parser.add_argument("--backward", action="store_true", help="read each review from its end")
    parser.add_argument("--only", choices=["language-model", "classifier", "ensemble"])
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after the epoch that passes this time")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    deadline = Deadline(options.minutes)
    reviews = pl.read_parquet(datasets.get("imdb"))
    if options.fast:
        reviews = pl.concat(
            [reviews.filter(pl.col("split") == split).sample(25, seed=1) for split in ("train", "test", "unsup")]
        )
    where = options.out / ("backward" if options.backward else "forward")
    engine = Engine(options.device)
    if options.only in (None, "language-model") and not (where / "language-model").exists():
        train_language_model(reviews, where, engine, deadline, options)
    if options.only in (None, "classifier") and not deadline.reached and not (where / "classifier").exists():
        train_classifier(reviews, where, engine, deadline, options)
    if options.only == "ensemble":
        both = TextEnsemble([load(options.out / direction / "classifier") for direction in ("forward", "backward")])
        print("ensemble", both.evaluate(reviews.filter(pl.col("split") == "test")))
        both.save(options.out / "ensemble")


def train_language_model(
    reviews: pl.DataFrame, where: Path, engine: Engine, deadline: Deadline, options: argparse.Namespace
) -> None:
    valid = reviews.filter(pl.col("split") == "unsup").gather_every(10)
    data = LanguageModelData.from_table(
        reviews.join(valid.select("text"), on="text", how="anti"), "text", valid=valid, min_freq=10,
        backward=options.backward, batch_size=8 if options.fast else 128, bptt=20 if options.fast else 72,
        engine=engine,
    )  # fmt: skip
    print(*data.notes, sep="\n", flush=True)
    sizes = (
        {"embedding_size": 16, "hidden": 24, "layers": 2}
        if options.fast
        else {"embedding_size": 400, "hidden": 1152, "layers": 3}
    )
    learner = LanguageModelLearner(data, dropout=0.3, sampled=0, precision=options.precision, progress="lines", **sizes)
    learner.fit(
        3e-3, 1 if options.fast else 4, cycle_len=1, cycle_mult=2, callbacks=[deadline],
        checkpoint=where / "language-model-checkpoint", resume=True,
    )  # fmt: skip
    if deadline.reached:
        print(f"stopped after epoch {len(learner.history)}; run the same again to go on")
        return
    seconds = sum(epoch["seconds"] for epoch in learner.history)
    print(f"{data.train.rows * len(learner.history) / seconds:,.0f} tokens/s, validation included")
    print("the best of it:", learner.generate("the best", 30, temperature=0.7, seed=0))
    learner.save(where / "language-model")


def train_classifier(
    reviews: pl.DataFrame, where: Path, engine: Engine, deadline: Deadline, options: argparse.Namespace
) -> None:
    data = TextData.from_table(
        reviews.filter(pl.col("split") == "train"), "text", "label", valid=reviews.filter(pl.col("split") == "test"),
        language_model=where / "language-model", batch_size=16 if options.fast else 64, engine=engine,
    )  # fmt: skip
    learner = TextLearner(data, dropout=0.5, precision=options.precision, progress="lines")
    learner.fine_tune(
        2e-2, 1 if options.fast else 4, callbacks=[deadline], checkpoint=where / "classifier-checkpoint", resume=True
    )
    if deadline.reached:
        print(f"stopped after epoch {len(learner.history)}; run the same again to go on")
        return
    print(learner.history)
    learner.save(where / "classifier")


if __name__ == "__main__":
    main()
