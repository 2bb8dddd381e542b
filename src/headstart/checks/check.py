"""`check`: a look at rows before training, the same for all applications."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars import selectors as cs

from headstart.checks.columns import Role, column_table
from headstart.checks.distances import drift_table, leaking_columns
from headstart.checks.duplicates import PAIRS, duplicate_rows, near_duplicate_texts, pair_table
from headstart.checks.features import Features
from headstart.checks.labels import Suspicion, suspicious_rows
from headstart.checks.report import CheckReport, Finding
from headstart.frames.assemble import Rows
from headstart.targets.target import AnyTarget

__all__ = ["Looked", "check"]

RARE = 20
"""Rows of a class below which it is called rare, if it also has less than `RARE_SHARE` of the rows."""

RARE_SHARE = 0.05

MOST_ROWS = 100_000
"""Rows whose labels are checked; of more a random sample is."""

SUSPECT_SHARE = 0.04
"""Share of the rows that is listed as those whose labels are most probably wrong."""

MOST_SUSPECTS = 1_000

STAND_INS = ["?", "-", "--", ".", "n/a", "na", "nan", "none", "null", "unknown", "missing", "not available", "#n/a"]
"""Texts, in lower case, that often stand for a missing value."""

DRIFT = 0.1
"""Distance of a column between the parts from which on it is worth a look."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What an application hands over to be looked at.

    Attributes:
        name: what it is called.
        rows: the rows of both parts.
        target: what is predicted; None: nothing.
        roles: what each column is taken for, and why.
        features: what the rows of a frame are like, for a model of their labels; returns None if that cannot be known.
        texts: columns of running text.
        shown: columns that show a row to people.
        pairs: pairs of equal or similar rows that the application knows (images); None: they are looked for here.
        by_time: whether the parts were split by time, so that times differ on purpose.
        notes: what the application noted.
    """

    name: str
    rows: Rows
    target: AnyTarget | None
    roles: Mapping[str, Role]
    features: Callable[[pl.DataFrame], Features | None]
    texts: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    pairs: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()


def check(looked: Looked, *, labels: bool = True, seed: int = 0) -> CheckReport:
    """Return what a look at rows found.

    Args:
        looked: the rows, and what is known of them.
        labels: whether to look for wrong labels, which takes a fraction of a training.
        seed: seed of folds and samples.
    """
    train, valid = looked.rows.train, looked.rows.valid
    frame = train
    if valid is not None:
        frame = pl.DataFrame([_in_one_column(column, valid) for column in train])
        train, valid = frame[: len(train)], frame[len(train) :]
    targets = () if looked.target is None else looked.target.columns
    used = [
        name
        for name, (taken, _) in looked.roles.items()
        if taken not in ("target", "left out") and name in frame.columns
    ]
    columns = column_table(frame, looked.roles)
    findings = [
        *_of_columns(columns, len(frame)),
        *_of_stand_ins(frame, used),
        *_of_leaks(frame, targets, used),
        *_of_time(train, valid),
    ]
    classes = _classes(frame, looked.target)
    findings += _of_classes(classes, train, valid, looked.target)
    pairs = _pairs(frame, looked, used, targets, len(train))
    findings += _of_pairs(pairs)
    drift = pl.DataFrame() if valid is None else drift_table(train, valid, [*used, *targets])
    findings += _of_drift(drift, frame)
    suspects = pl.DataFrame()
    if labels and looked.target is not None and len(frame) >= 50:
        suspects, found = _suspects(frame, looked, seed)
        findings += found
    findings += [Finding("columns", note, problem=False) for note in looked.notes]
    findings.sort(key=lambda finding: not finding.problem)
    return CheckReport(
        looked.name, len(train), 0 if valid is None else len(valid), tuple(findings), columns, classes, pairs, suspects,
        drift,
    )  # fmt: skip


def _in_one_column(column: pl.Series, valid: pl.DataFrame) -> pl.Series:
    """Return a training column followed by that of a validation table, missing if it is not there or of another kind.

    A validation table of its own may have its columns in another order, and other columns beside those that are used.
    """
    if column.name in valid.columns:
        with contextlib.suppress(pl.exceptions.PolarsError):  # lists and texts, for example
            return pl.concat([column.to_frame(), valid.select(column.name)], how="vertical_relaxed").to_series()
    return pl.concat([column, column.clear(len(valid))])


def _of_columns(columns: pl.DataFrame, rows: int) -> list[Finding]:
    findings = []
    for row in columns.iter_rows(named=True):
        name = row["column"]
        if row["taken_as"] == "left out" and row["reason"] not in ("excluded", "named excluded"):
            findings.append(Finding("columns", f"{name!r} is not used: {row['reason']}", problem=False))
        elif row["missing"] > rows / 2:
            share = row["missing"] / rows
            findings.append(
                Finding(
                    "columns", f"{name!r} is missing in {share:.0%} of the rows", problem=False, rows=row["missing"]
                )
            )
    return findings


def _of_stand_ins(frame: pl.DataFrame, used: list[str]) -> list[Finding]:
    """Return the columns of text with values that often stand for a missing one."""
    findings = []
    for name in frame.select(pl.col(used)).select(cs.string()).columns if used else ():
        counts = frame[name].str.strip_chars().str.to_lowercase().value_counts(name="rows")
        found = counts.filter(pl.col(name).is_in(STAND_INS)).sort("rows", descending=True)
        if len(found):
            value, rows = found.row(0)
            said = f"{name!r} holds {value!r} in {rows:,} rows: if it means missing, say so when the file is read"
            findings.append(Finding("columns", said, problem=False, rows=rows))
    return findings


def _of_leaks(frame: pl.DataFrame, targets: tuple[str, ...], used: list[str]) -> list[Finding]:
    findings = []
    for target in targets:
        for name, share in leaking_columns(frame, frame[target], used).items():
            findings.append(
                Finding(
                    "leaks",
                    f"{name!r} alone tells {share:.1%} of {target!r}: if it is known only afterwards, leave it out"
                    f" (exclude=[{name!r}])",
                )
            )
    return findings


def _of_time(train: pl.DataFrame, valid: pl.DataFrame | None) -> list[Finding]:
    """Return whether dates make a random split wrong."""
    findings = []
    for name in train.select(cs.temporal() - cs.time() - cs.duration()).columns:
        if train[name].n_unique() < 3:
            continue
        if valid is None:
            said = f"{name!r} is a time: validate on the latest rows (--time {name}), not on random ones"
            findings.append(Finding("time", said, problem=False))
            continue
        first = valid[name].min()
        if first is not None and int((train[name] > first).sum()) > len(train) / 2:
            said = (
                f"training rows are later than validation rows by {name!r}, so that the model has seen their future:"
                f" split by time (--time {name}, or splits.by_time({name!r}, fraction=0.2))"
            )
            findings.append(Finding("time", said))
    return findings


def _classes(frame: pl.DataFrame, target: AnyTarget | None) -> pl.DataFrame:
    if target is None or not target.classes:
        return pl.DataFrame(schema={"class": pl.String, "rows": pl.Int64})
    series = frame[target.columns[0]].rename("class")
    series = series.explode() if isinstance(series.dtype, pl.List) else series
    counts = series.drop_nulls().cast(pl.String).value_counts(sort=True, name="rows")
    return counts.with_columns(pl.col("rows").cast(pl.Int64))


def _of_classes(
    classes: pl.DataFrame, train: pl.DataFrame, valid: pl.DataFrame | None, target: AnyTarget | None
) -> list[Finding]:
    if target is None or not len(classes):
        return []
    total = int(classes["rows"].sum())
    rare = classes.filter((pl.col("rows") < RARE) & (pl.col("rows") < RARE_SHARE * total))
    findings = []
    if len(rare):
        few = ", ".join(f"{name!r} ({count})" for name, count in rare.head(5).iter_rows())
        findings.append(
            Finding(
                "classes", f"{len(rare)} classes have fewer than {RARE} rows, too few to learn or to measure: {few}",
                rows=int(rare["rows"].sum()),
            )
        )  # fmt: skip
    largest = classes.row(0)
    if largest[1] > 0.9 * total and target.kind == "label":
        said = (
            f"{largest[1] / total:.0%} of the rows are {largest[0]!r}: accuracy says little; see balanced_accuracy, auc"
        )
        findings.append(Finding("classes", said, problem=False))
    if valid is not None and target.kind == "label":
        name = target.columns[0]
        missing = set(train[name].unique()) - set(valid[name].unique())
        if missing:
            few = ", ".join(map(repr, sorted(map(str, missing))[:5]))
            findings.append(Finding("classes", f"{len(missing)} classes have no validation row: {few}", problem=False))
    return findings


def _pairs(
    frame: pl.DataFrame, looked: Looked, used: list[str], targets: tuple[str, ...], first_valid: int
) -> pl.DataFrame:
    if looked.pairs is not None:
        return looked.pairs
    labels = frame.select(targets).rows() if targets else None
    if looked.texts:
        texts = frame.select(pl.concat_str(looked.texts, separator="\n", ignore_nulls=True)).to_series().fill_null("")
        return pair_table(near_duplicate_texts(texts.to_list()), first_valid, labels)
    return pair_table(duplicate_rows(frame, used), first_valid, labels) if used else pl.DataFrame(schema=PAIRS)


def _of_pairs(pairs: pl.DataFrame) -> list[Finding]:
    findings = []
    across = pairs.filter(pl.col("across"))
    for kind, said in (("equal", "equal"), ("near", "nearly equal")):
        count = len(across.filter(kind=kind))
        if count:
            row = across.filter(kind=kind).row(0, named=True)
            findings.append(
                Finding(
                    "duplicates",
                    f"{count:,} rows are {said} to a row of the other part, which makes the figures too good: rows"
                    f" {row['row']:,} and {row['same_as']:,}, for example",
                    rows=count,
                )
            )
    differ = pairs.filter(pl.col("labels_differ") & (pl.col("kind") == "equal"))
    if len(differ):
        row = differ.row(0, named=True)
        findings.append(
            Finding(
                "duplicates",
                f"{len(differ):,} rows equal another in all that is used, but not in what is predicted: rows"
                f" {row['row']:,} and {row['same_as']:,}, for example",
                problem=False,
                rows=len(differ),
            )
        )
    same = len(pairs) - len(across)
    if same:
        near = len(pairs.filter(~pl.col("across") & (pl.col("kind") == "near")))
        said = f"{same:,} rows occur again in the same part, {near:,} of them nearly equal"
        findings.append(Finding("duplicates", said, problem=False, rows=same))
    return findings


def _of_drift(drift: pl.DataFrame, frame: pl.DataFrame) -> list[Finding]:
    if not len(drift):
        return []
    far = drift.filter(pl.col("certain") & (pl.col("distance") >= DRIFT))
    far = far.filter(pl.Series([not frame.schema[name].is_temporal() for name in far["column"]], dtype=pl.Boolean))
    if not len(far):
        return []
    most = ", ".join(
        f"{name!r} ({distance:.2f})" for name, distance in far.head(5).select("column", "distance").iter_rows()
    )
    problem = (far["distance"] >= 0.5).any()
    return [Finding("drift", f"{len(far)} columns tell training from validation rows: {most}", problem=problem)]


def _suspects(frame: pl.DataFrame, looked: Looked, seed: int) -> tuple[pl.DataFrame, list[Finding]]:
    """Return the rows whose labels are most probably wrong, and what they mean."""
    target = looked.target
    assert target is not None
    rows = np.arange(len(frame))
    if len(frame) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(frame), MOST_ROWS, replace=False))
    sample = frame[rows]
    features = looked.features(sample)
    if features is None:
        return pl.DataFrame(), []
    suspicion = suspicious_rows(features, target, target.encode(sample), seed=seed)
    order = suspicion.ranked(min(MOST_SUSPECTS, max(10, round(SUSPECT_SHARE * len(sample)))))
    table = _suspect_table(sample, rows, order, suspicion, looked)
    if not suspicion.doubtful:
        return table, []
    share = suspicion.doubtful / len(sample)
    said = f"{suspicion.doubtful:,} labels ({share:.1%}) are probably wrong, or hard: look at the suspects"
    return table, [Finding("labels", said, problem=False, rows=suspicion.doubtful)]


def _suspect_table(
    sample: pl.DataFrame, rows: NDArray[np.int64], order: NDArray[np.int64], suspicion: Suspicion, looked: Looked
) -> pl.DataFrame:
    assert looked.target is not None
    chosen = sample[order]
    given = [chosen[name].alias(f"given {name}") for name in looked.target.columns]
    predicted = suspicion.prediction[order].select(cs.starts_with("prediction"))
    shown = chosen.select(name for name in looked.shown if name not in looked.target.columns)
    numbered = pl.Series("row", rows[order])
    loss = pl.Series("loss", suspicion.losses[order])
    return pl.DataFrame(list(chain([numbered], given, predicted, [loss], shown)))
