"""headstart's defaults beside what users would pick instead, on many sets of all four kinds.

    HEADSTART_DATA=... python -m benchmarks.suite [--kind tabular|text|vision|ratings] [--peers PYTHON] [--seeds 3]

One line of JSON per run is added to ``benchmarks/results/KIND.jsonl``; what a file has is not run again, so that it can
go on. Then the tables of ``docs/results.md``, and the README's summary, are made out of all files there; ``--write``
does only that. Peers that are no part of headstart's own environment run in one of their own, named by ``--peers``:
``python -m venv V; V/bin/pip install -r benchmarks/suite_peers.txt``; without it they are left out. All run on one
thread; seconds are CPU time.

Sets are for development, on whose *training* rows settings may be chosen, or they confirm.
Protocols are at the top of `benchmarks.suite_tables`, `suite_texts`, `suite_images` and `suite_ratings`.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.suite_images import IMAGES
from benchmarks.suite_kind import Kind, Setting
from benchmarks.suite_page import Runs, read_runs, write_page, write_summary
from benchmarks.suite_ratings import RATINGS
from benchmarks.suite_tables import TABLES
from benchmarks.suite_texts import TEXTS

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).parents[1] / "docs" / "results.md"
README = Path(__file__).parents[1] / "README.md"

KINDS: dict[str, Kind] = {"tabular": TABLES, "text": TEXTS, "vision": IMAGES, "ratings": RATINGS}


def wanted(kind: Kind, arguments: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Yield what is to be run: set, model, seed; the first seed of all sets first."""
    for seed in range(arguments.seeds):
        for name, about in kind.sets.items():
            for model, run in kind.models.items():
                named = model in arguments.model if arguments.model else run.default
                possible = not run.elsewhere or arguments.peers is not None
                suits = run.sets is None or name in run.sets
                chosen = not arguments.set or name in arguments.set
                if named and possible and suits and chosen and seed < about.splits:
                    yield name, model, seed


def commit() -> str:
    """Return the commit at hand, with a plus sign if the library or the benchmarks' code differs from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=PAGE.parents[1], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "benchmarks/*.py")
    return (git("rev-parse", "--short=7", "HEAD") or "unknown") + ("+" if changed else "")


def processor() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def run_kind(kind: Kind, path: Path, arguments: argparse.Namespace) -> None:
    """Run what a kind's file does not have yet."""
    runs: Runs = read_runs(path)
    setting = Setting(arguments.peers, arguments.draws, arguments.cache)
    where: dict[str, Any] = {"commit": commit(), "processor": processor()}
    for name, model, seed in wanted(kind, arguments):
        if (name, model, seed) in runs and not arguments.again:
            continue
        found = kind.models[model].run(name, seed, setting)
        rounded = {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in found.items()}
        record = {"set": name, "model": model, "seed": seed, **rounded, **where}
        runs[name, model, seed] = record
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(json.dumps(record), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="kind of data; may be repeated (all)")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="another folder for the files, of which no page is written"
    )
    parser.add_argument("--peers", metavar="PYTHON", help="Python of the environment that has the peers")
    parser.add_argument("--seeds", type=int, default=1, help="number of splits of each set (%(default)s)")
    parser.add_argument("--set", action="append", help="one set; may be repeated (all)")
    parser.add_argument("--model", action="append", help="one model; may be repeated (all but fast and best)")
    parser.add_argument("--draws", type=int, default=20, help="parameter draws of the tuned LightGBM (%(default)s)")
    parser.add_argument("--cache", type=Path, help="folder of images' activations (headstart's usual cache)")
    parser.add_argument("--again", action="store_true", help="run also what the files have: the last line counts")
    parser.add_argument("--write", action="store_true", help=f"only write {PAGE.name} from the files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    if not arguments.write:
        for name in arguments.kind or KINDS:
            run_kind(KINDS[name], arguments.out / f"{name}.jsonl", arguments)
    if arguments.out == RESULTS:
        results = [(kind, read_runs(RESULTS / f"{name}.jsonl")) for name, kind in KINDS.items()]
        write_page(PAGE, results)
        write_summary(README, results)


if __name__ == "__main__":
    main()
