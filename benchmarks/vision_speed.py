"""Speed on images: the head on precomputed activations, and how fast these are computed.

    python -m benchmarks.vision_speed [--rounds 3] [--quick] [--no-peer] [--json FILE]

Every side is a process of its own with one thread, all pinned to one core, taking turns (see `benchmarks.run`). Times
are each process's own CPU time. The images are made by drawing (JPEG, 320 x 240), so that nothing need be fetched but
the backbone's weights; an image's content makes no difference to its time.

Extraction counts decoding. Beside it stands the main process's time alone where a worker decodes, which is what a
second core takes over. The head's epoch is compared with a frozen epoch of fastai as it is, and with extraction
counted: once, and then one epoch or ten.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from benchmarks.figures import Figure, missed, not_measured, show, to_json
from benchmarks.peer import PeerError, peer_python
from benchmarks.protocol import median
from benchmarks.workers import Worker, WorkerError, take_turns

HEAD_ROWS = 2000


def make_images(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    for number in range(count):
        home = folder / ("one" if number % 2 else "two")
        home.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3)).astype(np.uint8))
        coarse.resize((320, 240), Image.Resampling.BICUBIC).save(home / f"{number:05}.jpg", quality=90)


def measure_head(folder: Path, rounds: int) -> tuple[list[Figure], float]:
    arguments = (str(folder), str(HEAD_ROWS))
    with (
        Worker("benchmarks.vision_sides", "head", *arguments) as ours,
        Worker("benchmarks.vision_sides", "bare-head", *arguments) as bare,
    ):
        answers = [[answer["seconds"] for answer in side] for side in take_turns([ours, bare], rounds)]
    ratio = median([theirs / own for own, theirs in zip(*answers, strict=True)])
    own, theirs = (HEAD_ROWS / median(side) for side in answers)
    figure = Figure(
        "head epoch on activations, against a bare loop", ratio, "x", 0.7, ours=f"{own:,.0f} images/s",
        beside=f"bare loop: {theirs:,.0f} images/s", raw={"headstart": answers[0], "bare": answers[1]},
    )  # fmt: skip
    return [figure], own


def measure_extraction(folder: Path, rows: int, rounds: int) -> tuple[list[Figure], float]:
    names = ("extract", "extract-beside", "bare-forward")
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker("benchmarks.vision_sides", name, str(folder), str(rows))) for name in names
        ]
        answers = [[answer["seconds"] for answer in side] for side in take_turns(workers, rounds)]
    alone, beside, bare = (rows / median(side) for side in answers)
    ratio = median([theirs / own for own, theirs in zip(answers[1], answers[2], strict=True)])
    raw = dict(zip(names, answers, strict=True))
    figures = [
        Figure("extraction, Lite0 at 224", alone, "images/s", 40.0, ours=f"{alone:,.1f} images/s", raw=raw),
        Figure(
            "its forward pass, a worker decoding, against the best bare forward", ratio, "x", 0.9,
            ours=f"{beside:,.1f} images/s", beside=f"bare forward: {bare:,.1f} images/s", raw=raw,
        ),
    ]  # fmt: skip
    return figures, alone


def measure_peer(folder: Path, own: float, extraction: float, console: Console) -> list[Figure]:
    """Compare images per second: the head's epoch alone, and with extraction once and then one epoch or ten."""
    what = "head epoch on activations, against a frozen epoch of fastai"
    found = []
    try:
        python = peer_python(lambda text: console.print(text, style="dim"))
        for mode in ("default", "frozen"):
            with Worker("benchmarks.peer_fastai_vision", mode, str(folder), python=python) as peer:
                rate = peer.about["rows"] / peer.measure()["seconds"]
            beside = f"fastai: {rate:,.1f} images/s"
            found.append(Figure(f"{what} ({mode})", own / rate, "x", 100.0, ours=f"{own:,.0f} images/s", beside=beside))
            for epochs in (1, 10):
                all_in = epochs / (1 / extraction + epochs / own)
                name = f"{what} ({mode}), extraction counted, epochs: {epochs}"
                found.append(Figure(name, all_in / rate, "x", None, ours=f"{all_in:,.1f} images/s", beside=beside))
    except (PeerError, WorkerError) as error:
        found.append(not_measured(what, "x", 100.0, str(error)))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vision_speed", description="Speed on images.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="fewer images, to see that everything runs")
    parser.add_argument("--no-peer", action="store_true", help="without fastai")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(arguments)
    console, rows = Console(width=160), 64 if asked.quick else 256
    with tempfile.TemporaryDirectory(prefix="headstart-bench-") as work:
        folder = Path(work) / "images"
        make_images(folder, rows)
        figures, own = measure_head(Path(work) / "cache", asked.rounds)
        found, extraction = measure_extraction(folder, rows, asked.rounds)
        figures += found
        if not asked.no_peer:
            figures += measure_peer(folder, own, extraction, console)
    console.print(show(figures, "images: one thread, medians of paired CPU times"))
    if asked.json is not None:
        asked.json.write_text(json.dumps(to_json(figures), indent=2) + "\n")
    if missed(figures):
        console.print(f"missed: {'; '.join(missed(figures))}", style="bold red", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
