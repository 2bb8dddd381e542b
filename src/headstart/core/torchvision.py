"""Import of torchvision, which timm and transformers need, with any installed build of torch."""

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
"""Signatures of the operators that torchvision 0.28 registers kernels for at import."""

_ALIVE: list[Any] = []
"""References that keep operator definitions alive: torch drops them when their library object is collected."""


def import_torchvision() -> ModuleType:
    """Import torchvision even if its compiled library does not match the installed torch.

    The torchvision on the Python package index is linked with CUDA, even in the release that belongs to the installed
    torch (0.28 for 2.13). With a CPU build of torch its library does not load, and the import fails with "operator
    torchvision::nms does not exist", because torchvision registers kernels for operators that the library would have
    defined. Declaring the signatures of these operators is enough for the import to succeed; timm and transformers need
    its image functions and never call the operators. Nothing is declared if torchvision can be imported without help.

    Returns:
        The module ``torchvision``.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: torchvision cannot be imported for another reason.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # left over from the failed import
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # torch's
    for signature in OPERATORS:
        library.define(signature)  # type: ignore[no-untyped-call]  # torch's
    _ALIVE.append(library)
    return importlib.import_module("torchvision")
