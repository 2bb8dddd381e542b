"""The suite's texts: `benchmarks.text_default`'s sets and sides, with its protocol."""

from __future__ import annotations

import functools

from benchmarks.suite_kind import Kind, Record, Setting, SuiteModel, SuiteSet, class_figures, cpu_of
from benchmarks.text_default import SIDES, parts

__all__ = ["TEXTS"]


def run(name: str, seed: int, setting: Setting, *, side: str) -> Record:
    """Train a side on the training rows of a split, and predict its test rows."""
    del setting
    train, test = parts(name, seed)
    prediction, cpu = cpu_of(lambda: SIDES[side](train, test))
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
        "headstart": SuiteModel(functools.partial(run, side="headstart")),
        "tfidf": SuiteModel(functools.partial(run, side="tfidf")),
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
