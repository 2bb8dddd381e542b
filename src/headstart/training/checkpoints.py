"""Checkpoints: a fit on disk, and what two fits must have in common for one to go on where the other stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from headstart.core.artefact import pack, read_folder, reading, unpack, write_folder
from headstart.core.errors import ArtifactError
from headstart.core.values import Json, differences
from headstart.training.callbacks import Callback
from headstart.training.progress import Progress
from headstart.training.schedules import Schedule

__all__ = [
    "Checkpoints",
    "Stateful",
    "optimizer_setting",
    "read_checkpoint",
    "schedule_setting",
    "write_checkpoint",
]

QUARTERS = 4
"""Moments of each epoch at which schedules of different length are compared."""


class Stateful(Protocol):
    """Protocol of callbacks whose state a checkpoint stores and restores."""

    def state(self) -> dict[str, Any]:
        """Return the state of the callback: tensors, numbers, strings, and lists and dictionaries of them."""

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state that `state` returned."""


class Checkpoints(Callback):
    """Write a checkpoint after each epoch; the last callback, so that it stores the current state of the others.

    Args:
        folder: folder of the checkpoint.
        callbacks: the other callbacks, whose state is stored.
        setting: everything that the fit depends on; a checkpoint is resumed only with the same setting.
    """

    def __init__(self, folder: Path, callbacks: Sequence[Callback], setting: Json) -> None:
        self.folder, self.callbacks, self.setting = folder, callbacks, setting

    def take_up(self, progress: Progress) -> None:
        """Restore the fit and the callbacks from the checkpoint, if there is one.

        Raises:
            ArtifactError: the checkpoint is damaged or belongs to another fit.
        """
        if (self.folder / "checkpoint.json").is_file():
            read_checkpoint(self.folder, progress, self.callbacks, self.setting)

    def on_epoch_end(self, progress: Progress) -> None:
        """Write the checkpoint, replacing an earlier one."""
        write_checkpoint(self.folder, progress, self.callbacks, self.setting)


def write_checkpoint(folder: Path, progress: Progress, callbacks: Sequence[Stateful], setting: Json) -> None:
    """Write a checkpoint, atomically. All processes must call it; the main process writes.

    Args:
        folder: folder of the checkpoint; an earlier checkpoint is replaced.
        progress: state of the fit.
        callbacks: callbacks whose state is stored, in this order.
        setting: everything that the fit depends on; `read_checkpoint` requires the same setting.

    Raises:
        ArtifactError: the folder cannot be written, or contains other files.
    """
    tensors: dict[str, Tensor] = {}
    record = pack(progress.state(), tensors, "progress")
    states = [[type(part).__name__, pack(part.state(), tensors, f"callback{n}")] for n, part in enumerate(callbacks)]
    written = {"setting": setting, "progress": record, "callbacks": states}
    progress.engine.on_main(lambda: write_folder(folder, "checkpoint", written, tensors))


def read_checkpoint(folder: Path, progress: Progress, callbacks: Sequence[Stateful], setting: Json) -> None:
    """Restore a fit from a checkpoint, so that its rest is bit-identical to that of an uninterrupted fit.

    A fit may be given more epochs than it had, if the rates of the epochs behind it do not depend on their number, as
    at a constant rate.

    Args:
        folder: folder of the checkpoint.
        progress: state of a new fit, which is overwritten.
        callbacks: callbacks of the same classes and in the same order as those of the checkpoint.
        setting: everything that the fit depends on.

    Raises:
        ArtifactError: the checkpoint is damaged, or belongs to a fit with another setting or other callbacks.
    """
    record, tensors = read_folder(folder, "checkpoint")
    with reading(folder):
        saved = unpack(record["progress"], tensors)
        changed = list(differences(*_comparable(record["setting"], setting, saved["epoch"])))
    if changed:
        shown = "; ".join(f"{name} was {before!r}, is {after!r}" for name, before, after in changed[:3])
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ArtifactError(
            f"the checkpoint in {folder} belongs to another fit: {shown}{more}. Use the same settings, or start"
            " anew with resume=False"
        )
    with reading(folder):
        names = [type(callback).__name__ for callback in callbacks]
        if [name for name, _ in record["callbacks"]] != names:
            raise ArtifactError(
                f"the checkpoint in {folder} was written with the callbacks {[n for n, _ in record['callbacks']]}, but"
                f" this fit has {names}; give the same callbacks in the same order"
            )
        progress.restore(saved)
        for callback, (_, state) in zip(callbacks, record["callbacks"], strict=True):
            callback.restore(unpack(state, tensors))


def _comparable(before: Json, after: Json, epoch: int) -> tuple[Json, Json]:
    """Return two settings as they must agree: of a fit that is to be longer, the schedules up to the epoch reached."""
    longer = after["schedule"]["epochs"] > before["schedule"]["epochs"]
    if longer and _so_far(before["schedule"], epoch) == _so_far(after["schedule"], epoch):
        return {**before, "schedule": None}, {**after, "schedule": None}
    one, other = ({**setting, "schedule": {**setting["schedule"], "quarters": []}} for setting in (before, after))
    return one, other


def _so_far(schedule: Json, epoch: int) -> Json:
    """Return what a schedule has done up to the end of an epoch."""
    moments = epoch * QUARTERS
    ends = [end for end in schedule["cycle_ends"] if end <= epoch]
    return {"class": schedule["class"], "cycle_ends": ends, "quarters": schedule["quarters"][:moments]}


def optimizer_setting(optimizer: torch.optim.Optimizer) -> Json:
    """Return the class of an optimizer and its options, except the learning rate, which has an entry of its own."""
    options = {name: repr(value) for name, value in optimizer.defaults.items() if name != "lr"}
    return {"class": type(optimizer).__name__, **options}


def schedule_setting(schedule: Schedule) -> Json:
    """Return what a schedule does: its class, epochs, cycles, and its factor and momentum along the fit.

    ``quarters`` has both at the start of each quarter of an epoch, rounded, to be compared with a schedule of other
    length.
    """
    fractions = [number / 16 for number in range(17)]
    quarters = [number / QUARTERS / schedule.epochs for number in range(schedule.epochs * QUARTERS)]
    return {
        "class": type(schedule).__name__,
        "epochs": schedule.epochs,
        "cycle_ends": list(schedule.cycle_ends),
        "lr": [schedule.lr(fraction) for fraction in fractions],
        "momentum": [schedule.momentum(fraction) for fraction in fractions],
        "quarters": [[_rounded(schedule.lr(moment)), _rounded(schedule.momentum(moment))] for moment in quarters],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 9)
