"""Fold batch norms into the convolutions before them: the same outputs, with one pass over memory less for each."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

__all__ = ["folded"]

TOLERANCE = 1e-3
"""Largest change of the outputs, relative to the largest output, at which the folding counts as right and is used."""


def folded(model: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy in evaluation mode, whose batch norms are folded into the convolutions that they follow.

    A run on the example shows which follows which. The copy is compared with the model on the example; if the outputs
    differ (a convolution whose output is used elsewhere as well), an unfolded copy is returned.

    Args:
        model: is left as it is.
        example: an input; two images are enough.
    """
    plain = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
    fused = copy.deepcopy(plain)
    pairs = _pairs(fused, example)
    owners = {id(child): (parent, name) for parent in fused.modules() for name, child in parent.named_children()}
    for convolution, norm in pairs:
        weight, bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        convolution.weight, convolution.bias = weight, bias
        parent, name = owners[id(norm)]
        setattr(parent, name, _rest(norm))
    fused.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # an overload that torch leaves out
    with torch.no_grad():
        expected, outputs = plain(example), fused(example)
    worst = float((expected - outputs).abs().max()) if expected.shape == outputs.shape else float("inf")
    return fused if worst <= TOLERANCE * max(1e-6, float(expected.abs().max())) else plain


def _pairs(model: nn.Module, example: Tensor) -> list[tuple[Any, Any]]:
    """Return convolutions that ran once, each with the batch norm that takes its output."""
    outputs: dict[int, tuple[nn.Module, Tensor]] = {}  # holds the outputs, so that no id is used twice
    runs: dict[int, int] = {}
    pairs: list[tuple[Any, Any]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        runs[id(module)] = runs.get(id(module), 0) + 1
        if type(module).__name__.startswith("Conv2d") and isinstance(module, nn.Conv2d):
            outputs[id(output)] = (module, output)
        elif isinstance(module, nn.BatchNorm2d) and inputs and id(inputs[0]) in outputs and module.affine:
            pairs.append((outputs.pop(id(inputs[0]))[0], module))

    hooks = [module.register_forward_hook(note) for module in model.modules()]
    try:
        with torch.no_grad():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return [(conv, norm) for conv, norm in pairs if runs[id(conv)] == runs[id(norm)] == 1]


def _rest(norm: nn.Module) -> nn.Module:
    """Return what a batch norm does besides normalising: timm's carry a dropout and an activation."""
    parts = [getattr(norm, name, None) for name in ("drop", "act")]
    kept = [part for part in parts if isinstance(part, nn.Module) and not isinstance(part, nn.Identity)]
    return kept[0] if len(kept) == 1 else nn.Sequential(*kept)
