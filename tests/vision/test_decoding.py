"""Files of every kind: what becomes of each, and what is said of those that cannot be decoded."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.core.errors import ConfigError, DataError
from headstart.vision.decoding import Sizing, decode

SIZING = Sizing(16)


def saved(image: Image.Image, ending: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, ending, **options)
    return file.getvalue()


def flat(mode: str, colour: Any, size: tuple[int, int] = (20, 20)) -> Image.Image:
    return Image.new(mode, size, colour)


def palette() -> Image.Image:
    image = flat("RGB", (200, 100, 50)).quantize(4)
    image.info["transparency"] = 255
    return image


def grey_16() -> Image.Image:
    return Image.fromarray(np.full((20, 20), 32896, dtype=np.uint16))


@pytest.mark.parametrize(
    ("image", "ending", "expected"),
    [
        (flat("RGB", (200, 100, 50)), "PNG", (200, 100, 50)),
        (flat("L", 77), "PNG", (77, 77, 77)),
        (flat("1", 1), "PNG", (255, 255, 255)),
        (grey_16(), "PNG", (128, 128, 128)),
        (flat("RGBA", (200, 100, 50, 255)), "PNG", (200, 100, 50)),
        (flat("RGBA", (200, 100, 50, 0)), "PNG", (255, 255, 255)),
        (flat("LA", (10, 0)), "PNG", (255, 255, 255)),
        (palette(), "PNG", (200, 100, 50)),
        (flat("P", 0), "GIF", (0, 0, 0)),
        (flat("CMYK", (0, 0, 0, 0)), "JPEG", (255, 255, 255)),
        (flat("RGB", (200, 100, 50), (1, 1)), "PNG", (200, 100, 50)),
        (flat("RGB", (200, 100, 50), (3, 900)), "PNG", (200, 100, 50)),
        (flat("RGB", (200, 100, 50)), "WEBP", (200, 100, 50)),
    ],
    ids=["rgb", "grey", "1 bit", "16 bits", "opaque", "transparent", "transparent grey", "palette", "gif", "cmyk", "1 x 1", "narrow", "webp"],
)  # fmt: skip
def test_every_kind_becomes_a_square_of_rgb(image: Image.Image, ending: str, expected: tuple[int, ...]) -> None:
    pixels = decode(saved(image, ending), SIZING)
    assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - expected).max() <= 3


def test_exif_turns_the_picture_as_the_camera_was_held() -> None:
    image = Image.new("RGB", (32, 32))
    image.paste((255, 0, 0), (0, 0, 32, 8))  # red on top
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    pixels = decode(saved(image, "PNG", exif=exif), Sizing(32))
    assert (pixels[:, -4:] == (255, 0, 0)).all() and (pixels[:, :20] == 0).all()


def test_the_ways_to_a_square() -> None:
    image = Image.new("RGB", (40, 20), (0, 0, 255))
    image.paste((255, 0, 0), (10, 0, 30, 20))  # the middle is red
    crop, squish, pad = (decode(saved(image), Sizing(20, how)) for how in ("crop", "squish", "pad"))
    assert (crop == (255, 0, 0)).all()
    assert tuple(squish[10, 1]) == (0, 0, 255) and tuple(squish[10, 10]) == (255, 0, 0)
    assert tuple(pad[1, 10]) == (128, 128, 128) and tuple(pad[10, 1]) == (0, 0, 255)


def test_a_jpeg_of_400_million_pixels_is_decoded_at_a_fraction_and_a_png_is_refused() -> None:
    """20,000 x 20,000: the JPEG takes some seconds to write, so it is written once, for both."""
    image = Image.new("L", (20_000, 20_000), 90)
    jpeg = saved(image, "JPEG", quality=30)
    assert np.abs(decode(jpeg, SIZING).astype(int) - 90).max() <= 2
    png = saved(Image.new("1", (20_000, 20_000)), "PNG")
    with pytest.raises(DataError, match=r"big.png is too large \(.*400000000 pixels.*\): scale it down"):
        decode(png, SIZING, "big.png")
    middle = saved(Image.new("1", (10_100, 10_000)), "BMP")
    with pytest.raises(DataError, match=r"too large \(.*101000000"):
        decode(middle, SIZING)


@pytest.mark.parametrize("resize", ["crop", "squish", "pad"])
def test_decoding_is_the_same_each_time(resize: Any) -> None:
    random = np.random.default_rng(0)
    content = saved(Image.fromarray(random.integers(0, 256, (70, 90, 3)).astype(np.uint8)), "JPEG")
    assert np.array_equal(decode(content, Sizing(24, resize)), decode(content, Sizing(24, resize)))


PHOTO = saved(Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)), "JPEG")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "photo.jpg is an empty file"),
        (b"hello, this is text", "photo.jpg is no image that pillow knows, or its beginning is damaged"),
        (PHOTO[: len(PHOTO) // 2], "photo.jpg cannot be decoded: .*truncated"),
        (PHOTO[:30], "photo.jpg cannot be decoded"),
        (saved(Image.fromarray(np.ones((4, 4), dtype=np.float32)), "TIFF"), r"photo.jpg holds fractions instead of colours \(mode F\)"),
    ],
    ids=["empty", "text", "cut", "head only", "fractions"],
)  # fmt: skip
def test_a_bad_file_is_named_and_what_is_wrong_is_said(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        decode(path, SIZING)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none.jpg cannot be read: No such file"):
        decode(tmp_path / "none.jpg", SIZING)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sizing(0), "size must be a whole number of pixels from 1 to 4096; got 0"),
        (lambda: Sizing(2.5), "size must be a whole number"),  # type: ignore[arg-type]
        (lambda: Sizing(8, "krop"), "resize must be 'crop', 'squish' or 'pad'; got 'krop': did you mean 'crop'"),  # type: ignore[arg-type]
    ],
)
def test_a_size_is_checked(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
