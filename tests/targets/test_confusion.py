"""Confusion matrices and counts of labels: against scikit-learn, and on the cases that have one right answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as peer

from headstart import ConfigError, DataError
from headstart.targets.confusion import confusion_matrix, label_counts, most_confused
from headstart.training.plots import plot_confusion

CLASSES = ("cat", "dog", "fox")


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_the_matrix_is_scikit_learn_s(pairs: list[tuple[int, int]]) -> None:
    true, guessed = (torch.tensor(places) for places in zip(*pairs, strict=True))
    found = confusion_matrix(guessed, true, CLASSES)
    assert found.columns == ["class", "predicted_cat", "predicted_dog", "predicted_fox"]
    assert found["class"].to_list() == list(CLASSES)
    expected = peer.confusion_matrix(true, guessed, labels=[0, 1, 2])
    np.testing.assert_array_equal(found.drop("class").to_numpy(), expected)
    probabilities = torch.nn.functional.one_hot(guessed, 3) * 0.5 + 0.1
    assert confusion_matrix(probabilities, true, CLASSES).equals(found)
    pairs_found = most_confused(found)
    assert pairs_found["rows"].sum() == len(pairs) - np.trace(expected)
    assert pairs_found["rows"].to_list() == sorted(pairs_found["rows"], reverse=True)


def test_most_confused_names_the_pairs() -> None:
    matrix = confusion_matrix(torch.tensor([1, 1, 1, 2, 0]), torch.tensor([0, 0, 1, 1, 0]), CLASSES)
    assert most_confused(matrix).rows() == [("cat", "dog", 2, 2 / 3), ("dog", "fox", 1, 0.5)]
    assert most_confused(matrix, least=2)["class"].to_list() == ["cat"]


@given(st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 3, *[st.booleans()] * 3), min_size=1, max_size=30))
def test_several_labels_are_counted_one_by_one(rows: list[Any]) -> None:
    prediction, target = torch.tensor([row[:3] for row in rows]), torch.tensor([row[3:] for row in rows]).float()
    found = label_counts(prediction, target, CLASSES)
    expected = peer.multilabel_confusion_matrix(target.numpy(), (prediction >= 0.5).numpy(), labels=[0, 1, 2])
    for row, ((true_negative, false_positive), (false_negative, true_positive)) in zip(
        found.iter_rows(named=True), expected, strict=True
    ):
        assert row["true_positive"] == true_positive and row["false_positive"] == false_positive
        assert row["false_negative"] == false_negative and row["true_negative"] == true_negative
        said = true_positive + false_positive
        assert row["precision"] == (pytest.approx(true_positive / said) if said else None)


INDICES = torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [
        (
            lambda: confusion_matrix(torch.rand(3, 2), INDICES, CLASSES),
            ConfigError,
            "2 probabilities per row do not go with 3 classes",
        ),
        (
            lambda: confusion_matrix(INDICES[:2], INDICES, CLASSES),
            ConfigError,
            r"one true class per row, .* got shapes \(3,\) and \(2,\)",
        ),
        (lambda: confusion_matrix(INDICES, torch.rand(3), CLASSES), ConfigError, "one true class per row"),
        (
            lambda: confusion_matrix(INDICES, INDICES + 1, CLASSES),
            ConfigError,
            "indices of 3 classes go from 0 to 2; got 0 to 3",
        ),
        (lambda: confusion_matrix(INDICES[:0], INDICES[:0], CLASSES), DataError, "needs rows, but there are none"),
        (
            lambda: label_counts(torch.rand(2, 3), torch.rand(2, 2), CLASSES),
            ConfigError,
            r"the shape \(rows, 3\); got \(2, 3\) and \(2, 2\)",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(action: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        action()


@pytest.mark.parametrize("count", [2, 12, 60])
def test_the_plot_names_and_counts(count: int) -> None:
    random = np.random.default_rng(0)
    places = torch.tensor(random.integers(0, count, 500))
    guessed = torch.where(torch.tensor(random.random(500) < 0.8), places, torch.tensor(random.integers(0, count, 500)))
    matrix = confusion_matrix(guessed, places, [f"class {place}" for place in range(count)])
    plot = plot_confusion(matrix)
    axis = plot.axes[0]
    shown = [label.get_text() for label in axis.get_yticklabels()]
    assert shown[0] == "class 0" and len(shown) <= 40
    written = sum(int(text.get_text().replace(",", "")) for text in axis.texts)
    assert written == (500 if count <= 15 else 0)
    assert plot._repr_png_().startswith(b"\x89PNG")
    assert isinstance(matrix, pl.DataFrame)
