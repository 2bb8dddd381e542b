"""The command on images: ``train vision``, and predictions. Importing this imports neither torch nor polars."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from headstart.command.options import AsJson, Device, PrecisionName, names, split_of
from headstart.command.report import report
from headstart.core.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from headstart.core.engine import Precision
    from headstart.vision import Augment, ImageData
    from headstart.vision.learner import ImageLearner

__all__ = ["predict_vision", "train_vision"]

AUGMENTATIONS = ("none", "side-on", "top-down")


def train_vision(
    pictures: Annotated[
        Path,
        typer.Argument(help="A folder with a folder per class (or train and valid with those), or a table of paths."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the model; an earlier model there is replaced.")],
    backbone: Annotated[str, typer.Option(help="One of timm's models.")] = "tf_efficientnet_lite0",
    weights: Annotated[
        str | None,
        typer.Option(help="File or folder of pretrained weights, or 'random'; else HEADSTART_DATA's or fetched."),
    ] = None,
    path: Annotated[str, typer.Option(help="Of a table: column of paths.")] = "path",
    label: Annotated[str, typer.Option(help="Of a table: column of labels.")] = "label",
    separator: Annotated[str | None, typer.Option(help="Of a table: what stands between several labels.")] = None,
    images: Annotated[Path | None, typer.Option(help="Of a table: the folder that the paths are relative to.")] = None,
    group: Annotated[
        str | None,
        typer.Option(help="On one side only: of a table a column; of a folder a pattern, such as '(person_[0-9]+)'."),
    ] = None,
    time_column: Annotated[str | None, typer.Option("--time", help="Of a table: the latest by this validate.")] = None,
    valid_from: Annotated[str | None, typer.Option(help="First validating moment, with --time.")] = None,
    valid_fraction: Annotated[float | None, typer.Option(help="Share of validating pictures; 0.2 by default.")] = None,
    valid_where: Annotated[str | None, typer.Option(help="SQL condition: these pictures validate.")] = None,
    where: Annotated[str | None, typer.Option(help="SQL condition (path, label): only these are used.")] = None,
    size: Annotated[int | None, typer.Option(help="Side in pixels; else the backbone's own.")] = None,
    resize: Annotated[str, typer.Option(help="crop, squish or pad.")] = "crop",
    augment: Annotated[str, typer.Option(help="Of training pictures: none, side-on or top-down.")] = "none",
    precompute: Annotated[
        int, typer.Option(help="Copies whose activations are computed once; 0: train from the pictures.")
    ] = 1,
    stages: Annotated[int, typer.Option(help="Of the backbone's last stages, how many the head sees.")] = 3,
    grid: Annotated[
        str, typer.Option(help="Cells to a side that each stage is averaged in besides; or one per stage with commas.")
    ] = "1",
    hidden: Annotated[str, typer.Option(help="Width of the head's hidden layers, with commas; may be ''.")] = "512",
    dropout: Annotated[str | None, typer.Option(help="One number, or one per layer of the head with commas.")] = None,
    label_smoothing: Annotated[float, typer.Option(help="Share of a label that is spread over all classes.")] = 0.0,
    epochs: Annotated[int, typer.Option(help="Epochs of the head.")] = 10,
    fine_tune: Annotated[int, typer.Option(help="Epochs of all layers after that, from the pictures.")] = 0,
    lr: Annotated[float, typer.Option(help="Top learning rate of the head.")] = 3e-3,
    batch_size: Annotated[int, typer.Option(help="Pictures per step.")] = 64,
    on_error: Annotated[str, typer.Option(help="raise, or skip: files that cannot be decoded are listed.")] = "raise",
    workers: Annotated[int | None, typer.Option(help="Processes that decode; by the number of processors.")] = None,
    precision: PrecisionName = "fp32",
    seed: Annotated[int, typer.Option(help="Of the head, dropout, order, changes and random split.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train on pictures; print the metrics of those that validate."""
    from headstart.core.artefact import check_writable
    from headstart.core.engine import Engine
    from headstart.vision import ImageLearner

    started = time.perf_counter()
    check_writable(out, "learner")
    widths, probabilities = _widths(hidden), _probabilities(dropout)
    changes = _augment(augment)
    if changes is not None and precompute == 1:
        precompute = 4 if not fine_tune else 1
    options: dict[str, Any] = {
        "where": where, "size": size, "resize": resize, "augment": changes, "batch_size": batch_size, "seed": seed,
        "on_error": on_error, "workers": workers, "group": group,
        "engine": Engine(device),
    }  # fmt: skip
    asked = (time_column, valid_from, valid_fraction, valid_where)
    if any(option is not None for option in asked):
        options["split"] = split_of(*asked, seed)
    data = _data(pictures, path, label, images, separator, options)
    for note in data.notes if data.engine.is_main else ():
        typer.echo(note, err=True)
    for name, reason in data.skipped.iter_rows() if data.engine.is_main else ():
        typer.echo(f"left out: {name}: {reason}", err=True)
    learner = ImageLearner(
        data, backbone=backbone, weights=True if weights is None else weights != "random" and weights, hidden=widths,
        precompute=precompute if weights != "random" else 0, stages=stages, grid=_cells(grid), dropout=probabilities,
        label_smoothing=label_smoothing, precision=cast("Precision", precision), seed=seed,
    )  # fmt: skip
    learner.fit_one_cycle(lr, epochs)
    if fine_tune:
        learner.unfreeze()
        learner.fit_one_cycle([lr / 300, lr / 100, lr / 30], fine_tune)
    if not math.isfinite(learner.history[-1]["train_loss"]):
        raise ConfigError(f"the training diverged at --lr {lr}: lower it; nothing was saved")
    learner.save(out)
    if learner.engine.is_main:
        report(learner.history, out, time.perf_counter() - started, as_json=as_json, rows="PICTURES")


def predict_vision(learner: ImageLearner, pictures: Path, on_error: Any, *, flat: bool) -> pl.DataFrame:
    """Predictions for a picture, a folder of pictures or a table of paths: its columns, and beside them the answers.

    Args:
        learner: of the application ``vision``.
        pictures: what to predict.
        on_error: ``"raise"`` or ``"skip"``.
        flat: several labels as one text, with ``|`` between them, as CSV needs it.
    """
    import polars as pl

    from headstart.frames.door import read_table

    if pictures.is_dir():
        found = learner.predict(pictures, on_error=on_error)
    elif pictures.suffix.lower() in (".csv", ".tsv", ".parquet", ".gz"):
        table = read_table(pictures, "input")
        found = table.with_columns(learner.predict(table, folder=pictures.parent, on_error=on_error))
    else:
        found = learner.predict([pictures], on_error=on_error)
    assert isinstance(found, pl.DataFrame)
    if flat and isinstance(found.schema["prediction"], pl.List):
        found = found.with_columns(pl.col("prediction").cast(pl.List(pl.String)).list.join("|"))
    return found


def _data(
    pictures: Path, path: str, label: str, images: Path | None, separator: str | None, options: dict[str, Any]
) -> ImageData:
    from headstart.vision import ImageData

    if pictures.is_dir():
        if separator is not None or images is not None:
            raise ConfigError("--separator and --images are for tables; a folder's labels are the folders in it")
        return ImageData.from_folder(pictures, **options)
    return ImageData.from_table(pictures, path, label, folder=images, separator=separator, **options)


def _augment(name: str) -> Augment | None:
    from headstart.vision import side_on, top_down

    if name not in AUGMENTATIONS:
        raise ConfigError(f"--augment must be one of {', '.join(AUGMENTATIONS)}; got {name!r}")
    return {"none": None, "side-on": side_on(), "top-down": top_down()}[name]


def _widths(text: str) -> list[int]:
    try:
        return [int(width) for width in names(text)]
    except ValueError:
        raise ConfigError(f"--hidden must be whole numbers with commas, such as 512,128; got {text!r}") from None


def _cells(text: str) -> int | list[int]:
    try:
        found = [int(cells) for cells in names(text)]
    except ValueError:
        raise ConfigError(f"--grid must be whole numbers with commas, such as 4,1,1; got {text!r}") from None
    return found[0] if len(found) == 1 else found


def _probabilities(text: str | None) -> float | list[float] | None:
    if text is None:
        return None
    try:
        found = [float(probability) for probability in names(text)]
    except ValueError:
        raise ConfigError(f"--dropout must be numbers with commas, such as 0.25,0.5; got {text!r}") from None
    return found[0] if len(found) == 1 else found
