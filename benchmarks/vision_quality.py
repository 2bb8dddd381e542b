"""Quality on images: Fashion-MNIST and dogs-vs-cats, the head alone and fine-tuned.

    python -m benchmarks.vision_quality [--only fashion|dogs|fine-tune]... [--draws 5] [--size 224] [--bf16]

Protocols. The backbone is EfficientNet-Lite0 with its ImageNet weights; activations are computed once and kept.

fashion    Draw d takes the first 3,000 of numpy's default_rng(d).permutation(60,000) of the training images: 2,000
           train and 1,000 validate. Each image and its mirror image (``precompute=2`` with ``Augment(flip=1)``); the
           head with one hidden layer of 512, 40 epochs of one cycle, top rate 0.003, weight decay 0.1; probabilities
           of an image and of its mirror image are averaged (``tta=2``). Accuracy of each draw, then mean and spread.
           Beside it: scikit-learn's logistic regression on the same (plain, average and maximum) activations,
           standardised, C the best of GRID for each draw by the validation rows themselves, which favours it.
dogs       All 1,920 photos of dogs-vs-cats in the order of their paths; scikit-learn's KFold(5, shuffle=True,
           random_state=0). The head as above, 20 epochs, plain photos and ``tta=1``; logistic regression likewise.
fine-tune  The first two draws of ``fashion`` at 96 pixels: the head alone as in ``fashion``, but from plain images;
           then all layers for five epochs of one cycle, rates 3e-4, 1e-3 and 1e-3, images mirrored at random.

Reference figures: logistic regression .837 on pixels and .878 on average and maximum activations of Fashion-MNIST.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from headstart import Engine, ImageData, ImageLearner, datasets
from headstart.core.splits import by_indices
from headstart.vision import Augment

Figures = dict[str, Any]
GRID = (0.0003, 0.001, 0.003, 0.01, 0.1)
GOALS = {"fashion": 0.885}


def read_fashion() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    folder = datasets.get("fashion-mnist")

    def content(name: str, start: int) -> NDArray[np.uint8]:
        return np.frombuffer(gzip.decompress((folder / name).read_bytes()), dtype=np.uint8, offset=start)

    return content("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28), content("train-labels-idx1-ubyte.gz", 8)


def logistic(learner: ImageLearner) -> float:
    """The best accuracy that logistic regression reaches on the learner's plain activations."""
    data, activations = learner.data, learner.activations
    assert isinstance(data, ImageData) and activations is not None
    sides = (data.sides.train, data.sides.valid)
    train, valid = (activations.take(rows, np.zeros(len(rows), dtype=np.int64)).numpy() for rows in sides)
    labels = data.frame["label"].to_numpy()
    scaler = StandardScaler().fit(train)
    found: list[float] = []
    for strength in GRID:
        model = LogisticRegression(C=strength, max_iter=300).fit(scaler.transform(train), labels[sides[0]])
        found.append(float(model.score(scaler.transform(valid), labels[sides[1]])))
    return max(found)


def accuracy(learner: ImageLearner, tta: int = 1) -> float:
    prediction, target = learner.predict_with_targets(tta=tta)
    return float((prediction.argmax(1) == target).float().mean())


def fashion_data(draw: int, size: int, engine: Engine, augment: Augment | None) -> ImageData:
    images, labels = read_fashion()
    rows = np.random.default_rng(draw).permutation(len(labels))[:3000]
    train, valid = rows[:2000], rows[2000:]
    return ImageData.from_arrays(
        images[train], labels[train], valid=(images[valid], labels[valid]), size=size, augment=augment, engine=engine
    )


def measure_fashion(asked: argparse.Namespace, engine: Engine) -> Figures:
    heads, peers = [], []
    for draw in range(asked.draws):
        data = fashion_data(draw, asked.size, engine, Augment(flip=1.0))
        learner = ImageLearner(data, precompute=2, weight_decay=0.1, progress="none", seed=draw)
        learner.fit_one_cycle(3e-3, 40)
        heads.append(accuracy(learner, tta=2))
        peers.append(logistic(learner))
        print(f"fashion draw {draw}: head {heads[-1]:.4f}, logistic regression {peers[-1]:.4f}", flush=True)
    return {"head": heads, "logistic_regression": peers, "size": asked.size, "precision": engine.precision}


def measure_dogs(asked: argparse.Namespace, engine: Engine) -> Figures:
    folder = datasets.get("dogs-vs-cats")
    count = len(list(folder.rglob("*.jpg")))
    heads, peers = [], []
    for fold, (_, valid) in enumerate(KFold(5, shuffle=True, random_state=0).split(np.arange(count))):
        data = ImageData.from_folder(folder, split=by_indices(valid), engine=engine)
        learner = ImageLearner(data, precompute=True, weight_decay=0.1, progress="none")
        learner.fit_one_cycle(3e-3, 20)
        heads.append(accuracy(learner))
        peers.append(logistic(learner))
        print(f"dogs fold {fold}: head {heads[-1]:.4f}, logistic regression {peers[-1]:.4f}", flush=True)
    return {"head": heads, "logistic_regression": peers, "precision": engine.precision}


def measure_fine_tuning(asked: argparse.Namespace, engine: Engine) -> Figures:
    heads, tuned = [], []
    for draw in range(min(asked.draws, 2)):
        data = fashion_data(draw, 96, engine, Augment(flip=0.5))
        learner = ImageLearner(data, weight_decay=0.1, progress="none", seed=draw)
        plain = fashion_data(draw, 96, engine, None)
        head = ImageLearner(plain, precompute=True, weight_decay=0.1, progress="none", seed=draw)
        head.fit_one_cycle(3e-3, 40)
        heads.append(accuracy(head))
        learner.whole.load_state_dict(head.whole.state_dict())
        learner.unfreeze()
        learner.fit_one_cycle([3e-4, 1e-3, 1e-3], 5)
        tuned.append(accuracy(learner))
        print(f"fine-tuning draw {draw}: head {heads[-1]:.4f}, then all layers {tuned[-1]:.4f}", flush=True)
    return {"head": heads, "fine_tuned": tuned, "precision": engine.precision}


MEASURES: dict[str, Callable[[argparse.Namespace, Engine], Figures]] = {
    "fashion": measure_fashion,
    "dogs": measure_dogs,
    "fine-tune": measure_fine_tuning,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vision_quality", description="Quality on images.")
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="one of them; may be repeated")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--size", type=int, default=224, help="of fashion")
    parser.add_argument("--bf16", action="store_true", help="the backbone in bf16: twice the speed on some processors")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(arguments)
    found: Figures = {}
    for name in asked.only or MEASURES:
        started = time.perf_counter()
        figures = MEASURES[name](asked, Engine("cpu", "bf16" if asked.bf16 else "fp32"))
        for side in ("head", "fine_tuned", "logistic_regression"):
            if side in figures:
                values = figures[side]
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                goal = f" (goal {GOALS[name]})" if side == "head" and name in GOALS else ""
                print(f"{name}: {side} {statistics.mean(values):.4f}, sd {spread:.4f}{goal}")
        found[name] = {**figures, "seconds": round(time.perf_counter() - started)}
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
