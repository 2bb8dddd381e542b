"""Snapshots of the weights at the end of each cycle, to restore or to average predictions over.

**Source:** Huang et al., "Snapshot Ensembles: Train 1, Get M for Free" (2017), section 3.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from headstart.core.artefact import load_weights, read_folder, write_folder
from headstart.core.errors import ArtifactError, ConfigError, did_you_mean

__all__ = ["Snapshots"]


@dataclass
class Snapshots:
    """Snapshots in a folder, each in a subfolder ``<name>_<cycle>``, with cycles numbered from 0.

    Attributes:
        folder: the folder, which is created with the first snapshot.
    """

    folder: Path

    def save(self, model: nn.Module, name: str, cycle: int) -> None:
        """Save the weights of a model, completely or not at all.

        Args:
            model: the model.
            name: name of the snapshots.
            cycle: number of the cycle, from 0; an earlier snapshot of that cycle is replaced.

        Raises:
            ConfigError: ``name`` is not a plain name.
            ArtifactError: the folder cannot be written.
        """
        write_folder(self._cycle_folder(name, cycle), "snapshot", {"cycle": cycle}, model.state_dict())

    def clear(self, name: str) -> None:
        """Remove the snapshots of an earlier fit, so that they are not averaged with those of the next fit."""
        for folder in self._saved(name):
            shutil.rmtree(folder)

    def load(self, model: nn.Module, name: str, cycle: int) -> None:
        """Load the weights of a cycle into a model.

        Raises:
            ArtifactError: there is no such snapshot, or it is damaged or belongs to another model.
        """
        if cycle not in self.cycles(name):
            raise ArtifactError(f"snapshot {name!r} in {self.folder} has the cycles {self.cycles(name)}; got {cycle}")
        _, tensors = read_folder(self._cycle_folder(name, cycle), "snapshot")
        load_weights(model, tensors, self._cycle_folder(name, cycle))

    def cycles(self, name: str) -> list[int]:
        """Return the numbers of the cycles that are saved under a name, in ascending order.

        Raises:
            ArtifactError: there are none.
        """
        numbers = sorted(int(path.name.rpartition("_")[2]) for path in self._saved(name))
        if not numbers:
            names = sorted({path.parent.name.rpartition("_")[0] for path in self.folder.glob("*_*/snapshot.json")})
            hint = did_you_mean(name, names) if names else "fit(..., snapshot=name) saves them"
            raise ArtifactError(f"{self.folder} has no snapshots named {name!r}; {hint}")
        return numbers

    def each(self, model: nn.Module, name: str) -> Iterator[int]:
        """Load the snapshots of a name one after another and yield their cycles; then restore the model's weights."""
        weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        try:
            for cycle in self.cycles(name):
                self.load(model, name, cycle)
                yield cycle
        finally:
            model.load_state_dict(weights)

    def _saved(self, name: str) -> list[Path]:
        """Return the folders of the snapshots of a name."""
        folders = [path.parent for path in self.folder.glob("*_*/snapshot.json")]
        parts = [path.name.rpartition("_") for path in folders]
        return [path for path, part in zip(folders, parts, strict=True) if part[0] == name and part[2].isdecimal()]

    def _cycle_folder(self, name: str, cycle: int) -> Path:
        if not name or Path(name).name != name:
            raise ConfigError(f"snapshot must be a plain name, without a folder, which folder= sets; got {name!r}")
        return self.folder / f"{name}_{cycle}"
