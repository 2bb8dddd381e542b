"""How long, how fast and in which batches a table is trained when nothing is said; by the figures of docs/tables.md."""

from __future__ import annotations

from headstart.training.settings import Plan

__all__ = ["FEWEST_ROWS", "suggested_batch_size", "suggested_epochs", "suggested_plan"]

FEWEST_ROWS = 50
"""Training rows of which a part is left out to end a fit in time, where there are no validation rows."""

RATE = 0.003
"""Top learning rate of a table's network."""

MOST_STEPS = 3000
"""Steps after which a fit that could still gain ends, to within an epoch."""

FEWEST_STEPS = 1000
"""Steps of one cycle that small tables get more than ten epochs for."""

PATIENCE_STEPS = 1000
"""Steps without gain after which a fit ends, to within an epoch."""


def suggested_batch_size(rows: int) -> int:
    """Return a power of two, 16 to 256: 128 from 1,200 rows on, 256 from 25,600 on; fewer for fewer rows.

    On small tables a step takes about as long for 128 rows as for 16, and the fit can take as many epochs as it needs.

    Args:
        rows: number of training rows.
    """
    return 256 if rows >= 25_600 else max(16, min(128, 1 << (max(1, rows // 9).bit_length() - 1)))


def suggested_epochs(steps: int) -> int:
    """Return the number of epochs that makes 3,000 steps, but 3 to 10; up to 60 where 10 do not even make 1,000.

    Our own rule of thumb for one cycle, whose length must be known in advance: a large table's days or customers are
    learnt by heart after a few epochs, small tables need the steps (docs/tables.md).

    Args:
        steps: steps per epoch.
    """
    return max(3, min(10, _epochs(MOST_STEPS, steps)), min(60, _epochs(FEWEST_STEPS, steps)))


def suggested_plan(steps: int, *, validated: bool) -> Plan:
    """Return how long and how fast to train.

    The fit ends when rows that do not train no longer gain, as noisy tables want after a hundred steps and others after
    two thousand; patience is that of 1,000 steps, but 3 to 10 epochs. Where three epochs already are more steps than
    that, or there are too few rows to leave some out, it is one cycle.

    Args:
        steps: steps per epoch.
        validated: whether there are validation rows, or enough training rows to leave some out.
    """
    if not validated or steps > MOST_STEPS // 3:
        return Plan(lr=RATE, epochs=suggested_epochs(steps))
    return Plan(
        lr=RATE, epochs=min(200, _epochs(MOST_STEPS, steps)), schedule="constant",
        patience=max(3, min(10, _epochs(PATIENCE_STEPS, steps))),
    )  # fmt: skip


def _epochs(total: int, steps: int) -> int:
    """Return the number of epochs of so many steps each that make a total of steps, rounded up."""
    return -(-total // steps)
