"""`minimise`: L-BFGS on a convex function, for models that are solved instead of trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["minimise"]

ITERATIONS = 40
"""Largest number of steps."""


def minimise(parameters: Sequence[Tensor], evaluate: Callable[[], tuple[Tensor, list[Tensor], Tensor]]) -> Tensor:
    """Minimise a smooth convex function by L-BFGS, in place.

    **Source:** Liu and Nocedal, "On the Limited Memory BFGS Method for Large Scale Optimization" (1989).

    Args:
        parameters: where the search begins, and, afterwards, the minimum.
        evaluate: returns the function's value at the parameters, its gradient by each of them, and any tensor, such as
            the outputs of a model.

    Returns:
        That tensor at the minimum.
    """
    optimizer = torch.optim.LBFGS(
        list(parameters), max_iter=ITERATIONS, history_size=6, tolerance_grad=1e-6, tolerance_change=1e-5,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        value, gradients, _ = evaluate()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch's
    for parameter in parameters:
        parameter.grad = None
    return evaluate()[2]
