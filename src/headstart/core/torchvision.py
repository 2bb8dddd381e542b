"""torchvision, which timm and transformers import, beside whatever torch is installed."""

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

_ALIVE: list[Any] = []
"""What torch must not collect: the definitions below hold as long as their library object does."""


def import_torchvision() -> ModuleType:
    """torchvision, also where its compiled part does not fit the torch that is installed.

    The torchvision of the package index is compiled for CUDA; beside a torch for processors its library does not load,
    and its import then fails with "operator torchvision::nms does not exist", because it describes operators that its
    library would have defined. Declaring their signatures is enough for the import to succeed; nobody here calls them.
    Where torchvision imports by itself, nothing is done.

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
        del sys.modules[name]  # what the failed import left
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # torch's
    for signature in OPERATORS:
        library.define(signature)  # type: ignore[no-untyped-call]  # torch's
    _ALIVE.append(library)
    return importlib.import_module("torchvision")
