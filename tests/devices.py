"""Devices without a GPU: what a training step would copy to or read from the device, and shapes that depend on values.

Two stand-ins. The *meta* device holds no values and does everything else: a whole fit runs on it, backward pass and
optimizer included. Torch's fake tensors say that they are on ``cuda`` or ``mps``, so that the branches for these are
taken; a build of torch without GPUs cannot run autograd on them, so the forward pass and the loss run alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from headstart.core.batch import Batch, to_device
from headstart.core.engine import Engine
from headstart.training.callbacks import Callback
from headstart.training.learner import Learner
from headstart.training.loaders import TensorLoader
from headstart.training.progress import Progress

__all__ = ["Steps", "Watch", "send", "stand_in"]

aten = torch.ops.aten


class Watch(TorchDispatchMode):
    """Notes, while ``armed``, each operation that mixes host and device, and each number of float64 on MPS.

    Reading from the device and shapes that depend on values raise errors by themselves: there are no values.

    Args:
        device: ``meta``, or ``cuda:0`` or ``mps:0`` for fake tensors.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device, self.armed = torch.device(device), False
        self.found: list[str] = []
        self.fake = None if device == "meta" else FakeTensorMode(allow_non_fake_inputs=True)

    def __enter__(self) -> Watch:
        if self.fake is not None:
            self.fake.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        if self.fake is not None:
            self.fake.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        wanted = kwargs.get("device")
        there = [tensor for tensor in tensors if self._on_device(tensor)]
        if not there and (wanted is None or torch.device(wanted).type != self.device.type):
            if self.fake is None:
                return func(*args, **kwargs)
            with unset_fake_temporarily():  # what is on the host is real
                return func(*args, **kwargs)
        host = [tensor for tensor in tensors if not self._on_device(tensor)]
        copies = func in (aten._to_copy.default, aten.copy_.default)
        if self.armed and any(copies or tensor.ndim for tensor in host) and not _in_transfer():
            self.found.append(f"{func} takes {[list(tensor.shape) for tensor in host]} from the host: {_where()}")
        result = func(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and leaf.device.type == "mps"]
        if self.armed and any(tensor.dtype == torch.float64 for tensor in made):
            self.found.append(f"{func} makes float64: {_where()}")
        return result

    def _on_device(self, tensor: Tensor) -> bool:
        return tensor.is_meta if self.fake is None else isinstance(tensor, FakeTensor)


def _frames() -> Iterator[Any]:
    frame = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _in_transfer() -> bool:
    """Whether it is the transfer of a batch, which has to be."""
    return any(frame.f_code is to_device.__code__ for frame in _frames())


def _where() -> str:
    """The innermost line of headstart."""
    for frame in _frames():
        if "/headstart/" in frame.f_code.co_filename and "/tests/" not in frame.f_code.co_filename:
            return f"{frame.f_code.co_filename.rpartition('/headstart/')[2]}:{frame.f_lineno}"
    return "?"


class Steps(Callback):
    """Arms a watch at the first batch of a fit, and stops the fit after some steps."""

    def __init__(self, watch: Watch, steps: int = 3) -> None:
        self.watch, self.steps, self.done = watch, steps, 0

    def on_batch(self, progress: Progress, batch: Batch) -> Batch:
        self.watch.armed = True
        return batch

    def on_step_end(self, progress: Progress) -> None:
        self.done += 1
        if self.done == self.steps:
            self.watch.armed, progress.stop = False, True


def send(learner: Learner, device: str) -> None:
    """Let a learner that was made on the host train on the device: its data lie there from now on."""
    learner.engine.device = torch.device(device)
    assert learner.data is not None
    loader = learner.data.train
    assert loader.engine is learner.engine  # type: ignore[attr-defined]  # all of ours have one
    if isinstance(loader, TensorLoader):
        place = learner.engine.device
        loader.inputs = tuple(tensor.to(place) for tensor in loader.inputs)
        loader.target, loader.weight = (None if t is None else t.to(place) for t in (loader.target, loader.weight))
        loader._storage = place


@contextlib.contextmanager
def stand_in(device: str) -> Iterator[None]:
    """Let torch take the device for one that is there."""
    with contextlib.ExitStack() as stack:
        for change in _for_meta() if device == "meta" else _for_fakes():
            stack.enter_context(change)
        yield


def _for_meta() -> list[contextlib.AbstractContextManager[Any]]:
    """Give meta what it lacks: autocast, fused optimizers. And let `transformers` not look at its mask.

    It reads from the device, once per batch, whether anything is padded, and goes faster if nothing is.
    """
    autocast, enabled = torch.autocast, torch.is_autocast_enabled
    fused = [*_foreach_utils._get_fused_kernels_supported_devices(), "meta"]

    def no_autocast(device: str, *args: Any, **options: Any) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if device == "meta" else autocast(device, *args, **options)

    def not_enabled(device: str) -> bool:
        return device != "meta" and enabled(device)

    return [
        mock.patch("torch.autocast", no_autocast),
        mock.patch("torch.is_autocast_enabled", not_enabled),
        mock.patch("torch.optim.optimizer._get_fused_kernels_supported_devices", lambda: fused),
        mock.patch("transformers.masking_utils.is_tracing", lambda *_: True),
        *_without_generators_and_sparse_products(),
    ]


def _for_fakes() -> list[contextlib.AbstractContextManager[Any]]:
    """No backward pass, no step, no random stream of a device that is not there, no pinned memory."""

    def nothing(*_: Any, **__: Any) -> None:
        pass

    return [
        torch.no_grad(),
        _device_guards(),
        mock.patch.object(Engine, "backward", nothing),
        mock.patch.object(Engine, "step", nothing),
        mock.patch.object(Engine, "random_stream", lambda *_: contextlib.nullcontext()),
        mock.patch.object(Tensor, "is_pinned", lambda *_: True),
        *_without_generators_and_sparse_products(),
    ]


def _without_generators_and_sparse_products() -> list[contextlib.AbstractContextManager[Any]]:
    def no_generator(_: torch.device) -> mock.Mock:
        return mock.Mock()

    randint = torch.randint

    def drawn(*args: Any, generator: Any = None, **options: Any) -> Tensor:
        return randint(*args, **options)

    def dense_sums(starts: Tensor, members: Tensor, table: Tensor) -> Tensor:
        return table.new_zeros(len(starts) - 1, table.shape[1])

    return [
        mock.patch("headstart.collab.loaders.generator_on", no_generator),
        mock.patch("torch.randint", drawn),
        mock.patch("headstart.collab.models.dot_product.member_sums", dense_sums),
    ]


@contextlib.contextmanager
def _device_guards() -> Iterator[None]:
    """Lend cuda and mps the device guard of meta, which does nothing: without one even ``tensor[0]`` fails."""
    types = {"cuda": 1, "mps": 13, "meta": 14}  # c10::DeviceType
    library = ctypes.CDLL(str(next(Path(torch.__file__).parent.glob("lib/libc10.*"))))
    guards = (ctypes.c_void_p * 20).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    lent = [number for number in types.values() if not guards[number]]
    for number in lent:
        guards[number] = guards[types["meta"]]
    try:
        yield
    finally:
        for number in lent:
            guards[number] = None
