"""Text by default against TF-IDF and logistic regression: one JSON line a run.

    python -m benchmarks.text_default [--sets nyt,tweets,snippets,clothing,imdb] [--splits 0,1,2]
        [--sides headstart,tfidf]

Both sides see the training rows of a split alone, and are judged on its test rows:

headstart   ``TextData.from_table(train)`` and ``TextLearner(data).fit_plan()``: all defaults, so that a tenth of the
            training rows validates
tfidf       words and pairs of words, and pieces of words of 2 to 5 characters (scikit-learn's ``char_wb``), TF-IDF,
            logistic regression on all training rows; ``C`` by the log loss of five folds

nyt, tweets   tables ``nyt.parquet`` and ``tweets.parquet`` in the folder ``suite`` under HEADSTART_DATA, columns text,
              label (``neu`` is left out) and split0, split1, split2 (train, test)
snippets      movie-snippets without score 0; split s: the first fifth of numpy's RandomState(s).permutation is tested
clothing      clothing-reviews without rating 3; positive is above 3; likewise
imdb          1,000 labelled reviews of the training part, drawn by RandomState(s); tested on 5,000 of the test part

Which rows were in view when settings were chosen: early comparisons of features (kinds of n-grams, word vectors) looked
at test rows of nyt, tweets and snippets. The network's settings, and the scale and the penalty of word vectors, were
chosen on validation rows inside the training rows of split 0: of nyt and snippets; for word vectors also of tweets, and
reviews of imdb's training part. Test rows of clothing chose nothing; those of imdb showed, on one draw, that the first
scale of word vectors lost to TF-IDF.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

import headstart
from headstart import Engine, datasets
from headstart.core.errors import ConfigError
from headstart.targets.metrics import accuracy, auc, balanced_accuracy, log_loss
from headstart.text import TextData, TextLearner

METRICS = (accuracy, balanced_accuracy, auc, log_loss)


def parts(name: str, split: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the training and the test rows of a split, columns text and label."""
    if name in ("nyt", "tweets"):
        folder = os.environ.get("HEADSTART_DATA")
        if folder is None:
            raise ConfigError(f"{name} is read from the folder suite under HEADSTART_DATA: set it")
        table = pl.read_parquet(Path(folder) / "suite" / f"{name}.parquet").filter(pl.col("label") != "neu")
        tested = table[f"split{split}"] == "test"
    elif name == "imdb":
        table = pl.read_parquet(datasets.get("imdb"))
        draw = np.random.RandomState(split)
        train, test = (table.filter(pl.col("split") == part).select("text", "label") for part in ("train", "test"))
        return train[draw.permutation(len(train))[:1000]], test[draw.permutation(len(test))[:5000]]
    else:
        table = pl.read_parquet(datasets.get({"snippets": "movie-snippets", "clothing": "clothing-reviews"}[name]))
        table = table.filter(pl.col("label").is_not_null())
        order = np.random.RandomState(split).permutation(len(table))
        tested = pl.Series(np.isin(np.arange(len(table)), order[: round(0.2 * len(table))]))
    return table.filter(~tested).select("text", "label"), table.filter(tested).select("text", "label")


def by_headstart(train: pl.DataFrame, test: pl.DataFrame) -> torch.Tensor:
    """Return probabilities of the classes, sorted, by headstart's defaults, saved and loaded."""
    learner = TextLearner(TextData.from_table(train, "text", "label", engine=Engine("cpu")), progress="none")
    learner.fit_plan()
    with tempfile.TemporaryDirectory() as folder:
        learner.save(Path(folder) / "model")
        again: TextLearner = headstart.load(Path(folder) / "model", device="cpu")
        return again.probabilities(test)


def by_tfidf(train: pl.DataFrame, test: pl.DataFrame) -> torch.Tensor:
    """Return probabilities of the classes, sorted, by TF-IDF with pieces of words and logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline, make_union

    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True),
        ),
        LogisticRegressionCV(
            Cs=[1, 4, 16], cv=5, scoring="neg_log_loss", max_iter=1000, l1_ratios=(0,), use_legacy_attributes=False
        ),
    )
    model.fit(train["text"].to_list(), train["label"].to_list())
    return torch.from_numpy(model.predict_proba(test["text"].to_list())).float()


SIDES: dict[str, Callable[[pl.DataFrame, pl.DataFrame], torch.Tensor]] = {
    "headstart": by_headstart,
    "tfidf": by_tfidf,
}


def measure(name: str, split: int, side: str) -> dict[str, Any]:
    """Return the figures of one side on one split."""
    train, test = parts(name, split)
    started = time.process_time()
    prediction = SIDES[side](train, test)
    seconds = time.process_time() - started
    true = torch.tensor([sorted(train["label"].unique()).index(label) for label in test["label"]])
    figures = {metric.name: round(metric(prediction, true), 4) for metric in METRICS}
    return {"set": name, "split": split, "side": side, **figures, "cpu_seconds": round(seconds, 1)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one JSON line for each set, split and side."""
    parser = argparse.ArgumentParser(description="Text by default, against TF-IDF and logistic regression.")
    parser.add_argument("--sets", default="nyt,tweets,snippets,clothing,imdb")
    parser.add_argument("--splits", default="0,1,2")
    parser.add_argument("--sides", default="headstart,tfidf")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for name in chosen.sets.split(","):
        for split in map(int, chosen.splits.split(",")):
            for side in chosen.sides.split(","):
                print(json.dumps(measure(name, split, side)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
