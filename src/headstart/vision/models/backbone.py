"""`Backbone`: any of timm's models by name, from images to feature maps, with its own normalisation and size."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core.errors import ConfigError, did_you_mean
from headstart.core.torchvision import import_torchvision

__all__ = ["Backbone", "import_timm", "native_size"]

DEFAULT = "tf_efficientnet_lite0"
"""The usual backbone: small, fast on a processor, good on photos, and its weights come with pip."""

NORM_MOMENTUM = 0.1
"""Smallest momentum of the batch norms' running statistics: torch's default. Some of timm's models have 0.01, made for
a million steps; after the hundred of a fine-tuning their statistics would still be those of the pretrained weights."""


def import_timm() -> ModuleType:
    """Import timm, also where the torchvision that it imports does not fit torch: see `headstart.core.torchvision`.

    Raises:
        ConfigError: timm or torchvision is not installed, or cannot be imported for another reason.
    """
    if "timm" in sys.modules:
        return sys.modules["timm"]
    try:
        import_torchvision()
        return importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:
        raise ConfigError(
            f"images need timm, torchvision and pillow ({error}): pip install 'headstart[vision]'"
        ) from error


class Backbone(nn.Module):
    """One of timm's models without its classifier, behind its own normalisation.

    **Shape:** images, uint8 or float from 0 to 1, ``(batch, 3, height, width)``, to feature maps
    ``(batch, channels, height, width)``; the last ones of transformers are ``(batch, channels, tokens, 1)``.

    Args:
        name: one of ``timm.list_models()``.
        size: side of the images in pixels; None: the one that its weights were trained at. Only models with a fixed
            number of positions (plain vision transformers) are built for it; all others take any size.
        stages: number of its last stages that `maps` returns; fewer where it has, or offers, fewer.
        fixed_norms: in training, too, batch norms go by their running statistics and leave them as they are.

    Attributes:
        channels: channels of the last feature maps.
        widths: channels of the maps of each stage that `maps` returns, early ones first.
        size: side in pixels of the images that it is built for.
        fixed_size: whether it takes images of this size alone.

    Raises:
        ConfigError: timm has no such model, or it offers no feature maps.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: str, *, size: int | None = None, stages: int = 1, fixed_norms: bool = False) -> None:
        super().__init__()
        if not isinstance(stages, int) or isinstance(stages, bool) or stages < 1:
            raise ConfigError(f"stages must be a whole number of a backbone's last stages, at least 1; got {stages!r}")
        self.name, self.fixed_norms = name, fixed_norms
        native = native_size(name)
        self.size = native if size is None else size
        timm: Any = import_timm()
        arguments: dict[str, Any] = {"num_classes": 0, "global_pool": ""}
        self.fixed_size = bool(_settings(name).get("fixed_input_size"))
        if self.size != native and self.fixed_size:
            arguments["img_size"] = self.size
        try:
            self.body: Any = timm.create_model(name, **arguments)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise ConfigError(f"backbone {name!r} cannot be built for images of {self.size} pixels: {error}") from error
        for module in self.body.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum is not None:
                module.momentum = max(module.momentum, NORM_MOMENTUM)
        self.channels = int(getattr(self.body, "head_hidden_size", None) or self.body.num_features)
        self._earlier, earlier_widths = _earlier_stages(self.body, self.channels, stages - 1)
        self.widths = (*earlier_widths, self.channels)
        settings = _settings(name)
        self.register_buffer("mean", torch.tensor(settings["mean"])[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(settings["std"])[:, None, None], persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # an overload that torch leaves out

    def train(self, mode: bool = True) -> Backbone:  # noqa: FBT001 - torch's own signature
        """Set training or evaluation mode; fixed batch norms are always in the latter."""
        super().train(mode)
        for module in self.body.modules() if self.fixed_norms else ():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def groups(self) -> tuple[list[nn.Module | nn.Parameter], list[nn.Module | nn.Parameter]]:
        """Return the early and the late half of the layers, by number; positions and class tokens are early."""
        units: list[nn.Module] = []
        for child in self.body.children():
            units.extend(child.children() if isinstance(child, nn.Sequential | nn.ModuleList) else [child])
        with_parameters = [number for number, unit in enumerate(units) if any(True for _ in unit.parameters())]
        cut = with_parameters[len(with_parameters) // 2] if with_parameters else 0
        return [*self.body.parameters(recurse=False), *units[:cut]], list(units[cut:])

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return feature maps ``(batch, channels, height, width)``, one for each stage, the last one last."""
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        images = images.float() if images.dtype == torch.uint8 else images
        images = (images - self.mean * scale) / (self.deviation * scale)
        images = images.contiguous(memory_format=torch.channels_last)
        if not self._earlier:
            return [self._as_maps(self.body(images))]
        last, earlier = self.body.forward_intermediates(images, indices=self._earlier)
        return [*earlier, self._as_maps(self.body.forward_head(last))]

    def forward(self, images: Tensor) -> Tensor:
        """Return the last stage's feature maps."""
        return self.maps(images)[-1]

    def _as_maps(self, output: Tensor) -> Tensor:
        channels = self.channels
        if output.ndim == 4 and output.shape[1] == channels:
            return output
        if output.ndim == 4 and output.shape[3] == channels:  # (batch, height, width, channels): Swin and its kin
            return output.permute(0, 3, 1, 2)
        if output.ndim == 3 and output.shape[2] == channels:  # (batch, tokens, channels), class tokens first
            first = int(getattr(self.body, "num_prefix_tokens", 0))
            return output[:, first:].transpose(1, 2).unsqueeze(3)
        if output.ndim == 2 and output.shape[1] == channels:
            return output[:, :, None, None]
        raise ConfigError(
            f"backbone {self.name!r} returns {tuple(output.shape)}, which are no feature maps of {channels} channels:"
            " choose another backbone"
        )


def _earlier_stages(body: Any, channels: int, count: int) -> tuple[list[int], list[int]]:
    """Return the numbers of the last stages before the final maps, as timm counts them, and their channels.

    A last stage as wide as the final maps is those maps themselves, perhaps without their norm: it is left out.
    """
    stages = getattr(body, "feature_info", None) if hasattr(body, "forward_intermediates") else None
    widths = [int(stage["num_chs"]) for stage in stages or ()]
    if widths and widths[-1] == channels:
        widths.pop()
    numbers = list(range(len(widths)))[max(0, len(widths) - count) :]
    return numbers, [widths[number] for number in numbers]


def native_size(name: str) -> int:
    """Return the side in pixels of the images that a backbone's weights were trained with.

    Raises:
        ConfigError: timm has no such model.
    """
    return int(_settings(name)["input_size"][-1])


def _settings(name: str) -> dict[str, Any]:
    timm: Any = import_timm()
    if not isinstance(name, str) or not timm.is_model(name):
        raise ConfigError(f"backbone: timm has no model {name!r}; {did_you_mean(name, timm.list_models())}")
    try:
        settings = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ConfigError(f"backbone: timm has no model {name!r}: {error}") from error
    usual = {"input_size": (3, 224, 224), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    if settings is None:
        return usual
    if settings.input_size[0] != 3:
        raise ConfigError(f"backbone {name!r} takes images of {settings.input_size[0]} channels; here they have 3")
    return {**usual, **settings.to_dict()}
