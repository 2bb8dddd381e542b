"""Activations of a frozen backbone: computed once, kept on disk, shared by later runs, taken up after a stop.

What they are keyed by is all that they depend on: the pictures' contents, the size and how it is reached, the
backbone's weights, the precision, and for augmented copies the changes and their seed. Dates and names of files, and
the head, make no difference.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from torch import Tensor

from headstart.core.engine import Engine
from headstart.training.display import Verbosity
from headstart.vision.augment import Augment, draw
from headstart.vision.backbone_weights import weights_digest
from headstart.vision.decoding import Sizing
from headstart.vision.fused_norms import folded
from headstart.vision.images import Pictures, list_digest
from headstart.vision.loaders import ActivationLoader, PictureLoader
from headstart.vision.models.backbone import Backbone
from headstart.vision.models.network import ImageModel, pooled_width
from headstart.vision.store import RowStore

__all__ = ["Activations"]

Rows = NDArray[np.int64]

VERSION = 1
"""To be raised when the same pictures and weights would give other activations."""

AT_ONCE_ON_A_PROCESSOR, AT_ONCE_ON_A_GPU = 32, 128


class Activations:
    """The activations of all pictures of a set, and of changed copies of them.

    Copy 0 is each picture as it is; the others are changed, each by a draw of its own.

    Args:
        model: whose backbone computes them; its weights as they are now.
        pictures: whose activations they are.
        sizing: size of the pictures.
        cache: the folder of the stores.
        augment: how copies are changed.
        seed: of the changes.
        engine: where and in which precision.
        progress: what the computing shows.
    """

    def __init__(
        self,
        model: ImageModel,
        pictures: Pictures,
        sizing: Sizing,
        *,
        cache: Path,
        augment: Augment | None,
        seed: int,
        engine: Engine,
        progress: Verbosity = "auto",
    ) -> None:
        assert isinstance(model.backbone, Backbone)
        self._model, self._backbone = model, model.backbone
        self._pictures, self._sizing, self._augment, self._seed = pictures, sizing, augment, seed
        self._engine, self._progress = engine, progress
        contents, self._first, self._places = np.unique(pictures.digests, return_index=True, return_inverse=True)
        self._made_of = {
            "pictures": list_digest(contents), "sizing": sizing.to_json(), "backbone": self._backbone.name,
            "stages": list(self._backbone.widths), "weights": weights_digest(self._backbone),
            "precision": engine.precision, "version": VERSION,
        }  # fmt: skip
        grids = model.grids or (1,) * len(self._backbone.widths)
        if max(grids) > 1:  # without any, the key is the one from before there were grids
            self._made_of["grids"] = list(grids)
        self._root, self._width = cache, pooled_width(self._backbone.widths, grids)
        self._stores: dict[int, RowStore] = {}

    @property
    def nbytes(self) -> int:
        """Bytes on the disk."""
        return sum(store.nbytes for store in self._stores.values())

    @property
    def folders(self) -> list[str]:
        """Where they lie, a folder for each copy."""
        return [str(store.folder) for store in self._stores.values()]

    def compute(self, rows: Rows, copies: int) -> None:
        """Sees to it that the activations of these rows are there: what is missing is computed.

        Args:
            rows: the table's.
            copies: how many of each: 1 is the picture as it is.

        Raises:
            DataError: a picture cannot be decoded, or the disk cannot hold them.
        """
        places = self._places[rows]
        world, rank = self._engine.world_size, self._engine.rank
        missing = {copy: self._store(copy).missing(places)[rank::world] for copy in range(copies)}
        total = sum(len(part) for part in missing.values())
        if total:
            with torch.no_grad(), _Shown(self._progress if self._engine.is_main else "none", total, self) as shown:
                source = self._pictures.at(self._sizing)
                body = self._fast_body
                for copy, part in missing.items():
                    source.start(self._first[part])
                    for some in _portions(part, self._engine):
                        pixels = source.take(self._first[some]).to(self._engine.device, non_blocking=True)
                        if copy:
                            assert self._augment is not None
                            pixels = self._augment(pixels, self._draws(copy)[some])
                        with self._engine.autocast():
                            found = body(pixels)
                        self._store(copy).write(some, found.float().cpu().numpy())
                        shown.advance(len(some))
        self._engine.wait()

    def take(self, rows: Rows, copies: Rows) -> Tensor:
        """Activations, float32 ``(rows, features)``, of rows and of the copies whose numbers stand beside them."""
        places = self._places[rows]
        if not copies.any():
            return torch.from_numpy(self._store(0).values[places])
        found = np.empty((len(rows), self._width), dtype=np.float32)
        for copy in np.unique(copies):
            found[copies == copy] = self._store(int(copy)).values[places[copies == copy]]
        return torch.from_numpy(found)

    def loader(self, pictures: PictureLoader | ActivationLoader, copies: int) -> ActivationLoader:
        """The rows of a loader of pictures, in its order, as activations; each epoch sees one of the copies of each."""
        return ActivationLoader(
            self.take, pictures.table_rows, pictures.target, copies=copies, batch_size=pictures.batch_size,
            shuffle=pictures.shuffle, seed=pictures.seed, engine=pictures.engine,
        )  # fmt: skip

    def loader_of_copy(self, pictures: PictureLoader, copy: int) -> ActivationLoader:
        """The rows of a loader of pictures, in the table's order and without targets, as activations of one copy."""
        return ActivationLoader(
            lambda rows, _: self.take(rows, np.full(len(rows), copy)), pictures.table_rows, None,
            batch_size=pictures.batch_size, shuffle=False, engine=self._engine,
        )  # fmt: skip

    def _store(self, copy: int) -> RowStore:
        if copy not in self._stores:
            changes = None
            if copy:
                assert self._augment is not None
                changes = {"augment": self._augment.to_json(), "seed": self._seed, "copy": copy}
            self._stores[copy] = RowStore(
                self._root, "activations", {**self._made_of, "changes": changes},
                rows=len(self._first), shape=(self._width,), dtype="float32",
            )  # fmt: skip
        return self._stores[copy]

    def _draws(self, copy: int) -> Tensor:
        return draw(len(self._first), self._seed, 0xC0B, copy)

    @cached_property
    def _fast_body(self) -> torch.nn.Module:
        """The model up to its activations, as quick as it gets without changing them."""
        body = _Body(self._model).eval()
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


def _portions(places: Rows, engine: Engine) -> Iterator[Rows]:
    size = AT_ONCE_ON_A_PROCESSOR if engine.device.type == "cpu" else AT_ONCE_ON_A_GPU
    for start in range(0, len(places), size):
        yield places[start : start + size]


class _Shown:
    """A bar on a terminal; elsewhere a line when it begins and one when it ends."""

    def __init__(self, verbosity: Verbosity, total: int, activations: Activations) -> None:
        self._console = Console(stderr=True)
        self._total, self._activations, self._started = total, activations, time.perf_counter()
        lively = verbosity == "bar" or (verbosity == "auto" and self._console.is_terminal)
        self._silent = verbosity == "none"
        self._bar: Bar | None = None
        if lively and not self._silent:
            columns = (TextColumn("activations"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("activations", total=total)

    def __enter__(self) -> _Shown:
        if self._bar is not None:
            self._bar.start()
        elif not self._silent:
            self._console.print(f"computing the activations of {self._total:,} pictures, once", highlight=False)
        return self

    def advance(self, count: int) -> None:
        """So many more are done."""
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if not self._silent and kind is None:
            seconds = time.perf_counter() - self._started
            self._console.print(
                f"activations: {self._total:,} pictures in {seconds:.1f} s, {self._activations.nbytes / 1e6:,.1f} MB"
                f" in {self._activations.folders[0]}",
                highlight=False, soft_wrap=True,
            )  # fmt: skip
