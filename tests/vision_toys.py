"""Images and learners for the tests of images: small, drawn, and different by colour."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from headstart.core.engine import Engine
from headstart.vision import ImageData, ImageLearner
from headstart.vision.models.backbone import Backbone

BACKBONE = "test_efficientnet"
SIZE = 32


def drawn(label: str, number: int, side: int = 40) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A red or a blue square somewhere on noise; each number gives another image."""
    random = np.random.default_rng([number, len(label)])
    pixels = random.integers(90, 160, (side, side, 3)).astype(np.uint8)
    top, left = random.integers(0, side // 2, 2)
    pixels[top : top + side // 2, left : left + side // 2] = (220, 30, 30) if label == "red" else (30, 30, 220)
    return pixels


def make_folder(folder: Path, each: int = 12, *, split: bool = False) -> Path:
    """A folder per class, of PNG files; with ``split`` inside train and valid."""
    for label in ("red", "blue"):
        for number in range(each):
            home = folder / ("valid" if number % 3 == 0 else "train") / label if split else folder / label
            home.mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawn(label, number)).save(home / f"{label}_{number:02}.png")
    return folder


def make_data(folder: Path, store: Path, **options: Any) -> ImageData:
    """Data of such a folder."""
    arguments = {"size": SIZE, "batch_size": 8, "workers": 0, "cache": store, "engine": Engine("cpu"), **options}
    return ImageData.from_folder(folder, **arguments)


@functools.cache
def cache() -> Path:
    """A folder for activations and resized copies, for as long as the tests run."""
    return Path(tempfile.mkdtemp(prefix="headstart-tests-"))


@functools.cache
def weights() -> Path:
    """Weights of a tiny backbone: random, but its batch norms know what images are like, so that it tells them apart."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = Backbone(BACKBONE, size=SIZE).train()
        for module in backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            backbone(torch.from_numpy(arrays()[0]).permute(0, 3, 1, 2))
    file = cache() / f"{BACKBONE}.pth"
    torch.save(backbone.body.state_dict(), file)
    return file


def make_learner(data: ImageData, **options: Any) -> ImageLearner:
    """A learner with the tiny backbone."""
    arguments = {"backbone": BACKBONE, "weights": weights(), "hidden": [16], "progress": "none", **options}
    return ImageLearner(data, **arguments)


def arrays(rows: int = 24) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], list[str]]:
    """The same images as an array."""
    labels = ["red" if row % 2 else "blue" for row in range(rows)]
    return np.stack([drawn(label, row) for row, label in enumerate(labels)]), labels
