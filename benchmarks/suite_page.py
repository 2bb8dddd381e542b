"""The tables of docs/results.md, made from the suite's lines: what loses is written like what wins."""

from __future__ import annotations

import json
import math
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.suite_kind import Kind

__all__ = ["Runs", "page_of", "read_runs", "summary_of", "write_page", "write_summary"]

SUMMARY_BEGINS, SUMMARY_ENDS = "<!-- suite -->", "<!-- end of suite -->"
OURS = "headstart"

Runs: TypeAlias = dict[tuple[str, str, int], dict[str, Any]]
TOP = """# Results of the suite

Written by `python -m benchmarks.suite` from the lines in `benchmarks/results/`, one per run; do not edit. What loses is
printed like what wins. A figure is the mean over the splits that were run; their number, if not 1, is in brackets.
On *development* sets settings were chosen, how is said for each kind; the others *confirm*: nothing was chosen on them.
CPU seconds are those of one thread, medians over the runs, on machines that other work kept busy.
"""


def read_runs(path: Path) -> Runs:
    """Return a file's runs by set, model and seed; of several lines the last one."""
    lines = path.read_text().splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines]
    return {(record["set"], record["model"], record["seed"]): record for record in records}


def write_page(path: Path, kinds: Iterable[tuple[Kind, Runs]]) -> None:
    """Write the page."""
    path.write_text(page_of(kinds))


def write_summary(path: Path, kinds: Iterable[tuple[Kind, Runs]]) -> None:
    """Write the summary into a page, between its two marks."""
    before, _, rest = path.read_text().partition(SUMMARY_BEGINS)
    _, mark, after = rest.partition(SUMMARY_ENDS)
    if not mark:
        raise SystemExit(f"{path} has no {SUMMARY_BEGINS} ... {SUMMARY_ENDS}, between which the summary stands")
    path.write_text(f"{before}{SUMMARY_BEGINS}\n{summary_of(kinds)}{SUMMARY_ENDS}{after}")


def summary_of(kinds: Iterable[tuple[Kind, Runs]]) -> str:
    """Return a table with a line for each half of the sets of tables, and for each other set that headstart has run."""
    rows = []
    for kind, runs in kinds:
        for development in (False, True):
            ours = {name for name, model, _ in runs if model.startswith(OURS)}
            names = [name for name, about in kind.sets.items() if about.development == development and name in ours]
            mark = " (development)" if development else ""
            if kind.yardstick is None:
                rows += [row for name in names if (row := summary_row(kind, runs, name, mark))]
            elif names:
                found = {model: relative(runs, names, model, kind.yardstick) for model in kind.models}
                cells = {
                    model: f"{statistics.geometric_mean(ratios.values()):.3f}, worst {max(ratios.values()):.3f}"
                    + ("" if len(ratios) == len(names) else f" ({len(ratios)} sets)")
                    for model, ratios in found.items()
                    if ratios
                }
                what = f"{kind.title.lower()}, {len(names)} sets{mark}: loss relative to {kind.yardstick}'s"
                rows.append([what, *two_sides(cells)])
    return table(["what", OURS, "beside it"], rows)


def summary_row(kind: Kind, runs: Runs, name: str, mark: str) -> list[str]:
    """Return a set's line: the first two figures that it has, of the splits that all its models have (none: empty)."""
    of_model = {model: {seed for n, m, seed in runs if (n, m) == (name, model)} for model in kind.models}
    of_model = {model: seeds for model, seeds in of_model.items() if seeds}
    seeds = sorted(set.intersection(*of_model.values()))
    if not seeds:
        return []
    figures = [each for each in kind.figures if each in runs[name, next(iter(of_model)), seeds[0]]][:2]
    cells = {
        model: " / ".join(shown([runs[name, model, seed][each] for seed in seeds]) for each in figures)
        for model in of_model
    }
    splits = "" if len(seeds) == 1 else f", {len(seeds)} splits or seeds"
    what = f"{name}{mark}: {' / '.join(each.replace('_', ' ') for each in figures)}{splits}"
    return [what, *two_sides(cells)]


def two_sides(cells: Mapping[str, str]) -> tuple[str, str]:
    """Return headstart's cells, and the others', each with the model's name where it says more."""
    ours = [text if model == OURS else f"{model.removeprefix(OURS + '_')} {text}"
            for model, text in cells.items() if model.startswith(OURS)]  # fmt: skip
    others = [f"{model.replace('_', ' ')} {text}" for model, text in cells.items() if not model.startswith(OURS)]
    return "; ".join(ours), "; ".join(others)


def page_of(kinds: Iterable[tuple[Kind, Runs]]) -> str:
    """Return the page, Markdown."""
    parts = [TOP]
    for kind, runs in kinds:
        parts.append(f"## {kind.title}\n\n{wrapped(kind.about)}\n")
        if not runs:
            parts.append("Not run yet.\n")
            continue
        for heading, development in (("Development sets", True), ("Sets that confirm", False)):
            names = [name for name, about in kind.sets.items() if about.development == development]
            names = [name for name in names if any(run[0] == name for run in runs)]
            if not names:
                continue
            parts.append(f"### {kind.title}: {heading.lower()}\n")
            if kind.yardstick is not None:
                parts.append(relative_table(kind, runs, names, kind.yardstick))
            parts.append(own_table(kind, runs, names))
        parts.append(origin(kind, runs))
    return "\n".join(parts)


def relative_table(kind: Kind, runs: Runs, names: Sequence[str], yardstick: str) -> str:
    """Return each model's loss relative to the yardstick's on the same splits, its mean, worst case and mean rank."""
    ratios = {model: relative(runs, names, model, yardstick) for model in kind.models}
    ratios = {model: found for model, found in ratios.items() if found}
    complete = [model for model, found in ratios.items() if len(found) == len(names)]
    rows = []
    for model, found in ratios.items():
        ranks = [1 + sum(ratios[other][name] < found[name] for other in complete) for name in found]
        rank = f"{statistics.mean(ranks):.2f}" if model in complete else ""
        cells = [f"{found[name]:.3f}" if name in found else "" for name in names]
        over = "" if model in complete else f" ({len(found)} sets)"
        mean = f"{statistics.geometric_mean(found.values()):.3f}{over}"
        rows.append([model, *cells, mean, f"{max(found.values()):.3f}", rank, seconds(runs, names, model)])
    head = ["loss relative to " + yardstick, *names, "mean", "worst", "mean rank", "CPU s"]
    note = f"The mean is geometric; ranks are among the {len(complete)} models that were run on all {len(names)} sets."
    return f"{table(head, rows)}\n{note}\n"


def relative(runs: Runs, names: Sequence[str], model: str, yardstick: str) -> dict[str, float]:
    """Return a model's loss over the yardstick's for each set, the geometric mean over the splits that both have."""
    found = {}
    for name in names:
        seeds = [seed for (of_set, of_model, seed) in runs if (of_set, of_model) == (name, model)]
        pairs = [(runs[name, model, seed], runs.get((name, yardstick, seed))) for seed in seeds]
        ratios = [own["loss"] / other["loss"] for own, other in pairs if other is not None]
        if ratios:
            found[name] = statistics.geometric_mean(ratios)
    return found


def own_table(kind: Kind, runs: Runs, names: Sequence[str]) -> str:
    """Return the figures of all models on all sets in their own units."""
    figures = [each for each in kind.figures if any(each in record for record in runs.values())]
    rows = []
    for name in names:
        for model in kind.models:
            records = [run for (of_set, of_model, _), run in runs.items() if (of_set, of_model) == (name, model)]
            if records:
                cells = [shown([record[each] for record in records if each in record]) for each in figures]
                count = f" ({len(records)})" if len(records) > 1 else ""
                rows.append([name, model + count, *cells, f"{statistics.median(r['cpu'] for r in records):.1f}"])
    return table(["set", "model", *(each.replace("_", " ") for each in figures), "CPU s"], rows)


def shown(values: Sequence[float]) -> str:
    """Return the mean of some values, with as many digits as it deserves, and their spread if there are several."""
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return ""
    mean = statistics.mean(values)
    digits = max(0, min(4, 4 - len(str(int(abs(mean))))) if abs(mean) >= 1 else 4)
    text = f"{mean:,.{digits}f}"
    return text if len(values) == 1 else f"{text} (sd {statistics.stdev(values):,.{digits}f})"


def seconds(runs: Runs, names: Sequence[str], model: str) -> str:
    """Return the median CPU seconds of a model's runs on some sets."""
    found = [record["cpu"] for (name, each, _), record in runs.items() if each == model and name in names]
    return f"{statistics.median(found):.1f}"


def origin(kind: Kind, runs: Runs) -> str:
    """Return at which commits, and on which processors, the lines were measured."""
    processors = sorted({record["processor"] for record in runs.values()})
    parts = []
    for model in kind.models:
        commits = sorted({record["commit"] for (_, each, _), record in runs.items() if each == model})
        if commits:
            parts.append(f"{model} {', '.join(commits)}")
    return wrapped(f"Measured on {'; '.join(processors)}, one thread, at commits: {'; '.join(parts)}.") + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def wrapped(text: str) -> str:
    """Return a paragraph in lines of at most 120 characters."""
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)
