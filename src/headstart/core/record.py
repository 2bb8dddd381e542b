"""The JSON half of an artefact. It is read without torch, so that ``headstart info`` starts quickly."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.core.errors import ArtifactError
from headstart.core.paths import expanded

__all__ = ["FORMAT", "finite", "read_record", "record_sha256", "stored_shapes"]

FORMAT = 2
"""Version of the folder's layout. Newer versions are refused, and so is version 1, which was never released."""


def read_record(folder: Path, name: str) -> dict[str, Any]:
    """Return the record of an artefact, verified against its digest; the weights are not read.

    Args:
        folder: the artefact.
        name: name of the JSON file without its extension: ``learner`` or ``checkpoint``.

    Raises:
        ArtifactError: the folder does not exist, is not of this kind, is damaged, or was written by a newer version of
            headstart.
    """
    folder = expanded(folder)
    path, weights = folder / f"{name}.json", folder / "weights.safetensors"
    if not folder.is_dir():
        raise ArtifactError(f"there is no folder {folder}; give the folder that save() or --out wrote")
    if not path.is_file():
        raise ArtifactError(
            f"{folder} has no {name}.json, so nothing of that kind was saved there; give another folder"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): it was cut short or altered; restore it") from error
    if not isinstance(record, dict) or type(record.get("format")) is not int:
        raise ArtifactError(f"{path} has no format version, so headstart did not write it")
    if record["format"] > FORMAT:
        raise ArtifactError(
            f"{path} has format {record['format']}, and this headstart reads up to {FORMAT}: upgrade headstart"
        )
    if record["format"] < FORMAT:
        raise ArtifactError(
            f"{path} has format {record['format']}, which was never released and is no longer read: train again"
        )
    if record.pop("record_sha256", None) != record_sha256(record):
        raise ArtifactError(f"{path} is not as it was saved: it was altered; restore it")
    if not weights.is_file():
        raise ArtifactError(f"{folder} has no weights.safetensors; the save was not copied whole: copy it again")
    return record


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in ``weights.safetensors`` by name, reading only the file's header.

    **Source:** the safetensors format: the first eight bytes, little-endian, are the length of the JSON header.

    Args:
        folder: the artefact.

    Raises:
        ArtifactError: the file has no such header.
    """
    path = expanded(folder) / "weights.safetensors"
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, path.stat().st_size)))
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): it was cut short or altered; restore it") from error


def record_sha256(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record's contents, whatever their layout: it reveals damage, but not forgery."""
    content = {name: value for name, value in record.items() if name != "record_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures in a form that JSON supports: None for those that are not finite."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}
