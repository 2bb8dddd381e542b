"""The linear path of the head: against scikit-learn, its part in the outputs, and what it is good for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

import vision_toys as toys
from headstart import load
from headstart.targets.classes import Label, Labels
from headstart.targets.row_weights import row_weights
from headstart.vision import linear
from headstart.vision.models.network import Head, ImageModel


def rows(count: int = 240, features: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    activations = torch.randn(count, features, generator=generator) * torch.linspace(0.1, 9, features) + 3
    activations[:, 4] = 2.5  # the same for all images
    scores = (activations[:, :3] - 3) / activations[:, :3].std(0) + torch.randn(count, 3, generator=generator)
    return activations, scores.argmax(1)


def test_it_is_logistic_regression_at_the_best_strength(monkeypatch: pytest.MonkeyPatch) -> None:
    activations, classes = rows()
    target = Label.fit(pl.DataFrame({"label": ["abc"[index] for index in classes.tolist()]}), "label")
    monkeypatch.setattr(linear, "STRENGTHS", (0.03,))
    monkeypatch.setattr(Label, "temperature", lambda *_: 1.0)
    weight, bias = linear.solve_linear(activations.clone(), target, classes)
    kept = np.delete(activations.numpy(), 4, axis=1)
    mean, deviation = kept.mean(0), kept.std(0)
    peer = LogisticRegression(C=0.03, max_iter=1000).fit((kept - mean) / deviation, classes.numpy())
    expected = peer.predict_proba((kept - mean) / deviation)
    found = F.linear(activations, weight, bias).softmax(1)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)
    assert weight.shape == (3, 30) and not weight[:, 4].any()


def test_classes_that_weigh_the_same_are_solved_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    activations, classes = rows()
    rare = (torch.arange(240) % 4 > 0) & (classes > 0)  # most images of two of the three classes are left out
    activations, classes = activations[~rare], classes[~rare]
    frame = pl.DataFrame({"label": ["abc"[index] for index in classes.tolist()]})
    target = Label.fit(frame, "label")
    weight = row_weights(frame, classes, None, "balanced", target)
    monkeypatch.setattr(linear, "STRENGTHS", (0.03,))
    monkeypatch.setattr(Label, "temperature", lambda *_: 1.0)
    solved = linear.solve_linear(activations.clone(), target, classes, weight)
    kept = np.delete(activations.numpy(), 4, axis=1)
    standard = (kept - kept.mean(0)) / kept.std(0)
    peer = LogisticRegression(C=0.03, max_iter=1000, class_weight="balanced").fit(standard, classes.numpy())
    found = F.linear(activations, *solved).softmax(1)
    np.testing.assert_allclose(found.numpy(), peer.predict_proba(standard), atol=2e-3)
    plain = LogisticRegression(C=0.03, max_iter=1000).fit(standard, classes.numpy())
    assert np.abs(plain.predict_proba(standard) - found.numpy()).max() > 0.1


def test_the_strength_is_chosen_on_held_out_images() -> None:
    activations, classes = rows()
    target = Label.fit(pl.DataFrame({"label": ["abc"[index] for index in classes.tolist()]}), "label")
    chosen, _ = linear.solve_linear(activations.clone(), target, classes)
    noise, _ = linear.solve_linear(activations.clone(), target, classes.roll(120))
    assert noise.abs().sum() < 0.1 * chosen.abs().sum()


def test_its_outputs_are_as_large_as_held_out_images_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """At so strong a penalty the plain solution knows the classes, but is far too unsure of them."""
    activations, classes = rows()
    target = Label.fit(pl.DataFrame({"label": ["abc"[index] for index in classes.tolist()]}), "label")
    monkeypatch.setattr(linear, "STRENGTHS", (0.01,))
    weight, bias = linear.solve_linear(activations.clone(), target, classes)
    outputs = F.linear(activations, weight, bias)
    assert 0.6 < target.temperature(outputs, classes) < 1.2
    assert F.cross_entropy(outputs, classes) < 0.8


def test_several_labels_per_image_are_solved_too() -> None:
    activations, classes = rows()
    table = pl.DataFrame({"labels": [["x"] if index else ["x", "y"] for index in classes.tolist()]})
    target = Labels.fit(table, "labels")
    weight, bias = linear.solve_linear(activations.clone(), target, target.encode(table))
    right = ((F.linear(activations, weight, bias)[:, 1] > 0) == (classes == 0)).float().mean()
    assert right > 0.8


def test_the_head_is_the_mean_of_both_and_trains_its_layers_alone() -> None:
    torch.manual_seed(0)
    head = Head(6, 2, hidden=[4], linear=True)
    head.set_linear(torch.randn(2, 6), torch.tensor([1.0, -1.0]))
    model, pooled = ImageModel(torch.nn.Identity(), head), torch.randn(8, 6)
    model.eval()
    straight = F.linear(pooled, head.linear_weight, head.linear_bias)
    torch.testing.assert_close(model(pooled), (head.layers(pooled) + 2 * straight) / 3)
    torch.manual_seed(1)
    trained = model.train()(pooled)
    torch.manual_seed(1)
    torch.testing.assert_close(trained, head.layers(pooled))
    assert not [name for name, _ in head.named_parameters() if "linear_" in name]


def test_precomputing_solves_it_and_it_is_saved(tmp_path: Path) -> None:
    folder = toys.make_folder(tmp_path / "images")
    data = toys.make_data(folder, tmp_path / "cache")
    learner = toys.make_learner(data, precompute=1)
    head = learner.model.head
    assert learner.design.linear is True and head.linear_weight is not None and head.linear_weight.any()
    learner.fit_one_cycle(0.01, 2)
    again = load(learner.save(tmp_path / "saved"))
    images = sorted(str(path) for path in folder.rglob("*.png"))[:4]
    assert again.predict(images).equals(learner.predict(images))
    solved = head.linear_weight.clone()
    learner.precompute(1)  # a trained learner's predictions do not change
    assert torch.equal(learner.model.head.linear_weight, solved)
    told = toys.make_learner(data, precompute=1, linear=True)
    assert torch.equal(told.model.head.linear_weight, solved)
    without = toys.make_learner(data, precompute=1, linear=False)
    assert without.design.linear is False and without.model.head.linear_weight is None
    assert toys.make_learner(data).design.linear is None
