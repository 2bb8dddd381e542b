"""`ImageSettings`: how `ImageData` is made of a folder, a table or an array."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from headstart.core.engine import Engine
from headstart.core.values import Range
from headstart.frames.assemble import DataOptions, DataSettings
from headstart.targets.fit import TargetOptions, TargetSettings
from headstart.vision.augment import AUGMENTATIONS, Augment, AugmentName
from headstart.vision.codec import ImageCodec
from headstart.vision.decoding import LARGEST_SIZE, Resize, Sizing

__all__ = ["ImageDataOptions", "ImageSettings", "OnError"]

OnError: TypeAlias = Literal["raise", "skip"]
"""What happens to an image that cannot be decoded: it is an error, or it is left out and listed."""

DEFAULT_SIZE = 224
"""Size of the images until a learner's backbone sets its own."""


@dataclass(frozen=True, kw_only=True)
class ImageSettings(TargetSettings, DataSettings):
    """How images become batches.

    Attributes:
        where: SQL condition on the rows of both parts; others are left out. A folder's columns are ``path`` and
            ``label``. Example: ``label <> 'unknown'``.
        batch_size: training images per step, over all processes.
        seed: seed of the order of the training rows, of the augmentation, and of the usual split.
        size: side of the images in pixels; None: the one that the backbone was trained at.
        resize: how an image becomes a square: ``"crop"``: its middle; ``"squish"``: all of it, squeezed; ``"pad"``: all
            of it, with grey bars.
        augment: how training images are changed: ``"side_on"`` or ``"top_down"``; in Python also an `Augment`. None:
            not at all.
        group: keep all images of a person or scene in one part of the split: of a table the column that names them; of
            a folder a regular expression, whose first group is looked for in the path. Example: ``(person_[0-9]+)``.
        folder: of a table: folder that the paths are relative to; None: the table's own folder, or the working
            directory.
        separator: of a table: character between several labels in one text, such as ``|``.
        on_error: what to do with files that cannot be decoded: ``"raise"`` an error, or ``"skip"`` and list them.
        workers: processes that decode images; 0: this one alone; None: one less than there are processors, at most 8.
        cache: folder for resized copies and activations; None: ``HEADSTART_CACHE``, else the usual cache.
    """

    batch_size: Annotated[int | None, Range(low=1)] = 64
    size: Annotated[int | None, Range(low=1, high=LARGEST_SIZE)] = None
    resize: Resize = "crop"
    augment: Augment | AugmentName | None = None
    group: str | None = None
    folder: str | Path | None = None
    separator: str | None = None
    on_error: OnError = "raise"
    workers: Annotated[int | None, Range(low=0)] = None
    cache: str | Path | None = None

    @property
    def sizing(self) -> Sizing:
        """Return the sizing of new images; without a size the usual one, until a backbone sets its own."""
        return Sizing(DEFAULT_SIZE if self.size is None else self.size, self.resize)

    @property
    def changes(self) -> Augment | None:
        """Return the augmentation itself, where it is given by name."""
        return AUGMENTATIONS[self.augment]() if isinstance(self.augment, str) else self.augment


class ImageDataOptions(DataOptions, TargetOptions, total=False):
    """Keyword arguments of `ImageData`'s constructors: the fields of `ImageSettings`, codec and engine.

    Attributes:
        codec: codec of earlier data, to go on training their learner with new images; None: learnt from the training
            rows. It has decided ``size``, ``resize`` and ``augment``.
        engine: device and processes; None: the usual device.
    """

    size: int | None
    resize: Resize
    augment: Augment | AugmentName | None
    group: str | None
    folder: str | Path | None
    separator: str | None
    on_error: OnError
    workers: int | None
    cache: str | Path | None
    codec: ImageCodec | None
    engine: Engine | None
