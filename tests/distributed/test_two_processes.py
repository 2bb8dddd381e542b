"""Two processes with DDP give what one gives, to tolerance, for models without batch norm and dropout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import headstart
from processes import run_script

WORKER = Path(__file__).with_name("worker.py")


def run(out: Path, processes: int = 0) -> dict[str, Tensor]:
    out.mkdir()
    run_script(WORKER, out, processes=processes)
    return load_file(out / "results.safetensors")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], dict[str, Tensor], Path]:
    """Some 15 seconds, most of them three starts of torch: one run of each kind serves all tests here."""
    folder = tmp_path_factory.mktemp("runs")
    return run(folder / "one"), run(folder / "two", processes=2), folder / "two"


@pytest.mark.parametrize("name", ["stream", "tagging", "pairs", "photos", "linear", "ratings", "implicit ratings"])
def test_one_process_equals_two(name: str, both: tuple[dict[str, Tensor], dict[str, Tensor], Path]) -> None:
    one, two, _ = both
    names = [key for key in one if key.startswith(f"{name}/")]
    assert len(names) > 1 and one.keys() == two.keys()
    for key in names:
        if key == "pairs/history":
            continue  # its own figure is each process's: no loss is computed
        torch.testing.assert_close(one[key], two[key], atol=1e-5, rtol=1e-4, msg=key)


def test_predictions_are_gathered_in_row_order(both: tuple[dict[str, Tensor], dict[str, Tensor], Path]) -> None:
    one, two, _ = both
    assert one["order"].shape == (32, 3)
    torch.testing.assert_close(one["order"], two["order"], atol=1e-5, rtol=1e-4)
    assert two["few"].tolist() == [0, 1]


def test_a_resumed_fit_equals_a_whole_one_among_processes(
    both: tuple[dict[str, Tensor], dict[str, Tensor], Path],
) -> None:
    _, two, _ = both
    for key in [key.removeprefix("whole/") for key in two if key.startswith("whole/") and "history" not in key]:
        assert torch.equal(two[f"whole/{key}"], two[f"resumed/{key}"]), key


def test_the_rate_finder_sweeps_alike(both: tuple[dict[str, Tensor], dict[str, Tensor], Path]) -> None:
    one, two, _ = both
    torch.testing.assert_close(one["rate"], two["rate"], atol=1e-4, rtol=1e-3)


def test_the_main_process_solves_the_linear_path_of_texts(
    both: tuple[dict[str, Tensor], dict[str, Tensor], Path],
) -> None:
    one, two, _ = both
    assert one["texts"].shape == (60, 2) and float(one["texts"].std()) > 0.1
    assert torch.equal(one["texts"], two["texts"])


def test_the_main_process_fits_the_codec_and_saves(both: tuple[dict[str, Tensor], dict[str, Tensor], Path]) -> None:
    *_, folder = both
    learner = headstart.load(folder / "table", device="cpu")
    assert set(learner.predict({"x": "e"})) == {"prediction"}
