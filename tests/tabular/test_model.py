"""The tabular model against a plain reference, and what its arguments must be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.core.errors import ConfigError
from headstart.tabular.models.network import CategoryDropout, Dropout, MemberLinear, TabularModel, embedding_size
from headstart.training.optim import parameter_groups


def network(*arguments: Any, **options: Any) -> TabularModel:
    return TabularModel(*arguments, **{"hidden": (200, 100), **options})


def make_model(cardinalities: Any = (3, 7), continuous: int = 2, outputs: int = 2, seed: int = 0, **options: Any) -> TabularModel:  # fmt: skip
    """With weights and statistics that are all different from their defaults."""
    torch.manual_seed(seed)
    model = network(cardinalities, continuous, outputs, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
        for norm in [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]:
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return model


def cardinalities_of(model: TabularModel) -> list[int]:
    if model.embeddings is None:
        return []
    return [model.embeddings.slices[index][2] for index in range(len(model.embeddings.slices))]


def make_rows(model: TabularModel, rows: int = 9, continuous: int | None = None) -> tuple[Tensor, Tensor]:
    counts = cardinalities_of(model)
    ids = torch.stack([torch.randint(count, (rows,)) for count in counts], 1) if counts else torch.zeros(rows, 0)
    width = model.normalise.num_features if model.normalise else 0
    return ids.int(), torch.randn(rows, width if continuous is None else continuous)


def batch_norm(values: Tensor, norm: nn.BatchNorm1d, training: bool) -> Tensor:
    mean = values.mean(0) if training else norm.running_mean
    variance = values.var(0, correction=0) if training else norm.running_var
    return (values - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def reference(model: TabularModel, ids: Tensor, numbers: Tensor, training: bool, norm_first: bool) -> Tensor:
    """The same by the book: one-hot vectors times matrices, side by side with the numbers, through the layers."""
    order = [place for columns in model.embeddings.columns for place in columns] if model.embeddings else []
    parts = [
        F.one_hot(ids[:, place].long(), len(model.embedding(place))).float() @ model.embedding(place) for place in order
    ]
    if numbers.shape[1]:
        parts.append(batch_norm(numbers, model.normalise, training))
    values = torch.cat(parts, 1)
    linears = [module for module in model.body if isinstance(module, nn.Linear)]
    norms = [module for module in model.body if isinstance(module, nn.BatchNorm1d)]
    for linear, norm in zip(linears, norms, strict=True):
        values = values @ linear.weight.T + linear.bias
        values = batch_norm(values if norm_first else values.clamp(min=0), norm, training)
        values = values.clamp(min=0) if norm_first else values
    outputs = values @ model.head.weight.T + model.head.bias
    if model.lowest is not None:
        outputs = model.lowest + (model.highest - model.lowest) / (1 + (-outputs).exp())
    return outputs


@pytest.mark.parametrize("training", [True, False])
@given(
    st.lists(st.integers(1, 12), max_size=4),
    st.integers(0, 3),
    st.integers(1, 3),
    st.lists(st.integers(1, 8), max_size=3),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1000),
)
def test_forward_is_one_hot_vectors_times_matrices(
    training: bool,
    cardinalities: list[int],
    continuous: int,
    outputs: int,
    hidden: list[int],
    ranged: bool,
    norm_first: bool,
    seed: int,
) -> None:
    continuous = continuous if cardinalities else max(1, continuous)
    bounds = ([-1.0] * outputs, [2.0] * outputs) if ranged else None
    options = {"hidden": hidden, "output_range": bounds, "norm_first": norm_first}
    model = make_model(cardinalities, continuous, outputs, seed, **options).train(training)
    ids, numbers = make_rows(model)
    expected = reference(model, ids, numbers, training, norm_first)
    found = model(ids, numbers)
    assert found.shape == (9, outputs)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(model(ids.long(), numbers), expected, rtol=1e-3, atol=1e-3)


def test_in_evaluation_a_row_does_not_depend_on_its_neighbours() -> None:
    model = make_model(dropout=0.5, embedding_dropout=0.5).eval()
    ids, numbers = make_rows(model)
    apart = torch.cat([model(ids[row : row + 1], numbers[row : row + 1]) for row in range(9)])
    torch.testing.assert_close(model(ids, numbers), apart, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("cardinality", "size"), [(1, 1), (2, 1), (3, 2), (8, 4), (99, 50), (100, 50), (10_000, 50)])
def test_an_embedding_is_half_as_wide_as_there_are_ids_and_at_most_50(cardinality: int, size: int) -> None:
    assert embedding_size(cardinality) == size
    assert network([cardinality], 0, 1).embedding(0).shape == (cardinality, size)


def test_the_embedding_of_a_column_has_a_vector_per_id() -> None:
    model = make_model([3, 7], embedding_sizes=[2, 4])
    assert [tuple(model.embedding(place).shape) for place in (0, 1)] == [(3, 2), (7, 4)]
    assert model.embedding(1).requires_grad


def test_groups_are_the_embeddings_the_body_and_the_head_and_cover_each_parameter() -> None:
    for model in (
        make_model(),
        make_model((), 2),
        make_model((3,), 0),
        make_model(hidden=[]),
        make_model(members=2),
        make_model(bins=[[0.0, 1.0]] * 2),
        make_model(periodic=True),
    ):
        groups = parameter_groups(model)
        assert len(groups) == 3
        assert groups.parameters[0] == (tuple(model.embeddings.parameters()) if model.embeddings else ())
        straight = () if model.straight_path is None else (model.straight_path.weight,)
        assert set(groups.parameters[2]) == {model.head.weight, model.head.bias, *straight}


def test_the_straight_path_is_nothing_at_first_then_linear_and_flat_beyond_the_edges() -> None:
    torch.manual_seed(0)
    model = network((3,), 2, 1, bins=[[-1.0, 0.0, 4.0], [0.0, 1.0]]).eval()
    torch.manual_seed(0)
    without = network((3,), 2, 1, bins=[[-1.0, 0.0, 4.0], [0.0, 1.0]], straight=False).eval()
    assert without.straight_path is None
    ids = torch.zeros(5, 1, dtype=torch.int64)
    numbers = torch.tensor([[-9.0, 0.5], [-1.0, 0.5], [1.0, 0.5], [4.0, 0.5], [99.0, 7.0]])
    assert torch.equal(model(ids, numbers), without(ids, numbers))
    with torch.no_grad():
        model.straight_path.weight.copy_(torch.tensor([[2.0, 10.0]]))
    added = (model(ids, numbers) - without(ids, numbers)).squeeze(1)
    assert torch.allclose(added, torch.tensor([3.0, 3.0, 7.0, 13.0, 18.0]), atol=1e-5)
    assert network((3,), 2, 1).straight_path is None  # numbers that enter as they are have a path already


def test_dropout_is_active_in_training_alone_and_where_it_was_asked_for() -> None:
    model = make_model(hidden=[8, 8], dropout=[0.0, 0.5])
    layers = [type(module).__name__ for module in model.body]
    assert layers == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Dropout"]
    lesson = make_model(hidden=[8], dropout=0.5, norm_first=False)
    assert [type(module).__name__ for module in lesson.body] == ["Linear", "ReLU", "BatchNorm1d", "Dropout"]
    rows = make_rows(model)
    assert not torch.equal(model.train()(*rows), model(*rows))
    assert torch.equal(model.eval()(*rows), model(*rows))
    embedded = make_model((50,), 0, embedding_dropout=0.5, hidden=[])
    rows = make_rows(embedded)
    assert not torch.equal(embedded.train()(*rows), embedded(*rows))


def test_ids_are_replaced_by_the_unknown_one_in_training_alone() -> None:
    torch.manual_seed(0)
    ids = torch.randint(1, 9, (4000, 3), dtype=torch.int32)
    replaced = CategoryDropout(0.05)(ids)
    assert replaced.dtype == torch.int32 and replaced.shape == ids.shape
    assert torch.equal(replaced[replaced != 0], ids[replaced != 0])
    assert (replaced == 0).float().mean(0).tolist() == pytest.approx([0.05] * 3, abs=0.015)
    assert CategoryDropout(0.05).eval()(ids) is ids and CategoryDropout(0.0)(ids) is ids
    model = make_model(category_dropout=0.5)
    rows = make_rows(model)
    assert torch.equal(model.eval()(*rows), make_model().eval()(*rows))


def test_bf16_outputs_take_as_many_values_as_fp32() -> None:
    """Of 1,000 rows; with a sigmoid or a head in bf16 there are a few hundred at most."""
    for options in ({}, {"output_range": ([0.0], [10.0])}, {"members": 2, "output_range": ([0.0], [10.0])}):
        torch.manual_seed(0)
        model = network([5], 3, 1, bins=[(-3.0, 0.0, 3.0)] * 3, **options).eval()
        ids, numbers = torch.randint(5, (1000, 1), dtype=torch.int32), torch.randn(1000, 3)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = model(ids, numbers)
        assert outputs.dtype == torch.float32 and len(outputs.unique()) > 900


def test_a_range_is_part_of_the_state_and_is_never_left() -> None:
    model = make_model(output_range=([-1.0, 0.0], [1.0, 10.0])).eval()
    assert {"lowest", "highest"} < model.state_dict().keys()
    outputs = model(torch.zeros(2, 2, dtype=torch.int32), torch.tensor([[1e9, -1e9], [-1e9, 1e9]]))
    assert ((outputs >= torch.tensor([-1.0, 0.0])) & (outputs <= torch.tensor([1.0, 10.0]))).all()
    assert make_model().lowest is None


def test_embeddings_start_small_so_that_ids_start_alike() -> None:
    torch.manual_seed(0)
    weight = network([1000], 0, 1).embedding(0)
    assert weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_columns_of_one_width_share_a_table_and_keep_their_places() -> None:
    model = make_model([3, 7, 5, 2], 0, embedding_sizes=[2, 4, 2, 4], hidden=[])
    assert [tuple(table.shape) for table in model.embeddings.tables] == [(8, 2), (9, 4)]
    ids = torch.tensor([[2, 6, 4, 1], [0, 0, 0, 0]])
    found = torch.cat(model.embeddings(ids), 1)
    for row in range(2):
        expected = [model.embedding(place)[ids[row, place]] for place in (0, 2, 1, 3)]
        assert torch.equal(found[row], torch.cat(expected))


@pytest.mark.parametrize("hidden", [[5], [5, 4], []])
def test_members_are_networks_with_shared_weights_and_multipliers_of_their_own(hidden: list[int]) -> None:
    model = make_model(members=3, hidden=hidden).train()
    ids, numbers = make_rows(model)
    together = model(ids, numbers)
    assert together.shape == (3, 9, 2)
    order = [place for columns in model.embeddings.columns for place in columns]
    inputs = torch.cat([model.embedding(place)[ids[:, place].long()] for place in order], 1)
    inputs = torch.cat([inputs, batch_norm(numbers, model.normalise, True)], 1)
    linears = [module for module in model.body if isinstance(module, MemberLinear)]
    norms = [module for module in model.body if isinstance(module, nn.BatchNorm1d)]
    for member in range(3):
        values = inputs
        for linear, norm, width in zip(linears, norms, hidden, strict=True):
            own = slice(member * width, (member + 1) * width)
            values = (values @ linear.weight.T) * linear.multiplier[own] + linear.bias[own]
            values = (values - values.mean(0)) / (values.var(0, correction=0) + norm.eps).sqrt()
            values = (values * norm.weight[own] + norm.bias[own]).clamp(min=0)
        expected = values @ model.head.weight[member] + model.head.bias[member]
        torch.testing.assert_close(together[member], expected, rtol=1e-3, atol=1e-3)
    model.eval()
    assert model(ids, numbers).shape == (9, 2)


def test_the_answer_of_members_is_the_mean_of_theirs_within_the_range() -> None:
    model = make_model(members=4, output_range=([-1.0, 0.0], [1.0, 10.0])).eval()
    ids, numbers = make_rows(model)
    own = [model.embeddings(ids)]
    each = model.head(model.body(torch.cat([*own[0], model.normalise(numbers)], 1)))
    expected = model.lowest + (model.highest - model.lowest) * each.sigmoid()
    torch.testing.assert_close(model(ids, numbers), expected.mean(0))


@pytest.mark.parametrize("options", [{"bins": [[-1.0, 0.0, 2.0], [0.0, 1.0]]}, {"periodic": True}])
@pytest.mark.parametrize("members", [1, 3])
def test_embedded_numbers_train_and_answer_each_row_alone(options: dict[str, Any], members: int) -> None:
    model = make_model(members=members, **options).train()
    ids, numbers = make_rows(model, 64, continuous=2)
    model(ids, numbers).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    model.eval()
    apart = torch.cat([model(ids[row : row + 1], numbers[row : row + 1]) for row in range(64)])
    torch.testing.assert_close(model(ids, numbers), apart, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(probability: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(probability).train()(torch.ones(300, 333))
    kept = 1 / (1 - probability)
    assert dropped.unique().tolist() == [0.0, pytest.approx(kept)]
    assert (dropped == 0).float().mean().item() == pytest.approx(probability, abs=0.01)
    assert (dropped[1:] == dropped[:-1]).float().mean().item() < 0.99
    values = torch.ones(3)
    assert Dropout(0.5).eval()(values) is values


def test_every_parameter_gets_a_gradient() -> None:
    model = make_model().train()
    model(*make_rows(model, 64)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network([], 0, 1), r"a model needs at least one categorical or continuous column"),
        (lambda: network([0], 1, 1), r"cardinalities must be whole numbers of at least 1; got \[0\]"),
        (lambda: network([2.5], 1, 1), r"cardinalities must be whole numbers of at least 1; got \[2\.5\]"),
        (lambda: network([3], -1, 1), r"outputs must be at least 1 and continuous at least 0; got 1 and -1"),
        (lambda: network([3], 0, 0), r"outputs must be at least 1 and continuous at least 0; got 0 and 0"),
        (lambda: network([3], 0, 1, hidden=200), r"hidden must be a list of widths, one per .*; got 200"),
        (lambda: network([3], 0, 1, hidden=[9, 0]), r"hidden must be whole numbers of at least 1; got \[9, 0\]"),
        (lambda: network([3], 0, 1, hidden="big"), r"hidden must be whole numbers of at least 1; got \['b',"),
        (lambda: network([3], 0, 1, embedding_sizes=[1, 2]), r"embedding_sizes has 2 sizes for 1 categorical"),
        (lambda: network([3], 0, 1, embedding_sizes=[0]), r"embedding_sizes must be whole numbers of at least 1"),
        (lambda: network([3], 0, 1, dropout=[0.1]), r"dropout has 1 probabilities for 2 hidden layers"),
        (lambda: network([3], 0, 1, dropout=1), r"dropout is a probability from 0 to below 1; got 1"),
        (lambda: network([3], 0, 1, dropout=[0.1, "x"]), r"dropout is a probability .*; got 'x'"),
        (lambda: network([3], 0, 1, dropout=math.nan), r"dropout is a probability .*; got nan"),
        (lambda: network([3], 0, 1, category_dropout=1.0), r"category_dropout is a probability .*; got 1\.0"),
        (lambda: network([3], 0, 1, embedding_dropout=-0.1), r"embedding_dropout is a probability .*; got -0\.1"),
        (lambda: network([3], 0, 1, members=0), r"members must be a whole number of at least 1; got 0"),
        (lambda: network([3], 2, 1, bins=[[0.0, 1.0]]), r"bins are one list per continuous column \(2\)"),
        (lambda: network([3], 1, 1, bins=[[0.0, 1.0]], periodic=True), r"not together with periodic"),
        (lambda: network([3], 1, 1, bins=[[1.0, 1.0]]), r"bins must be 2 or more ascending edges; column 0 has"),
        (lambda: network([3], 0, 2, output_range=([0.0], [1.0])), r"highest of each of 2 outputs; got \(\[0\.0\]"),
        (lambda: network([3], 0, 1, output_range=([1.0], [1.0])), r"output_range must be the lowest and the high"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_refused_with_its_name_and_what_arrived(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
