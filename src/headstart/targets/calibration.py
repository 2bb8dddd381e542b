"""Temperature scaling: one number that makes the probabilities of a trained classifier as certain as it is right.

`headstart.training.evaluation` fits it on the validation rows after each epoch, and divides outputs by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

__all__ = ["fitted_temperature"]

LOWEST, HIGHEST = math.log(0.2), math.log(20.0)
"""Range of the logarithm of the temperature."""

SPREAD = 0.5
"""Standard deviation that the logarithm of the temperature has before any row is seen, with mean 0."""

STEPS = 25
"""Steps of the search, each of which shortens the range by the golden ratio: to 3e-5."""

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def fitted_temperature(loss: Callable[[float], Tensor], rows: int) -> float:
    """Return the temperature with the lowest loss, drawn towards 1 where there are few rows.

    Logits are divided by the temperature: above 1, probabilities become less certain. The most probable class stays.
    The estimate is that of the highest posterior probability, by a golden-section search.

    **Source:** Guo et al., "On Calibration of Modern Neural Networks" (2017), section 4.2; the normal prior of the
    logarithm is ours, and next to nothing from a thousand rows on.

    Args:
        loss: function that returns the mean loss over the rows, a scalar, for a temperature.
        rows: number of rows, at least 1.
    """

    def penalised(log: float) -> float:
        """Return the mean loss plus the penalty of the prior, which counts once beside all rows."""
        return float(loss(math.exp(log))) + (log / SPREAD) ** 2 / (2 * rows)

    low, high = LOWEST, HIGHEST
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = penalised(left), penalised(right)
    for _ in range(STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = penalised(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = penalised(right)
    return math.exp((low + high) / 2)
