"""A few of the files of `door.py`, which tries as many as one likes: ``make fuzz``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def door() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_door", Path(__file__).parent / "door.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_random_and_damaged_files_are_read_or_refused(first: int, door: ModuleType, tmp_path: Path) -> None:
    """Any exception but `DataError` fails; the seed is in the traceback's arguments."""
    outcomes = [door.read(seed, tmp_path) for seed in range(first, first + 50)]
    assert {"read", "refused"} == set(outcomes)
