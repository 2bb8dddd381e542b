"""Artefacts on disk: a folder with one JSON file and one safetensors file, written whole or not at all.

There is no pickle: reading a stranger's folder runs none of their code.
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
    """Writes ``name``.json and weights.safetensors into ``folder``, replacing an earlier save as one step.

    Both files are written to a temporary folder beside it and flushed to the disk, then the two folders change places;
    a crash at any moment leaves either the old folder or the new one whole.

    Args:
        folder: where to; made if it is not there, together with its parents.
        name: the JSON file's name without its ending: ``learner`` or ``checkpoint``.
        record: what JSON can hold, with finite numbers.
        tensors: the weights. Tensors that share their memory are stored once.

    Raises:
        ArtifactError: the folder cannot be written, or holds files that are not a save of this kind.
    """
    folder = folder.resolve()  # through a link, what it points at is replaced and the link stays
    _check_replaceable(folder, name)
    stored, aliases = _without_shared(tensors)
    temporary: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        temporary.chmod(0o777 & ~_umask())
        weights = temporary / "weights.safetensors"
        save_file(stored, weights)
        whole = {"format": FORMAT, **record, "aliases": aliases, "weights_sha256": _sha256(weights)}
        whole["record_sha256"] = record_sha256(whole)
        text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)
        (temporary / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        for path in temporary.iterdir():
            path.chmod(0o666 & ~_umask())  # safetensors writes for the owner alone: a service could not read it
            _flush(path)
        _flush(temporary)
        _swap(temporary, folder)
        _flush(folder.parent)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"cannot save to {folder}: {error}. Is the place writable, with room on the disk?"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def read_folder(folder: Path, name: str) -> tuple[Json, dict[str, Tensor]]:
    """What `write_folder` wrote: the record and the tensors, on the processor.

    Raises:
        ArtifactError: the folder is not there, not of this kind, damaged, or from a newer version of headstart.
    """
    record, weights = read_record(folder, name), folder / "weights.safetensors"
    try:
        content = weights.read_bytes()  # once, so that what is checked is what is loaded
        if hashlib.sha256(content).hexdigest() != record.get("weights_sha256"):
            raise ArtifactError(
                f"{weights} is not the file that was saved with {name}.json: it was cut short or altered: restore it"
            )
        tensors = load(content)
        tensors |= {alias: tensors[stored] for alias, stored in record.pop("aliases", {}).items()}
    except (OSError, SafetensorError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{weights} cannot be read ({error}); it was cut short or altered: restore it") from error
    return record, tensors


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turns what an altered record makes fail (a missing key, a wrong type) into an `ArtifactError`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ArtifactError(f"the record in {folder} is incomplete or altered ({what}); restore it") from error


def load_weights(model: torch.nn.Module, tensors: Mapping[str, Tensor], origin: Path) -> None:
    """Loads a state dictionary strictly.

    Raises:
        ArtifactError: a tensor is missing, unknown or of another shape.
    """
    try:
        model.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        problems = " ".join(str(error).split())
        raise ArtifactError(f"the weights in {origin} do not fit the model: {problems[:400]}") from None


def pack(value: Any, tensors: dict[str, Tensor], name: str) -> Any:
    """Turns nested state (an optimizer's, say) into JSON, moving its tensors into ``tensors`` under dotted names.

    Args:
        value: dictionaries (with text or whole numbers as keys), lists, tuples, tensors, text, numbers, booleans and
            None, nested as they like.
        tensors: receives each tensor found.
        name: the name of the whole, with which the tensors' names begin.

    Raises:
        ArtifactError: something that neither JSON nor safetensors can hold.
    """
    if isinstance(value, Tensor):
        while name in tensors:  # {"a": {"b": ...}, "a.b": ...}
            name += "'"
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        strange = [key for key in value if not isinstance(key, str | int)]
        if strange:
            raise ArtifactError(f"{name} has the key {strange[0]!r}; keys of state may be text and whole numbers")
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
    """What `pack` packed."""
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
    """That `write_folder` could write there: asked before long work, so that it is not done in vain.

    Raises:
        ArtifactError: as `write_folder` would.
    """
    _check_replaceable(folder, name)
    nearest = next(path for path in (folder.absolute().parent, *folder.absolute().parent.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ArtifactError(f"cannot save to {folder}: {nearest} is no folder that can be written; give another one")


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
    """Tensors fit to be stored, and for each tied one the name under which its twin is."""
    stored: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in first:
            aliases[name] = first[place]
        else:
            first[place] = name
            # A view (of a larger tensor) is copied: the file holds what the name means, not what lies behind it.
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
    """Puts ``new`` where ``old`` is; ``old``, if there was one, ends under the name of ``new``."""
    if not old.exists():
        new.rename(old)
        return
    if sys.platform.startswith("linux"):
        current_folder, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, from linux/fcntl.h and linux/fs.h
        with contextlib.suppress(AttributeError):  # a C library without renameat2
            renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
            if renameat2(current_folder, os.fsencode(new), current_folder, os.fsencode(old), exchange) == 0:
                return
    # Elsewhere two renames: between them the old folder stands whole under its temporary name.
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
