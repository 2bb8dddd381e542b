"""How many planted wrong labels `data.check()` finds: one JSON line per data set and seed.

    python -m benchmarks.wrong_labels [--only adult clothing-reviews dogs-vs-cats ml-100k] [--seeds 3]

2 % of the labels, drawn at random, are replaced by another class, drawn at random; of ratings by another rating. What
is measured is the share of them among the 4 % of the rows that the report lists first. ``accuracy`` is that of the
models of the other rows, by which the rows are ranked: where it is far from 1, true labels are as surprising as planted
ones, and no ranking can be better than the classes' own overlap allows. Nothing was chosen on these sets but the
features of tables (a first version with pairs of columns was dropped, since it found no more in adult).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from headstart import Engine, datasets
from headstart.frames.splits import train_on_all
from headstart.training.loaders import Data

PLANTED, LISTED = 0.02, 0.04


def planted(labels: pl.Series, seed: int) -> tuple[pl.Series, np.ndarray[Any, np.dtype[np.int64]]]:
    """Return labels of which some are wrong, and the numbers of these rows."""
    random = np.random.default_rng(seed)
    classes, values = labels.unique().sort().to_list(), labels.to_list()
    rows = random.choice(len(values), round(PLANTED * len(values)), replace=False)
    for row in rows:
        others = [value for value in classes if value != values[row]]
        values[row] = others[random.integers(len(others))]
    return pl.Series(labels.name, values, labels.dtype), rows


def adult(seed: int) -> tuple[Data, np.ndarray[Any, np.dtype[np.int64]]]:
    from headstart import TabularData

    table = pl.read_parquet(datasets.get("adult"))
    labels, rows = planted(table["income"], seed)
    return TabularData.from_table(table.with_columns(labels), "income", split=train_on_all, engine=Engine("cpu")), rows


def clothing_reviews(seed: int) -> tuple[Data, np.ndarray[Any, np.dtype[np.int64]]]:
    from headstart import TextData

    table = pl.read_parquet(datasets.get("clothing-reviews"))
    table = table.filter(pl.col("rating") != 3).with_columns(label=pl.when(pl.col("rating") > 3).then(1).otherwise(0))
    labels, rows = planted(table["label"], seed)
    table = table.with_columns(labels)
    return TextData.from_table(table, "text", "label", split=train_on_all, engine=Engine("cpu")), rows


def dogs_vs_cats(seed: int) -> tuple[Data, np.ndarray[Any, np.dtype[np.int64]]]:
    from headstart import ImageData

    folder = Path(datasets.get("dogs-vs-cats"))
    files = sorted((folder / "train").rglob("*.jpg"))
    table = pl.DataFrame({"path": [str(file) for file in files], "label": [file.parent.name for file in files]})
    labels, rows = planted(table["label"], seed)
    table = table.with_columns(labels)
    return ImageData.from_table(table, split=train_on_all, workers=0, engine=Engine("cpu")), rows


def ml_100k(seed: int) -> tuple[Data, np.ndarray[Any, np.dtype[np.int64]]]:
    from headstart import RatingsData

    table = pl.read_parquet(datasets.get("ml-100k"))
    labels, rows = planted(table["rating"], seed)
    table = table.with_columns(labels)
    return RatingsData.from_table(table, "user", "item", "rating", split=train_on_all, engine=Engine("cpu")), rows


SETS = {"adult": adult, "clothing-reviews": clothing_reviews, "dogs-vs-cats": dogs_vs_cats, "ml-100k": ml_100k}


def measured(names: list[str], seeds: int) -> Iterator[dict[str, Any]]:
    """Yield the share of planted labels that are found."""
    from headstart.checks.labels import suspicious_rows

    for name in names:
        for seed in range(seeds):
            data, wrong = SETS[name](seed)
            looked = data.looked()
            frame, target = looked.rows.train, looked.target
            assert target is not None
            started = time.process_time()
            features = looked.features(frame)
            assert features is not None
            encoded = target.encode(frame)
            suspicion = suspicious_rows(features, target, encoded, seed=seed)
            found = {f"found_in_{share:.0%}": float(np.isin(wrong, suspicion.ranked(round(share * len(frame)))).mean())
                     for share in (0.02, LISTED, 0.08)}  # fmt: skip
            seconds = time.process_time() - started
            first = suspicion.prediction["prediction"] if target.classes else None
            agree = None if first is None else float(np.mean((first == frame[target.columns[0]]).to_numpy()))
            yield {"set": name, "seed": seed, "rows": len(frame), **found, "accuracy": agree,
                   "doubtful": suspicion.doubtful, "cpu_seconds": round(seconds, 1)}  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for line in measured(options.only, options.seeds):
        print(json.dumps(line), flush=True)
