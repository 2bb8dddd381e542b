"""torchvision, which timm and transformers import, beside a torch without CUDA."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import torch

__all__ = ["import_torchvision"]

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""Operators that torchvision 0.28 describes while it is imported."""

_ALIVE: list[Any] = []
"""Keeps the library object: its definitions end with it."""


def import_torchvision() -> ModuleType:
    """Import torchvision, also where its compiled part does not fit the torch that is installed.

    The torchvision on the package index is linked with CUDA, also in the release that belongs to the torch installed
    (0.28 to 2.13). Beside a torch for processors alone its library does not load, and its import fails with "operator
    torchvision::nms does not exist", because it describes operators that the library would have defined. Declaring
    their signatures lets the import succeed; timm and transformers need its image functions, and never call the
    operators.
    Where torchvision imports by itself, nothing else is done.

    Raises:
        ImportError: it is not installed.
        RuntimeError: it cannot be imported for another reason.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left behind
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # torch's
    for signature in OPERATORS:
        library.define(signature)  # type: ignore[no-untyped-call]  # torch's
    _ALIVE.append(library)
    return importlib.import_module("torchvision")
