"""Speed on a GPU beside bare loops, and a smoke test of all applications there.

    python -m benchmarks.gpu [--device cuda] [--precision bf16] [--rounds 3] [--only language-model|table|images|smoke]
                             [--json FILE] [--tiny]

Protocol. Wall time between two waits for the device, after some steps of warming up; the sides take turns, a ratio is
the median over the rounds. Both sides train at the same precision, with fused AdamW, in this process. headstart's side
is a learner's own fit: order, batches, schedule, record of the loss and all. ``--tiny`` makes everything small, so that
``--device cpu --tiny`` shows within a minute that the script runs; its figures mean nothing.

language-model  tokens per second: AWD-LSTM 400/1152/3, 128 streams of 70 tokens, vocabulary 30,000, whole softmax;
                bare: `nn.Embedding`, `nn.LSTM` layers without dropout, tied `nn.Linear`, `F.cross_entropy`.
table           rows per second: 6 categories of 50 values, 10 numbers, hidden layers 1000/500, batches of 4,096 of 2
                million rows; bare: the same layers on tensors that lie on the device (benchmarks/train_bare.py), so
                without piecewise linear numbers on either side.
images          images per second: ResNet-50, all layers, 224 x 224, batches of 128 from headstart's store of pixels,
                without augmentation; bare: timm's model on uint8 pixels in pinned memory.
smoke           each application is trained, saved, loaded on the processor and compared: predictions agree within the
                precision. On CUDA nothing in a step may wait for the device (torch's sync debug mode is an error), and
                cuDNN must find each LSTM's weights in one block.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import headstart
from benchmarks.protocol import median
from benchmarks.text_speed import PlainLanguageModel
from benchmarks.train_bare import Net
from benchmarks.vision_speed import make_images
from headstart import (
    Callback,
    CollabLearner,
    Engine,
    ImageData,
    ImageLearner,
    LanguageModelData,
    LanguageModelLearner,
    Learner,
    RatingsData,
    TabularData,
    TabularLearner,
    TextData,
    TextLearner,
)
from headstart.core.batch import Batch
from headstart.core.torchvision import import_torchvision
from headstart.text import TransformerLearner
from headstart.text.transformer_tokens import TransformerTokenizer
from headstart.training.progress import Progress

__all__ = ["main"]


@dataclass(frozen=True)
class Setting:
    """What all measurements share.

    Attributes:
        device: the torch device.
        precision: of both sides.
        tiny: everything small, to see that it runs.
        folder: for files.
    """

    device: torch.device
    precision: Any
    tiny: bool
    folder: Path

    def pick(self, usual: int, tiny: int) -> int:
        """Return a size."""
        return tiny if self.tiny else usual

    def engine(self) -> Engine:
        """Return a new engine on the device."""
        return Engine(self.device)

    def wait(self) -> float:
        """Wait for the device, and return the time, in seconds."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter()

    def autocast(self) -> torch.autocast:
        """Return the context of a bare loop's forward pass."""
        half = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, half, enabled=self.precision != "fp32")


class Timed(Callback):
    """Times the steps of a fit after the first ones, and stops it."""

    def __init__(self, setting: Setting, warm_up: int, steps: int) -> None:
        self.setting, self.warm_up, self.steps = setting, warm_up, steps
        self.step, self.rows, self.started, self.per_second = 0, 0, 0.0, 0.0

    def on_batch(self, progress: Progress, batch: Batch) -> Batch:
        """Count the rows."""
        self.rows += batch.rows
        return batch

    def on_step_end(self, progress: Progress) -> None:
        """Start and stop the clock."""
        self.step += 1
        if self.step == self.warm_up:
            self.rows, self.started = 0, self.setting.wait()
        elif self.step == self.warm_up + self.steps:
            self.per_second = self.rows / (self.setting.wait() - self.started)
            progress.stop = True


class NoWaiting(Callback):
    """Makes whatever waits for a CUDA device within a step an error, from the second step on."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"

    def on_step_end(self, progress: Progress) -> None:
        """Switch it on, and off for the end of an epoch, where figures are read."""
        if self.cuda:
            torch.cuda.set_sync_debug_mode("default" if progress.step == progress.steps else "error")

    def on_fit_end(self, progress: Progress) -> None:
        """Switch it off."""
        if self.cuda:
            torch.cuda.set_sync_debug_mode("default")


def of_learner(setting: Setting, learner: Learner, *, epochs: int = 1000) -> Callable[[], float]:
    """Return a function that trains some steps and gives rows per second."""

    def measure() -> float:
        timed = Timed(setting, setting.pick(20, 2), setting.pick(100, 3))
        learner.fit(1e-3, epochs, callbacks=[timed])
        return timed.per_second

    return measure


def of_bare(
    setting: Setting, model: nn.Module, batches: Iterator[tuple[int, Callable[[], Tensor]]]
) -> Callable[[], float]:
    """Return a function that trains some steps of a bare loop and gives rows per second.

    Args:
        setting: device and sizes.
        model: is on the device.
        batches: rows of each, and the function that returns its loss.
    """
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def measure() -> float:
        started, rows = 0.0, 0
        for step in range(setting.pick(120, 5)):
            if step == setting.pick(20, 2):
                started, rows = setting.wait(), 0
            count, loss = next(batches)
            loss().backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            rows += count
        return rows / (setting.wait() - started)

    return measure


# ---- language model


def language_model(setting: Setting) -> dict[str, Callable[[], float]]:
    """Return both sides."""
    words, streams, time_steps = setting.pick(30_000, 200), setting.pick(128, 4), setting.pick(70, 12)
    width, hidden, layers = (400, 1152, 3) if not setting.tiny else (16, 24, 2)
    random = np.random.default_rng(0)
    length = setting.pick(2_000_000, 3_000)
    drawn = random.choice(words, length, p=(shares := 1 / np.arange(5, words + 5)) / shares.sum())
    texts = [" ".join(f"w{word}" for word in part) for part in np.array_split(drawn, setting.pick(2_000, 20))]
    table = pl.DataFrame({"text": texts})
    data = LanguageModelData.from_table(
        table, "text", valid=table[:2], min_freq=1, max_vocab=words, batch_size=streams, bptt=time_steps,
        engine=setting.engine(),
    )  # fmt: skip
    learner = LanguageModelLearner(
        data, embedding_size=width, hidden=hidden, layers=layers, sampled=0, from_counts=False,
        precision=setting.precision, progress="none",
    )  # fmt: skip
    size = len(data.codec.vocabulary)
    model = PlainLanguageModel(size, width, hidden, layers).to(setting.device)
    tokens = torch.randint(size, (streams, time_steps + 1), device=setting.device)

    def loss() -> Tensor:
        with setting.autocast():
            logits = model(tokens[:, :-1])
            return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())

    def batches() -> Iterator[tuple[int, Callable[[], Tensor]]]:
        while True:
            yield streams * time_steps, loss

    return {"headstart": of_learner(setting, learner), "bare": of_bare(setting, model, batches())}


# ---- table


def made_table(rows: int) -> pl.DataFrame:
    """Return six categories of 50 values, ten numbers, and a target that depends on both."""
    random = np.random.default_rng(1)
    ids, numbers = random.integers(0, 50, (rows, 6)), random.normal(0, 1, (rows, 10)).astype(np.float32)
    target = numbers[:, :3].sum(1) + (ids[:, 0] % 7) + random.normal(0, 0.1, rows)
    columns = {f"c{number}": ids[:, number].astype(str) for number in range(6)}
    return pl.DataFrame({**columns, **{f"x{number}": numbers[:, number] for number in range(10)}, "y": target})


def table(setting: Setting) -> dict[str, Callable[[], float]]:
    """Return both sides."""
    rows, batch_size = setting.pick(2_000_000, 2_000), setting.pick(4096, 64)
    hidden = (1000, 500) if not setting.tiny else (20, 10)
    frame = made_table(rows)
    data = TabularData.from_table(frame, "y", valid=frame[:100], batch_size=batch_size, engine=setting.engine())
    learner = TabularLearner(
        data, hidden=hidden, numeric_embedding=None, norm_first=False, precision=setting.precision, progress="none"
    )
    inputs = data.codec.encode(frame, with_target=True)
    assert inputs.target is not None
    ids, numbers, target = (tensor.to(setting.device) for tensor in (*inputs.inputs, inputs.target))
    sizes = [min(50, (count + 1) // 2) for count in data.codec.cardinalities]
    net = Net(list(data.codec.cardinalities), sizes, numbers.shape[1], hidden).to(setting.device).train()

    def batches() -> Iterator[tuple[int, Callable[[], Tensor]]]:
        while True:
            order = torch.randperm(rows, device=setting.device)
            for start in range(0, rows - batch_size + 1, batch_size):
                chosen = order[start : start + batch_size]

                def loss(chosen: Tensor = chosen) -> Tensor:
                    with setting.autocast():
                        outputs = net(ids.index_select(0, chosen), numbers.index_select(0, chosen))
                    return F.mse_loss(outputs.float(), target.index_select(0, chosen))

                yield batch_size, loss

    return {"headstart": of_learner(setting, learner), "bare": of_bare(setting, net, batches())}


# ---- images


def images(setting: Setting) -> dict[str, Callable[[], float]]:
    """Return both sides."""
    import_torchvision()  # before timm, which imports it too
    import timm

    count, size, batch_size = setting.pick(1024, 24), setting.pick(224, 32), setting.pick(128, 8)
    backbone = "resnet50" if not setting.tiny else "test_resnet"
    folder = setting.folder / "images"
    make_images(folder, count)
    data = ImageData.from_folder(
        folder, size=size, batch_size=batch_size, cache=setting.folder / "cache", engine=setting.engine()
    )
    learner = ImageLearner(data, backbone=backbone, weights="random", precision=setting.precision, progress="none")
    for batch in data.train.batches(0):  # decodes all of them
        pixels = batch.inputs[0].cpu()
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    pixels = pixels.pin_memory() if setting.device.type == "cuda" else pixels
    model: nn.Module = timm.create_model(backbone, num_classes=2).to(setting.device).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # an overload that torch leaves out
    labels = torch.randint(2, (len(pixels),), device=setting.device)

    def loss() -> Tensor:
        images = pixels.to(setting.device, non_blocking=True).float().div_(255).sub_(0.45).div_(0.22)
        with setting.autocast():
            outputs = model(images)
        return F.cross_entropy(outputs.float(), labels)

    def batches() -> Iterator[tuple[int, Callable[[], Tensor]]]:
        while True:
            yield len(pixels), loss

    return {"headstart": of_learner(setting, learner), "bare": of_bare(setting, model, batches())}


# ---- smoke


def tokenizer_of(words: Sequence[str]) -> TransformerTokenizer:
    """Return a transformer's tokenizer that knows some words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words]
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(known)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return TransformerTokenizer(tokenizer.to_str())


def smoke_learners(setting: Setting) -> dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """Return for each application how its learner is made, and what it predicts."""
    random, engine = np.random.default_rng(2), setting.engine()
    options: dict[str, Any] = {"precision": setting.precision, "progress": "none"}
    frame = made_table(2_000).with_columns(count=pl.col("y").abs().floor(), kind=pl.col("c0").str.slice(0, 1))
    good, bad = ["good", "great", "fine", "old", "film"], ["bad", "poor", "dull", "old", "film"]
    labels = random.integers(0, 2, 400)
    texts = [" ".join(random.choice(good if label else bad, random.integers(5, 30))) for label in labels]
    reviews = pl.DataFrame({"text": texts, "label": ["pos" if label else "neg" for label in labels]})
    pairs = random.integers(0, 60, (3_000, 2))
    stars = pl.DataFrame({"user": pairs[:, 0], "item": pairs[:, 1]}).unique(maintain_order=True)
    stars = stars.with_columns(stars=((pl.col("user") + pl.col("item")) % 5 + 1).cast(pl.Float64))
    make_images(setting.folder / "smoke", 32)

    def of_table(target: str, **more: Any) -> Callable[[], Any]:
        for_data = {name: more.pop(name) for name in ("quantiles", "target_kind") if name in more}
        columns = ["y", "count", "kind"]
        return lambda: TabularLearner(
            TabularData.from_table(
                frame, target, exclude=[name for name in columns if name != target], valid=frame[:200], batch_size=256,
                engine=engine, **for_data,
            ),
            **more, **options,
        )  # fmt: skip

    def of_ratings(**more: Any) -> Callable[[], Any]:
        target = ("stars",) if "ranking_loss" not in more else ()
        return lambda: CollabLearner(
            RatingsData.from_table(stars, "user", "item", *target, valid=stars[:100], batch_size=256, engine=engine),
            factors=16, **more, **options,
        )  # fmt: skip

    def of_text(data: Any, learner: Any, **more: Any) -> Callable[[], Any]:
        columns = ("text", "label") if data is TextData else ("text",)
        return lambda: learner(
            data.from_table(reviews, *columns, valid=reviews[:50], min_freq=1, batch_size=32, engine=engine),
            embedding_size=32, hidden=48, layers=2, **more, **options,
        )  # fmt: skip

    def of_images(**more: Any) -> Callable[[], Any]:
        precompute = more.pop("precompute", 0)
        return lambda: ImageLearner(
            ImageData.from_folder(
                setting.folder / "smoke", size=32, batch_size=8, cache=setting.folder / "cache", engine=engine,
                augment="side_on",
            ),
            backbone="test_resnet", weights="random", precompute=precompute, hidden=(16,), **options,
        )  # fmt: skip

    def of_transformer() -> Any:
        tokenizer = tokenizer_of(sorted({*good, *bad}))
        data = TextData.from_table(
            reviews, "text", "label", valid=reviews[:50], tokenizer=tokenizer, batch_size=32, engine=engine
        )
        config = {
            "model_type": "bert", "vocab_size": len(tokenizer.transformer_ids), "hidden_size": 32,
            "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64,
        }  # fmt: skip
        return TransformerLearner(data, config=config, **options)

    def rows(learner: Any) -> Any:
        return learner.predict(frame[:50])

    def scores(learner: Any) -> Any:
        return learner.predict(stars[:50])

    def classes(learner: Any) -> Any:
        return learner.predict(reviews[:50])

    def figures(learner: Any) -> Any:
        return pl.DataFrame([learner.evaluate(reviews[:50])]).select("valid_loss")

    def pictures(learner: Any) -> Any:
        return learner.predict(setting.folder / "smoke").drop("path")

    return {
        "table": (of_table("y"), rows),
        "table, quantiles": (of_table("y", quantiles=[0.1, 0.5, 0.9]), rows),
        "table, counts": (of_table("count", target_kind="count"), rows),
        "table, classes": (of_table("kind"), rows),
        "table, members": (of_table("y", members=4), rows),
        "table, ensemble": (of_table("y", ensemble=2), rows),
        "ratings": (of_ratings(), scores),
        "rankings": (of_ratings(ranking_loss="softmax"), scores),
        "language model": (of_text(LanguageModelData, LanguageModelLearner), figures),
        "language model, sampled": (of_text(LanguageModelData, LanguageModelLearner, sampled=5), figures),
        "text": (of_text(TextData, TextLearner), classes),
        "transformer": (of_transformer, classes),
        "images": (of_images(), pictures),
        "images, from activations": (of_images(precompute=2), pictures),
    }


def smoke(setting: Setting) -> dict[str, Any]:
    """Train, save, load on the processor and compare each application; return the largest difference of each."""
    found: dict[str, Any] = {}
    allowed = {"fp32": 0.02, "bf16": 0.1, "fp16": 0.05}[setting.precision]
    for name, (make, predict) in smoke_learners(setting).items():
        started = time.perf_counter()
        learner = make()
        if name == "images":
            learner.unfreeze()
        history = learner.fit_one_cycle(1e-3, 2, callbacks=[NoWaiting(setting.device)])
        losses = [row["train_loss"] for row in history]
        if not np.isfinite(losses).all():
            raise RuntimeError(f"{name}: the training loss is {losses}")
        folder = setting.folder / "saved" / name
        learner.save(folder)
        there, here = predict(learner), predict(headstart.load(folder, device="cpu"))
        difference = _difference(there, here)
        found[name] = {"losses": losses, "difference": difference, "seconds": time.perf_counter() - started}
        print(
            f"smoke  {name:28} {found[name]['seconds']:5.1f} s  differs by {difference:.2g} of the spread", flush=True
        )
        if not difference <= allowed:
            raise RuntimeError(f"{name}: predictions on {setting.device} and on the processor differ by {difference}")
    return found


def _difference(there: pl.DataFrame, here: pl.DataFrame) -> float:
    """Return the largest difference of a number, over the standard deviation of its column or its size."""
    worst = 0.0
    for column in there.columns:
        if there[column].dtype.is_float():
            one, other = (frame[column].to_numpy().astype(np.float64) for frame in (there, here))
            scale = max(float(other.std()), 0.1 * float(np.abs(other).max()), 1e-6)
            worst = max(worst, float(np.abs(one - other).max()) / scale)
    return worst


SPEEDS: dict[str, Callable[[Setting], dict[str, Callable[[], float]]]] = {
    "language-model": language_model,
    "table": table,
    "images": images,
}

UNITS = {"language-model": "tokens/s", "table": "rows/s", "images": "images/s"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; return 0."""
    parser = argparse.ArgumentParser(description="Speed on a GPU, and a smoke test.")
    parser.add_argument("--device", default="cuda", help="torch device (default: cuda)")
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16", "fp16"], help="of both sides")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each side")
    parser.add_argument("--only", choices=[*SPEEDS, "smoke"], help="one of them")
    parser.add_argument("--tiny", action="store_true", help="everything small: to see that it runs")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    asked = parser.parse_args(arguments)
    device = Engine(asked.device).device
    warnings.filterwarnings("error", message=".*not part of single contiguous chunk.*")  # cuDNN's weights
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"
    print(f"{hardware}, torch {torch.__version__}, {asked.precision}{', tiny: no figures' if asked.tiny else ''}")
    results: dict[str, Any] = {"hardware": hardware, "torch": torch.__version__, "precision": asked.precision}
    with tempfile.TemporaryDirectory(prefix="headstart-gpu-", ignore_cleanup_errors=True) as folder:
        setting = Setting(device, asked.precision, asked.tiny, Path(folder))
        for name, make in SPEEDS.items():
            if asked.only in (None, name):
                results[name] = _in_turn(make(setting), asked.rounds)
                ours, bare = (median(results[name][side]) for side in ("headstart", "bare"))
                ratio = results[name]["ratio"]
                print(f"{name:16} {ours:12,.0f} {UNITS[name]:9} bare loop {bare:12,.0f}  {ratio:.2f} x", flush=True)
        if asked.only in (None, "smoke"):
            results["smoke"] = smoke(setting)
    if asked.json is not None:
        asked.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _in_turn(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, Any]:
    """Return each side's rows per second in each round, and the median ratio of headstart's to the bare loop's."""
    runs: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            runs[name].append(side())
    return {**runs, "ratio": median([ours / bare for ours, bare in zip(*runs.values(), strict=True)])}


if __name__ == "__main__":
    sys.exit(main())
