"""Grids of images with a line of text each, and maps laid over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from headstart.core.errors import ConfigError
from headstart.training.plots import Plot
from headstart.vision.loaders import ImageLoader

if TYPE_CHECKING:
    from headstart.vision.data import ImageData

__all__ = ["plot_batch", "plot_images"]

MOST_ACROSS = 6

LONGEST = 30
"""Most characters of a line above an image."""


def plot_images(images: Tensor, titles: Sequence[str], *, maps: Tensor | None = None, heading: str = "") -> Plot:
    """Plot a grid of images.

    Args:
        images: uint8, or float from 0 to 1, ``(rows, 3, height, width)``.
        titles: a text above each image, of one or several lines.
        maps: float from 0 to 1, ``(rows, height, width)``: each image is shown a second time with its map over it.
        heading: text above the grid.

    Raises:
        ConfigError: there are no images.
    """
    count = len(images)
    if not count:
        raise ConfigError("there are no images to show")
    pixels = images if images.dtype == torch.uint8 else (images * 255).round().to(torch.uint8)
    shown = pixels.permute(0, 2, 3, 1).cpu().numpy()
    each = 1 if maps is None else 2
    across = min(count, MOST_ACROSS // each if count > 1 else 1)
    down = math.ceil(count / across)
    lines = max(title.count("\n") + 1 for title in titles)
    plot = Plot(
        figsize=(1.9 * across * each, (1.95 + 0.2 * lines) * down + (0.4 if heading else 0)), layout="constrained"
    )
    axes = np.atleast_1d(plot.subplots(down, across * each)).reshape(down * across, each)
    for axis in axes.flat:
        axis.set_axis_off()
    for number in range(count):
        axes[number, 0].imshow(shown[number])
        axes[number, 0].set_title(
            "\n".join(_short(line) for line in titles[number].split("\n")), fontsize=8, loc="left"
        )
        if maps is not None:
            axes[number, 1].imshow(shown[number])
            axes[number, 1].imshow(maps[number].cpu().numpy(), cmap="jet", alpha=0.45, vmin=0, vmax=1)
    if heading:
        plot.suptitle(heading, fontsize=10)
    return plot


def plot_batch(data: ImageData, count: int) -> Plot:
    """Plot the first training images of the first epoch, augmented as in training, with their labels.

    Args:
        data: whose loaders are of images.
        count: number of images.
    """
    if not isinstance(count, int) or count < 1:
        raise ConfigError(f"count must be a whole number of at least 1; got {count!r}")
    loader = data.train
    assert isinstance(loader, ImageLoader)
    few = ImageLoader(
        loader.source, loader.row_numbers, loader.target, batch_size=max(2, count), shuffle=True, seed=loader.seed,
        engine=loader.engine, augment=loader.augment,
    )  # fmt: skip
    batch = next(few.batches(0))
    assert batch.target is not None
    labels = [data.codec.target.text_of(target) for target in batch.target[:count]]
    return plot_images(batch.inputs[0][:count], labels)


def _short(line: str) -> str:
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
