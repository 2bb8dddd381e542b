"""Folding batch norms into the convolutions before them: the same outputs, with a pass over memory less for each."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

__all__ = ["folded"]

TOLERANCE = 1e-3
"""How far the outputs may move, as a share of their largest, before the folding counts as wrong and is not used."""


def folded(model: nn.Module, example: Tensor) -> nn.Module:
    """A copy in evaluation mode, whose batch norms are folded into the convolutions that they follow.

    Which follows which is seen in a run. The copy is compared with the model on the example; where the outputs differ
    (a convolution whose output is used elsewhere as well), the copy comes back unfolded.

    Args:
        model: left as it is.
        example: an input; two images are enough.
    """
    plain = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
    tried = copy.deepcopy(plain)
    pairs = _pairs(tried, example)
    homes = {id(child): (parent, name) for parent in tried.modules() for name, child in parent.named_children()}
    for convolution, norm in pairs:
        weight, bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        convolution.weight, convolution.bias = weight, bias
        parent, name = homes[id(norm)]
        setattr(parent, name, _rest(norm))
    tried.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # an overload that torch leaves out
    with torch.no_grad():
        expected, found = plain(example), tried(example)
    worst = float((expected - found).abs().max()) if expected.shape == found.shape else float("inf")
    return tried if worst <= TOLERANCE * max(1e-6, float(expected.abs().max())) else plain


def _pairs(model: nn.Module, example: Tensor) -> list[tuple[Any, Any]]:
    """Convolutions that ran once, each with the batch norm that took its output."""
    made: dict[int, tuple[nn.Module, Tensor]] = {}  # holds the outputs, so that no number is given twice
    runs: dict[int, int] = {}
    pairs: list[tuple[Any, Any]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        runs[id(module)] = runs.get(id(module), 0) + 1
        if type(module).__name__.startswith("Conv2d") and isinstance(module, nn.Conv2d):
            made[id(output)] = (module, output)
        elif isinstance(module, nn.BatchNorm2d) and inputs and id(inputs[0]) in made and module.affine:
            pairs.append((made.pop(id(inputs[0]))[0], module))

    hooks = [module.register_forward_hook(note) for module in model.modules()]
    try:
        with torch.no_grad():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return [(conv, norm) for conv, norm in pairs if runs[id(conv)] == runs[id(norm)] == 1]


def _rest(norm: nn.Module) -> nn.Module:
    """What a batch norm does beside normalising: timm's carry a dropout and an activation."""
    parts = [getattr(norm, name, None) for name in ("drop", "act")]
    kept = [part for part in parts if isinstance(part, nn.Module) and not isinstance(part, nn.Identity)]
    return kept[0] if len(kept) == 1 else nn.Sequential(*kept)
