"""Models that leave out a fold each: their losses, and the choice of a strength by them."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from headstart.core.batch import Batch
from headstart.targets.classes import Label
from headstart.targets.held_out import HeldOut, best_strength


@pytest.mark.parametrize("weighted", [False, True])
def test_a_model_s_loss_is_that_of_the_rows_it_learns_from(weighted: bool) -> None:
    torch.manual_seed(0)
    frame = pl.DataFrame({"label": ["a", "b", "a", "b", "b", "a"]})
    target, folds = Label.fit(frame, "label"), torch.tensor([0, 1, 2, 0, 1, 2])
    encoded, weight = target.encode(frame), torch.arange(1.0, 7.0)
    parts = HeldOut.of(target, encoded, folds, 3, weight if weighted else None)
    outputs = torch.randn(6, 4, 2)
    loss, slopes = parts.loss_and_slopes(outputs)
    expected, moved = torch.zeros(()), outputs.clone().requires_grad_()
    for model in range(4):
        counts = (folds != model) * (weight if weighted else 1.0)
        of_rows = [-moved[row, model].log_softmax(0)[encoded[row]] * counts[row] for row in range(6)]
        expected = expected + torch.stack(of_rows).sum() / 6
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(slopes, torch.autograd.grad(expected, moved)[0])
    unseen = parts.unseen(outputs)
    assert torch.equal(unseen, torch.stack([outputs[row, fold] for row, fold in enumerate(folds.tolist())]))
    batch = Batch(inputs=(), rows=6, target=encoded, weight=weight if weighted else None)
    assert parts.loss(unseen) == pytest.approx(float(target.loss(unseen, batch)))


@pytest.mark.parametrize(
    ("losses", "best", "tried"), [([3, 2, 2, 1], 1, 3), ([1, 2, 0], 0, 2), ([3, 2, 1], 2, 3), ([5], 0, 1)]
)
def test_strengths_are_tried_until_the_loss_no_longer_falls(losses: list[float], best: int, tried: int) -> None:
    seen: list[float] = []

    def solve(strength: float) -> tuple[float, str]:
        seen.append(strength)
        return losses[int(strength)], f"solution {strength}"

    strengths = list(range(len(losses)))
    assert best_strength(strengths, solve) == (best, f"solution {best}")
    assert seen == strengths[:tried]
