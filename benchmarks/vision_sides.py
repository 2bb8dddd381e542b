"""The sides of `benchmarks.vision_speed` that run on this interpreter, one process each.

head            an epoch of the head on precomputed activations, by headstart's loop
bare-head       the same head on the same tensors in a bare loop: a random order, index_select, AdamW, nothing else
extract         activations of files that were never seen: decoding, forward pass, store, all in one process
extract-beside  the same with decoding in a worker, whose time is not counted
bare-forward    the best bare forward pass: channels last, freed memory kept, the best of three batch sizes
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.protocol import serve
from headstart import Engine, ImageData, ImageLearner
from headstart.frames.splits import by_last
from headstart.vision.backbone_weights import load_backbone
from headstart.vision.models.backbone import Backbone
from headstart.vision.models.network import Head, concat_pool

FEATURES, BATCH = 2 * (112 + 320 + 1280), 64
"""Activations of an image, as many as the learner's default gives: of the backbone's last three stages."""


def seconds_of(work: Callable[[], object]) -> dict[str, Any]:
    wall, start = time.perf_counter(), time.process_time()
    work()
    return {"seconds": time.process_time() - start, "wall_seconds": time.perf_counter() - wall}


def head(folder: Path, rows: int) -> Callable[[], dict[str, Any]]:
    """Images of 8 x 8 pixels are enough to have as many activations; their content makes no difference to the time."""
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (rows + 64, 8, 8)).astype(np.uint8), random.integers(0, 2, rows + 64)
    data = ImageData.from_arrays(
        images, labels, split=by_last(64 / (rows + 64)), size=32, cache=folder, batch_size=BATCH, engine=Engine("cpu")
    )
    learner = ImageLearner(data, precompute=1, progress="none")
    learner.data = replace(learner.data, valid=None)
    return lambda: seconds_of(lambda: learner.fit(1e-3, 1))


def bare_head(folder: Path, rows: int) -> Callable[[], dict[str, Any]]:
    Engine("cpu")  # keeps freed memory, as the other side does
    activations, labels = torch.randn(rows, FEATURES), torch.randint(0, 2, (rows,))
    model = Head(FEATURES, 2).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), eps=1e-5, fused=True)

    def epoch() -> None:
        order = torch.randperm(rows)
        for start in range(0, rows, BATCH):
            some = order[start : start + BATCH]
            loss = F.cross_entropy(model(activations.index_select(0, some)), labels.index_select(0, some))
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return lambda: seconds_of(epoch)


def extract(folder: Path, rows: int, workers: int = 0) -> Callable[[], dict[str, Any]]:
    def once() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as cache:
            data = ImageData.from_folder(folder, size=224, workers=workers, cache=cache, engine=Engine("cpu"))
            learner = ImageLearner(data, progress="none")
            return seconds_of(learner.precompute)

    return once


def bare_forward(folder: Path, rows: int) -> Callable[[], dict[str, Any]]:
    Engine("cpu")
    backbone = Backbone("tf_efficientnet_lite0")
    load_backbone(backbone, True)
    backbone.eval()
    images = torch.rand(rows, 3, 224, 224).contiguous(memory_format=torch.channels_last)

    def forward(batch: int) -> None:
        with torch.inference_mode():
            for start in range(0, rows, batch):
                concat_pool(backbone.body(images[start : start + batch]))

    def best() -> dict[str, Any]:
        each = [seconds_of(functools.partial(forward, batch)) for batch in (8, 16, 32)]
        return min(each, key=lambda found: float(found["seconds"]))

    return best


SIDES: dict[str, Callable[..., Any]] = {
    "head": head,
    "bare-head": bare_head,
    "extract": extract,
    "extract-beside": functools.partial(extract, workers=1),
    "bare-forward": bare_forward,
}


def main() -> None:
    what, folder, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    torch.manual_seed(0)
    serve(SIDES[what](folder, rows), {})


if __name__ == "__main__":
    main()
