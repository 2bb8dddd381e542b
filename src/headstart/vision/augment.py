"""`Augment`: pictures turned, zoomed, shifted, lit and partly covered, on the device, each by a draw of its own.

All that moves pixels is one affine map per picture, applied to the batch by one `grid_sample`: pixels are interpolated
once. A picture's draw is a function of (seed, epoch, row), so it depends neither on its batch nor on the processes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.core.engine import seed_of
from headstart.core.errors import ConfigError

__all__ = ["Augment", "draw", "side_on", "top_down"]

DRAWS = 16
"""Numbers drawn for each picture; some are spare, so that a new change leaves the draws of the others as they are."""


@dataclass(frozen=True, kw_only=True)
class Augment:
    """How far pictures may be changed. Each amount is the most; each picture's own is drawn evenly up to it.

    Attributes:
        flip: probability of a mirror image, left for right.
        flip_vertical: likewise, top for bottom.
        quarter_turns: whether pictures are turned by 0, 90, 180 or 270 degrees.
        rotate: degrees to either side.
        zoom: factor, 1 or more: pictures are enlarged by 1 to this.
        shift: to each side, as a share of the picture's side.
        stretch: factor, 1 or more, of height against width or the other way round.
        shear: degrees to either side.
        brightness: added to the light, as a share of its whole range.
        contrast: factor, as a share: 0.2 gives 0.8 to 1.2.
        saturation: likewise, of the colours against grey.
        cutout: side of a square that is covered with grey, as a share of the picture's side.
    """

    flip: float = 0.0
    flip_vertical: float = 0.0
    quarter_turns: bool = False
    rotate: float = 0.0
    zoom: float = 1.0
    shift: float = 0.0
    stretch: float = 1.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    cutout: float = 0.0

    def __post_init__(self) -> None:
        limits = {"rotate": 180.0, "shear": 60.0, "zoom": 10.0, "stretch": 4.0}
        for name, value in asdict(self).items():
            if name == "quarter_turns":
                continue
            low, high = (1.0 if name in ("zoom", "stretch") else 0.0), limits.get(name, 1.0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ConfigError(f"{name} must be a number from {low:g} to {high:g}; got {value!r}")

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Changed pictures.

        Args:
            images: uint8, or float from 0 to 1, ``(batch, 3, height, width)``.
            drawn: float from 0 to 1, ``(batch, DRAWS)``, of `draw`.

        Returns:
            Float from 0 to 1, of the same shape.
        """
        pixels = images.float() / 255.0 if images.dtype == torch.uint8 else images
        numbers = drawn.to(pixels.device)
        if self._moves:
            pixels = _moved(pixels, self._matrices(numbers, pixels.shape[2], pixels.shape[3]))
        return _covered(self._lit(pixels, numbers), numbers[:, 13:15], self.cutout)

    @property
    def _moves(self) -> bool:
        still = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "cutout": 0.0}
        return asdict(self) | still != asdict(Augment())

    def _matrices(self, numbers: Tensor, height: int, width: int) -> Tensor:
        """For each picture the map from places in the new one to places in the old, ``(batch, 2, 3)``."""
        evenly = 2 * numbers - 1  # -1 to 1
        angle = evenly[:, 2] * math.radians(self.rotate)
        if self.quarter_turns:
            angle = angle + (numbers[:, 3] * 4).floor() * (math.pi / 2)
        scale = 1 / (1 + numbers[:, 4] * (self.zoom - 1))
        stretch = torch.exp(evenly[:, 5] * math.log(self.stretch) / 2)
        shear = torch.tan(evenly[:, 6] * math.radians(self.shear))
        mirrored = 1 - 2 * (numbers[:, 0] < self.flip).to(numbers)
        upside_down = 1 - 2 * (numbers[:, 1] < self.flip_vertical).to(numbers)
        cosine, sine, ratio = angle.cos(), angle.sin(), height / width
        across, down = scale * stretch * mirrored, scale / stretch * upside_down
        matrices = numbers.new_zeros(len(numbers), 2, 3)
        matrices[:, 0, 0], matrices[:, 0, 1] = cosine * across, (shear * cosine - sine) * down * ratio
        matrices[:, 1, 0], matrices[:, 1, 1] = sine * across / ratio, (shear * sine + cosine) * down
        matrices[:, :, 2] = evenly[:, 7:9] * 2 * self.shift
        return matrices

    def _lit(self, pixels: Tensor, numbers: Tensor) -> Tensor:
        if not (self.brightness or self.contrast or self.saturation):
            return pixels
        evenly = (2 * numbers - 1)[:, :, None, None, None]
        if self.saturation:
            grey = pixels.mean(1, keepdim=True)
            pixels = grey + (pixels - grey) * (1 + evenly[:, 9] * self.saturation)
        if self.contrast:
            middle = pixels.mean((1, 2, 3), keepdim=True)
            pixels = middle + (pixels - middle) * (1 + evenly[:, 10] * self.contrast)
        return (pixels + evenly[:, 11] * self.brightness).clamp(0, 1)

    def to_json(self) -> dict[str, Any]:
        """What ``Augment(**record)`` takes."""
        return asdict(self)


def side_on(
    *, rotate: float = 10.0, zoom: float = 1.1, shift: float = 0.05, light: float = 0.1, cutout: float = 0.0
) -> Augment:
    """For photos taken from the side, where left and right can be changed but not top and bottom: animals, goods.

    **Source:** fast.ai's course, ``transforms_side_on`` (turned by up to 10 degrees, lit by up to 0.05 and mirrored);
    the light and the zoom are ours.

    Args:
        rotate: degrees.
        zoom: factor.
        shift: share of the side.
        light: of brightness, and twice that of contrast and saturation.
        cutout: share of the side.
    """
    return Augment(
        flip=0.5, rotate=rotate, zoom=zoom, shift=shift, brightness=light, contrast=min(1.0, 2 * light),
        saturation=min(1.0, 2 * light), cutout=cutout,
    )  # fmt: skip


def top_down(
    *, rotate: float = 10.0, zoom: float = 1.1, shift: float = 0.05, light: float = 0.1, cutout: float = 0.0
) -> Augment:
    """For pictures from above, which have no top: satellites, microscopes, skin. Also in quarter turns.

    **Source:** fast.ai's course, ``transforms_top_down``. Arguments as for `side_on`.
    """
    return Augment(
        flip=0.5, quarter_turns=True, rotate=rotate, zoom=zoom, shift=shift, brightness=light,
        contrast=min(1.0, 2 * light), saturation=min(1.0, 2 * light), cutout=cutout,
    )  # fmt: skip


def draw(rows: int, *numbers: int) -> Tensor:
    """Draws for all rows, float from 0 to 1, ``(rows, DRAWS)``, from the seed and what else tells them apart.

    Args:
        rows: of the table.
        numbers: the seed and the epoch, say.
    """
    return torch.rand(rows, DRAWS, generator=torch.Generator().manual_seed(seed_of(*numbers)))


def _moved(pixels: Tensor, matrices: Tensor) -> Tensor:
    """The pictures under their maps; what lies outside a picture is its mirror image."""
    grid = F.affine_grid(matrices, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _covered(pixels: Tensor, numbers: Tensor, side: float) -> Tensor:
    """The pictures with a grey square, whose middle can lie anywhere, so that it may reach over the edge.

    **Source:** DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (2017).
    """
    if not side:
        return pixels
    height, width = pixels.shape[2:]

    def within(count: int, middle: Tensor) -> Tensor:
        places = (torch.arange(count, device=pixels.device) + 0.5) / count
        return (places - middle[:, None]).abs() <= side / 2  # (batch, count)

    square = within(height, numbers[:, 0])[:, None, :, None] & within(width, numbers[:, 1])[:, None, None, :]
    return pixels.masked_fill(square, 0.5)
