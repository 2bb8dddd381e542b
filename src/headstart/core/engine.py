"""`Engine`: device, precision, processes and memory. The only module that imports `torch.distributed`."""

from __future__ import annotations

import atexit
import contextlib
import copy
import ctypes
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor, nn

from headstart.core.errors import ArtifactError, ConfigError

__all__ = ["Engine", "Precision", "generator_on", "seed_of", "seeded"]

Precision = Literal["fp32", "bf16", "fp16"]


class Engine:
    """The device, the precision and the processes of a run.

    Under ``torchrun`` each process creates one engine, which joins the process group (NCCL on GPUs, Gloo on CPUs),
    takes the GPU of its local rank and wraps models in `DistributedDataParallel`. In a single process, the methods that
    communicate return at once.

    Args:
        device: ``"auto"`` (a GPU if there is one), or a torch device such as ``"cpu"``, ``"cuda:1"`` or ``"mps"``.
        compile: whether to compile models with ``torch.compile``, which pays off in long training on a GPU.
        sync_batch_norm: whether batch norm normalises over the batches of all processes instead of each process's own
            share; GPUs only.
        keep_memory: whether the allocator keeps large freed blocks instead of returning them to the kernel, which makes
            text and images 1.2 to 3 times as fast on Linux CPUs and takes up to 40 % more memory. The environment
            variable ``HEADSTART_KEEP_MEMORY=0`` also turns it off.

    Attributes:
        rank: number of this process, from 0.
        world_size: number of processes.
        device: the torch device.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``; see `at`.
        scaler: the loss scaler, enabled in fp16 only.

    Raises:
        ConfigError: the device is unknown or not available, or ``sync_batch_norm`` is set without GPUs.
    """

    def __init__(
        self,
        device: str | torch.device = "auto",
        *,
        compile: bool = False,
        sync_batch_norm: bool = False,
        keep_memory: bool = True,
    ) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        self.device = _find_device(device)
        if sync_batch_norm and self.device.type != "cuda":
            raise ConfigError("sync_batch_norm needs GPUs: torch synchronises batch norm on cuda devices only")
        self.precision: Precision = "fp32"
        self.compile = compile
        self.sync_batch_norm = sync_batch_norm
        self.keep_memory = keep_memory and os.environ.get("HEADSTART_KEEP_MEMORY", "1") != "0"
        self.scaler = self._new_scaler()

    def at(self, precision: Precision) -> Engine:
        """Return the engine at a precision; the same object if it already has that precision.

        Args:
            precision: ``"fp32"``; or ``"bf16"`` or ``"fp16"``, which run the forward pass under autocast, ``"fp16"``
                with loss scaling.

        Raises:
            ConfigError: the precision is unknown, or not supported on this device.
        """
        if precision not in get_args(Precision):
            raise ConfigError(f"precision must be 'fp32', 'bf16' or 'fp16'; got {precision!r}")
        if precision == "fp16" and self.device.type != "cuda":
            raise ConfigError(f"precision 'fp16' needs an NVIDIA or AMD GPU; on {self.device.type} use 'bf16'")
        if precision == self.precision:
            return self
        engine = copy.copy(self)
        engine.precision = precision
        engine.scaler = engine._new_scaler()
        return engine

    def begin(self) -> None:
        """Apply the engine's settings to this process: keep freed memory, select the GPU, join the process group.

        Everything that trains, extracts features or communicates calls it; repeated calls have no effect. Constructing
        an engine changes nothing in the process.
        """
        if self.keep_memory and self.device.type == "cpu":
            _keep_freed_memory()
        if self.world_size > 1 and not dist.is_initialized():
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)  # the device that NCCL uses
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
            atexit.register(_leave_group)  # or its threads may crash the process at exit

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which alone prints and writes files."""
        return self.rank == 0

    def prepare(self, model: nn.Module) -> nn.Module:
        """Move a model to the device and return the module to train with.

        The model may be compiled and wrapped in `DistributedDataParallel`. Synchronised batch norms replace those of
        the model, so parameter groups must be taken after this call.
        """
        self.begin()
        self.scaler = self._new_scaler()  # each fit starts with the initial loss scale
        model.to(self.device)
        if self.sync_batch_norm and self.world_size > 1:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # torch's
        prepared: nn.Module = model
        if self.world_size > 1 and any(parameter.requires_grad for parameter in model.parameters()):
            # Hidden states and batch norm statistics belong to each rank, so buffers must never be broadcast. The
            # option that newer releases prefer still broadcasts them once, whatever their shapes.
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
                prepared = nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
        if self.compile:
            prepared.compile()
        return prepared

    def _new_scaler(self) -> torch.amp.GradScaler:
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context in which the forward pass runs at the engine's precision."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)

    @property
    def arithmetic(self) -> str:
        """Return what distinguishes this device's results in fp32: its type, and on NVIDIA GPUs whether TF32 is on.

        Numbers that are kept, such as a backbone's activations, are only mixed with others of the same arithmetic.
        """
        if self.device.type != "cuda":
            return self.device.type
        if hasattr(torch.backends.cudnn, "conv"):  # torch 2.9 and later, where the older names must not be mixed in
            tf32 = [op.fp32_precision == "tf32" for op in (torch.backends.cudnn.conv, torch.backends.cuda.matmul)]
        else:
            tf32 = [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32]
        convolutions, products = ("tf32" if allowed else "fp32" for allowed in tf32)
        return f"cuda, {convolutions} convolutions, {products} products"

    def accumulator(self) -> Tensor:
        """Return a scalar zero on the device for sums, in float64 where the device supports it, else in float32."""
        return torch.zeros((), dtype=torch.float32 if self.device.type == "mps" else torch.float64, device=self.device)

    def step_rows(self, rows: int) -> float | Tensor:
        """Return the divisor that makes accumulated gradients those of the mean loss over all rows of the step.

        Args:
            rows: number of rows in all batches of this step on this process; the rows of the other processes are added.

        Returns:
            The rows of all processes, divided by the number of processes, because DDP also averages over processes.
            With several processes, a scalar tensor on the device, so that reading it does not stall the step.
        """
        if self.world_size == 1:
            return float(rows)
        filled = torch.full(
            (), float(rows), device=self.device
        )  # filled on the device: a copy from the host would wait
        return self.sum(filled) / self.world_size

    def exchange(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Return a context for the forward and backward pass of a batch.

        Args:
            model: what `prepare` returned.
            last: whether this is the last batch of the step; only then the processes exchange gradients.
        """
        if last or not isinstance(model, nn.parallel.DistributedDataParallel):
            return contextlib.nullcontext()
        return model.no_sync()

    def backward(self, loss: Tensor, factor: float | Tensor) -> None:
        """Compute the gradients of ``loss`` (a scalar) times ``factor``; in fp16 also times the loss scale."""
        scaled = loss if isinstance(factor, float) and factor == 1.0 else loss * factor
        scaled = self.scaler.scale(scaled) if self.scaler.is_enabled() else scaled
        scaled.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped

    def step(self, optimizer: torch.optim.Optimizer, parts: list[list[Tensor]], clip: float | None) -> None:
        """Take an optimizer step and clear the gradients.

        Args:
            optimizer: the optimizer.
            parts: all parameters that it trains; the gradients of each list are clipped together.
            clip: maximum norm of the gradients of each list; None: no clipping.
        """
        if clip is not None:
            self.scaler.unscale_(optimizer)
            for parameters in parts:
                nn.utils.clip_grad_norm_(parameters, clip)
        if self.scaler.is_enabled():
            self.scaler.step(optimizer)
            self.scaler.update()
        else:
            optimizer.step()
        for parameters in parts:
            for parameter in parameters:  # like zero_grad(set_to_none=True), but without its overhead
                parameter.grad = None

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place, and return it."""
        if self.world_size > 1:
            self.begin()
            dist.all_reduce(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate the tensors of all processes along the first axis, whose length may differ, in rank order."""
        if self.world_size == 1:
            return tensor
        self.begin()
        length = torch.tensor([len(tensor)], device=self.device)
        lengths = [torch.zeros_like(length) for _ in range(self.world_size)]
        dist.all_gather(lengths, length)
        longest = int(max(lengths))
        padded = torch.zeros(longest, *tensor.shape[1:], dtype=tensor.dtype, device=self.device)
        padded[: len(tensor)] = tensor
        parts = [torch.zeros_like(padded) for _ in range(self.world_size)]
        dist.all_gather(parts, padded)
        return torch.cat([part[: int(size)] for part, size in zip(parts, lengths, strict=True)])

    def agree(self, model: nn.Module) -> None:
        """Average the running statistics of batch norms over all processes, before evaluating or saving."""
        if self.world_size == 1:
            return
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for statistic in (module.running_mean, module.running_var):
                    if statistic is not None:
                        self.sum(statistic).div_(self.world_size)

    def on_main(self, action: Callable[[], None]) -> None:
        """Do something on the main process alone, such as writing a file; return on every process once it is done.

        Args:
            action: what the main process does.

        Raises:
            ArtifactError: the main process raised it; all processes do.
        """
        failure: str | None = None
        if self.is_main:
            try:
                action()
            except ArtifactError as error:
                if self.world_size == 1:
                    raise
                failure = str(error)
        failure = self.from_main(failure)
        if failure is not None:
            raise ArtifactError(failure)

    def from_main(self, value: Any) -> Any:
        """Return the main process's value, which must be JSON serialisable, on every process."""
        if self.world_size == 1:
            return value
        self.begin()
        text = [json.dumps(value) if self.is_main else ""]
        dist.broadcast_object_list(text, src=0, device=self.device)
        return json.loads(text[0])

    def tensor_from_main(self, tensor: Tensor | None, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return the main process's tensor on every process, on the processor.

        Args:
            tensor: the tensor; None on all processes but the main one.
            shape: its shape.
            dtype: its data type.
        """
        if tensor is None:
            tensor = torch.zeros(tuple(shape), dtype=dtype)
        return self.sum(tensor.to(self.device, copy=True)).cpu()

    def from_all(self, value: Any) -> list[Any]:
        """Return the values of all processes in rank order, on every process; they must be JSON serialisable."""
        if self.world_size == 1:
            return [value]
        self.begin()
        texts: list[Any] = [None] * self.world_size
        dist.all_gather_object(texts, json.dumps(value))
        return [json.loads(text) for text in texts]

    def wait(self) -> None:
        """Wait until all processes have reached this call."""
        if self.world_size > 1:
            self.begin()
            dist.barrier()

    @contextlib.contextmanager
    def random_stream(self, *numbers: int) -> Iterator[None]:
        """Run a block with random generators seeded by ``numbers`` and the rank, then restore the caller's state."""
        state, seed = self.random_state(), seed_of(*numbers, self.rank)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed all other devices too
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)
        try:
            yield
        finally:
            self.set_random_state(state)

    def random_state(self) -> dict[str, Tensor]:
        """Return the states of the random generators of the CPU and of the device, by device type."""
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        elif self.device.type == "mps":
            states["mps"] = torch.mps.get_rng_state()
        return states

    def set_random_state(self, states: dict[str, Tensor]) -> None:
        """Restore the random generators to the states that `random_state` returned."""
        torch.set_rng_state(states["cpu"])
        if self.device.type == "cuda" and "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], self.device)
        elif self.device.type == "mps" and "mps" in states:
            torch.mps.set_rng_state(states["mps"])


def _leave_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the CPU's random generator for a block, for instance to initialise weights, then restore its state."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


def generator_on(device: torch.device) -> torch.Generator:
    """Return a new random generator, for draws that are made on a device instead of being copied there."""
    return torch.Generator(device)


def seed_of(*numbers: int) -> int:
    """Return one seed (63 bits) for several small numbers; similar numbers give unrelated random streams.

    **Source:** the finalizer of SplitMix64 (Steele et al., "Fast Splittable Pseudorandom Number Generators", 2014).
    """
    mask = (1 << 64) - 1
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state >> 1  # torch.Generator takes 63-bit seeds


def _find_device(device: str | torch.device) -> torch.device:
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
        device = "cuda"
    try:
        torch_device = torch.device(device)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device {device!r} is unknown; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'") from None
    if torch_device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"device {device!r} is not supported; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'")
    if torch_device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device 'cuda' needs a GPU that torch supports, but torch finds none; use device='cpu' or 'auto'"
        )
    if torch_device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps' needs a Mac with Metal, but this is none; use device='cpu' or 'auto'")
    if torch_device.type != "cuda":
        return torch_device
    if torch_device.index is None:
        torch_device = torch.device("cuda", local_rank)
    if torch_device.index >= torch.cuda.device_count():
        raise ConfigError(
            f"there is no GPU {torch_device.index}: torch finds {torch.cuda.device_count()} GPUs, numbered from 0;"
            " use another device"
        )
    return torch_device


@dataclass
class _Allocator:
    """Whether this process's allocator is already configured; the setting is permanent."""

    configured: bool = False


_allocator = _Allocator()


def _keep_freed_memory() -> None:
    """Make glibc keep large freed blocks: torch allocates the same sizes at every step, and page faults are slow."""
    if _allocator.configured or not sys.platform.startswith("linux"):
        return
    m_trim_threshold, m_mmap_threshold = -1, -3  # from glibc's malloc.h
    with contextlib.suppress(OSError, AttributeError):  # another C library, without this setting
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(ctypes.c_int(m_mmap_threshold), ctypes.c_int(2**31 - 1))
        mallopt(ctypes.c_int(m_trim_threshold), ctypes.c_int(2**31 - 1))
    _allocator.configured = True
