"""Parameter groups, freezing, learning rates per group, and optimizers.

A model with several parameter groups has a method ``groups() -> list[list[nn.Module | nn.Parameter]]``, which lists
them from the input side to the head. A model without this method is a single group.
"""

from __future__ import annotations

import functools
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
"""Function that returns an optimizer of torch's parameter groups: dictionaries with ``params``, ``lr`` and others."""


@runtime_checkable
class Grouped(Protocol):
    """Protocol of models with parameter groups, which can be frozen and can have different learning rates."""

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return the parts of each group, from the input side to the head."""


def declared_groups(model: nn.Module) -> list[list[nn.Module | nn.Parameter]]:
    """Return the parts of each parameter group: those of a model's method ``groups()``, or else the whole model.

    An attribute ``groups`` that is not a method, such as the integer of a convolution, is ignored.
    """
    return model.groups() if isinstance(model, Grouped) and callable(model.groups) else [[model]]


@dataclass(frozen=True)
class Groups:
    """Parameters and modules of a model in groups, from the input side to the head.

    Attributes:
        parameters: parameters of each group; every parameter of the model belongs to exactly one group.
        modules: modules of each group, whose batch norms keep their statistics while the group is frozen.
        biases: identities of the parameters named ``bias``, of any shape, which have no weight decay.
    """

    parameters: tuple[tuple[nn.Parameter, ...], ...]
    modules: tuple[tuple[nn.Module, ...], ...]
    biases: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.parameters)


def parameter_groups(model: nn.Module) -> Groups:
    """Return the parameter groups of a model; a tied weight belongs to the first group that contains it.

    Args:
        model: a model with a method ``groups()``, or any module, which is a single group.

    Raises:
        ConfigError: a parameter of the model belongs to no group, or a group contains a foreign parameter.
    """
    declared: list[list[nn.Module | nn.Parameter]] = declared_groups(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    seen: set[int] = set()
    parameters: list[tuple[nn.Parameter, ...]] = []
    modules: list[tuple[nn.Module, ...]] = []
    for number, group in enumerate(declared):
        group_parameters: list[nn.Parameter] = []
        group_modules: list[nn.Module] = []
        for part in group:
            if isinstance(part, nn.Module):
                group_modules.extend(part.modules())
            for parameter in part.parameters() if isinstance(part, nn.Module) else [part]:
                if id(parameter) not in names:
                    raise ConfigError(
                        f"group {number} of {type(model).__name__} contains a parameter that is not part of the model"
                    )
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    group_parameters.append(parameter)
        parameters.append(tuple(group_parameters))
        modules.append(tuple(group_modules))
    missing = [name for identity, name in names.items() if identity not in seen]
    if missing:
        raise ConfigError(
            f"the groups of {type(model).__name__} leave out {', '.join(missing[:5])}"
            f"{' and others' if len(missing) > 5 else ''}; each parameter must belong to one group"
        )
    biases = frozenset(identity for identity, name in names.items() if name.rpartition(".")[2] == "bias")
    return Groups(tuple(parameters), tuple(modules), biases)


def freeze_to(groups: Groups, first_trained: int) -> None:
    """Freeze the groups before one, and unfreeze it and all later ones.

    Args:
        groups: parameter groups of the model.
        first_trained: number of the first group that trains, from 0; negative numbers count from the end, so that only
            the head trains with -1.

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
    """Return for each group whether it is frozen: it has parameters, and none of them trains."""
    return tuple(bool(group) and not any(p.requires_grad for p in group) for group in groups.parameters)


def train_mode(model: nn.Module, groups: Groups) -> None:
    """Set a model to training mode, except the batch norms of frozen groups; dropout is active in all groups."""
    model.train()
    for modules, frozen in zip(groups.modules, frozen_groups(groups), strict=True):
        if frozen:
            for module in modules:
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()


def rates_per_group(rates: Rates, count: int) -> tuple[float, ...]:
    """Return one learning rate per parameter group.

    Args:
        rates: one rate for all groups, or one per group.
        count: number of groups.

    Raises:
        ConfigError: the number of rates is wrong, a rate is negative or not finite, or all are 0.
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
    """Return torch's parameter groups of the parameters that train, split by learning rate and weight decay.

    Parameters with one axis (norms) and biases have no weight decay. Besides torch's own keys, each dictionary has
    ``group``, the number of the first group of the model that it contains, and ``base_lr``, which the schedule
    multiplies in every step.

    Args:
        groups: parameter groups of the model.
        rates: learning rate of each group.
        weight_decay: weight decay, at least 0.

    Raises:
        ConfigError: all groups are frozen, or the weight decay is negative or not finite.
    """
    if not (isinstance(weight_decay, int | float) and 0 <= weight_decay < math.inf):
        raise ConfigError(f"weight_decay must be a number of 0 or more; got {weight_decay!r}")
    merged: dict[tuple[float, float], dict[str, Any]] = {}  # groups with the same rate share a kernel
    for number, (parameters, rate) in enumerate(zip(groups.parameters, rates, strict=True)):
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        for decay, part in (
            (weight_decay, [parameter for parameter in trained if _decays(parameter, groups)]),
            (0.0, [parameter for parameter in trained if not _decays(parameter, groups)]),
        ):
            if part:
                new = {"params": [], "lr": rate, "base_lr": rate, "weight_decay": decay, "group": number}
                merged.setdefault((rate, decay), new)["params"].extend(part)
    if not merged:
        raise ConfigError("every group is frozen, so there is nothing to train: call unfreeze() or freeze_to(-1) first")
    return list(merged.values())


def _decays(parameter: nn.Parameter, groups: Groups) -> bool:
    return parameter.ndim > 1 and id(parameter) not in groups.biases


def set_rates(optimizer: torch.optim.Optimizer, factor: float, momentum: float | None) -> None:
    """Set the learning rates and the momentum of an optimizer.

    Args:
        optimizer: an optimizer whose groups have a ``base_lr``.
        factor: factor on each group's ``base_lr``.
        momentum: momentum, or Adam's first beta; None: unchanged.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
        if momentum is not None:
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            elif group.get("momentum"):
                group["momentum"] = momentum


@dataclass(frozen=True, kw_only=True)
class AdamW(Value):
    """AdamW with torch's fused kernel.

    **Source:** Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2. The defaults of the
    second beta and of ``eps`` are fastai's, which are more stable at high learning rates than torch's (0.999, 1e-8).

    Attributes:
        betas: decay rates of the running means of the gradient and of its square, each from 0 to below 1.
        eps: term added to the denominator for numerical stability, above 0.
    """

    betas: Annotated[tuple[float, float], Range(low=0, below=1)] = (0.9, 0.99)
    eps: Annotated[float, Range(above=0)] = 1e-5

    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the optimizer of torch's parameter groups."""
        return torch.optim.AdamW(groups, betas=self.betas, eps=self.eps, fused=True)


@dataclass(frozen=True, kw_only=True)
class SGD(Value):
    """Stochastic gradient descent with momentum and torch's fused kernel.

    Attributes:
        momentum: momentum, from 0 to below 1.
        nesterov: whether to use Nesterov momentum.
    """

    momentum: Annotated[float, Range(low=0, below=1)] = 0.9
    nesterov: bool = False

    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the optimizer of torch's parameter groups."""
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov, fused=True)


@dataclass(frozen=True)
class OwnOptimizer:
    """A custom function that returns an optimizer. Only its name is saved with a learner.

    Attributes:
        name: name of the function.
        factory: the function; None in a loaded learner.
    """

    name: str
    factory: OptimizerFactory | None = field(default=None, compare=False, repr=False)

    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the optimizer of torch's parameter groups.

        Raises:
            ConfigError: the learner was loaded, so that the function is missing.
        """
        if self.factory is None:
            raise ConfigError(
                f"this learner was trained with an optimizer of your own, {self.name!r}, which is not saved: set it"
                " again, learner.training = dataclasses.replace(learner.training, optimizer=...)"
            )
        return self.factory(groups)

    def to_json(self) -> Json:
        """Return the name of the function as a record."""
        return {"name": self.name}

    @classmethod
    def from_json(cls, record: Json) -> OwnOptimizer:
        """Return the value for a record, without its function."""
        return cls(record["name"])


AnyOptimizer: TypeAlias = AdamW | SGD | OwnOptimizer
"""Types of the field ``optimizer`` of `Training`."""


def as_optimizer(given: Any) -> AnyOptimizer:
    """Return an optimizer as a value: a class of ours with its defaults, a custom function as `OwnOptimizer`.

    Raises:
        ConfigError: neither an optimizer nor a function.
    """
    if isinstance(given, AdamW | SGD | OwnOptimizer):
        return given
    if given in (AdamW, SGD):
        made: AnyOptimizer = given()
        return made
    if not callable(given):
        raise ConfigError(
            "optimizer must be optim.AdamW(...), optim.SGD(...), or a function that makes a torch optimizer of"
            f" parameter groups; got {given!r}"
        )
    inner = given.func if isinstance(given, functools.partial) else given
    return OwnOptimizer(getattr(inner, "__name__", type(inner).__name__), given)
