"""``headstart demo vision``: transfer learning on the best images that are to be had on this machine.

dogs-vs-cats      where HEADSTART_DATA has it
fashion-mnist     where HEADSTART_DATA has it, or there is a network
else              pieces of the photos that come with matplotlib and, if it is there, scikit-learn
"""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from headstart import datasets
from headstart.core.errors import DataError
from headstart.demos.report import print_end, print_kept

__all__ = ["demo"]

CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")

TRAIN, VALID = 2000, 500
"""Images of fashion-mnist that the demo uses: enough to see what transfer learning does, in a minute."""

PIECE, PIECES, CANDIDATES = 96, 60, 4
"""Side of the pieces of a photo in pixels, their number from each half of it, and out of how many each is chosen."""


@dataclass(frozen=True)
class _Set:
    title: str
    data: Any
    usual: str
    usual_accuracy: float


def demo(folder: Path, console: Console) -> None:
    """Train a head on a pretrained backbone, from activations that are computed once.

    Args:
        folder: for the model and the plots.
        console: where to print.
    """
    from headstart.vision import ImageLearner

    chosen = _best_set(console)
    console.rule(f"Images: {chosen.title}")
    data = chosen.data
    console.print(f"{len(data.split.train):,} training and {len(data.split.valid):,} validation images.")
    learner = ImageLearner(data, precompute=ImageLearner.usual_copies(data))
    learner.fit_one_cycle()
    print_kept(console, learner)
    assert learner.activations is not None
    console.print(
        f"The activations of the frozen backbone, {learner.activations.nbytes / 1e6:.1f} MB, are kept: the next run"
        " takes them from there."
    )
    figures = Table("for the validation images", "accuracy", title="Better than guessing?")
    figures.add_row(chosen.usual, f"{chosen.usual_accuracy:.3f}")
    figures.add_row("headstart: the head alone", f"{learner.figures['accuracy']:.3f}")
    console.print(figures)

    interpretation = learner.interpret()
    learner.save(folder / "model")
    for name, plot in (
        ("batch.png", learner.show_batch(12)),
        ("predictions.png", interpretation.plot_least_certain(12)),
        ("gradcam.png", interpretation.plot_top_losses(9)),
        ("confusion.png", interpretation.plot_confusion()),
        ("loss.png", learner.history.plot()),
    ):
        plot.savefig(folder / name, dpi=110)
    worst = Table("image", "is", "prediction", "probability", title="The five largest losses")
    for row in interpretation.top_losses(5).iter_rows(named=True):
        worst.add_row(Path(row["path"]).name, row["truth"], row["prediction"], f"{row['probability']:.2f}")
    console.print(worst)
    print_end(
        console, folder, {
            "model": "the model", "batch.png": "training images", "predictions.png": "the least certain",
            "gradcam.png": "its largest losses, and where it looked", "confusion.png": "what it takes for what",
            "loss.png": "loss by epoch",
        },
        "images in a folder for each class", [
            f"headstart info {folder / 'model'}",
            "headstart train vision FOLDER --out MODEL",
            "headstart predict MODEL IMAGES --out predictions.csv",
        ],
    )  # fmt: skip


def _best_set(console: Console) -> _Set:
    from headstart.vision import ImageData

    try:
        photos = datasets.get("dogs-vs-cats")
    except DataError:
        pass
    else:
        return _Set("cats or dogs?", ImageData.from_folder(photos), "guessing", 0.5)
    try:
        return _fashion(datasets.get("fashion-mnist"))
    except DataError as error:
        console.print(f"Without photos of your own ({error}), pieces of a few photos have to do.", highlight=False)
    return _pieces()


def _fashion(folder: Path) -> _Set:
    from headstart.vision import ImageData

    train, valid = (
        (_idx(folder / f"{part}-images-idx3-ubyte.gz"), _idx(folder / f"{part}-labels-idx1-ubyte.gz"))
        for part in ("train", "t10k")
    )
    some = np.random.default_rng(0).permutation(len(train[1]))[:TRAIN]
    data = ImageData.from_arrays(
        train[0][some], [CLOTHES[label] for label in train[1][some]], size=96,
        valid=(valid[0][:VALID], [CLOTHES[label] for label in valid[1][:VALID]]),
    )  # fmt: skip
    return _Set("which garment?", data, "guessing", 0.1)


def _idx(path: Path) -> NDArray[np.uint8]:
    """Return an array in MNIST's format: a magic number whose last byte counts the axes, lengths, values."""
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    lengths = np.frombuffer(content, dtype=">u4", count=axes, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes).reshape(lengths)


def _pieces() -> _Set:
    """Return pieces of photos: of the left half of each to train on, of the right half to validate with."""
    from headstart.vision import ImageData

    random = np.random.default_rng(0)
    parts: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]] = ([], [])
    labels: tuple[list[str], list[str]] = ([], [])
    photos = _photos()
    for name, photo in photos.items():
        middle = photo.shape[1] // 2
        for part, half in enumerate((photo[:, :middle], photo[:, middle:])):
            for _ in range(PIECES):
                parts[part].append(_piece(half, random))
                labels[part].append(name)
    data = ImageData.from_arrays(
        np.stack(parts[0]), labels[0], valid=(np.stack(parts[1]), labels[1]), size=128, batch_size=32
    )
    return _Set("which photo is this a piece of?", data, "guessing", 1 / len(photos))


def _piece(photo: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Return the most varied of some random pieces: nobody can tell one photo's sky from another's."""
    pieces = []
    for _ in range(CANDIDATES):
        top, left = (int(random.integers(0, length - PIECE + 1)) for length in photo.shape[:2])
        pieces.append(photo[top : top + PIECE, left : left + PIECE])
    return max(pieces, key=lambda piece: float(piece.std()))


def _photos() -> dict[str, NDArray[np.uint8]]:
    from matplotlib import cbook
    from PIL import Image

    files = {
        "portrait": Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)),
        "bottle": Path(cbook.get_sample_data("Minduka_Present_Blue_Pack.png", asfileobj=False)),
    }
    sklearn = importlib.util.find_spec("sklearn")
    if sklearn is not None and sklearn.origin is not None:
        home = Path(sklearn.origin).parent / "datasets" / "images"
        files |= {name: home / f"{name}.jpg" for name in ("china", "flower") if (home / f"{name}.jpg").is_file()}
    photos = {}
    for name, path in files.items():
        with Image.open(path) as image:
            photos[name] = np.asarray(image.convert("RGB"))
    return {name: photo for name, photo in photos.items() if min(photo.shape[0], photo.shape[1] // 2) >= PIECE}
