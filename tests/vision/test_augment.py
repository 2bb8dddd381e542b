"""Augmentation: each image by a draw of its own, and exact where it can be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.core.errors import ConfigError
from headstart.core.values import from_json, to_json
from headstart.vision.augment import DRAWS, Augment, draw, side_on, top_down


def images(rows: int = 4, height: int = 12, width: int = 12) -> torch.Tensor:
    return torch.randint(0, 256, (rows, 3, height, width), generator=torch.Generator().manual_seed(3)).to(torch.uint8)


def of(**numbers: float) -> torch.Tensor:
    """A draw in which nothing happens but what is named: by place, with .5 as the middle."""
    drawn = torch.full((1, DRAWS), 0.5)
    drawn[:, 4] = 0.0  # no zoom
    for name, value in numbers.items():
        drawn[:, {"flip": 0, "vertical": 1, "rotate": 2, "quarter": 3, "zoom": 4, "shift": 7}[name]] = value
    return drawn


def test_nothing_asked_is_nothing_done() -> None:
    assert torch.equal(Augment()(images(), draw(4, 0)), images() / 255.0)


def test_flips_and_quarter_turns_only_move_pixels() -> None:
    pixels = images(1) / 255.0
    assert torch.allclose(Augment(flip=1.0)(pixels, of()), pixels.flip(3), atol=1e-5)
    assert torch.allclose(Augment(flip_vertical=1.0)(pixels, of()), pixels.flip(2), atol=1e-5)
    turned = Augment(quarter_turns=True)(pixels, of(quarter=0.3))
    assert any(torch.allclose(turned, pixels.rot90(times, (2, 3)), atol=1e-4) for times in (1, 3))
    assert torch.allclose(Augment(quarter_turns=True)(pixels, of(quarter=0.6)), pixels.rot90(2, (2, 3)), atol=1e-4)


def test_a_quarter_of_rotation_of_an_oblong_keeps_its_scale() -> None:
    """A square of 8 in 16 x 32 pixels is still 8 x 8 after a right angle; beside it is the mirror image."""
    pixels = torch.zeros(1, 1, 16, 32)
    pixels[:, :, 4:12, 12:20] = 1
    turned = Augment(rotate=90.0)(pixels.expand(1, 3, 16, 32), of(rotate=1.0))
    assert torch.allclose(turned[..., 9:23], pixels.expand(1, 3, 16, 32)[..., 9:23], atol=1e-4)


@given(st.integers(2, 9), st.integers(0, 2**31))
def test_each_image_has_its_own_draw_whatever_its_batch(rows: int, seed: int) -> None:
    pixels, drawn, change = images(rows), draw(rows, seed), side_on(cutout=0.2)
    whole = change(pixels, drawn)
    assert torch.allclose(whole[1:2], change(pixels[1:2], drawn[1:2]), atol=1e-5)
    same = change(pixels[:1].expand(rows, -1, -1, -1), drawn)
    assert not torch.equal(same[0], same[1])
    assert float(whole.min()) >= 0 and float(whole.max()) <= 1


def test_cutout_covers_a_square_of_the_side_asked_for() -> None:
    covered = Augment(cutout=0.5)(torch.ones(1, 3, 20, 20), torch.full((1, DRAWS), 0.5))
    assert int((covered[0, 0] == 0.5).sum()) == 100


def test_light_changes_colours_and_not_places() -> None:
    pixels = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
    lit = Augment(brightness=0.1)(pixels, draw(8, 0))
    moved = (lit - pixels).flatten(1)
    assert torch.allclose(moved, moved[:, :1].expand_as(moved), atol=1e-6) and float(moved.abs().max()) <= 0.1
    grey = Augment(saturation=1.0)(pixels, torch.zeros(8, DRAWS))
    assert torch.allclose(grey, pixels.mean(1, keepdim=True).expand_as(pixels), atol=1e-6)


def test_the_presets() -> None:
    assert side_on().flip == 0.5 and not side_on().quarter_turns and side_on().rotate == 10
    assert top_down().quarter_turns
    assert from_json(Augment, to_json(top_down(cutout=0.1))) == top_down(cutout=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flip": 1.5}, "flip must be a number of at least 0 and at most 1; got 1.5"),
        ({"zoom": 0.9}, "zoom must be a number of at least 1 and at most 10; got 0.9"),
        ({"rotate": -5}, "rotate must be a number of at least 0 and at most 180; got -5"),
    ],
)
def test_amounts_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Augment(**arguments)
