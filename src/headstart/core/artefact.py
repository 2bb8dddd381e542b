"""Artefacts on disk: a folder with one JSON file and one safetensors file, written completely or not at all.

No pickle is involved, so reading a folder from an untrusted source executes none of its code.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from headstart.core.errors import ArtifactError
from headstart.core.paths import expanded
from headstart.core.record import FORMAT, finite, read_record, record_sha256
from headstart.core.values import Json

__all__ = [
    "FORMAT",
    "check_writable",
    "finite",
    "load_weights",
    "pack",
    "read_folder",
    "reading",
    "record_sha256",
    "unpack",
    "write_folder",
]


def write_folder(folder: Path, name: str, record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write ``name``.json and weights.safetensors to ``folder``, replacing an earlier save atomically.

    Both files are written to a temporary folder in the same parent and flushed to disk; then the two folders are
    swapped. A crash at any moment leaves either the old folder or the new one, each of them complete.

    Args:
        folder: destination; created together with its parents if it does not exist.
        name: name of the JSON file without its extension: ``learner`` or ``checkpoint``.
        record: contents of the JSON file; its numbers must be finite.
        tensors: tensors by name. Tensors that share memory are stored once.

    Raises:
        ArtifactError: the folder cannot be written, or contains files that do not belong to a save of this kind.
    """
    folder = expanded(folder).resolve()  # a symbolic link is kept: its target is replaced
    _check_replaceable(folder, name)
    stored, aliases = _without_shared(tensors)
    temporary: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        temporary.chmod(0o777 & ~_umask())
        weights = temporary / "weights.safetensors"
        save_file(stored, weights)
        complete = {"format": FORMAT, **record, "aliases": aliases, "weights_sha256": _sha256(weights)}
        complete["record_sha256"] = record_sha256(complete)
        text = json.dumps(complete, indent=2, ensure_ascii=False, allow_nan=False)
        (temporary / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        for path in temporary.iterdir():
            path.chmod(0o666 & ~_umask())  # safetensors grants access to the owner only: a service could not read it
            _flush(path)
        _flush(temporary)
        _swap(temporary, folder)
        _flush(folder.parent)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"cannot save to {folder}: {error}; check that the folder is writable and that the disk has free space"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def read_folder(folder: Path, name: str) -> tuple[Json, dict[str, Tensor]]:
    """Read a folder that `write_folder` wrote.

    Args:
        folder: the artefact.
        name: name of the JSON file without its extension: ``learner`` or ``checkpoint``.

    Returns:
        The record, and the tensors by name, on the CPU.

    Raises:
        ArtifactError: the folder does not exist, is not of this kind, is damaged, or was written by a newer version of
            headstart.
    """
    folder = expanded(folder)
    record, weights = read_record(folder, name), folder / "weights.safetensors"
    try:
        content = weights.read_bytes()  # read once, so that the bytes that are checked are the bytes that are loaded
        if hashlib.sha256(content).hexdigest() != record.get("weights_sha256"):
            raise ArtifactError(
                f"{weights} is not the file that was saved with {name}.json: it was cut short or altered; restore it"
            )
        tensors = load(content)
        tensors |= {alias: tensors[stored] for alias, stored in record.pop("aliases", {}).items()}
    except (OSError, SafetensorError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{weights} cannot be read ({error}): it was cut short or altered; restore it") from error
    return record, tensors


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Raise `ArtifactError` for errors that an altered record causes, such as a missing key or a wrong type.

    Args:
        folder: the artefact, named in the message.

    Returns:
        A context manager; the record is used inside it.

    Raises:
        ArtifactError: the code inside raised `KeyError`, `TypeError`, `ValueError`, `IndexError` or `AttributeError`.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise ArtifactError(f"the record in {folder} is incomplete or altered ({cause}); restore it") from error


def load_weights(model: torch.nn.Module, tensors: Mapping[str, Tensor], origin: Path) -> None:
    """Load a state dictionary into a model, strictly.

    Args:
        model: the model to change.
        tensors: its state dictionary.
        origin: the folder that the tensors come from, named in the message.

    Raises:
        ArtifactError: a tensor is missing, unexpected or has a different shape.
    """
    try:
        model.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        problems = " ".join(str(error).split())
        raise ArtifactError(f"the weights in {origin} do not fit the model: {problems[:400]}") from None


def pack(value: Any, tensors: dict[str, Tensor], name: str) -> Any:
    """Convert nested state, such as an optimizer's, to JSON and collect its tensors in ``tensors`` under dotted names.

    Args:
        value: any nesting of dictionaries (with strings or integers as keys), lists, tuples, tensors, strings, numbers,
            booleans and None.
        tensors: receives each tensor, moved to the CPU.
        name: prefix of the tensors' names.

    Returns:
        What `unpack` turns back into ``value``.

    Raises:
        ArtifactError: a part of the state can be stored neither as JSON nor as a tensor.
    """
    if isinstance(value, Tensor):
        while name in tensors:  # {"a": {"b": ...}, "a.b": ...}
            name += "'"
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        unsupported = [key for key in value if not isinstance(key, str | int)]
        if unsupported:
            raise ArtifactError(f"{name} has the key {unsupported[0]!r}; keys of state may be text and whole numbers")
        return {"items": [[key, pack(part, tensors, f"{name}.{key}")] for key, part in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [pack(part, tensors, f"{name}.{number}") for number, part in enumerate(value)]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(float(value))}
    if value is None or isinstance(value, str | int | float):
        return value
    raise ArtifactError(f"{name} is a {type(value).__name__}; state may hold tensors, numbers, text and their lists")


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the state that `pack` converted to JSON.

    Args:
        value: what `pack` returned.
        tensors: the tensors that it collected.
    """
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "items":
        return {key: unpack(part, tensors) for key, part in content}
    if kind == "float":
        return float(content)
    return (list if kind == "list" else tuple)(unpack(part, tensors) for part in content)


def check_writable(folder: Path, name: str) -> None:
    """Raise `ArtifactError` if `write_folder` could not write to a folder; call it before long computations.

    Args:
        folder: destination of a later `write_folder`.
        name: name of the JSON file without its extension.

    Raises:
        ArtifactError: the folder cannot be written, or contains files that do not belong to a save of this kind.
    """
    folder = expanded(folder)
    _check_replaceable(folder, name)
    nearest = next(path for path in (folder.absolute().parent, *folder.absolute().parent.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ArtifactError(f"cannot save to {folder}: {nearest} is not a writable folder; give another one")


def _check_replaceable(folder: Path, name: str) -> None:
    if folder.is_file():
        raise ArtifactError(f"cannot save to {folder}: it is a file; give a folder")
    try:
        others = {path.name for path in folder.iterdir()} - {f"{name}.json", "weights.safetensors"}
    except FileNotFoundError:
        return
    except OSError as error:
        raise ArtifactError(f"cannot save to {folder}: {error}") from error
    if others:
        shown = ", ".join(sorted(others)[:3])
        raise ArtifactError(f"cannot save to {folder}: it holds other files ({shown}); give a new or empty folder")


def _without_shared(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors that can be stored, and for each tied tensor the name under which its twin is stored."""
    stored: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        memory = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and memory in first:
            aliases[name] = first[memory]
        else:
            first[memory] = name
            # A view is copied: the file contains the view, not the whole tensor behind it.
            stored[name] = tensor.detach().cpu().contiguous().clone()
    return stored, aliases


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap(new: Path, old: Path) -> None:
    """Move ``new`` to ``old``; if ``old`` exists, it takes the name of ``new``, or is removed."""
    if not old.exists():
        new.rename(old)
        return
    if sys.platform.startswith("linux"):
        current_folder, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, from linux/fcntl.h and linux/fs.h
        with contextlib.suppress(AttributeError):  # a C library without renameat2
            renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
            if renameat2(current_folder, os.fsencode(new), current_folder, os.fsencode(old), exchange) == 0:
                return
    # Otherwise rename twice: in between, the old folder is complete under its temporary name.
    aside = new.with_name(f"{new.name}.old")
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
