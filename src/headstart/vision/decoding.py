"""Decode image files of any kind into squares of pixels. Needs only pillow and numpy.

JPEG          decoded at a fraction of its size where that is enough (pillow's draft mode): large photos are quick and
take little memory
grey, 16 bits, palette, CMYK    converted to RGB; 16 bits are scaled to 8
transparent   laid on white
EXIF          rotated as its orientation says
animated      the first frame
1 x 1         one colour
too large     more than 100 million pixels to decode: refused, since a small file can decode to more than memory holds
truncated, damaged, no image, missing, empty    refused with a message that names the file
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from headstart.core.errors import ConfigError, DataError, did_you_mean

__all__ = ["ENDINGS", "Pixels", "Resize", "Sizing", "decode", "fitted"]

Pixels: TypeAlias = NDArray[np.uint8]

Resize: TypeAlias = Literal["crop", "squish", "pad"]
"""How an image becomes a square: its middle; all of it, squeezed; or all of it, with grey bars."""

ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jfif"))
"""Endings of the file names that count as images in a folder."""

MOST_PIXELS = 100_000_000
"""Largest number of pixels to decode: 300 MB as RGB."""

LARGEST_SIZE = 4096
"""Largest side of a square, in pixels."""

GREY = 128


@dataclass(frozen=True)
class Sizing:
    """How images of any size become squares of one size.

    It checks itself, and is no `Value`, since the processes that decode must not import torch.

    Attributes:
        size: side of the square in pixels, 1 to 4096.
        resize: ``"crop"``, ``"squish"`` or ``"pad"``.
    """

    size: int
    resize: Resize = "crop"

    def __post_init__(self) -> None:
        """Check both fields."""
        if not isinstance(self.size, int) or isinstance(self.size, bool) or not 1 <= self.size <= LARGEST_SIZE:
            raise ConfigError(f"size must be a whole number of pixels from 1 to {LARGEST_SIZE}; got {self.size!r}")
        if self.resize not in get_args(Resize):
            raise ConfigError(
                f"resize must be 'crop', 'squish' or 'pad'; got {self.resize!r}:"
                f" {did_you_mean(self.resize, get_args(Resize))}"
            )


def decode(source: str | Path | bytes, sizing: Sizing, name: str | None = None) -> Pixels:
    """Decode an image file to RGB pixels, uint8 ``(size, size, 3)``.

    Args:
        source: a path, or the content of a file.
        sizing: size of the square, and how the image fills it.
        name: what messages call the image; None: the path.

    Raises:
        DataError: the file is missing, damaged, too large, or no image.
    """
    label = name or ("the image" if isinstance(source, bytes) else str(source))
    try:
        content = source if isinstance(source, bytes) else Path(source).expanduser().read_bytes()
    except OSError as error:
        raise DataError(f"{label} cannot be read: {error.strerror}") from error
    if not content:
        raise DataError(f"{label} is an empty file")
    return fitted(_opened(content, label, sizing.size), sizing, label)


def fitted(image: Any, sizing: Sizing, name: str = "the image") -> Pixels:
    """Return a pillow image as a square of RGB pixels, uint8 ``(size, size, 3)``.

    Raises:
        DataError: it cannot be decoded, or holds fractions, which are no colours.
    """
    from PIL import Image, ImageOps

    try:
        rgb = _rgb(ImageOps.exif_transpose(image), name)
        width, height = rgb.size
        size = sizing.size
        if sizing.resize == "pad":
            scale = size / max(width, height)
            inner = (max(1, round(width * scale)), max(1, round(height * scale)))
            square = Image.new("RGB", (size, size), (GREY, GREY, GREY))
            resized = rgb.resize(inner, Image.Resampling.BICUBIC)
            square.paste(resized, ((size - inner[0]) // 2, (size - inner[1]) // 2))
        else:
            shorter = min(width, height)
            left, top = ((width - shorter) / 2, (height - shorter) / 2) if sizing.resize == "crop" else (0.0, 0.0)
            middle = (left, top, left + shorter, top + shorter)
            box = middle if sizing.resize == "crop" else (0.0, 0.0, width, height)
            square = rgb.resize((size, size), Image.Resampling.BICUBIC, box)
    except DataError:
        raise
    except Exception as error:  # pillow raises a dozen kinds of errors, depending on the format and its damage
        raise DataError(f"{name} cannot be decoded: {error or type(error).__name__}") from error
    return np.asarray(square, dtype=np.uint8)


def _opened(content: bytes, name: str, size: int) -> Any:
    from PIL import Image, JpegImagePlugin, UnidentifiedImageError

    file = io.BytesIO(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if content[:3] == b"\xff\xd8\xff":
                # Directly, since Image.open counts the pixels of the file and not those that will be decoded.
                image: Any = JpegImagePlugin.JpegImageFile(file)
                image.draft("RGB", (2 * size, 2 * size))  # still twice what is needed, for a clean reduction
            else:
                image = Image.open(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        size_of_it = str(error).partition(", could be")[0]
        raise DataError(f"{name} is too large ({size_of_it}): scale it down") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{name} is no image that pillow knows, or its beginning is damaged") from error
    except Exception as error:  # as in `fitted`
        raise DataError(f"{name} cannot be decoded: {error or type(error).__name__}") from error
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{name} is too large ({width:,} x {height:,} pixels; at most {MOST_PIXELS:,} are decoded): scale it down"
        )
    return image


def _rgb(image: Any, name: str) -> Any:
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of grey, or 32 that hold 16
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray((values.clip(0, 65535) / 257).round().astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise DataError(f"{name} holds fractions instead of colours (mode F): convert it to 8 or 16 bits")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
