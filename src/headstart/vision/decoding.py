"""From an image file to a square of pixels, whatever the file is like. Needs only pillow and numpy.

JPEG          decoded at a fraction of its size where that is enough (pillow's draft mode), so that large photos
are quick and take little memory
grey, 16 bits, palette, CMYK    become RGB; 16 bits are scaled to 8
transparent   laid on white
EXIF          turned as the camera was held
animated      the first picture
1 x 1         one colour
too large     above 100 million pixels to be decoded: refused, since a small file can hold more than memory does
cut short, damaged, no image, missing, an empty file: refused, and the message names the file
"""

from __future__ import annotations

import io
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from headstart.core.errors import ConfigError, DataError, did_you_mean

__all__ = ["ENDINGS", "Pixels", "Resize", "Sizing", "decode", "fitted"]

Pixels: TypeAlias = NDArray[np.uint8]

Resize: TypeAlias = Literal["crop", "squish", "pad"]
"""How a picture becomes a square: its middle, all of it pressed together, or all of it with grey beside it."""

ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jfif"))
"""Names of files that count as images in a folder."""

MOST_PIXELS = 100_000_000
"""To be decoded at once: 300 MB as RGB."""

LARGEST_SIDE = 4096
"""Of the squares that are made."""

GREY = 128


@dataclass(frozen=True)
class Sizing:
    """What is made of each picture.

    Attributes:
        size: side of the square in pixels.
        resize: how it becomes a square.
    """

    size: int
    resize: Resize = "crop"

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or isinstance(self.size, bool) or not 1 <= self.size <= LARGEST_SIDE:
            raise ConfigError(f"size must be a whole number of pixels from 1 to {LARGEST_SIDE}; got {self.size!r}")
        if self.resize not in get_args(Resize):
            raise ConfigError(
                f"resize must be 'crop', 'squish' or 'pad'; got {self.resize!r}:"
                f" {did_you_mean(self.resize, get_args(Resize))}"
            )

    def to_json(self) -> dict[str, Any]:
        """What ``Sizing(**record)`` takes."""
        return asdict(self)


def decode(source: str | Path | bytes, sizing: Sizing, name: str | None = None) -> Pixels:
    """The pixels of an image file, RGB, uint8 ``(size, size, 3)``.

    Args:
        source: a path, or what is in the file.
        sizing: what is made of it.
        name: what messages call it; None: the path.

    Raises:
        DataError: the file is missing, no image, damaged, or too large.
    """
    called = name or ("the image" if isinstance(source, bytes) else str(source))
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise DataError(f"{called} cannot be read: {error.strerror}") from error
    if not content:
        raise DataError(f"{called} is an empty file")
    return fitted(_opened(content, called, sizing.size), sizing, called)


def fitted(picture: Any, sizing: Sizing, name: str = "the image") -> Pixels:
    """A pillow picture as a square, RGB, uint8 ``(size, size, 3)``.

    Raises:
        DataError: it cannot be decoded, or holds numbers that are no colours.
    """
    from PIL import Image, ImageOps

    try:
        turned = _rgb(ImageOps.exif_transpose(picture), name)
        width, height = turned.size
        side = sizing.size
        if sizing.resize == "pad":
            scale = side / max(width, height)
            inner = (max(1, round(width * scale)), max(1, round(height * scale)))
            square = Image.new("RGB", (side, side), (GREY, GREY, GREY))
            resized = turned.resize(inner, Image.Resampling.BICUBIC)
            square.paste(resized, ((side - inner[0]) // 2, (side - inner[1]) // 2))
        else:
            least = min(width, height)
            left, top = ((width - least) / 2, (height - least) / 2) if sizing.resize == "crop" else (0.0, 0.0)
            box = (left, top, left + least, top + least) if sizing.resize == "crop" else (0.0, 0.0, width, height)
            square = turned.resize((side, side), Image.Resampling.BICUBIC, box)
    except DataError:
        raise
    except Exception as error:  # pillow's readers raise what their format's damage leads to: a dozen kinds
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
                picture: Any = JpegImagePlugin.JpegImageFile(file)
                picture.draft("RGB", (2 * size, 2 * size))  # still twice what is needed, for a clean reduction
            else:
                picture = Image.open(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{name} is too large ({_size_said(error)}): scale it down") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{name} is no image that pillow knows, or its beginning is damaged") from error
    except Exception as error:  # as above
        raise DataError(f"{name} cannot be decoded: {error or type(error).__name__}") from error
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{name} is too large ({width:,} x {height:,} pixels; at most {MOST_PIXELS:,} are decoded): scale it down"
        )
    return picture


def _size_said(error: BaseException) -> str:
    return str(error).partition(", could be")[0]


def _rgb(picture: Any, name: str) -> Any:
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits of grey, or 32 that hold 16
        values = np.asarray(picture).astype(np.float64)
        return Image.fromarray((values.clip(0, 65535) / 257).round().astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise DataError(f"{name} holds fractions instead of colours (mode F): convert it to 8 or 16 bits")
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")
