"""Activations of a frozen backbone: computed once, kept on disk, shared by later runs, resumed after an interruption.

They are keyed by all that they depend on: the images' contents, the size and how images fill it, the backbone's
weights, the precision and the device's arithmetic, and for changed copies the augmentation and its seed. Names and
dates of files, and the head, make no difference.

Several processes share the work. Those that see one folder agree on what is missing and on their shares before any of
them writes; a process whose folder no other sees, such as one on another machine, computes all rows for itself.
"""

from __future__ import annotations

import secrets
import sys
import time
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.batch import to_device
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.training.display import Verbosity, track
from headstart.vision.augment import Augment, draw
from headstart.vision.backbone_weights import weights_digest
from headstart.vision.decoding import Sizing
from headstart.vision.fused_norms import folded
from headstart.vision.images import Images, list_digest
from headstart.vision.models.backbone import Backbone
from headstart.vision.models.network import ImageModel, pooled_width
from headstart.vision.store import RowStore

__all__ = ["Activations"]

Rows = NDArray[np.int64]

VERSION = 2
"""To be raised when the same images and weights would give other activations."""

AT_ONCE_ON_A_PROCESSOR, AT_ONCE_ON_A_GPU = 32, 128


class Activations:
    """The activations of a set's images, and of changed copies of them.

    Copy 0 is each image as it is; the others are changed, each by a draw of its own.

    Args:
        model: model whose backbone computes them, with its weights as they are now.
        images: the set's images.
        sizing: size of the images.
        cache: folder of the stores.
        augment: how copies are changed.
        seed: seed of the changes.
        engine: device, precision and processes.
        progress: what is shown while they are computed.

    Attributes:
        width: number of activations of an image.
    """

    def __init__(
        self,
        model: ImageModel,
        images: Images,
        sizing: Sizing,
        *,
        cache: Path,
        augment: Augment | None,
        seed: int,
        engine: Engine,
        progress: Verbosity = "auto",
    ) -> None:
        assert isinstance(model.backbone, Backbone)
        self.model, self._backbone = model, model.backbone
        self._images, self._sizing, self._augment, self._seed = images, sizing, augment, seed
        self._engine, self._progress = engine, progress
        contents, self._first, self._stored = np.unique(images.digests, return_index=True, return_inverse=True)
        grids = model.grids or (1,) * len(self._backbone.widths)
        self._weights, self._versions = weights_digest(self._backbone), self._version()
        self._depends_on = {
            "images": list_digest(contents), "sizing": asdict(sizing), "backbone": self._backbone.name,
            "stages": list(self._backbone.widths), "grids": list(grids), "weights": self._weights,
            "precision": engine.precision, "arithmetic": engine.arithmetic, "version": VERSION,
        }  # fmt: skip
        self._root, self.width = cache, pooled_width(self._backbone.widths, grids)
        self._stores: dict[int, RowStore] = {}

    @property
    def nbytes(self) -> int:
        """Bytes on the disk."""
        return sum(store.nbytes for store in self._stores.values())

    @property
    def folders(self) -> list[str]:
        """The folders that hold them, one for each copy."""
        return [str(store.folder) for store in self._stores.values()]

    def compute(self, rows: Rows, copies: int) -> None:
        """Compute those of the activations that are not there yet.

        Args:
            rows: numbers of the rows.
            copies: number of copies of each row: 1 is the image as it is.

        Raises:
            DataError: an image cannot be decoded, or the disk cannot hold the activations.
        """
        self._engine.begin()
        missing = self._shares(self._stored[rows], copies)
        at_once = AT_ONCE_ON_A_PROCESSOR if self._engine.device.type == "cpu" else AT_ONCE_ON_A_GPU
        portions = [
            (copy, part[start : start + at_once])
            for copy, part in missing.items()
            for start in range(0, len(part), at_once)
        ]
        if portions:
            started = time.perf_counter()
            verbosity = self._progress if self._engine.is_main else "none"
            total = sum(len(part) for part in missing.values())
            _say(f"computing the activations of {total:,} images, once", verbosity)
            source = self._images.at(self._sizing)
            source.start(self._first[np.concatenate([part for _, part in portions])])
            drawn = (0, torch.empty(0))
            bar = verbosity == "bar" or (verbosity == "auto" and sys.stderr.isatty())
            with torch.no_grad():
                for copy, part in track(portions, "activations", "bar" if bar else "none"):
                    pixels = to_device(source.take(self._first[part]), self._engine.device)
                    if copy:
                        assert self._augment is not None
                        if copy != drawn[0]:  # once per copy: all draws of a copy are made at a time
                            drawn = (copy, draw(len(self._first), self._seed, 0xC0B, copy))
                        pixels = self._augment(pixels, to_device(drawn[1][part], pixels.device))
                    with self._engine.autocast():
                        activations = self._fast_body(pixels)
                    self._store(copy).write(part, activations.float().cpu().numpy())
            _say(
                f"activations: {total:,} images in {time.perf_counter() - started:.1f} s, {self.nbytes / 1e6:,.1f} MB"
                f" in {self.folders[0]}",
                verbosity,
            )
        self._engine.wait()
        if self._engine.world_size > 1:  # mapped anew: a network's file system may hold on to what the pages were
            copies_open = list(self._stores)
            self._stores.clear()
            for copy in copies_open:
                self._store(copy)

    def _shares(self, stored: Rows, copies: int) -> dict[int, Rows]:
        """Return the rows of each copy's store that this process computes, the same split on all processes.

        What is done is read by all before any of them writes, and counts as done if all that share the folder see it.
        """
        sharing = _sharing(self._root, self._engine)
        number, count = sharing.index(self._engine.rank), len(sharing)
        shares: dict[int, Rows] = {}
        for copy in range(copies):
            done = torch.from_numpy(self._store(copy).done[stored]).to(self._engine.device)[None]
            seen: Rows = self._engine.gather(done).cpu().numpy()  # (processes, rows)
            missing, first = np.unique(stored[~seen[sharing].all(0)], return_index=True)
            shares[copy] = missing[np.argsort(first)][number::count]
        return shares

    def take(self, rows: Rows, copies: Rows) -> Tensor:
        """Return activations, float32 ``(rows, features)``, of rows and of the copies given by number.

        Raises:
            DataError: some of them are not computed yet.
        """
        stored = self._stored[rows]
        if not copies.any():
            return torch.from_numpy(self._store(0).take(stored))
        values = np.empty((len(rows), self.width), dtype=np.float32)
        for copy in np.unique(copies):
            values[copies == copy] = self._store(int(copy)).take(stored[copies == copy])
        return torch.from_numpy(values)

    def digest(self, rows: Rows) -> str:
        """Return a digest of the rows' contents and of the backbone's weights."""
        return f"{list_digest(self._images.digests[rows])}-{self._weights}"

    def check(self) -> None:
        """Raise `ConfigError` if the backbone has other weights than those that computed these activations."""
        if self._version() == self._versions:
            return  # nothing was written to the weights since: no need to read them
        if weights_digest(self._backbone) != self._weights:
            raise ConfigError(
                "the backbone has other weights than those that computed the activations: call learner.precompute()"
                " again, or learner.from_images() to train from images"
            )
        self._versions = self._version()

    def _version(self) -> list[int]:
        """Count, for each tensor of the backbone, how often it was written to."""
        return [tensor._version for tensor in (*self._backbone.parameters(), *self._backbone.buffers())]

    def _store(self, copy: int) -> RowStore:
        if copy not in self._stores:
            changes = None
            if copy:
                assert self._augment is not None
                changes = {"augment": asdict(self._augment), "seed": self._seed, "copy": copy}
            self._stores[copy] = RowStore(
                self._root, "activations", {**self._depends_on, "changes": changes},
                rows=len(self._first), shape=(self.width,), dtype="float32",
            )  # fmt: skip
        return self._stores[copy]

    @cached_property
    def _fast_body(self) -> torch.nn.Module:
        """The model up to its activations, as fast as it gets without changing them."""
        body = _Body(self.model).eval()
        size = self._sizing.size
        example = torch.linspace(0, 1, 2 * 3 * size * size, device=self._engine.device).reshape(2, 3, size, size)
        return folded(body, example)


class _Body(torch.nn.Module):
    """The part of an `ImageModel` that is computed once."""

    def __init__(self, model: ImageModel) -> None:
        super().__init__()
        self.model = ImageModel(model.backbone, torch.nn.Identity(), model.grids)  # type: ignore[arg-type]  # no head is called

    def forward(self, images: Tensor) -> Tensor:
        return self.model.activations(images)


def _sharing(folder: Path, engine: Engine) -> list[int]:
    """Return the ranks of the processes that see the files in this process's folder, its own included, ascending.

    Each process leaves a file there and looks for those of the others: equal paths may be different disks, and
    different paths the same one.
    """
    if engine.world_size == 1:
        return [0]
    run = engine.from_main(secrets.token_hex(8))
    files = [folder / f".process-{run}-{rank}" for rank in range(engine.world_size)]
    failure: str | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files[engine.rank].touch()
    except OSError as error:
        failure = f"{folder} cannot be written ({error.strerror or error})"
    failures = [why for why in engine.from_all(failure) if why is not None]  # all files are there
    sharing = [rank for rank, file in enumerate(files) if file.exists()]
    engine.wait()  # all have looked
    files[engine.rank].unlink(missing_ok=True)
    if failures:
        raise DataError(f"{failures[0]}: set HEADSTART_CACHE or cache= to a folder that can be")
    return sharing


def _say(line: str, verbosity: Verbosity) -> None:
    if verbosity != "none":
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
