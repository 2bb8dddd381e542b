"""One class per row, and several: encoding, losses against torch's, and what cannot be classes."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional as F

from headstart.core.batch import Batch
from headstart.core.errors import ConfigError, DataError
from headstart.targets.classes import Label, Labels

RANDOM = torch.Generator().manual_seed(0)
KIND = Label.fit(pl.DataFrame({"kind": ["b", "a", "c", "a"]}), "kind")
TAGS = Labels.fit(pl.DataFrame({"tags": [["b", "a"], [], ["c"], ["a"]]}), "tags")


def batch(target: torch.Tensor, weight: torch.Tensor | None = None) -> Batch:
    return Batch(inputs=(), rows=len(target), target=target, weight=weight)


def test_the_loss_of_a_label_is_torchs_cross_entropy() -> None:
    outputs, encoded = torch.randn(9, 3, generator=RANDOM), torch.arange(9) % 3
    torch.testing.assert_close(KIND.loss(outputs, batch(encoded)), F.cross_entropy(outputs, encoded))
    weight = torch.rand(9, generator=RANDOM)
    expected = (weight * F.cross_entropy(outputs, encoded, reduction="none")).mean()
    torch.testing.assert_close(KIND.loss(outputs, batch(encoded, weight)), expected)


def test_the_loss_of_labels_is_torchs_binary_cross_entropy() -> None:
    outputs, encoded = torch.randn(9, 3, generator=RANDOM), (torch.rand(9, 3, generator=RANDOM) > 0.5).float()
    expected = F.binary_cross_entropy_with_logits(outputs, encoded)
    torch.testing.assert_close(TAGS.loss(outputs, batch(encoded)), expected)


def test_the_loss_of_half_precision_outputs_is_computed_in_float32() -> None:
    outputs, encoded = torch.randn(64, 3, generator=RANDOM).bfloat16(), torch.arange(64) % 3
    loss = KIND.loss(outputs, batch(encoded))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.cross_entropy(outputs.float(), encoded))


def test_a_label_is_encoded_as_its_index_among_the_sorted_classes() -> None:
    assert KIND.classes == ("a", "b", "c")
    assert KIND.encode(pl.DataFrame({"kind": ["b", "a", "c", "a"]})).tolist() == [1, 0, 2, 0]
    assert Label.fit(pl.DataFrame({"y": [10, 9, 10]}), "y").classes == (9, 10)


def test_probabilities_sum_to_1_and_the_most_probable_class_is_predicted() -> None:
    target = KIND
    prediction = target.prediction(torch.tensor([[0.0, 2.0, 1.0], [5.0, 0.0, 0.0]]))
    np.testing.assert_allclose(prediction.sum(1), 1, rtol=1e-6)
    decoded = target.decode(prediction)
    assert list(decoded) == ["prediction", "probability_a", "probability_b", "probability_c"]
    assert decoded["prediction"].to_list() == ["b", "a"]
    assert decoded["probability_c"].to_list() == pytest.approx(prediction[:, 2].tolist())


def test_labels_are_encoded_by_class_and_an_unknown_one_is_left_out() -> None:
    target = TAGS
    rows = pl.DataFrame({"tags": [["a", "c"], [], ["z", "b"], ["b", "b", None]]})
    assert target.encode(rows).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert target.encode(rows.head(0)).shape == (0, 3)
    assert target.encode(pl.DataFrame({"tags": [[], []]})).tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("probabilities", [[[0.6, 0.5, 0.4]], [[0.1, 0.2, 0.3]], []], ids=["some", "none", "no-rows"])
def test_decoded_labels_are_lists_of_text_even_when_there_are_none(probabilities: list[list[float]]) -> None:
    decoded = TAGS.decode(torch.tensor(probabilities).reshape(-1, 3))["prediction"]
    assert decoded.dtype == pl.List(pl.String)
    assert decoded.to_list() == [["a", "b"] if row[0] == 0.6 else [] for row in probabilities]


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_smoothing_is_torch_s(share: float) -> None:
    outputs, encoded = torch.randn(9, 3, generator=RANDOM), torch.arange(9) % 3
    expected = F.cross_entropy(outputs, encoded, label_smoothing=share)
    assert KIND.loss(outputs, batch(encoded), smoothing=share).item() == pytest.approx(expected.item())
    several = F.one_hot(encoded, 3).float()
    soft = several * (1 - share) + share / 2
    expected = F.binary_cross_entropy_with_logits(outputs, soft)
    assert TAGS.loss(outputs, batch(several), smoothing=share).item() == pytest.approx(expected.item())


def test_what_was_true_of_classes_is_whole_numbers() -> None:
    assert KIND.original(torch.tensor([1, 0])).dtype == torch.int64
    true = TAGS.original(torch.tensor([[1.0, 0.0, 1.0]]))
    assert true.dtype == torch.int64 and true.tolist() == [[1, 0, 1]]


@pytest.mark.parametrize(
    ("target", "prediction", "true", "expected"),
    [
        (KIND, [[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]], [1, 2], [np.log(4), 0.0]),
        (TAGS, [[0.5, 0.5, 0.5], [1.0, 0.0, 1.0]], [[1, 0, 0], [1, 0, 1]], [np.log(2), 0.0]),
    ],
    ids=["label", "labels"],
)
def test_errors_by_row(target: Any, prediction: Any, true: Any, expected: list[float]) -> None:
    np.testing.assert_allclose(target.row_errors(torch.tensor(prediction), torch.tensor(true)), expected, atol=1e-6)


def test_a_certain_mistake_has_a_finite_error() -> None:
    assert KIND.row_errors(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([2])).isfinite().all()


def test_the_chosen_classes_their_certainty_and_their_text() -> None:
    one, several = torch.tensor([[0.2, 0.7, 0.1]]), torch.tensor([[0.9, 0.5, 0.2], [0.1, 0.2, 0.3]])
    assert KIND.chosen(one).tolist() == [1] and TAGS.chosen(several).tolist() == [[1, 1, 0], [0, 0, 0]]
    assert KIND.certainty(one).tolist() == pytest.approx([0.7])
    assert TAGS.certainty(several).tolist() == pytest.approx([0.5, 0.7])
    assert KIND.text_of(KIND.chosen(one)[0]) == "b"
    assert [TAGS.text_of(row) for row in TAGS.chosen(several)] == ["a, b", "none"]


def test_the_confusion_of_one_class_and_of_several() -> None:
    one = torch.eye(3)[[0, 1, 1]]
    assert KIND.confusion(one, torch.tensor([0, 1, 2]))["predicted_b"].to_list() == [0, 1, 1]
    assert TAGS.confusion(one, torch.eye(3).long())["true_positive"].to_list() == [1, 1, 0]


@pytest.mark.parametrize(
    ("class_weight", "expected"),
    [
        ("balanced", [2.0, 2.0, 2.0, 6.0, 3.0, 3.0]),
        ({"a": 2.0, "b": 0.5, "c": 1.0}, [2.0, 2.0, 2.0, 0.5, 1.0, 1.0]),
    ],
)
def test_class_weights(class_weight: Any, expected: list[float]) -> None:
    encoded = torch.tensor([0, 0, 0, 1, 2, 2])
    weights = KIND.class_weights(class_weight, encoded)
    assert weights.dtype == torch.float64 and weights.tolist() == expected


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("even", "class_weight must be 'balanced' or a weight per class; got 'even'"),
        ({"a": 1, "b": 1}, r"one weight for each of \['a', 'b', 'c'\]; look at 'c'"),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, r"one weight for each of \['a', 'b', 'c'\]; look at 'd'"),
        ({"a": 1, "b": 1, "c": 0}, r"class_weight must be finite numbers above 0; got \{'a': 1"),
    ],
)
def test_class_weights_that_do_not_fit(class_weight: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        KIND.class_weights(class_weight, torch.tensor([0, 1, 2]))


# ---- what cannot be classes


def label(values: Any) -> Callable[[], Any]:
    return lambda: Label.fit(pl.DataFrame({"y": values}), "y")


def labels(values: Any) -> Callable[[], Any]:
    return lambda: Labels.fit(pl.DataFrame({"y": values}), "y")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (label(["a", "a"]), DataError, r"target 'y' has one class in the training rows \('a'\); two or more classes"),
        (label(pl.Series([], dtype=pl.String)), DataError, "target 'y' has no rows to learn from; two or more"),
        (label(["a", None]), DataError, r"target 'y' is missing in 1 of 2 rows; leave those out"),
        (label([0.5, 0.7]), DataError, "'y' must be classes .*; got Float64; use target_kind='number'"),
        (label([datetime.date(2015, 1, 1)]), DataError, "target 'y' must be classes .*; got Date; convert it"),
        (labels(["a"]), DataError, "target 'y' must be a column of lists of classes; got String"),
        (labels([["a"], None]), DataError, "target 'y' is missing in 1 of 2 rows"),
        (labels(pl.Series([[]], dtype=pl.List(pl.String))), DataError, "target 'y' has no class in any training row"),
        (labels([[["a"]]]), DataError, r"target 'y' must be classes .*; got List\(String\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_target_is_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("target", "values", "message"),
    [
        (KIND, ["a", "z"], "target 'kind': no training row has the class 'z', so the model cannot predict it; leave"),
        (KIND, ["y", "z", "x"], r"no training row has the class '[xyz]' \(nor 2 more\)"),
        (KIND, ["a", None], "target 'kind' is missing in 1 of 2 rows"),
        (KIND, [1.5], "column 'kind': expected text, as in the training rows, but got the value 1.5"),
        (TAGS, ["a"], "target 'tags' must be a column of lists of classes; got String"),
        (TAGS, [["a"], None], "target 'tags' is missing in 1 of 2 rows"),
    ],
)
def test_new_targets_are_checked_as_well(target: Any, values: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        target.encode(pl.DataFrame({target.columns[0]: values}))
