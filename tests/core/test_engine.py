"""Where the work runs: devices, random streams, memory, and the sums of one process."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart import Engine
from headstart.core import engine as module
from headstart.core.engine import seed_of


def test_a_random_stream_is_its_numbers_own_and_leaves_the_caller_s_alone() -> None:
    engine = Engine("cpu")
    before = torch.get_rng_state()
    draws = []
    for numbers in ((1, 2), (1, 2), (2, 1), (1, 3)):
        with engine.random_stream(*numbers):
            draws.append(torch.rand(4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draws[0], draws[1])
    assert not any(torch.equal(draws[0], other) for other in draws[2:])


@given(st.sets(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 7)), min_size=2, max_size=50))
def test_neighbouring_numbers_give_different_seeds(numbers: set[tuple[int, int, int]]) -> None:
    seeds = {seed_of(*each) for each in numbers}
    assert len(seeds) == len(numbers) and all(0 <= seed < 2**63 for seed in seeds)


def test_alone_sums_and_gathers_are_what_goes_in() -> None:
    engine = Engine("cpu")
    tensor = torch.arange(3.0)
    assert engine.sum(tensor) is tensor and engine.gather(tensor) is tensor
    assert engine.from_main({"a": 1}) == {"a": 1} and engine.from_all([2]) == [[2]]
    assert engine.step_rows(8) == 8.0 and engine.is_main


@pytest.mark.parametrize(("switch", "variable", "told"), [(True, "1", True), (False, "1", False), (True, "0", False)])
def test_the_allocator_is_told_to_keep_blocks_unless_switched_off(
    switch: bool, variable: str, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda option, value: calls.append((option.value, value.value)))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(module, "_allocator", module._Allocator())
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HEADSTART_KEEP_MEMORY", variable)
    engine = Engine("cpu", keep_memory=switch)
    assert calls == []  # making one changes nothing
    engine.begin()
    engine.begin()  # once is enough
    assert calls == ([(-3, 2**31 - 1), (-1, 2**31 - 1)] if told else [])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is Linux's")
def test_kept_blocks_are_not_asked_of_the_kernel_again() -> None:
    """Page faults of thirty times the same 64 MB: without the switch each time all of them, with it hardly any."""
    code = (
        "import resource, sys, torch\n"
        "from headstart import Engine\n"
        "Engine('cpu', keep_memory=sys.argv[1] == 'keep').begin()\n"
        "torch.ones(16_000_000)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(30): torch.ones(16_000_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    faults = {
        word: int(subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=True).stdout)
        for word in ("keep", "free")
    }
    assert faults["keep"] < 0.5 * faults["free"]


def test_compiling_is_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(self))
    layer = torch.nn.Linear(1, 1)
    assert Engine("cpu").prepare(layer) is layer and compiled == []
    assert Engine("cpu", compile=True).prepare(layer) is layer and compiled == [layer]


def test_arithmetic_tells_devices_and_tf32_apart() -> None:
    """Activations of one are not to be mixed with those of another."""
    engine = Engine("cpu")
    seen = [engine.arithmetic]
    engine.device = torch.device("cuda", 0)
    name, on, off = "allow_tf32", True, False
    settings: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    if hasattr(torch.backends.cudnn, "conv"):
        name, on, off, settings[0] = "fp32_precision", "tf32", "ieee", torch.backends.cudnn.conv
    before = [getattr(setting, name) for setting in settings]
    try:
        for values in ((on, off), (off, off), (on, on)):
            for setting, value in zip(settings, values, strict=True):
                setattr(setting, name, value)
            seen.append(engine.arithmetic)
    finally:
        for setting, value in zip(settings, before, strict=True):
            setattr(setting, name, value)
    assert seen == [
        "cpu",
        "cuda, tf32 convolutions, fp32 products",
        "cuda, fp32 convolutions, fp32 products",
        "cuda, tf32 convolutions, tf32 products",
    ]
