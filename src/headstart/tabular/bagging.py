"""Several networks of one design: each leaves out another part of the training rows, by which it stops in time."""

from __future__ import annotations

import dataclasses
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from headstart.core.engine import seed_of
from headstart.core.errors import ConfigError, HeadstartWarning
from headstart.tabular.data import EVALUATION_BATCH, TabularData
from headstart.training.application_learner import ApplicationLearner
from headstart.training.callbacks import Callback, Deadline
from headstart.training.ensemble import Ensemble
from headstart.training.loaders import TensorLoader
from headstart.training.settings import Plan

__all__ = ["FOLDS", "fit_bag", "fit_on_all_rows", "length_without_validation"]

Make: TypeAlias = Callable[[TabularData, int], ApplicationLearner]
"""``make(data, number)``: returns a fresh learner of one network on other rows, with a seed of its own."""

FOLDS = 8
"""Parts of the training rows, each of which one network leaves out."""


def fit_bag(
    learner: ApplicationLearner, make: Make, plan: Plan, *, deadline: Deadline | None = None, folds: int = FOLDS
) -> list[int]:
    """Train one network per fold of the training rows, and give the learner all of them as one ensemble.

    Each network trains on the other folds and keeps its best epoch by its own, so that all training rows are used. The
    learner's validation rows, if there are any, are left to the metrics and the temperature. After a deadline no
    further network begins.

    **Source:** Breiman, "Bagging Predictors" (1996), with folds in the place of bootstrap samples.

    Args:
        learner: the learner, whose network is replaced; its design is given the number of networks.
        make: makes the learner of one network.
        plan: plan of each network.
        deadline: ends the fit; None: all folds are trained.
        folds: number of folds, at least 2.

    Returns:
        The number of the epoch that each network kept, from 1.

    Raises:
        ConfigError: there are fewer training rows than folds need.
    """
    data: TabularData = learner.data
    if data.train.rows < 10 * folds:
        raise ConfigError(
            f"preset='best' needs {10 * folds} training rows; got {data.train.rows}: use the default preset"
        )
    models: list[nn.Module] = []
    kept: list[int] = []
    temperatures: list[float] = []
    for number, part in enumerate(_folds(data, folds, learner.training.seed)):
        member = make(part, number)
        history = member.fit_plan(plan, callbacks=[] if deadline is None else [deadline])
        if not history:  # the time was up as the network before it ended
            break
        models.append(member.model)
        temperatures.append(member.temperature)
        kept.append(history.kept() or len(history))
        learner.history += [{**figures, "fit": learner.fits} for figures in history]
        learner.fits += 1
        if deadline is not None and deadline.reached:
            break
    _take(learner, models)
    learner.temperature = statistics.geometric_mean(temperatures)
    if data.valid is not None:
        learner.measure()
    return kept


def length_without_validation(
    learner: ApplicationLearner, make: Make, plan: Plan, callbacks: Sequence[Callback] = ()
) -> tuple[int, float]:
    """Train a copy of the learner's network on four fifths of the training rows, and stop it by the others.

    Args:
        learner: a learner without validation rows, which is not changed.
        make: makes a learner of the same design.
        plan: a plan with patience.
        callbacks: callbacks of this fit.

    Returns:
        The number of the epoch that was kept, from 1, and the temperature.
    """
    copy = make(next(_folds(learner.data, 5, learner.training.seed)), 0)
    copy.model.load_state_dict(learner.model.state_dict())
    history = copy.fit_plan(plan, callbacks=callbacks)
    return history.kept() or len(history), copy.temperature


def fit_on_all_rows(learner: ApplicationLearner, make: Make, plan: Plan, kept: list[int]) -> None:
    """Train the learner's networks anew on all rows, those of validation too, for as many epochs as they took before.

    The codec is learnt anew, too, so that it knows the values and the time of the validation rows. The temperature and
    the figures remain those that these rows gave before they were trained on.

    Args:
        learner: a trained learner with validation rows; it then has data without.
        make: makes the learner of one network.
        plan: the plan by which they were trained.
        kept: number of epochs of each network.

    Raises:
        ConfigError: there are no validation rows, so that all rows have been trained on already.
    """
    make_whole = learner.data.on_all_rows
    if make_whole is None:
        raise ConfigError("refit=True trains on the validation rows too, but there are none: leave it out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeadstartWarning)  # the same rows have warned already
        whole: TabularData = make_whole()
    models: list[nn.Module] = []
    for number, epochs in enumerate(kept):
        member = make(whole, number)
        history = member.fit_plan(dataclasses.replace(plan, epochs=epochs, patience=None, keep="last"))
        models.append(member.model)
        learner.history += [{**figures, "fit": learner.fits} for figures in history]
        learner.fits += 1
    learner.codec, learner.target = whole.codec, whole.codec.target
    learner.data = whole
    _take(learner, models)


def _folds(data: TabularData, folds: int, seed: int) -> Iterator[TabularData]:
    """Yield data that each leave out one fold of the training rows, by which they validate."""
    train = data.train
    order = torch.randperm(train.rows, generator=torch.Generator().manual_seed(seed_of(seed, folds)))
    for fold in range(folds):
        held = order[fold::folds].sort().values
        rest = torch.ones(train.rows, dtype=torch.bool).index_fill_(0, held, False).nonzero().squeeze(1)
        yield dataclasses.replace(
            data, train=_part(train, rest, shuffle=True), valid=_part(train, held, shuffle=False), valid_rows=None,
            notes=(), repeated=0, latest=False, on_all_rows=None,
        )  # fmt: skip


def _part(loader: TensorLoader, rows: Tensor, *, shuffle: bool) -> TensorLoader:
    """Return some rows to train on if they are shuffled, or else to validate with, all counting alike."""

    def taken(tensor: Tensor) -> Tensor:
        return tensor.index_select(0, rows.to(tensor.device))

    return TensorLoader(
        [taken(tensor) for tensor in loader.inputs], None if loader.target is None else taken(loader.target),
        taken(loader.weight) if shuffle and loader.weight is not None else None,
        batch_size=loader.batch_size if shuffle else EVALUATION_BATCH, shuffle=shuffle, seed=loader.seed,
        engine=loader.engine,
    )  # fmt: skip


def _take(learner: ApplicationLearner, models: list[nn.Module]) -> None:
    """Give the learner trained networks, one alone or several as an ensemble."""
    networks = [network for model in models for network in (model.members if isinstance(model, Ensemble) else [model])]
    learner.design = dataclasses.replace(learner.design, ensemble=len(networks))
    learner.model = networks[0] if len(networks) == 1 else Ensemble(networks).to(learner.engine.device)
    learner.model.eval()
