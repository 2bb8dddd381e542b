"""`fit`: the training loop of all applications and of custom models."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice

from headstart.core.batch import Batch
from headstart.targets.target import Loss
from headstart.training.callbacks import Callback
from headstart.training.ensemble import independent_parts
from headstart.training.evaluation import Evaluate
from headstart.training.loaders import Loader
from headstart.training.optim import set_rates, train_mode
from headstart.training.progress import Progress
from headstart.training.schedules import Schedule

__all__ = ["fit"]


def fit(
    progress: Progress,
    loader: Loader,
    loss: Loss,
    schedule: Schedule,
    *,
    evaluate: Evaluate | None = None,
    callbacks: Sequence[Callback] = (),
    clip: float | None = None,
    accumulate: int = 1,
) -> None:
    """Train from the current state of ``progress`` until the schedule ends or a callback stops the fit.

    Args:
        progress: model, optimizer, engine and state of the fit.
        loader: training batches.
        loss: ``loss(outputs, batch)``, a mean over ``batch.rows``, where ``outputs`` is what the model returned.
        schedule: number of epochs, factor on the learning rates and momentum.
        evaluate: function that is called after each epoch and whose figures are added to the history.
        callbacks: callbacks, whose hooks run in this order.
        clip: maximum norm of all gradients together, or of each ensemble member's; None: no clipping.
        accumulate: number of batches per optimizer step; all rows in them have the same weight.
    """
    engine, optimizer, model = progress.engine, progress.optimizer, progress.prepared
    parts = independent_parts(progress.model, optimizer)
    progress.epochs = schedule.epochs
    try:
        for callback in callbacks:
            callback.on_fit_start(progress)
        while progress.epoch < schedule.epochs and not progress.stop:
            started, progress.steps = time.perf_counter(), loader.steps(progress.data_epoch)
            train_mode(progress.model, progress.groups)
            for window in _windows(loader.batches(progress.data_epoch, progress.step), accumulate):
                fraction = (progress.epoch + progress.step / progress.steps) / schedule.epochs
                rate = schedule.lr(fraction) * sum(batch.rate for batch in window) / len(window)
                set_rates(optimizer, rate, schedule.momentum(fraction))
                step_rows = engine.step_rows(sum(batch.rows for batch in window))
                for number, batch in enumerate(window, start=1):
                    batch = batch.to(engine.device)
                    for callback in callbacks:
                        batch = callback.on_batch(progress, batch)
                    with engine.exchange(model, last=number == len(window)):
                        with engine.autocast():
                            outputs = model(*batch.inputs)
                            minimised = progress.loss = loss(outputs, batch)
                            for callback in callbacks:
                                minimised = callback.on_loss(progress, batch, outputs, minimised)
                        engine.backward(minimised, len(parts) * batch.rows / step_rows)
                    progress.add_loss(batch.rows)
                engine.step(optimizer, parts, clip)
                progress.step += len(window)
                for callback in callbacks:
                    callback.on_step_end(progress)
                if progress.stop:
                    return
            figures = {"epoch": progress.epoch, "train_loss": progress.epoch_loss()}
            engine.agree(progress.model)
            figures |= evaluate() if evaluate is not None else {}
            progress.end_epoch({**figures, "seconds": time.perf_counter() - started})
            for callback in callbacks:
                callback.on_epoch_end(progress)
    finally:
        for callback in callbacks:
            callback.on_fit_end(progress)


def _windows(batches: Iterator[Batch], size: int) -> Iterator[tuple[Batch, ...]]:
    """Yield the batches of each optimizer step."""
    while window := tuple(islice(batches, size)):
        yield window
