"""Images: transfer learning with precomputed activations.

The public names are resolved on first use, so that the processes that decode files import neither torch nor polars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.vision.augment import Augment, side_on, top_down
    from headstart.vision.data import ImageData, ImageSettings
    from headstart.vision.design import ImageDesign, ImageTraining
    from headstart.vision.learner import ImageLearner

__all__ = [
    "Augment",
    "ImageData",
    "ImageDesign",
    "ImageLearner",
    "ImageSettings",
    "ImageTraining",
    "side_on",
    "top_down",
]

_HOMES = {
    "Augment": "augment",
    "ImageData": "data",
    "ImageDesign": "design",
    "ImageLearner": "learner",
    "ImageSettings": "settings",
    "ImageTraining": "design",
    "side_on": "augment",
    "top_down": "augment",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart.vision' has no attribute {name!r}")
    return getattr(import_module(f"headstart.vision.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
