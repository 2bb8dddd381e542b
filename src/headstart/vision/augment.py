"""`Augment`: images rotated, zoomed, shifted, lit and partly covered, on the device, each by a draw of its own.

All that moves pixels is one affine map per image, applied to the batch by one `grid_sample`, so that pixels are
interpolated once. An image's draw is a function of (seed, epoch, row): it depends neither on its batch nor on the
number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.core.engine import seed_of
from headstart.core.values import Range, Value

__all__ = ["AUGMENTATIONS", "Augment", "AugmentName", "draw", "side_on", "top_down"]

DRAWS = 16
"""Numbers drawn for each image; some are spare, so that a new change leaves the draws of the others as they are."""

AugmentName: TypeAlias = Literal["side_on", "top_down"]
"""The augmentations that have a name."""

Share: TypeAlias = Annotated[float, Range(low=0, high=1)]


@dataclass(frozen=True, kw_only=True)
class Augment(Value):
    """How far training images may be changed. Each amount is a maximum; each image's own is drawn uniformly up to it.

    Attributes:
        flip: probability of a mirror image, left for right.
        flip_vertical: probability of a mirror image, top for bottom.
        quarter_turns: whether images are rotated by 0, 90, 180 or 270 degrees.
        rotate: rotation to either side, in degrees, up to 180.
        zoom: largest magnification, 1 (none) to 10.
        shift: shift in each direction, as a share of the image's side.
        stretch: largest ratio of height to width or of width to height, 1 (none) to 4.
        shear: shear to either side, in degrees, up to 60.
        brightness: brightness added or taken away, as a share of its whole range.
        contrast: change of the contrast: 0.2 multiplies it by 0.8 to 1.2.
        saturation: change of the saturation: 0.2 multiplies it by 0.8 to 1.2.
        cutout: side of a square that is covered with grey, as a share of the image's side.
    """

    flip: Share = 0.0
    flip_vertical: Share = 0.0
    quarter_turns: bool = False
    rotate: Annotated[float, Range(low=0, high=180)] = 0.0
    zoom: Annotated[float, Range(low=1, high=10)] = 1.0
    shift: Share = 0.0
    stretch: Annotated[float, Range(low=1, high=4)] = 1.0
    shear: Annotated[float, Range(low=0, high=60)] = 0.0
    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = 0.0
    cutout: Share = 0.0

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Return changed images, float from 0 to 1, ``(batch, 3, height, width)``.

        Args:
            images: uint8, or float from 0 to 1, ``(batch, 3, height, width)``.
            drawn: each image's draw, float from 0 to 1, ``(batch, DRAWS)``: see `draw`.
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
        """Return for each image the map from positions in the new one to positions in the old, ``(batch, 2, 3)``."""
        signed = 2 * numbers - 1  # -1 to 1
        angle = signed[:, 2] * math.radians(self.rotate)
        if self.quarter_turns:
            angle = angle + (numbers[:, 3] * 4).floor() * (math.pi / 2)
        scale = 1 / (1 + numbers[:, 4] * (self.zoom - 1))
        stretch = torch.exp(signed[:, 5] * math.log(self.stretch) / 2)
        shear = torch.tan(signed[:, 6] * math.radians(self.shear))
        mirrored = 1 - 2 * (numbers[:, 0] < self.flip).to(numbers)
        upside_down = 1 - 2 * (numbers[:, 1] < self.flip_vertical).to(numbers)
        cosine, sine, ratio = angle.cos(), angle.sin(), height / width
        across, down = scale * stretch * mirrored, scale / stretch * upside_down
        matrices = numbers.new_zeros(len(numbers), 2, 3)
        matrices[:, 0, 0], matrices[:, 0, 1] = cosine * across, (shear * cosine - sine) * down * ratio
        matrices[:, 1, 0], matrices[:, 1, 1] = sine * across / ratio, (shear * sine + cosine) * down
        matrices[:, :, 2] = signed[:, 7:9] * 2 * self.shift
        return matrices

    def _lit(self, pixels: Tensor, numbers: Tensor) -> Tensor:
        if not (self.brightness or self.contrast or self.saturation):
            return pixels
        signed = (2 * numbers - 1)[:, :, None, None, None]
        if self.saturation:
            grey = pixels.mean(1, keepdim=True)
            pixels = grey + (pixels - grey) * (1 + signed[:, 9] * self.saturation)
        if self.contrast:
            middle = pixels.mean((1, 2, 3), keepdim=True)
            pixels = middle + (pixels - middle) * (1 + signed[:, 10] * self.contrast)
        return (pixels + signed[:, 11] * self.brightness).clamp(0, 1)


def side_on(
    *, rotate: float = 10.0, zoom: float = 1.1, shift: float = 0.05, light: float = 0.1, cutout: float = 0.0
) -> Augment:
    """Return the augmentation for photos taken from the side, which may be mirrored left for right: animals, goods.

    **Source:** fast.ai's course, ``transforms_side_on`` (rotated by up to 10 degrees, brightness changed by up to 0.05,
    mirrored); the amounts of light and zoom are ours.

    Args:
        rotate: rotation to either side, in degrees.
        zoom: largest magnification.
        shift: shift as a share of the image's side.
        light: change of the brightness; contrast and saturation change by twice as much.
        cutout: side of a grey square, as a share of the image's side.
    """
    return Augment(
        flip=0.5, rotate=rotate, zoom=zoom, shift=shift, brightness=light, contrast=min(1.0, 2 * light),
        saturation=min(1.0, 2 * light), cutout=cutout,
    )  # fmt: skip


def top_down(
    *, rotate: float = 10.0, zoom: float = 1.1, shift: float = 0.05, light: float = 0.1, cutout: float = 0.0
) -> Augment:
    """Return the augmentation for images from above, which have no top: satellites, microscopes, skin.

    As `side_on`, and rotated by quarter turns as well.

    **Source:** fast.ai's course, ``transforms_top_down``.

    Args:
        rotate: rotation to either side, in degrees.
        zoom: largest magnification.
        shift: shift as a share of the image's side.
        light: change of the brightness; contrast and saturation change by twice as much.
        cutout: side of a grey square, as a share of the image's side.
    """
    return Augment(
        flip=0.5, quarter_turns=True, rotate=rotate, zoom=zoom, shift=shift, brightness=light,
        contrast=min(1.0, 2 * light), saturation=min(1.0, 2 * light), cutout=cutout,
    )  # fmt: skip


AUGMENTATIONS: dict[AugmentName, Callable[[], Augment]] = {"side_on": side_on, "top_down": top_down}
"""By name, with the default amounts."""


def draw(rows: int, *numbers: int) -> Tensor:
    """Return the draws of all rows, float from 0 to 1, ``(rows, DRAWS)``.

    Args:
        rows: number of rows.
        numbers: what the draws are a function of: the seed, the epoch.
    """
    return torch.rand(rows, DRAWS, generator=torch.Generator().manual_seed(seed_of(*numbers)))


def _moved(pixels: Tensor, matrices: Tensor) -> Tensor:
    """Apply one map per image; what lies outside an image is its mirror image."""
    grid = F.affine_grid(matrices, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _covered(pixels: Tensor, numbers: Tensor, side: float) -> Tensor:
    """Cover each image with a grey square, whose centre can lie anywhere, so that it may reach beyond the edge.

    **Source:** DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (2017).
    """
    if not side:
        return pixels
    height, width = pixels.shape[2:]

    def within(count: int, middle: Tensor) -> Tensor:
        positions = (torch.arange(count, device=pixels.device) + 0.5) / count
        return (positions - middle[:, None]).abs() <= side / 2  # (batch, count)

    square = within(height, numbers[:, 0])[:, None, :, None] & within(width, numbers[:, 1])[:, None, None, :]
    return pixels.masked_fill(square, 0.5)
