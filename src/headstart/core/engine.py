"""`Engine`: where the work runs. Device, precision, other processes, memory. The only user of `torch.distributed`."""

from __future__ import annotations

import atexit
import contextlib
import copy
import ctypes
import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor, nn

from headstart.core.errors import ConfigError

__all__ = ["Engine", "Precision", "seed_of", "seeded"]

Precision = Literal["fp32", "bf16", "fp16"]


class Engine:
    """A device, a precision, and the other processes of this run.

    Under ``torchrun`` each process makes one engine: it joins the group (NCCL on GPUs, gloo on processors), takes the
    GPU of its local rank and wraps models in DDP. Alone, the same methods cost nothing.

    Args:
        device: ``"auto"`` (a GPU where there is one), or a torch device such as ``"cpu"``, ``"cuda:1"``, ``"mps"``.
        compile: compile the model with ``torch.compile``: worth its wait for long training on a GPU.
        sync_batch_norm: normalise over the whole batch of all processes instead of each one's share (GPUs only).
        keep_memory: on a Linux processor, tell the allocator to keep big freed blocks instead of handing them back to
            the kernel at every free: 1.2 to 3 times the speed for text and images, up to 40 % more memory. The
            environment variable ``HEADSTART_KEEP_MEMORY=0`` turns it off as well.

    Raises:
        ConfigError: the device is not here.
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
        """Return the same engine with another precision.

        Args:
            precision: ``"fp32"``; ``"bf16"`` or ``"fp16"`` run the forward pass under autocast, fp16 with a loss scale.

        Raises:
            ConfigError: the precision is unknown, or not possible on this device.
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
        """Take effect on this process: keep freed memory, choose the GPU, join the other processes. Once is enough.

        Whatever trains, extracts or exchanges calls it; making an engine alone changes nothing.
        """
        if self.keep_memory and self.device.type == "cpu":
            _keep_freed_memory()
        if self.world_size > 1 and not dist.is_initialized():
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)  # what the processes' own exchange goes by
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
            atexit.register(_leave_group)  # else its threads may be torn down under it, and end the process badly

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that prints and writes."""
        return self.rank == 0

    def prepare(self, model: nn.Module) -> nn.Module:
        """The module to call in a fit: on the device, compiled on request, wrapped in DDP among processes.

        Synchronised batch norms replace the model's own, so its groups are to be taken afterwards.
        """
        self.begin()
        self.scaler = self._new_scaler()  # each fit begins with the loss scale of a first one
        model.to(self.device)
        if self.sync_batch_norm and self.world_size > 1:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # torch's
        prepared: nn.Module = model
        if self.world_size > 1 and any(parameter.requires_grad for parameter in model.parameters()):
            # Carried states and batch norm statistics are each rank's own, so no buffer is broadcast, ever. The option
            # that newer releases prefer still broadcasts them once, whatever their shapes.
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
                prepared = nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
        if self.compile:
            prepared.compile()
        return prepared

    def _new_scaler(self) -> torch.amp.GradScaler:
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def autocast(self) -> AbstractContextManager[Any]:
        """The forward pass in the engine's precision."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)

    def accumulator(self) -> Tensor:
        """A zero on the device, in the best precision it has, to sum up what nobody reads until the end."""
        return torch.zeros((), dtype=torch.float32 if self.device.type == "mps" else torch.float64, device=self.device)

    def step_rows(self, rows: int) -> float | Tensor:
        """What the gradients of a batch's mean loss, times its rows, are divided by, to add up to the step's mean.

        Args:
            rows: of all batches of this step on this process; the other processes' are added here.

        Returns:
            All rows, over the number of processes, since DDP divides by it too. A tensor among processes: the sum stays
            on the device and nothing waits for it.
        """
        if self.world_size == 1:
            return float(rows)
        filled = torch.full((), float(rows), device=self.device)  # filled there: a copy from the host would wait
        return self.sum(filled) / self.world_size

    def exchange(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward: the processes exchange gradients only at the ``last`` batch of a step."""
        if last or not isinstance(model, nn.parallel.DistributedDataParallel):
            return contextlib.nullcontext()
        return model.no_sync()

    def backward(self, loss: Tensor, factor: float | Tensor) -> None:
        """Gradients of ``loss`` times ``factor``; in fp16 scaled besides."""
        scaled = loss if isinstance(factor, float) and factor == 1.0 else loss * factor
        scaled = self.scaler.scale(scaled) if self.scaler.is_enabled() else scaled
        scaled.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped

    def step(self, optimizer: torch.optim.Optimizer, parts: list[list[Tensor]], clip: float | None) -> None:
        """One step of the optimizer, its gradients clipped to the norm ``clip``; then clears the gradients."""
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
            for parameter in parameters:  # as zero_grad(set_to_none=True) does, without its book-keeping
                parameter.grad = None

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.world_size > 1:
            self.begin()
            dist.all_reduce(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """All processes' tensors joined along the first axis, by rank; the first axis may differ between them."""
        if self.world_size == 1:
            return tensor
        self.begin()
        length = torch.tensor([len(tensor)], device=self.device)
        lengths = [torch.zeros_like(length) for _ in range(self.world_size)]
        dist.all_gather(lengths, length)
        most = int(max(lengths))
        padded = torch.zeros(most, *tensor.shape[1:], dtype=tensor.dtype, device=self.device)
        padded[: len(tensor)] = tensor
        parts = [torch.zeros_like(padded) for _ in range(self.world_size)]
        dist.all_gather(parts, padded)
        return torch.cat([part[: int(size)] for part, size in zip(parts, lengths, strict=True)])

    def agree(self, model: nn.Module) -> None:
        """Gives every process the mean of their running statistics (batch norm's), before they evaluate or save."""
        if self.world_size == 1:
            return
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for statistic in (module.running_mean, module.running_var):
                    if statistic is not None:
                        self.sum(statistic).div_(self.world_size)

    def from_main(self, value: Any) -> Any:
        """The main process's value (anything JSON can hold), on every process."""
        if self.world_size == 1:
            return value
        self.begin()
        text = [json.dumps(value) if self.is_main else ""]
        dist.broadcast_object_list(text, src=0, device=self.device)
        return json.loads(text[0])

    def from_all(self, value: Any) -> list[Any]:
        """Every process's value (anything JSON can hold), by rank, on every process."""
        if self.world_size == 1:
            return [value]
        self.begin()
        texts: list[Any] = [None] * self.world_size
        dist.all_gather_object(texts, json.dumps(value))
        return [json.loads(text) for text in texts]

    def wait(self) -> None:
        """Returns once every process has come here."""
        if self.world_size > 1:
            self.begin()
            dist.barrier()

    @contextlib.contextmanager
    def random_stream(self, *numbers: int) -> Iterator[None]:
        """A random stream of its own, from these numbers and the rank; the caller's is untouched afterwards."""
        before, seed = self.random_state(), seed_of(*numbers, self.rank)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed the caller's other devices
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)
        try:
            yield
        finally:
            self.set_random_state(before)

    def random_state(self) -> dict[str, Tensor]:
        """Where the random streams of the processor and of the device stand."""
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        elif self.device.type == "mps":
            states["mps"] = torch.mps.get_rng_state()
        return states

    def set_random_state(self, states: dict[str, Tensor]) -> None:
        """Puts the random streams back where `random_state` saw them."""
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
    """Draw a model's first weights from a seed; the caller's random streams are untouched, those of GPUs too."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


def seed_of(*numbers: int) -> int:
    """One seed from several small numbers, so that neighbouring ones give unrelated streams.

    **Source:** the finalizer of SplitMix64 (Steele et al., "Fast Splittable Pseudorandom Number Generators", 2014).
    """
    mask = (1 << 64) - 1
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state >> 1  # torch.Generator takes 63 bits without a sign


def _find_device(device: str | torch.device) -> torch.device:
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
        device = "cuda"
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device {device!r} is unknown; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'") from None
    if found.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"device {device!r} is not supported; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device 'cuda' was asked for, but torch finds no GPU here; use device='cpu' or 'auto'")
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps' was asked for, but this is no Mac with Metal; use device='cpu' or 'auto'")
    if found.type != "cuda":
        return found
    found = torch.device("cuda", local_rank) if found.index is None else found
    if found.index >= torch.cuda.device_count():
        raise ConfigError(f"there is no GPU {found.index}: torch finds {torch.cuda.device_count()}; use another")
    return found


@dataclass
class _Allocator:
    """Whether this process's allocator has been told already: once is enough, and it cannot be taken back."""

    told: bool = False


_allocator = _Allocator()


def _keep_freed_memory() -> None:
    """Tells glibc to keep big freed blocks: torch asks for the same sizes at every step, and page faults cost more."""
    if _allocator.told or not sys.platform.startswith("linux"):
        return
    m_trim_threshold, m_mmap_threshold = -1, -3  # from glibc's malloc.h
    with contextlib.suppress(OSError, AttributeError):  # another C library: nothing to tell
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(ctypes.c_int(m_mmap_threshold), ctypes.c_int(2**31 - 1))
        mallopt(ctypes.c_int(m_trim_threshold), ctypes.c_int(2**31 - 1))
    _allocator.told = True
