"""Parameter groups, freezing, rates per group, and the optimizer factories.

A model that wants groups has a method ``groups() -> list[list[nn.Module | nn.Parameter]]``, from the input side to the
head. A model without one is a single group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import nn

from headstart.core.errors import ConfigError
from headstart.core.values import Json, Range, Value

__all__ = [
    "SGD",
    "AdamW",
    "AnyOptimizer",
    "Grouped",
    "Groups",
    "OptimizerFactory",
    "OwnOptimizer",
    "Rates",
    "as_optimizer",
    "declared_groups",
    "freeze_to",
    "frozen_groups",
    "optimizer_groups",
    "parameter_groups",
    "rates_per_group",
    "set_rates",
    "train_mode",
]

Rates: TypeAlias = float | Sequence[float]
"""One learning rate for all groups, or one per group."""

OptimizerFactory: TypeAlias = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
"""Makes an optimizer from torch's parameter groups (dictionaries with ``params``, ``lr`` and ``weight_decay``)."""


@runtime_checkable
class Grouped(Protocol):
    """A model that can be frozen in parts and have a learning rate for each."""

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return the parts, from the input side to the head."""


def declared_groups(model: nn.Module) -> list[list[nn.Module | nn.Parameter]]:
    """Return a model's parts as its method ``groups()`` gives them; without one (a convolution has a number of that
    name) the model as one group.
    """
    return model.groups() if isinstance(model, Grouped) and callable(model.groups) else [[model]]


@dataclass(frozen=True)
class Groups:
    """A model's parameters and modules, split from the input side to the head.

    Attributes:
        parameters: for each group its parameters; every parameter of the model stands in exactly one group.
        modules: for each group its modules, whose batch norms stop learning when the group is frozen.
        biases: identities of the parameters named ``bias``, whatever their shape: they have no weight decay.
    """

    parameters: tuple[tuple[nn.Parameter, ...], ...]
    modules: tuple[tuple[nn.Module, ...], ...]
    biases: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.parameters)


def parameter_groups(model: nn.Module) -> Groups:
    """A model's groups, checked: each parameter in exactly one, by identity, so that a tied weight counts once.

    Args:
        model: with a method ``groups()``, or any module, which is one group.

    Raises:
        ConfigError: a parameter of the model stands in no group, or a group names one that is not the model's.
    """
    declared: list[list[nn.Module | nn.Parameter]] = declared_groups(model)
    own = {id(parameter): name for name, parameter in model.named_parameters()}
    seen: set[int] = set()
    parameters: list[tuple[nn.Parameter, ...]] = []
    modules: list[tuple[nn.Module, ...]] = []
    for number, group in enumerate(declared):
        found: list[nn.Parameter] = []
        inside: list[nn.Module] = []
        for part in group:
            if isinstance(part, nn.Module):
                inside.extend(part.modules())
            for parameter in part.parameters() if isinstance(part, nn.Module) else [part]:
                if id(parameter) not in own:
                    raise ConfigError(f"group {number} of {type(model).__name__} holds a parameter that is not its own")
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    found.append(parameter)
        parameters.append(tuple(found))
        modules.append(tuple(inside))
    missing = [name for identity, name in own.items() if identity not in seen]
    if missing:
        raise ConfigError(
            f"the groups of {type(model).__name__} leave out {', '.join(missing[:5])}"
            f"{' and others' if len(missing) > 5 else ''}; each parameter must stand in one group"
        )
    biases = frozenset(identity for identity, name in own.items() if name.rpartition(".")[2] == "bias")
    return Groups(tuple(parameters), tuple(modules), biases)


def freeze_to(groups: Groups, first_trained: int) -> None:
    """Freezes the groups before ``first_trained`` and frees the rest.

    Args:
        groups: the model's groups.
        first_trained: number of the first group that trains; negative counts from the end (-1: the head alone).

    Raises:
        ConfigError: there is no such group.
    """
    count = len(groups)
    if not (isinstance(first_trained, int) and -count <= first_trained <= count):
        raise ConfigError(f"freeze_to({first_trained!r}): the model has {count} groups, so give {-count} to {count}")
    first = first_trained if first_trained >= 0 else count + first_trained
    for number, group in enumerate(groups.parameters):
        for parameter in group:
            parameter.requires_grad_(number >= first)


def frozen_groups(groups: Groups) -> tuple[bool, ...]:
    """For each group, whether it is frozen: it has parameters and none of them trains."""
    return tuple(bool(group) and not any(p.requires_grad for p in group) for group in groups.parameters)


def train_mode(model: nn.Module, groups: Groups) -> None:
    """Training mode, except that frozen groups' batch norms keep their statistics; dropout stays active everywhere."""
    model.train()
    for modules, frozen in zip(groups.modules, frozen_groups(groups), strict=True):
        if frozen:
            for module in modules:
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()


def rates_per_group(rates: Rates, count: int) -> tuple[float, ...]:
    """One learning rate per group, from one number or from one per group (differential rates).

    Raises:
        ConfigError: not a positive number, or not as many as there are groups.
    """
    try:
        values = tuple(float(rate) for rate in rates) if isinstance(rates, Iterable) else (float(rates),) * count
    except (TypeError, ValueError):
        raise ConfigError(f"lr must be a number, or one number per group; got {rates!r}") from None
    if len(values) != count:
        raise ConfigError(f"lr has {len(values)} rates, but the model has {count} groups; give one rate, or {count}")
    if not all(math.isfinite(value) and value >= 0 for value in values) or not any(values):
        raise ConfigError(f"each lr must be a finite number of 0 or more, and one at least above 0; got {rates!r}")
    return values


def optimizer_groups(groups: Groups, rates: Sequence[float], weight_decay: float) -> list[dict[str, Any]]:
    """Torch's parameter groups: for each of ours the decayed part and the undecayed (biases, norms), if they train.

    Each carries ``group``, our group's number (the first's, of those with one rate), and ``base_lr``, which the
    schedule multiplies at every step.

    Raises:
        ConfigError: everything is frozen, or the weight decay is negative.
    """
    if not (isinstance(weight_decay, int | float) and 0 <= weight_decay < math.inf):
        raise ConfigError(f"weight_decay must be a number of 0 or more; got {weight_decay!r}")
    made: dict[tuple[float, float], dict[str, Any]] = {}  # groups with the same rate share a kernel
    for number, (parameters, rate) in enumerate(zip(groups.parameters, rates, strict=True)):
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        for decay, part in (
            (weight_decay, [parameter for parameter in trained if _decays(parameter, groups)]),
            (0.0, [parameter for parameter in trained if not _decays(parameter, groups)]),
        ):
            if part:
                new = {"params": [], "lr": rate, "base_lr": rate, "weight_decay": decay, "group": number}
                made.setdefault((rate, decay), new)["params"].extend(part)
    if not made:
        raise ConfigError("every group is frozen, so there is nothing to train: call unfreeze() or freeze_to(-1) first")
    return list(made.values())


def _decays(parameter: nn.Parameter, groups: Groups) -> bool:
    return parameter.ndim > 1 and id(parameter) not in groups.biases


def set_rates(optimizer: torch.optim.Optimizer, factor: float, momentum: float | None) -> None:
    """Sets each group's rate to its own base times ``factor``, and the momentum (or Adam's first beta)."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
        if momentum is not None:
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            elif group.get("momentum"):
                group["momentum"] = momentum


@dataclass(frozen=True, kw_only=True)
class AdamW(Value):
    """AdamW with torch's fused kernel, one pass over all parameters per step.

    **Source:** Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2. The second beta and
    ``eps`` are fastai's, steadier at high rates than torch's (0.999, 1e-8).

    Attributes:
        betas: decay of the running means of the gradient and of its square.
        eps: number added to the root of the squares' mean.
    """

    betas: Annotated[tuple[float, float], Range(low=0, below=1)] = (0.9, 0.99)
    eps: Annotated[float, Range(above=0)] = 1e-5

    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return an optimizer of torch's parameter groups."""
        return torch.optim.AdamW(groups, betas=self.betas, eps=self.eps, fused=True)


@dataclass(frozen=True, kw_only=True)
class SGD(Value):
    """Stochastic gradient descent with momentum, by torch's fused kernel.

    Attributes:
        momentum: share of the last step that the next one keeps.
        nesterov: whether to look ahead along the momentum before taking the gradient.
    """

    momentum: Annotated[float, Range(low=0, below=1)] = 0.9
    nesterov: bool = False

    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return an optimizer of torch's parameter groups."""
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov, fused=True)


@dataclass(frozen=True)
class OwnOptimizer:
    """A user's own function that makes an optimizer. Its name is saved, the function is not.

    Attributes:
        name: the function's name.
        factory: the function; None in a loaded learner.
    """

    name: str
    factory: OptimizerFactory | None = field(default=None, compare=False, repr=False)

    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return an optimizer of torch's parameter groups.

        Raises:
            ConfigError: the function was not saved with the learner.
        """
        if self.factory is None:
            raise ConfigError(
                f"this learner was trained with an optimizer of your own, {self.name!r}, which is not saved: give it"
                " again, learner.training = dataclasses.replace(learner.training, optimizer=...)"
            )
        return self.factory(groups)

    def to_json(self) -> Json:
        """Return the name."""
        return {"name": self.name}

    @classmethod
    def from_json(cls, record: Json) -> OwnOptimizer:
        """Return the optimizer of this name, without its function."""
        return cls(record["name"])


AnyOptimizer: TypeAlias = AdamW | SGD | OwnOptimizer
"""What a learner's optimizer is stored as."""


def as_optimizer(given: Any) -> Any:
    """Return a user's function as `OwnOptimizer`, and anything else as it is."""
    if isinstance(given, AdamW | SGD | OwnOptimizer) or not callable(given) or isinstance(given, type(None)):
        return given
    return OwnOptimizer(getattr(given, "__name__", type(given).__name__), given)
