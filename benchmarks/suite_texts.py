"""The suite's texts: headstart's default, and TF-IDF with logistic regression, on the training rows of a split.

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

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch

import headstart
from benchmarks.suite_kind import Kind, Record, Setting, SuiteModel, SuiteSet, class_figures, cpu_of
from headstart import Engine, datasets
from headstart.core.errors import ConfigError
from headstart.text import TextData, TextLearner

__all__ = ["TEXTS"]


def rows_of(name: str, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the training and the test rows of a split, columns text and label."""
    if name in ("nyt", "tweets"):
        folder = os.environ.get("HEADSTART_DATA")
        if folder is None:
            raise ConfigError(f"{name} is read from the folder suite under HEADSTART_DATA: set it")
        table = pl.read_parquet(Path(folder) / "suite" / f"{name}.parquet").filter(pl.col("label") != "neu")
        tested = table[f"split{seed}"] == "test"
    elif name == "imdb":
        table = pl.read_parquet(datasets.get("imdb"))
        draw = np.random.RandomState(seed)
        train, test = (table.filter(pl.col("split") == part).select("text", "label") for part in ("train", "test"))
        return train[draw.permutation(len(train))[:1000]], test[draw.permutation(len(test))[:5000]]
    else:
        table = pl.read_parquet(datasets.get({"snippets": "movie-snippets", "clothing": "clothing-reviews"}[name]))
        table = table.filter(pl.col("label").is_not_null())
        order = np.random.RandomState(seed).permutation(len(table))
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


def run(
    name: str, seed: int, setting: Setting, *, probabilities: Callable[[pl.DataFrame, pl.DataFrame], torch.Tensor]
) -> Record:
    """Train on the training rows of a split, and predict its test rows."""
    del setting
    train, test = rows_of(name, seed)
    prediction, cpu = cpu_of(lambda: probabilities(train, test))
    classes = [str(label) for label in sorted(train["label"].unique())]
    return {"cpu": cpu, **class_figures(prediction.double().numpy(), classes, test["label"].to_list())}


TEXTS = Kind(
    title="Texts",
    sets={
        "nyt": SuiteSet(development=True),
        "snippets": SuiteSet(development=True),
        "tweets": SuiteSet(development=True),
        "clothing": SuiteSet(),
        "imdb": SuiteSet(development=True),
    },
    models={
        "headstart": SuiteModel(functools.partial(run, probabilities=by_headstart)),
        "tfidf": SuiteModel(functools.partial(run, probabilities=by_tfidf)),
    },
    figures=("accuracy", "auc", "log_loss", "balanced_accuracy", "calibration_error"),
    about="""
        tfidf: words, pairs of words, and pieces of words of two to five characters, TF-IDF, logistic regression,
        its C by five folds of the training rows. CPU seconds are those of training and of predicting the test rows.
        Early comparisons of features looked at test rows of nyt, tweets and snippets, and those of imdb showed, on
        one draw, that the first scale of word vectors lost to tfidf; other settings were chosen on validation rows
        inside the training rows of nyt, snippets, tweets and imdb.
        imdb: 1,000 labelled reviews, 5,000 to test.""",
)
