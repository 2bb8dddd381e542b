"""Make a small English language model to start from, out of IMDB's unlabelled reviews.

    python -m scripts.make_language_model --out DIR [--reviews 18000] [--backward] [--seed 0]

Cost, measured with the defaults on one thread of a processor: see docs/text.md. On a GPU take more:
``--embedding-size 400 --hidden 1152 --layers 3 --reviews 49500 --epochs 10 --sampled 0 --batch-size 64``.

The words' vectors start from counts (`headstart.text.cooccurrence`); then follows one cycle. Labels are not used. The
result is a folder for ``language_model=`` and ``headstart train text --language-model DIR``; the last 500 reviews
validate it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch

from headstart import Engine, datasets
from headstart.core.artefact import check_writable
from headstart.text import LanguageModelData, LanguageModelLearner
from headstart.text.models.awd_lstm import lstm_runs_in_bf16

VALIDATED = 500
"""Reviews, the last of all, that validate."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A small English language model from IMDB's unlabelled reviews.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--reviews", type=int, default=18_000, help="how many of the 50,000, at most 49,500")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--embedding-size", type=int, default=160)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--max-vocab", type=int, default=20_000)
    parser.add_argument("--sampled", type=int, default=500, help="words drawn for the softmax; 0: all")
    parser.add_argument("--dropout", type=float, default=0.1, help="factor on AWD-LSTM's dropouts")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--backward", action="store_true", help="read each review from its end")
    parser.add_argument("--device", default="auto")
    fastest = "bf16" if lstm_runs_in_bf16() else "fp32"
    parser.add_argument("--precision", default=fastest, choices=["fp32", "bf16", "fp16"], help="bf16 where possible")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, help="folder to go on from after an interruption")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    check_writable(options.out, "learner")
    started, cpu = time.perf_counter(), time.process_time()
    reviews = pl.read_parquet(datasets.get("imdb")).filter(pl.col("split") == "unsup").select("text")
    data = LanguageModelData.from_table(
        reviews.head(options.reviews), "text", valid=reviews.tail(VALIDATED), max_vocab=options.max_vocab,
        batch_size=options.batch_size, backward=options.backward, seed=options.seed,
        engine=Engine(options.device),
    )  # fmt: skip
    print(*data.notes, sep="\n", flush=True)
    learner = LanguageModelLearner(
        data, embedding_size=options.embedding_size, hidden=options.hidden, layers=options.layers,
        dropout=options.dropout, sampled=options.sampled, precision=options.precision, seed=options.seed,
        progress="lines",
    )  # fmt: skip
    learner.fit_one_cycle(
        options.lr, options.epochs, warm_up=0.1, checkpoint=options.checkpoint, resume=options.checkpoint is not None
    )
    learner.save(options.out)
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    print(f"saved to {options.out} after {seconds:.0f} s ({used:.0f} s of the processor)")


if __name__ == "__main__":
    main()
