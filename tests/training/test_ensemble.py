"""Ensembles: members of their own weights, one loop, the mean of their outputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headstart.core.batch import Batch
from headstart.core.errors import ConfigError
from headstart.targets.target import Number
from headstart.training.ensemble import Ensemble, loss_of
from headstart.training.optim import freeze_to, parameter_groups

INPUTS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


class Member(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        return [[self.body], [self.head]]

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(inputs).relu())
        return outputs


@pytest.fixture
def ensemble() -> Ensemble:
    made = Ensemble.of(Member, 3, seed=5)
    assert isinstance(made, Ensemble)
    return made


def test_training_gives_each_members_outputs_and_evaluation_their_mean(ensemble: Ensemble) -> None:
    apart = torch.stack([member(INPUTS) for member in ensemble.members])
    assert torch.equal(ensemble.train()(INPUTS), apart)
    assert torch.equal(ensemble.eval()(INPUTS), apart.mean(0))


def test_members_start_differently_and_the_seed_says_how(ensemble: Ensemble) -> None:
    weights = [member.head.weight for member in ensemble.members]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    again, other = Ensemble.of(Member, 3, seed=5), Ensemble.of(Member, 3, seed=6)
    assert all(torch.equal(one, two) for one, two in zip(ensemble.parameters(), again.parameters(), strict=True))
    assert not torch.equal(ensemble.members[0].head.weight, other.members[0].head.weight)


def test_one_member_is_the_model_itself_with_the_weights_of_the_first() -> None:
    single = Ensemble.of(Member, 1, seed=5)
    assert isinstance(single, Member)
    assert torch.equal(single.head.weight, Ensemble.of(Member, 3, seed=5).members[0].head.weight)


def test_making_members_leaves_the_random_stream_untouched() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    Ensemble.of(Member, 2, seed=5)
    assert torch.equal(torch.rand(3), expected)


def test_groups_are_joined_first_with_first(ensemble: Ensemble) -> None:
    groups = parameter_groups(ensemble)
    assert len(groups) == 2
    assert [len(group) for group in groups.parameters] == [6, 6]
    freeze_to(groups, -1)
    assert all(not member.body.weight.requires_grad for member in ensemble.members)
    assert all(member.head.weight.requires_grad for member in ensemble.members)


def test_members_without_groups_are_one_group_together() -> None:
    groups = parameter_groups(Ensemble([nn.Linear(2, 2), nn.Linear(2, 2)]))
    assert [len(group) for group in groups.parameters] == [4]


def test_the_training_loss_is_the_mean_of_the_members_own(ensemble: Ensemble) -> None:
    target = Number(("a", "b"), False, (0.0, 0.0), (1.0, 1.0))
    batch = Batch(inputs=(INPUTS,), rows=6, target=INPUTS[:, :2], weight=torch.arange(6) / 2.5)
    loss = loss_of(ensemble, target.loss)
    apart = torch.stack([target.loss(member(INPUTS), batch) for member in ensemble.members])
    torch.testing.assert_close(loss(ensemble.train()(INPUTS), batch), apart.mean())
    together = target.loss(ensemble.eval()(INPUTS), batch)
    torch.testing.assert_close(loss(ensemble(INPUTS), batch), together)
    assert together < apart.mean()  # the mean errs less than its members do on average
    assert loss_of(Member(), target.loss) == target.loss


def test_each_member_is_trained_by_its_own_loss_alone(ensemble: Ensemble) -> None:
    target = Number(("a", "b"), False, (0.0, 0.0), (1.0, 1.0))
    batch = Batch(inputs=(INPUTS,), rows=6, target=INPUTS[:, :2])
    loss_of(ensemble, target.loss)(ensemble.train()(INPUTS), batch).backward()
    member = Ensemble.of(Member, 1, seed=5)
    target.loss(member(INPUTS), batch).backward()
    torch.testing.assert_close(ensemble.members[0].head.weight.grad * 3, member.head.weight.grad)


@pytest.mark.parametrize("count", [0, -1, 1.5, "three", True])
def test_a_bad_number_of_members_is_refused(count: Any) -> None:
    with pytest.raises(ConfigError, match=rf"ensemble must be a whole number of at least 1; got {count!r}"):
        Ensemble.of(Member, count, seed=0)


def test_an_ensemble_of_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match="an ensemble needs at least one member"):
        Ensemble([])
