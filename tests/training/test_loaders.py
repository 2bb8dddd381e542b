"""Loaders: every row once per epoch over all processes, in an order that depends on seed and epoch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from headstart.core.batch import Batch
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.training.loaders import Data, TensorLoader, batch_starts, share_of_rows, tensor_data

ROWS = st.integers(2, 200)
SIZES = st.integers(2, 64)
RANKS = st.integers(1, 4)
SEEDS = st.integers(0, 2**31)
EPOCHS = st.integers(0, 5)


def engine(rank: int = 0, ranks: int = 1) -> Engine:
    """An engine that believes it is one of several processes; a loader asks it for no more than these numbers."""
    made = Engine("cpu", keep_memory=False)
    made.rank, made.world_size = rank, ranks
    return made


def loader(
    rows: int, batch_size: int, *, rank: int = 0, ranks: int = 1, shuffle: bool = True, seed: int = 0
) -> TensorLoader:
    """One whose inputs, target and weight all say which row they are of."""
    number = torch.arange(rows)
    return TensorLoader(
        [number, number[:, None].float() * torch.ones(3)], number + 1000, number / 2,
        batch_size=batch_size, shuffle=shuffle, seed=seed, engine=engine(rank, ranks),
    )  # fmt: skip


def order(batches: Any) -> list[list[int]]:
    return [batch.index.tolist() for batch in batches]


def joined(parts: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(parts))


def all_ranks(rows: int, batch_size: int, ranks: int, epoch: int = 0, **options: Any) -> list[list[list[int]]]:
    """For each rank its batches, each the numbers of its rows."""
    return [order(loader(rows, batch_size, rank=rank, ranks=ranks, **options).batches(epoch)) for rank in range(ranks)]


@given(ROWS, SIZES, RANKS, EPOCHS, SEEDS)
def test_every_training_row_comes_once_per_epoch_in_equal_steps_of_two_rows_per_process(
    rows: int, batch_size: int, ranks: int, epoch: int, seed: int
) -> None:
    rows, batch_size = max(rows, 2 * ranks), max(batch_size, 2 * ranks)
    shares = all_ranks(rows, batch_size, ranks, epoch, seed=seed)
    assert sorted(joined(joined(shares))) == list(range(rows))
    assert {len(share) for share in shares} == {loader(rows, batch_size, ranks=ranks).steps(epoch)}
    sizes = [[len(batch) for batch in share] for share in shares]
    assert min(min(share) for share in sizes) >= 2
    for of_ranks in zip(*sizes, strict=True):
        assert max(of_ranks) - min(of_ranks) <= 1
        assert sum(of_ranks) < batch_size + 2 * ranks


@given(ROWS, SIZES, RANKS)
def test_evaluation_rows_come_once_in_their_own_order_whatever_the_processes(
    rows: int, batch_size: int, ranks: int
) -> None:
    shares = all_ranks(rows, batch_size, ranks, shuffle=False)
    steps = [joined(of_ranks) for of_ranks in zip(*shares, strict=True)]
    assert joined(steps) == list(range(rows))
    assert [len(step) for step in steps[:-1]] == [batch_size] * (len(steps) - 1)


@given(ROWS, SIZES, SEEDS, EPOCHS)
def test_one_process_and_two_see_the_same_batches(rows: int, batch_size: int, seed: int, epoch: int) -> None:
    rows, batch_size = max(rows, 4), max(batch_size, 4)
    (alone,) = all_ranks(rows, batch_size, 1, epoch, seed=seed)
    together = [joined(shares) for shares in zip(*all_ranks(rows, batch_size, 2, epoch, seed=seed), strict=True)]
    if rows % batch_size in (2, 3) and rows > batch_size:  # two rows are enough for one process, but not for two
        alone[-2:] = [alone[-2] + alone[-1]]
    assert alone == together


@given(ROWS, SIZES, RANKS, SEEDS, EPOCHS, st.data())
def test_an_epoch_is_taken_up_at_any_step(
    rows: int, batch_size: int, ranks: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    rows, batch_size = max(rows, 2 * ranks), max(batch_size, 2 * ranks)
    source = loader(rows, batch_size, rank=ranks - 1, ranks=ranks, seed=seed)
    step = data.draw(st.integers(0, source.steps(epoch)))
    assert order(source.batches(epoch, step)) == order(source.batches(epoch))[step:]


@given(ROWS, SIZES, SEEDS, EPOCHS)
def test_seed_and_epoch_give_the_order_and_nothing_else_does(rows: int, batch_size: int, seed: int, epoch: int) -> None:
    torch.manual_seed(seed % 7)
    first = order(loader(rows, batch_size, seed=seed).batches(epoch))
    torch.rand(rows)
    again = loader(rows, batch_size, seed=seed)
    list(again.batches(epoch + 1))
    assert order(again.batches(epoch)) == first


def test_each_epoch_and_each_seed_has_an_order_of_its_own() -> None:
    orders = {
        tuple(joined(order(loader(50, 16, seed=seed).batches(epoch)))) for seed in range(10) for epoch in range(10)
    }
    assert len(orders) == 100


def test_the_order_is_random() -> None:
    firsts = [order(loader(10, 2).batches(epoch))[0][0] for epoch in range(1000)]
    assert min(firsts.count(row) for row in range(10)) > 60  # 100 on average


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("rank", [0, 1])
def test_inputs_target_weight_and_index_belong_to_the_same_rows(shuffle: bool, rank: int) -> None:
    for batch in loader(37, 8, rank=rank, ranks=2, shuffle=shuffle).batches(3):
        assert batch.rows == len(batch.index)
        assert torch.equal(batch.inputs[0], batch.index)
        assert torch.equal(batch.inputs[1], batch.index[:, None].float() * torch.ones(3))
        assert torch.equal(batch.target, batch.index + 1000)
        assert torch.equal(batch.weight, batch.index / 2)
        assert batch.rate == 1.0


def test_a_loader_leaves_the_tensors_it_was_given_alone() -> None:
    rows = torch.arange(10.0)
    for batch in TensorLoader([rows], batch_size=4, shuffle=True, engine=engine()).batches(0):
        batch.inputs[0].zero_()
    assert torch.equal(rows, torch.arange(10.0))


@pytest.mark.parametrize(
    ("rows", "batch_size", "least", "starts"),
    [
        (10, 4, 1, [0, 4, 8, 10]),
        (9, 4, 2, [0, 4, 9]),
        (9, 4, 1, [0, 4, 8, 9]),
        (8, 4, 2, [0, 4, 8]),
        (3, 4, 4, [0, 3]),
        (5, 4, 2, [0, 5]),
        (1, 1, 1, [0, 1]),
    ],
)
def test_a_remainder_that_is_too_small_joins_the_batch_before_it(
    rows: int, batch_size: int, least: int, starts: list[int]
) -> None:
    assert batch_starts(rows, batch_size, least) == starts


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 9))
def test_shares_lie_side_by_side_and_differ_by_a_row_at_most(start: int, rows: int, ranks: int) -> None:
    shares = [share_of_rows(start, start + rows, rank, ranks) for rank in range(ranks)]
    assert shares[0][0] == start
    assert shares[-1][1] == start + rows
    assert all(before[1] == after[0] for before, after in pairwise(shares))
    lengths = [last - first for first, last in shares]
    assert max(lengths) - min(lengths) <= 1


def test_evaluation_with_fewer_rows_than_processes_gives_some_an_empty_share() -> None:
    assert all_ranks(2, 8, 3, shuffle=False) == [[[0]], [[1]], [[]]]


def test_a_users_own_tensors_are_inputs_and_last_the_target() -> None:
    rows = torch.arange(10)
    data = tensor_data((rows, rows * 2, rows * 3), (rows[:3], rows[:3], rows[:3]), batch_size=4)
    assert isinstance(data, Data)
    (batch, *_) = data.train.batches(0)
    assert torch.equal(batch.inputs[1], batch.index * 2)
    assert torch.equal(batch.target, batch.index * 3)
    assert order(data.valid.batches(0)) == [[0, 1, 2]]
    assert tensor_data((rows, rows)).valid is None


def test_a_batch_that_is_on_its_device_is_not_copied() -> None:
    batch = Batch(inputs=(torch.zeros(2),), rows=2, target=torch.zeros(2))
    assert batch.to(torch.device("cpu")) is batch
    moved = batch.to(torch.device("meta"))
    assert moved.inputs[0].device.type == moved.target.device.type == "meta"
    assert moved.weight is None
    assert moved.index is None


def made(rows: int = 10, batch_size: Any = 4, shuffle: bool = True, ranks: int = 1) -> Callable[[], TensorLoader]:
    return lambda: TensorLoader([torch.zeros(rows)], batch_size=batch_size, shuffle=shuffle, engine=engine(0, ranks))


def of(*tensors: Tensor | None) -> Callable[[], TensorLoader]:
    inputs, target, weight = tensors
    return lambda: TensorLoader([inputs], target, weight, batch_size=2, shuffle=False, engine=engine())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (made(batch_size=0), ConfigError, "batch_size must be a whole number of at least 1; got 0"),
        (made(batch_size=2.0), ConfigError, r"batch_size must be a whole number of at least 1; got 2\.0"),
        (made(batch_size=True), ConfigError, "batch_size must be a whole number of at least 1; got True"),
        (made(batch_size=1), ConfigError, "batch_size must be at least 2 rows per process in training.*; got 1 for 1"),
        (made(batch_size=7, ranks=4), ConfigError, "batch_size must be at least 2 rows per process.*; got 7 for 4"),
        (made(rows=0), DataError, r"there are no rows; check the table, the filter \(where\) and the split"),
        (made(rows=0, shuffle=False), DataError, "there are no rows"),
        (made(rows=1), DataError, "training needs at least 2 rows per process.*; got 1 for 1"),
        (made(rows=7, batch_size=8, ranks=4), DataError, "at least 2 rows per process.*; got 7 for 4"),
        (of(torch.zeros(3), torch.zeros(4), None), DataError, r"must have the same number of rows; got \[3, 4\]"),
        (of(torch.zeros(3), None, torch.zeros(2)), DataError, r"must have the same number of rows; got \[2, 3\]"),
        (lambda: tensor_data((torch.zeros(3),)), ConfigError, "the inputs and, last, the target: at least two tensors"),
    ],
)
def test_what_cannot_make_batches_is_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
