"""Evaluation: outputs of a model for all rows of a loader, in row order, on every process."""

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

__all__ = ["Evaluate", "Evaluated", "evaluate", "prediction_of", "run_model"]

Evaluate = Callable[[], dict[str, float]]
"""Function that the training loop calls at the end of an epoch; it returns figures by name."""


@dataclass(frozen=True)
class Evaluated:
    """Outputs of a model for all rows of a loader.

    Attributes:
        outputs: ``(rows, ...)``, in row order, gathered from all processes, with each row once.
        target: ``(rows, ...)``, in the same order; None if the batches have no target.
        loss: mean loss over all rows; None if it was not computed.
    """

    outputs: Tensor
    target: Tensor | None
    loss: float | None


def run_model(model: nn.Module, loader: Loader, engine: Engine, loss: Loss | None = None) -> Evaluated:
    """Run a model in evaluation mode on all batches of a loader; the model stays in evaluation mode.

    Args:
        model: called as ``model(*batch.inputs)``; if it returns a tuple, the first element is the output.
        loader: loader whose batches have an ``index`` or come in row order.
        engine: device, precision and processes.
        loss: ``loss(outputs, batch)``, a mean over ``batch.rows``; None: no loss is computed.

    Raises:
        DataError: the loader has no rows.
    """
    engine.begin()
    model.eval()
    outputs: list[Tensor] = []
    targets: list[Tensor] = []
    indices: list[Tensor] = []
    loss_sum, rows = engine.accumulator(), engine.accumulator()
    with torch.no_grad():  # not inference_mode: tensors that a model caches are also used in training
        for batch in loader.batches(0):
            batch = batch.to(engine.device)
            if batch.rows == 0:  # fewer rows than processes
                continue
            with engine.autocast():
                returned: Any = model(*batch.inputs)
                value = None if loss is None else loss(returned, batch)
            outputs.append(returned[0] if isinstance(returned, tuple) else returned)
            if value is not None:
                loss_sum += value * batch.rows
                rows += batch.rows
            if batch.target is not None:
                targets.append(batch.target)
            if batch.index is not None:
                indices.append(batch.index)
    result, target, index = (_gathered(parts, engine) for parts in (outputs, targets, indices))
    if result is None:
        raise DataError("there are no rows to evaluate")
    if index is not None:
        order = index.argsort()
        result, target = result[order], None if target is None else target[order]
    mean_loss = None if loss is None else float(engine.sum(loss_sum) / engine.sum(rows))
    return Evaluated(result, target, mean_loss)


def evaluate(
    model: nn.Module,
    loader: Loader,
    engine: Engine,
    loss: Loss,
    target: Target | None,
    metrics: Sequence[Metric],
    temperature: float | None = 1.0,
) -> dict[str, float]:
    """Return ``valid_loss`` and the metrics over all rows of a loader, by name.

    **Source:** of measuring a classifier after fitting its temperature: Berta, Holzmüller, Jordan and Bach, "Rethinking
    Early Stopping: Refine, Then Calibrate" (2025).

    Args:
        model: the model, which stays in evaluation mode.
        loader: validation rows.
        engine: device, precision and processes.
        loss: ``loss(outputs, batch)``, a mean over ``batch.rows``.
        target: converts outputs to predictions; None: outputs are predictions.
        metrics: metrics of predictions and targets on their original scale.
        temperature: divisor of the outputs from which predictions are made; ``valid_loss`` is that of the outputs as
            they are. None: fitted on these rows; for classes it is then one of the figures.

    Raises:
        ConfigError: there are metrics, but the batches have no target.
        DataError: the loader has no rows.
    """
    evaluated = run_model(model, loader, engine, loss)
    assert evaluated.loss is not None
    figures = {"valid_loss": evaluated.loss}
    if temperature is None:
        temperature = 1.0
        if target is not None and target.classes and evaluated.target is not None:
            temperature = figures["temperature"] = target.temperature(evaluated.outputs, evaluated.target)
    if metrics:
        if evaluated.target is None:
            raise ConfigError("metrics need a target, but the validation batches have no target; give metrics=[]")
        prediction = prediction_of(evaluated.outputs, target, temperature)
        true = target.original(evaluated.target) if target is not None else evaluated.target
        figures |= {metric.name: metric(prediction, true) for metric in metrics}
    return figures


def prediction_of(outputs: Tensor, target: Target | None, temperature: float) -> Tensor:
    """Return the predictions for a model's outputs, ``(rows, ...)``.

    Args:
        outputs: outputs, ``(rows, ...)``.
        target: converts outputs to predictions; None: outputs are predictions.
        temperature: divisor of the outputs; 1 unless the target is made of classes.
    """
    if target is None:
        return outputs
    return target.prediction(outputs if temperature == 1.0 else outputs.float() / temperature)


def _gathered(parts: list[Tensor], engine: Engine) -> Tensor | None:
    local = torch.cat(parts) if parts else None
    if engine.world_size == 1:
        return local
    # A process without rows gets shape and data type from the others.
    layout = None if local is None else [list(local.shape[1:]), str(local.dtype).removeprefix("torch.")]
    known = next((other for other in engine.from_all(layout) if other is not None), None)
    if known is None:
        return None
    if local is None:
        local = torch.zeros(0, *known[0], dtype=getattr(torch, known[1]), device=engine.device)
    return engine.gather(local)
