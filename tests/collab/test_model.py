"""The models: against plain references, their gradients, their range, and what they hold between calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart import ConfigError
from headstart.collab.losses import bpr_loss, softmax_loss
from headstart.collab.models.dot_product import DotProductBias, ImplicitDotProductBias
from headstart.core.batch import Batch

SEEN = torch.tensor([[1, 1, 1, 2, 4], [3, 5, 1, 3, 2]])
RANGE = (-2.0, 1.5)


def implicit(**options: Any) -> ImplicitDotProductBias:
    torch.manual_seed(0)
    model = ImplicitDotProductBias(5, 6, SEEN, 3, output_range=RANGE, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def reference(model: ImplicitDotProductBias, user: int, item: int) -> float:
    """The formula, one pair at a time."""
    part = {name: parameter.detach().double().numpy() for name, parameter in model.named_parameters()}
    own = [int(i) for u, i in SEEN.T.tolist() if u == user]
    others = [int(u) for u, i in SEEN.T.tolist() if i == item]
    left = part["user_table"][user] + (part["item_implicit"][own].sum(0) / np.sqrt(len(own)) if own else 0)
    right = part["item_table"][item] + (part["user_implicit"][others].sum(0) / np.sqrt(len(others)) if others else 0)
    score = left @ right + part["user_bias"][user] + part["item_bias"][item]
    low, high = RANGE
    return float(low + (high - low) / (1 + np.exp(-(score + np.log(-low / high)))))


@pytest.mark.parametrize("training", [True, False])
def test_the_implicit_model_is_its_formula(training: bool) -> None:
    model = implicit().train(training)
    users, items = (grid.flatten() for grid in torch.meshgrid(torch.arange(5), torch.arange(6), indexing="ij"))
    expected = [reference(model, int(user), int(item)) for user, item in zip(users, items, strict=True)]
    np.testing.assert_allclose(model(users, items)[:, 0].detach().numpy(), expected, atol=1e-5)
    offered = torch.arange(6).expand(5, 6)
    scores = model(torch.arange(5), offered).detach()  # without users' own bias
    with torch.no_grad():
        user_table, item_table = model.tables()
        plain = user_table[:, :-1] @ item_table[:, :-1].T + item_table[:, -1]
    torch.testing.assert_close(scores, model.bounded(plain))


@pytest.mark.parametrize("bounds", [RANGE, None])
@pytest.mark.parametrize("with_implicit", [True, False])
def test_the_gradients_are_right(bounds: tuple[float, float] | None, with_implicit: bool) -> None:
    torch.manual_seed(1)
    model: DotProductBias = DotProductBias(5, 6, 3, output_range=bounds)
    if with_implicit:
        model = ImplicitDotProductBias(5, 6, SEEN, 3, output_range=bounds)
    model = model.double().train()
    names, values = zip(*model.named_parameters(), strict=True)
    users, items = torch.tensor([1, 1, 0, 4]), torch.tensor([3, 3, 2, 0])

    def outputs(*parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (users, items))

    assert torch.autograd.gradcheck(outputs, values)


@given(st.floats(-50, -0.01), st.floats(0.01, 50), st.integers(0, 5))
def test_outputs_stay_inside_their_range_and_0_gives_0(low: float, high: float, seed: int) -> None:
    torch.manual_seed(seed)
    model = DotProductBias(4, 4, 2, output_range=(low, high))
    with torch.no_grad():
        model.user_table.normal_(std=30)
        model.item_table.normal_(std=30)
        outputs = model(torch.arange(4), torch.arange(4))
        slack = 1e-5 * (high - low)
        assert ((outputs >= low - slack) & (outputs <= high + slack)).all()
        assert abs(float(model.bounded(torch.zeros(1)))) < 1e-4 * (high - low)


def test_what_is_held_in_evaluation_follows_the_weights() -> None:
    model, other = implicit().eval(), implicit()
    with torch.no_grad():
        before = model(torch.tensor([1]), torch.tensor([3]))
        assert model.tables()[0] is model.tables()[0]
        other.item_implicit.mul_(2)
        model.load_state_dict(other.state_dict())
        assert not torch.equal(before, model(torch.tensor([1]), torch.tensor([3])))
    assert "user_starts" not in model.state_dict()


def test_dropout_is_off_in_evaluation_and_on_in_training() -> None:
    model = implicit(dropout=0.5)
    users, items = torch.arange(5), torch.arange(5)
    assert torch.equal(model.eval()(users, items), model(users, items))
    torch.manual_seed(0)
    assert not torch.equal(model.train()(users, items), model(users, items))


def test_the_losses_are_their_formulas() -> None:
    scores = torch.tensor([[1.0, 0.0, 2.0], [0.5, 0.5, 0.5]])
    batch = Batch(inputs=(), rows=2)
    expected = np.mean([-np.log(np.exp(1) / (np.exp(1) + 1 + np.exp(2))), np.log(3)])
    assert float(softmax_loss(scores, batch)) == pytest.approx(expected, rel=1e-5)
    sigmoid = [1 / (1 + np.exp(-difference)) for difference in (1, -1, 0, 0)]
    assert float(bpr_loss(scores, batch)) == pytest.approx(-np.mean(np.log(sigmoid)), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"users": 0}, "users must be a whole number of at least 1; got 0"),
        ({"factors": 2.5}, "factors must be a whole number of at least 1; got 2.5"),
        ({"dropout": 1.0}, "dropout is a probability from 0 to below 1; got 1.0"),
        ({"output_range": (1.0, 2.0)}, "output_range must be two numbers, one below and one above 0"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DotProductBias(**{"users": 2, "items": 2, **options})
    if "users" not in options:
        with pytest.raises(ConfigError, match="seen must be ids of users and items"):
            ImplicitDotProductBias(2, 2, torch.zeros(3, 3))
