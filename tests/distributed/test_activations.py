"""Two processes compute activations together, one of them late: each row is computed, and as one process would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from processes import run_script

WORKER = Path(__file__).with_name("activations_worker.py")


def run(out: Path, caches: str, processes: int) -> list[np.ndarray]:
    out.mkdir()
    run_script(WORKER, out, caches, processes=processes)
    return [np.load(out / f"{rank}.npy") for rank in range(processes)]


@pytest.mark.parametrize("caches", ["one", "apart"])
def test_a_late_process_leaves_no_row_out(caches: str, tmp_path: Path) -> None:
    (expected,) = run(tmp_path / "alone", "one", 1)
    assert np.abs(expected).sum(2).min() > 0
    for values in run(tmp_path / "two", caches, 2):
        np.testing.assert_allclose(values, expected, atol=1e-5)
    stores = list((tmp_path / "two").glob("cache*/activations-*"))
    assert len(stores) == (3 if caches == "one" else 6)
    assert not list((tmp_path / "two").glob("cache*/.process-*"))
