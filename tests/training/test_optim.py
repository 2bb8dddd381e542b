"""Parameter groups, freezing, rates per group and the optimizers' own groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from headstart.core.errors import ConfigError
from headstart.training.optim import (
    SGD,
    AdamW,
    Groups,
    freeze_to,
    frozen_groups,
    optimizer_groups,
    parameter_groups,
    rates_per_group,
    set_rates,
    train_mode,
)


class Tied(nn.Module):
    """Three groups; the decoder's weight is the embedding's."""

    def __init__(self, declared: Callable[[Tied], Any] | None = None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.body = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
        self.decoder = nn.Linear(3, 5)
        self.decoder.weight = self.embedding.weight
        self.declared = declared

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        return self.declared(self) if self.declared else [[self.embedding], [self.body], [self.decoder]]


@pytest.fixture
def model() -> Tied:
    return Tied()


@pytest.fixture
def groups(model: Tied) -> Groups:
    return parameter_groups(model)


def trained(groups: Groups) -> list[bool]:
    return [all(parameter.requires_grad for parameter in group) for group in groups.parameters]


def test_each_parameter_stands_in_one_group_and_a_tied_one_in_its_first(model: Tied, groups: Groups) -> None:
    shapes = [[tuple(parameter.shape) for parameter in group] for group in groups.parameters]
    assert shapes == [[(5, 3)], [(3, 3), (3,), (3,), (3,)], [(5,)]]
    ids = [id(parameter) for group in groups.parameters for parameter in group]
    assert sorted(ids) == sorted(id(parameter) for parameter in model.parameters())


def test_a_module_without_groups_is_one() -> None:
    module = nn.Conv2d(2, 2, 1, groups=2)  # it has an attribute of this name, which is a number
    groups = parameter_groups(module)
    assert len(groups) == 1
    assert groups.parameters[0] == tuple(module.parameters())


def test_a_group_may_be_empty_and_hold_single_parameters() -> None:
    groups = parameter_groups(Tied(lambda m: [[], [m.embedding.weight, m.body], [m.decoder.bias]]))
    assert [len(group) for group in groups.parameters] == [0, 5, 1]
    assert frozen_groups(groups) == (False, False, False)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (lambda m: [[m.embedding], [m.decoder]], r"groups of Tied leave out body\.0\.weight, body\.0\.bias, "),
        (lambda m: [], r"leave out embedding\.weight, .* and others; each parameter must belong to one group"),
        (lambda m: [[m], [nn.Linear(1, 1)]], r"group 1 of Tied contains a parameter that is not part of the model"),
        (lambda m: [[m], [nn.Parameter(torch.zeros(1))]], r"group 1 of Tied contains a parameter that is not part of the model"),
    ],
)  # fmt: skip
def test_groups_that_do_not_cover_the_model_are_refused(declared: Callable[[Tied], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parameter_groups(Tied(declared))


# ---- freezing


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (0, [True, True, True]),
        (1, [False, True, True]),
        (2, [False, False, True]),
        (3, [False, False, False]),
        (-1, [False, False, True]),
        (-2, [False, True, True]),
        (-3, [True, True, True]),
    ],
)
def test_the_groups_before_the_first_trained_one_are_frozen(groups: Groups, first: int, expected: list[bool]) -> None:
    freeze_to(groups, 3)
    freeze_to(groups, first)
    assert trained(groups) == expected
    assert frozen_groups(groups) == tuple(not each for each in expected)


@pytest.mark.parametrize("first", [4, -4, 1.5, "head", None])
def test_a_group_that_does_not_exist_cannot_be_frozen_to(groups: Groups, first: Any) -> None:
    with pytest.raises(ConfigError, match=rf"freeze_to\({first!r}\): the model has 3 groups, so give -3 to 3"):
        freeze_to(groups, first)


def test_a_frozen_batch_norm_keeps_its_statistics_while_dropout_stays_active(model: Tied, groups: Groups) -> None:
    freeze_to(groups, -1)
    train_mode(model, groups)
    norm, dropout = model.body[1], model.body[2]
    assert not norm.training
    assert dropout.training
    before = norm.running_mean.clone()
    model.body(torch.randn(8, 3))
    assert torch.equal(norm.running_mean, before)
    freeze_to(groups, 0)
    train_mode(model, groups)
    model.body(torch.randn(8, 3))
    assert not torch.equal(norm.running_mean, before)


# ---- rates


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        (0.1, (0.1, 0.1, 0.1)),
        (1, (1.0, 1.0, 1.0)),
        ([1e-4, 1e-3, 1e-2], (1e-4, 1e-3, 1e-2)),
        (np.array([0.0, 0.5, 1.0]), (0.0, 0.5, 1.0)),
    ],
)
def test_a_rate_is_for_all_groups_or_one_for_each(rates: Any, expected: tuple[float, ...]) -> None:
    assert rates_per_group(rates, 3) == expected


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ([0.1, 0.2], r"lr has 2 rates, but the model has 3 groups; give one rate, or 3"),
        ([], r"lr has 0 rates, but the model has 3 groups"),
        (-0.1, r"each lr must be a finite number of 0 or more, and one at least above 0; got -0\.1"),
        ([0.1, -0.1, 0.1], r"each lr must be a finite number of 0 or more"),
        (0, r"one at least above 0; got 0"),
        (math.nan, r"each lr must be a finite number .*got nan"),
        ([0.1, math.inf, 0.1], r"each lr must be a finite number .*inf"),
        ("1e-3", r"lr must be a number, or one number per group; got '1e-3'"),
        (None, r"lr must be a number, or one number per group; got None"),
        ([0.1, None, 0.1], r"lr must be a number, or one number per group; got \[0\.1, None, 0\.1\]"),
    ],
)
def test_bad_rates_are_refused(rates: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rates_per_group(rates, 3)


def test_only_weights_of_groups_that_train_decay(groups: Groups) -> None:
    freeze_to(groups, 1)
    made = optimizer_groups(groups, (0.1, 0.2, 0.3), 0.05)
    assert [(part["group"], part["lr"], part["weight_decay"], len(part["params"])) for part in made] == [
        (1, 0.2, 0.05, 1),
        (1, 0.2, 0.0, 3),
        (2, 0.3, 0.0, 1),
    ]
    assert [part["base_lr"] for part in made] == [part["lr"] for part in made]


def test_nothing_to_train_is_refused_with_what_to_do(groups: Groups) -> None:
    freeze_to(groups, 3)
    with pytest.raises(ConfigError, match=r"every group is frozen, .*: call unfreeze\(\) or freeze_to\(-1\) first"):
        optimizer_groups(groups, (0.1, 0.1, 0.1), 0.0)


@pytest.mark.parametrize("decay", [-0.1, math.nan, math.inf, "much"])
def test_a_bad_weight_decay_is_refused(groups: Groups, decay: Any) -> None:
    with pytest.raises(ConfigError, match=rf"weight_decay must be a number of 0 or more; got {decay!r}"):
        optimizer_groups(groups, (0.1, 0.1, 0.1), decay)


@pytest.mark.parametrize(
    ("factory", "momentum_of"),
    [
        (AdamW(betas=(0.8, 0.99)), lambda group: group["betas"]),
        (SGD(momentum=0.8), lambda group: (group["momentum"], 0.99)),
    ],
    ids=["adamw", "sgd"],
)
def test_a_schedule_multiplies_each_groups_own_rate(groups: Groups, factory: Any, momentum_of: Any) -> None:
    optimizer = factory(optimizer_groups(groups, (0.1, 0.2, 0.4), 0.0))
    set_rates(optimizer, 0.5, None)
    assert {part["group"]: part["lr"] for part in optimizer.param_groups} == {0: 0.05, 1: 0.1, 2: 0.2}
    assert momentum_of(optimizer.param_groups[0]) == (0.8, 0.99)
    set_rates(optimizer, 0.25, 0.9)
    set_rates(optimizer, 0.25, 0.9)  # from the base, not from what it was
    assert {part["group"]: part["lr"] for part in optimizer.param_groups} == {0: 0.025, 1: 0.05, 2: 0.1}
    assert all(momentum_of(part) == (0.9, 0.99) for part in optimizer.param_groups)


def test_an_optimizer_without_momentum_stays_without(groups: Groups) -> None:
    optimizer = SGD(momentum=0)(optimizer_groups(groups, (0.1, 0.1, 0.1), 0.0))
    set_rates(optimizer, 1.0, 0.9)
    assert {part["momentum"] for part in optimizer.param_groups} == {0}


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        (AdamW(), lambda groups: torch.optim.AdamW(groups, betas=(0.9, 0.99), eps=1e-5)),
        (SGD(nesterov=True), lambda groups: torch.optim.SGD(groups, momentum=0.9, nesterov=True)),
    ],
    ids=["adamw", "sgd"],
)
def test_the_factories_step_as_torchs_unfused_optimizers(ours: Any, torchs: Any) -> None:
    torch.manual_seed(0)
    fused, plain = nn.Linear(4, 3), nn.Linear(4, 3)
    plain.load_state_dict(fused.state_dict())
    inputs = torch.randn(16, 4)
    for module, factory in ((fused, ours), (plain, torchs)):
        optimizer = factory(optimizer_groups(parameter_groups(module), (0.1,), 0.3))
        for _ in range(5):
            optimizer.zero_grad()
            module(inputs).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(fused.weight, plain.weight)
    torch.testing.assert_close(fused.bias, plain.bias)


def test_biases_have_no_weight_decay_whatever_their_shape() -> None:
    """The biases of piecewise linear numbers are ``(columns, size)``."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(3, 4))

    model = Model()
    groups = optimizer_groups(parameter_groups(model), (0.1,), 0.5)
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decay == {id(model.weight): 0.5, id(model.bias): 0.0}
