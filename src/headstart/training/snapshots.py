"""Snapshots: the weights at the end of each cycle, to go back to or to average predictions over.

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
    """The snapshots in a folder: ``<name>_<cycle>``, cycles counted from 0, each a folder of its own.

    Attributes:
        folder: made with the first snapshot.
    """

    folder: Path

    def save(self, model: nn.Module, name: str, cycle: int) -> None:
        """Saves a model's weights, whole or not at all; an earlier snapshot of the name and cycle is replaced."""
        write_folder(self._place(name, cycle), "snapshot", {"cycle": cycle}, model.state_dict())

    def clear(self, name: str) -> None:
        """Takes away the cycles of an earlier fit, so that they are not averaged with those of the next."""
        for folder in self._saved(name):
            shutil.rmtree(folder)

    def load(self, model: nn.Module, name: str, cycle: int) -> None:
        """Puts the weights of a cycle into a model.

        Raises:
            ArtifactError: there is no such cycle, or it is damaged or of another model.
        """
        if cycle not in self.cycles(name):
            raise ArtifactError(f"snapshot {name!r} in {self.folder} has the cycles {self.cycles(name)}; got {cycle}")
        _, tensors = read_folder(self._place(name, cycle), "snapshot")
        load_weights(model, tensors, self._place(name, cycle))

    def cycles(self, name: str) -> list[int]:
        """The cycles that are saved under a name, ascending.

        Raises:
            ArtifactError: none is.
        """
        found = sorted(int(path.name.rpartition("_")[2]) for path in self._saved(name))
        if not found:
            names = sorted({path.parent.name.rpartition("_")[0] for path in self.folder.glob("*_*/snapshot.json")})
            hint = did_you_mean(name, names) if names else "fit(..., snapshot=name) makes them"
            raise ArtifactError(f"{self.folder} has no snapshots named {name!r}; {hint}")
        return found

    def each(self, model: nn.Module, name: str) -> Iterator[int]:
        """Each cycle of a name in turn, with its weights in the model, which has its own back afterwards."""
        own = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        try:
            for cycle in self.cycles(name):
                self.load(model, name, cycle)
                yield cycle
        finally:
            model.load_state_dict(own)

    def _saved(self, name: str) -> list[Path]:
        """The folders of a name's cycles."""
        found = [path.parent for path in self.folder.glob("*_*/snapshot.json")]
        parts = [path.name.rpartition("_") for path in found]
        return [path for path, part in zip(found, parts, strict=True) if part[0] == name and part[2].isdecimal()]

    def _place(self, name: str, cycle: int) -> Path:
        if not name or Path(name).name != name:
            raise ConfigError(f"snapshot must be a plain name, with folder= saying where; got {name!r}")
        return self.folder / f"{name}_{cycle}"
