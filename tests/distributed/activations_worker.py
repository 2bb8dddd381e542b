"""What each of two processes does, one of them two seconds late. Started by test_activations.py.

Arguments: the folder for results, and ``one`` or ``apart``: whether the processes have one cache or each its own.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

import vision_toys
from headstart import Engine, ImageData, ImageLearner
from headstart.vision import side_on
from headstart.vision.activations import Activations

ROWS, COPIES = 48, 3


def computed(engine: Engine, cache: Path) -> np.ndarray:
    """All activations of all copies, ``(copies, rows, features)``, as this process reads them."""
    images, labels = vision_toys.arrays(ROWS)
    data = ImageData.from_arrays(
        images, labels, valid=(images, labels), size=32, batch_size=8, cache=cache, augment=side_on(), engine=engine
    )
    learner = ImageLearner(
        data, backbone=vision_toys.BACKBONE, weights=vision_toys.weights(), hidden=(16,), progress="none"
    )
    if engine.rank == 1:
        time.sleep(2)
    learner.precompute(COPIES)
    assert isinstance(learner.activations, Activations)
    rows = np.arange(ROWS)
    return np.stack([learner.activations.take(rows, rows * 0 + copy).numpy() for copy in range(COPIES)])


def main(out: Path, caches: str) -> None:
    engine = Engine("cpu")
    cache = out / ("cache" if caches == "one" else f"cache {engine.rank}")
    np.save(out / f"{engine.rank}.npy", computed(engine, cache))
    engine.wait()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2])
    sys.stdout.flush()
    os._exit(0)  # as in worker.py
