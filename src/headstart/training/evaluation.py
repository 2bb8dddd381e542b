"""Evaluation: a model's outputs for all rows of a loader, in row order, on every process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.targets.metrics import Metric
from headstart.targets.target import Loss, Target
from headstart.training.loaders import Loader

__all__ = ["Evaluate", "Evaluated", "evaluate", "run_model"]

Evaluate = Callable[[], dict[str, float]]
"""What the loop calls at the end of an epoch: any figures, by name."""


@dataclass(frozen=True)
class Evaluated:
    """What a model made of a loader's rows.

    Attributes:
        outputs: ``(rows, ...)``, in the rows' order, gathered over the processes, each row once.
        target: ``(rows, ...)``, likewise; None if the loader has none.
        loss: the mean loss over all rows; None without a loss.
    """

    outputs: Tensor
    target: Tensor | None
    loss: float | None


def run_model(model: nn.Module, loader: Loader, engine: Engine, loss: Loss | None = None) -> Evaluated:
    """Runs a model over a loader in evaluation mode, which it is left in.

    Args:
        model: called as ``model(*batch.inputs)``; a tuple's first element is the output.
        loader: whose batches carry ``index``, or come in the rows' order.
        engine: precision and processes.
        loss: ``loss(outputs, batch)``, a mean over ``batch.rows``; None: not computed.
    """
    engine.begin()
    model.eval()
    outputs: list[Tensor] = []
    targets: list[Tensor] = []
    places: list[Tensor] = []
    loss_sum, rows = engine.accumulator(), engine.accumulator()
    with torch.no_grad():  # not inference_mode: what a model caches on its first call must serve training too
        for batch in loader.batches(0):
            batch = batch.to(engine.device)
            if batch.rows == 0:  # fewer rows than processes
                continue
            with engine.autocast():
                found: Any = model(*batch.inputs)
                value = None if loss is None else loss(found, batch)
            outputs.append(found[0] if isinstance(found, tuple) else found)
            if value is not None:
                loss_sum += value * batch.rows
                rows += batch.rows
            if batch.target is not None:
                targets.append(batch.target)
            if batch.index is not None:
                places.append(batch.index)
    result, target, place = (_gathered(parts, engine) for parts in (outputs, targets, places))
    if result is None:
        raise DataError("there are no rows to evaluate")
    if place is not None:
        order = place.argsort()
        result, target = result[order], None if target is None else target[order]
    mean_loss = None if loss is None else float(engine.sum(loss_sum) / engine.sum(rows))
    return Evaluated(result, target, mean_loss)


def evaluate(
    model: nn.Module, loader: Loader, engine: Engine, loss: Loss, target: Target | None, metrics: Sequence[Metric]
) -> dict[str, float]:
    """``valid_loss`` and the metrics over all rows of a loader.

    Args:
        model: left in evaluation mode.
        loader: of validation rows.
        engine: precision and processes.
        loss: ``loss(outputs, batch)``.
        target: turns outputs into predictions; None leaves them.
        metrics: functions of (prediction, target on its original scale).
    """
    found = run_model(model, loader, engine, loss)
    assert found.loss is not None
    figures = {"valid_loss": found.loss}
    if metrics:
        if found.target is None:
            raise ConfigError("metrics compare with a target, but the validation batches have none")
        prediction = target.prediction(found.outputs) if target is not None else found.outputs
        true = target.original(found.target) if target is not None else found.target
        figures |= {metric.name: metric(prediction, true) for metric in metrics}
    return figures


def _gathered(parts: list[Tensor], engine: Engine) -> Tensor | None:
    own = torch.cat(parts) if parts else None
    if engine.world_size == 1:
        return own
    # A process without rows does not know the shape of the others': they tell it.
    described = engine.from_all(None if own is None else [list(own.shape[1:]), str(own.dtype).removeprefix("torch.")])
    known = next((description for description in described if description is not None), None)
    if known is None:
        return None
    if own is None:
        own = torch.zeros(0, *known[0], dtype=getattr(torch, known[1]), device=engine.device)
    return engine.gather(own)
