"""Options that several commands share, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from headstart.core.errors import ConfigError

if TYPE_CHECKING:
    from headstart.core.engine import Engine, Precision
    from headstart.frames.splits import Splitter

__all__ = [
    "AsJson",
    "Device",
    "Folder",
    "Input",
    "PrecisionName",
    "bounds_of",
    "engine_of",
    "names",
    "numbers",
    "split_of",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line of standard output.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Folder = Annotated[Path, typer.Argument(help="A folder that train --out wrote.")]
Input = Annotated[Path, typer.Argument(help="A CSV or Parquet file; for images also a folder, or an image.")]
PrecisionName = Annotated[
    str, typer.Option(help="fp32; bf16, faster where the hardware has it and slower elsewhere; fp16 on a GPU.")
]


def engine_of(device: str, precision: str) -> Engine:
    """What --device and --precision ask for."""
    from headstart.core.engine import Engine

    return Engine(device, cast("Precision", precision))  # any text: the engine says which ones there are


def split_of(
    time_column: str | None, valid_from: str | None, fraction: float | None, condition: str | None, seed: int
) -> Splitter:
    """The split that --time, --valid-from, --valid-fraction and --valid-where ask for; a random fifth without them."""
    from headstart.frames.splits import by_condition, by_random, by_time

    if sum(option is not None for option in (valid_from, fraction, condition)) > 1:
        raise ConfigError("give one of --valid-from, --valid-fraction and --valid-where")
    if condition is not None:
        return by_condition(condition)
    if valid_from is not None:
        if time_column is None:
            raise ConfigError("--valid-from needs --time, the column of moments that it speaks of")
        return by_time(time_column, start=valid_from)
    fraction = 0.2 if fraction is None else fraction
    return by_random(fraction, seed=seed) if time_column is None else by_time(time_column, fraction=fraction)


def bounds_of(text: str | None) -> tuple[float, float] | None:
    """Two numbers out of ``1,5``."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--y-range must be two numbers with a comma, such as 1,5; got {text!r}") from None
    return low, high


def names(text: str) -> list[str]:
    """Names with commas between them, as a list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str | None, option: str) -> list[float] | None:
    """Numbers with commas between them; ``option`` is what a message calls them."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option} must be numbers with commas, such as 0.1,0.5,0.9; got {text!r}") from None
