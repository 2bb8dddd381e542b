"""The lesson on arXiv: a language model of papers on computer science, which writes by category, and titles.

    python examples/arxiv.py --out FOLDER [--fast] [--minutes M]

Each paper is read as ``<cat> cs lg <summ> its abstract <title> its title``. Full size (45,000 papers, 400/1152/3) needs
a GPU: a run ends after the epoch that passes ``--minutes``, and the same command goes on from the folder's checkpoint.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from headstart import Engine, LanguageModelData, LanguageModelLearner, datasets
from headstart.training.callbacks import Deadline

PROMPTS = [
    "<cat> cs ni <summ> algorithms that",
    "<cat> cs cv <summ> algorithms that",
    "<cat> cs cv <summ> algorithms. <title> on",
    "<cat> cs ni <summ> algorithms. <title> towards",
]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The lesson on arXiv.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fast", action="store_true", help="a few hundred papers, a tiny model")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after the epoch that passes this time")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    deadline = Deadline(options.minutes)
    papers = pl.read_parquet(datasets.get("arxiv-cs"))
    papers = papers.with_columns(pl.col("primary").str.replace(".", " ", literal=True).alias("category"))
    data = LanguageModelData.from_table(
        papers.head(300) if options.fast else papers, {"category": "cat", "abstract": "summ", "title": "title"},
        min_freq=3 if options.fast else 5, batch_size=8 if options.fast else 64, bptt=30 if options.fast else 72,
        engine=Engine(options.device),
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
        checkpoint=options.out / "checkpoint", resume=True,
    )  # fmt: skip
    for prompt in PROMPTS:
        print(f"{prompt} ... {learner.generate(prompt, 40, temperature=0.7, seed=0)}")
    if deadline.reached:
        print(f"stopped after epoch {len(learner.history)}; run the same again to go on")
    else:
        learner.save(options.out / "language-model")


if __name__ == "__main__":
    main()
