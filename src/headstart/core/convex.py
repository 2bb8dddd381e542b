"""`minimise`: L-BFGS on a convex function, for models that are solved instead of trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["minimise"]


def minimise(
    parameters: Sequence[Tensor],
    evaluate: Callable[[], tuple[Tensor, list[Tensor], Tensor]],
    *,
    iterations: int = 40,
    history: int = 6,
    smallest_gradient: float = 1e-6,
    smallest_change: float = 1e-5,
) -> Tensor:
    """Minimise a smooth convex function by L-BFGS, in place.

    **Source:** Liu and Nocedal, "On the Limited Memory BFGS Method for Large Scale Optimization" (1989).

    Args:
        parameters: where the search begins, and, afterwards, the minimum.
        evaluate: returns the function's value at the parameters, its gradient by each of them, and any tensor, such as
            the outputs of a model.
        iterations: largest number of steps.
        history: number of earlier steps by which the curvature is estimated.
        smallest_gradient: the search ends where no element of the gradient is larger.
        smallest_change: the search ends where neither the value nor any parameter changes by more.

    Returns:
        That tensor at the minimum.
    """
    optimizer = torch.optim.LBFGS(
        list(parameters), max_iter=iterations, history_size=history, tolerance_grad=smallest_gradient,
        tolerance_change=smallest_change, line_search_fn="strong_wolfe",
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
