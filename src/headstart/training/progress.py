"""`Progress`: all the mutable state of one fit. A checkpoint is made of it, and callbacks get it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from headstart.core.artefact import pack, read_folder, reading, unpack, write_folder
from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError
from headstart.core.values import Json, differences
from headstart.targets.metrics import Better
from headstart.training.optim import Groups

__all__ = ["FIGURES_BESIDE_METRICS", "Progress", "Stateful", "read_checkpoint", "write_checkpoint"]


FIGURES_BESIDE_METRICS = ("fit", "epoch", "train_loss", "seconds", "kept")
"""What stands in the figures of an epoch beside those of its evaluation."""


class Stateful(Protocol):
    """What a checkpoint asks of a callback: its own state, and to take it back."""

    def state(self) -> dict[str, Any]:
        """What the callback has gathered: tensors, numbers, text and their lists."""

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave."""


@dataclass
class Progress:
    """One fit, as far as it has come.

    Attributes:
        model: the user's own module.
        prepared: what is called: the same module, or wrapped in DDP.
        groups: the model's parameter groups.
        optimizer: made for this fit.
        engine: where it runs.
        steps: batches in the current epoch.
        fit: the fit's number in its learner.
        epochs: how many epochs the fit takes.
        epoch: how many of them are complete.
        step: how many batches of the current epoch are.
        loss_sum: float64 scalar on the device: the sum of the training loss over the epoch's rows.
        rows: rows of this process that went into the sum.
        loss: the last batch's training loss, on the device: reading it waits for the device.
        history: a dictionary per epoch: ``epoch``, ``train_loss``, the evaluation's figures, ``seconds``.
        kept: the epoch, counted from 1, whose weights the model ends with; None: the last.
        stop: a callback sets it to end the fit after the current step.
        first: the figure that matters most: the first metric, or ``valid_loss``, or ``train_loss``.
        better: whether a lower or a higher value is better, for each figure of which it is known.
        first_epoch: number of epochs in the learner's earlier fits.
    """

    model: nn.Module
    prepared: nn.Module
    groups: Groups
    optimizer: torch.optim.Optimizer
    engine: Engine
    epochs: int
    fit: int = 0
    steps: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: Tensor = field(init=False)
    rows: int = 0
    loss: Tensor | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    kept: int | None = None
    stop: bool = False
    first: str = "train_loss"
    better: Mapping[str, Better] = field(default_factory=lambda: {"train_loss": "lower"})
    first_epoch: int = 0

    def __post_init__(self) -> None:
        """An empty sum on the device."""
        self.loss_sum = self.engine.accumulator()

    @property
    def data_epoch(self) -> int:
        """The current epoch, counted over all fits of the learner: each has an order of rows of its own."""
        return self.first_epoch + self.epoch

    def add_loss(self, rows: int) -> None:
        """Adds the last batch's loss to the epoch's; nothing waits for the device."""
        assert self.loss is not None
        self.loss_sum.add_(self.loss.detach(), alpha=rows)
        self.rows += rows

    def epoch_loss(self) -> float:
        """The training loss per row over all processes: the one read of an epoch."""
        total = self.engine.sum(torch.stack([self.loss_sum, self.loss_sum.new_tensor(float(self.rows))]))
        loss_sum, rows = total.tolist()
        return float(loss_sum / rows) if rows else math.nan

    def end_epoch(self, figures: dict[str, float]) -> None:
        """Records an epoch's figures and begins the next."""
        self.history.append(figures)
        self.epoch, self.step, self.rows = self.epoch + 1, 0, 0
        self.loss_sum = self.engine.accumulator()

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the fit depends on, except the callbacks' own state.

        Among processes each must call it: what differs between them (random streams, carried states, sums) is gathered
        along a new first axis, ``(processes, ...)``.
        """
        persistent = self.model.state_dict()
        carried = {name: buffer for name, buffer in self.model.named_buffers() if name not in persistent}
        own = {"loss_sum": self.loss_sum, "rows": torch.tensor(self.rows), **_prefixed("carried", carried)}
        own |= _prefixed("random", self.engine.random_state())
        gathered = {name: self.engine.gather(value.to(self.engine.device)[None]) for name, value in own.items()}
        return {
            "fit": self.fit,
            "first_epoch": self.first_epoch,
            "epoch": self.epoch,
            "step": self.step,
            "stop": self.stop,
            "history": self.history,
            "model": persistent,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.engine.scaler.state_dict(),
            "processes": gathered,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Puts the fit back where `state` saw it, into a model and an optimizer of the same make."""
        # Copies, since torch's set_rng_state reads from where a view's storage begins, not from the view.
        own = {name: value[self.engine.rank].clone() for name, value in state["processes"].items()}
        self.fit, self.first_epoch, self.epoch = (state[name] for name in ("fit", "first_epoch", "epoch"))
        self.step, self.stop = state["step"], state["stop"]
        self.loss_sum, self.rows = own["loss_sum"].to(self.engine.device), int(own["rows"])
        self.history[:] = state["history"]
        self.model.load_state_dict(state["model"], strict=True)
        for name, value in _without_prefix("carried", own).items():
            # Replaced, not copied into: a carried state has the shape of the last batch.
            owner, _, own_name = name.rpartition(".")
            self.model.get_submodule(owner)._buffers[own_name] = value.to(self.engine.device)
        self.optimizer.load_state_dict(state["optimizer"])
        self.engine.scaler.load_state_dict(state["scaler"])
        self.engine.set_random_state({name: value.cpu() for name, value in _without_prefix("random", own).items()})


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")
    }


def write_checkpoint(folder: Path, progress: Progress, callbacks: Sequence[Stateful], setting: Json) -> None:
    """Writes everything that the rest of a fit depends on, as one step.

    Args:
        folder: where to; an earlier checkpoint there is replaced whole.
        progress: the fit.
        callbacks: whose own state goes along, in this order.
        setting: what the fit was asked to do; a resume must ask for the same.

    Among processes each must call it; the main one writes.
    """
    tensors: dict[str, Tensor] = {}
    record = pack(progress.state(), tensors, "progress")
    if not progress.engine.is_main:
        return
    states = [[type(part).__name__, pack(part.state(), tensors, f"callback{n}")] for n, part in enumerate(callbacks)]
    write_folder(folder, "checkpoint", {"setting": setting, "progress": record, "callbacks": states}, tensors)


def read_checkpoint(folder: Path, progress: Progress, callbacks: Sequence[Stateful], setting: Json) -> None:
    """Takes up a fit where `write_checkpoint` left it: the rest gives the same bits as if it had never stopped.

    Raises:
        ArtifactError: the checkpoint is damaged, or belongs to a fit that was asked for something else.
    """
    record, tensors = read_folder(folder, "checkpoint")
    changed = list(differences(record.get("setting"), setting))
    if changed:
        shown = "; ".join(f"{name} was {before!r}, is {after!r}" for name, before, after in changed[:3])
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ArtifactError(
            f"the checkpoint in {folder} belongs to another fit: {shown}{more}. Give the same again, or start afresh"
            " with resume=False"
        )
    with reading(folder):
        names = [type(callback).__name__ for callback in callbacks]
        if [name for name, _ in record["callbacks"]] != names:
            raise ArtifactError(
                f"the checkpoint in {folder} was written with the callbacks {[n for n, _ in record['callbacks']]}, and"
                f" this fit has {names}; give the same ones in the same order"
            )
        progress.restore(unpack(record["progress"], tensors))
        for callback, (_, state) in zip(callbacks, record["callbacks"], strict=True):
            callback.restore(unpack(state, tensors))
