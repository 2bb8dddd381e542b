"""Every application trains on a device without waiting for it: no copy from the host but the batch, no read, no shape
that depends on values. See `devices`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException

import devices
import toys
import vision_toys
import zoo
from headstart import CollabLearner, Engine, RatingsData, TabularData, TabularLearner
from headstart.core.batch import Batch
from headstart.targets.target import Number, Quantiles
from headstart.training.averaging import AverageWeights
from headstart.training.loaders import TensorLoader
from headstart.vision import side_on

Make = Callable[[], Any]


def table(target: str = "y", **options: Any) -> Make:
    """A learner of a table, its target a number, a count, one label or several, by the column."""

    def make() -> Any:
        frame = zoo.table().with_columns(
            count=(pl.col("y").abs() * 2).floor().cast(pl.Int64), two=pl.col("kind"), weight=pl.col("size").abs(),
            several=pl.concat_list("kind", pl.lit("z")), positive=pl.col("y").abs() + 1,
        )  # fmt: skip
        used = {"kind", "size", target, options.get("weight")}
        frame = frame.select(name for name in frame.columns if name in used)
        names = ("target_kind", "quantiles", "log_target", "weight", "y_range", "class_weight")
        for_data = {name: options[name] for name in names if name in options}
        rest = {name: value for name, value in options.items() if name not in names}
        data = TabularData.from_table(
            frame, target, categorical=["kind"], continuous=["size"], valid=frame, batch_size=8, engine=zoo.CPU,
            **for_data,
        )  # fmt: skip
        return TabularLearner(data, progress="none", **rest)

    return make


def of_zoo(name: str, **options: Any) -> Make:
    return lambda: zoo.ZOO[name].learner(zoo.ZOO[name].data(), **options)


def ratings(**options: Any) -> Make:
    def make() -> Any:
        rows = toys.ratings(users=12)
        data = RatingsData.from_table(rows, "user", "item", "stars", valid=rows, batch_size=40, engine=zoo.CPU)
        return CollabLearner(data, progress="none", factors=8, **options)

    return make


def rankings(**options: Any) -> Make:
    def make() -> Any:
        rows = toys.ratings(users=12)
        data = RatingsData.from_table(rows, "user", "item", valid=rows[:5], batch_size=20, engine=zoo.CPU)
        return CollabLearner(data, progress="none", factors=8, **options)

    return make


def images(**options: Any) -> Make:
    def make() -> Any:
        pixels, labels = vision_toys.arrays()
        data = zoo.ImageData.from_arrays(
            pixels, labels, valid=(pixels, labels), size=32, batch_size=8, cache=vision_toys.cache(), engine=zoo.CPU,
            augment=side_on(cutout=0.3),
        )  # fmt: skip
        return vision_toys.make_learner(data, **options)

    return make


def unfrozen(make: Make) -> Make:
    def made() -> Any:
        learner = make()
        learner.unfreeze()
        return learner

    return made


MAKE: dict[str, Make] = {
    "table": table(),
    "table, logarithm and range": table("positive", log_target=True, y_range=(0.5, 20.0)),
    "table, quantiles": table(quantiles=[0.1, 0.5, 0.9]),
    "table, count": table("count", target_kind="count", weight="weight"),
    "table, classes": table("two", target_kind="label", class_weight="balanced"),
    "table, several labels": table("several"),
    "table, periodic": table(numeric_embedding="periodic"),
    "table, dropout": table(dropout=0.2, embedding_dropout=0.1),
    "table, members": of_zoo("tabular, members"),
    "table, ensemble": of_zoo("tabular, ensemble"),
    "table, mean of the weights": lambda: zoo.ZOO["tabular"].learner(zoo.tabular_data(), callbacks=[AverageWeights()]),
    "ratings": ratings(),
    "ratings, dropout": ratings(dropout=0.2),
    "ratings, implicit": ratings(implicit=True),
    "rankings": rankings(),
    "rankings, bpr": rankings(ranking_loss="bpr"),
    "language model": of_zoo("language-model"),
    "language model, sampled": of_zoo("language-model", sampled=5),
    "text": of_zoo("text"),
    "transformer": unfrozen(of_zoo("transformer")),
    "images": images(),
    "images, all layers": unfrozen(images()),
}


NOT_ON = {("transformer", "mps:0"): "torch chooses the kernel of attention in C++, which fake tensors do not reach"}


def trained(make: Make, device: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[devices.Watch, int]:
    """Take three steps on a stand-in; return what the watch noted, and the number of steps."""
    monkeypatch.setattr(zoo, "CPU", Engine("cpu", keep_memory=False))
    learner = make()
    for name, value in options.items():
        setattr(learner, name, value)
    watch = devices.Watch(device)
    steps = devices.Steps(watch)
    with devices.stand_in(device), watch:
        devices.send(learner, device)
        learner.fit(0.01, 4, callbacks=[steps])
    return watch, steps.done


@pytest.mark.parametrize("device", ["meta", "cuda:0", "mps:0"])
@pytest.mark.parametrize("name", MAKE)
def test_a_step_never_waits_for_the_device(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if (name, device) in NOT_ON:
        pytest.skip(NOT_ON[name, device])
    watch, steps = trained(MAKE[name], device, monkeypatch)
    assert steps == 3
    assert watch.found == []


def test_the_ones_above_are_all_applications() -> None:
    trained_by_steps = {name.partition(",")[0] for name in zoo.ZOO}
    assert trained_by_steps == {"tabular", "collab", "language-model", "text", "transformer", "vision"}, (
        "give MAKE the new one too"
    )


@pytest.mark.parametrize(
    ("device", "copy"),
    [
        *((device, lambda outputs: torch.tensor([2.0]).to(outputs.device)) for device in ("meta", "cuda:0", "mps:0")),
        *((device, lambda outputs: outputs.new_tensor([2.0])) for device in ("cuda:0", "mps:0")),
    ],
)
def test_a_copy_from_the_host_is_noticed(
    device: str, copy: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, _ = trained(table(), device, monkeypatch, loss=lambda outputs, batch: (outputs * copy(outputs)).mean())
    assert len(watch.found) == 3 and "from the host" in watch.found[0]


@pytest.mark.parametrize("device", ["meta", "cuda:0", "mps:0"])
@pytest.mark.parametrize(
    "read", [lambda t: float(t.sum()), lambda t: t[t > 0].sum(), lambda t: t.unique().sum()], ids=["item", "mask", "unique"]
)  # fmt: skip
def test_a_read_from_the_device_is_an_error(
    device: str, read: Callable[[Tensor], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(outputs: Any, batch: Batch) -> Tensor:
        return outputs.mean() * read(outputs.detach())

    with pytest.raises((RuntimeError, NotImplementedError)):
        trained(table(), device, monkeypatch, loss=loss)


def test_float64_on_mps_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, _ = trained(table(), "mps:0", monkeypatch, loss=lambda outputs, batch: outputs.double().mean())
    assert "makes float64" in watch.found[0]


def test_metrics_of_quantiles_make_no_float64_on_mps() -> None:
    number = Number.fit(zoo.table(), ["y"])
    quantiles = Quantiles.of(number, [0.1, 0.5, 0.9])
    with devices.stand_in("mps:0"), devices.Watch("mps:0") as watch:
        prediction, target = torch.zeros(4, 3, device="mps:0"), torch.zeros(4, device="mps:0")
        watch.armed = True
        for metric in (quantiles.pinball, quantiles.coverage):
            with pytest.raises(DataDependentOutputException):  # the figure itself is read, of course
                metric(prediction, target)
        assert watch.found == []
        prediction.double()
        assert len(watch.found) == 1


def test_the_rows_of_a_step_among_processes_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine("cpu", keep_memory=False)
    engine.device, engine.world_size = torch.device("meta"), 2
    monkeypatch.setattr(Engine, "sum", lambda _, tensor: tensor)
    with devices.Watch("meta") as watch:
        watch.armed = True
        rows = engine.step_rows(24)
    assert isinstance(rows, Tensor) and rows.device.type == "meta" and watch.found == []


def test_a_batch_goes_to_a_gpu_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []

    def pin(tensor: Tensor) -> Tensor:
        pinned.append(tensor)
        return tensor

    with devices.stand_in("cuda:0"), devices.Watch("cuda:0"):
        monkeypatch.setattr(Tensor, "is_pinned", lambda tensor: any(tensor is each for each in pinned))
        monkeypatch.setattr(Tensor, "pin_memory", pin)
        batch = Batch(inputs=(torch.zeros(3), torch.zeros(3, 2)), rows=3, target=torch.zeros(3))
        there = batch.to(torch.device("cuda:0"))
        assert [tensor.device.type for tensor in (*there.inputs, there.target)] == ["cuda"] * 3
        assert len(pinned) == 3
        again = Batch(inputs=(pinned[0],), rows=3).to(torch.device("cuda:0"))
        assert again.inputs[0].device.type == "cuda" and len(pinned) == 3, "what is pinned is not pinned again"


def test_rows_of_pinned_tensors_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = torch.arange(12.0).reshape(6, 2)
    loader = TensorLoader([inputs], inputs[:, 0], batch_size=4, shuffle=True, engine=Engine("cpu", keep_memory=False))
    plain = list(loader.batches(0))
    made: list[bool] = []

    def empty(*size: Any, pin_memory: bool = False, **options: Any) -> Tensor:
        made.append(pin_memory)
        return torch.zeros(*size, **options)

    monkeypatch.setattr(torch, "empty", empty)
    loader._pinned = True  # as on a GPU whose memory the rows do not fit in
    for first, second in zip(plain, loader.batches(0), strict=True):
        assert torch.equal(first.inputs[0], second.inputs[0]) and torch.equal(first.target, second.target)
    assert made == [True] * 4
