"""A look before training finds what was planted: duplicates, leaks, rare classes, wrong labels, drift, times."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from headstart import ConfigError, Engine, LanguageModelData, RatingsData, TabularData, TextData
from headstart.checks.check import Looked, check
from headstart.checks.distances import drift_table, leaking_columns
from headstart.checks.duplicates import duplicate_rows, near_duplicate_texts
from headstart.checks.features import codes_of, dense_features, frame_features
from headstart.checks.out_of_fold import out_of_fold
from headstart.checks.report import CheckReport
from headstart.frames.assemble import Parts
from headstart.frames.splits import by_indices, by_last, by_random, train_on_all
from headstart.targets.fit import fit_target

ROWS = 600


def table(seed: int = 0) -> pl.DataFrame:
    """Sales that depend on the shop and the price; a copy in another unit; times; a class that depends on the price."""
    random = np.random.default_rng(seed)
    price = random.uniform(1, 10, ROWS)
    shop = random.choice(["north", "south", "?"], ROWS, p=[0.5, 0.45, 0.05])
    sales = 100 - 7 * price + (shop == "north") * 10 + random.normal(size=ROWS)
    return pl.DataFrame({
        "shop": shop, "price": price, "size": random.integers(1, 4, ROWS), "sales": sales, "euro": sales * 0.9 + 1,
        "day": [datetime.date(2024, 1, 1) + datetime.timedelta(days=int(day)) for day in random.permutation(ROWS)],
        "dear": np.where(price > 5, "yes", "no"),
    })  # fmt: skip


def look(frame: pl.DataFrame, target: str, **options: Any) -> CheckReport:
    options = {"split": train_on_all, "engine": Engine("cpu"), **options}
    return TabularData.from_table(frame, target, **options).check()


def said(report: CheckReport, subject: str) -> str:
    return " | ".join(finding.text for finding in report.findings if finding.subject == subject)


def test_columns_are_described_with_what_they_are_taken_for() -> None:
    frame = table().with_columns(
        same=pl.lit(1), price=pl.when(pl.col("size") == 1).then(None).otherwise(pl.col("price"))
    )
    report = look(frame, "sales", exclude=["euro"])
    columns = {row["column"]: row for row in report.columns.iter_rows(named=True)}
    assert columns["sales"]["taken_as"] == "target" and columns["sales"]["reason"] == "number"
    assert columns["shop"]["taken_as"] == "category" and columns["shop"]["unique"] == 3
    assert columns["day"]["taken_as"] == "date" and columns["day"]["lowest"] == "2024-01-01"
    assert columns["price"]["missing"] == (frame["size"] == 1).sum() and columns["price"]["taken_as"] == "number"
    assert columns["same"]["taken_as"] == "left out" == columns["euro"]["taken_as"]
    assert "'same' is not used" in said(report, "columns") and "'euro'" not in said(report, "columns")
    assert f"'shop' holds '?' in {(frame['shop'] == '?').sum()} rows" in said(report, "columns")


def test_a_column_that_gives_the_target_away() -> None:
    assert "'euro' alone tells 100.0% of 'sales'" in said(look(table(), "sales"), "leaks")
    assert said(look(table(), "sales", exclude=["euro"]), "leaks") == ""
    frame = table().with_columns(code=pl.col("dear").replace({"yes": "A", "no": "B"}))
    assert "'code' alone tells 100.0% of 'dear'" in said(
        look(frame, "dear", exclude=["price", "euro", "sales"]), "leaks"
    )
    found = leaking_columns(frame, frame["dear"], ["shop", "size"])
    assert found == {}


def test_rows_that_occur_again_in_the_same_part_and_in_the_other() -> None:
    frame = table().drop("euro", "day")
    again = frame.head(5).with_columns(sales=pl.col("sales") + pl.Series([0.0, 0, 0, 0, 50]))
    rough = frame[10:12].with_columns(pl.col("price") * 1.0000001, shop=pl.col("shop").str.to_uppercase())
    report = look(pl.concat([frame, again, rough]), "sales", split=by_indices([*range(ROWS, ROWS + 7)]))
    pairs = report.duplicates
    assert pairs["row"].to_list() == list(range(ROWS, ROWS + 7))
    assert pairs["same_as"].to_list() == [0, 1, 2, 3, 4, 10, 11]
    assert pairs["kind"].to_list() == ["equal"] * 5 + ["near"] * 2 and pairs["across"].all()
    assert pairs.filter(kind="equal")["labels_differ"].to_list() == [False] * 4 + [True]
    assert "5 rows are equal to a row of the other part" in said(report, "duplicates")
    assert "2 rows are nearly equal" in said(report, "duplicates")
    assert "1 rows equal another in all that is used, but not in what is predicted" in said(report, "duplicates")
    assert list(duplicate_rows(frame.head(0), ["price"])) == []


def test_near_equal_texts_are_found_and_others_are_not() -> None:
    random = np.random.default_rng(0)
    words = [f"word{number}" for number in range(500)]
    texts = [" ".join(random.choice(words, 40)) for _ in range(300)]
    changed = texts[7].split()
    changed[20] = "other"
    texts += [texts[3], texts[5].upper() + "!!", " ".join(changed), "short one", "Short, one", "short two"]
    assert list(near_duplicate_texts(texts)) == [
        (300, 3, "equal"),
        (301, 5, "near"),
        (302, 7, "near"),
        (304, 303, "near"),
    ]


def test_rare_classes_and_classes_without_validation_rows() -> None:
    frame = table().with_columns(kind=pl.Series(["often"] * (ROWS - 4) + ["seldom"] * 4))
    report = look(frame, "kind", split=by_indices([*range(0, 100)]))
    assert report.classes.rows() == [("often", ROWS - 4), ("seldom", 4)]
    assert "1 classes have fewer than 20 rows, too few to learn or to measure: 'seldom' (4)" in said(report, "classes")
    assert "99% of the rows are 'often'" in said(report, "classes")
    assert "1 classes have no validation row: 'seldom'" in said(report, "classes")


def test_planted_wrong_labels_come_first() -> None:
    frame = table()
    wrong = np.random.default_rng(1).choice(ROWS, 12, replace=False)
    flipped = [{"yes": "no", "no": "yes"}[label] if row in wrong else label for row, label in enumerate(frame["dear"])]
    report = look(frame.with_columns(dear=pl.Series(flipped)), "dear", exclude=["euro", "sales"])
    assert len(report.suspects) == 24
    listed = set(report.suspects["row"].to_list())
    assert len(listed & set(wrong.tolist())) >= 11
    assert report.suspects["loss"].is_sorted(descending=True)
    row = report.suspects.row(0, named=True)
    assert row["given dear"] != row["prediction"] and frame["dear"][row["row"]] == row["prediction"]
    assert "labels (" in said(report, "labels")
    clean = look(frame, "dear", exclude=["euro", "sales"])
    assert 0 <= int(said(clean, "labels").split()[0]) < int(said(report, "labels").split()[0])


def test_numbers_that_are_wrong_come_first_too() -> None:
    frame = table()
    wrong = frame.with_columns(sales=pl.when(pl.int_range(pl.len()) == 17).then(500.0).otherwise(pl.col("sales")))
    assert look(wrong, "sales", exclude=["euro"]).suspects["row"][0] == 17


def test_parts_that_differ_and_times_that_make_a_random_split_wrong() -> None:
    frame = table().sort("day").drop("euro")
    by_time = look(frame, "sales", split=by_last(0.2))
    assert said(by_time, "time") == "" == said(by_time, "drift")
    with pytest.warns(match="a random split of a table with a date column"):
        at_random = look(frame, "sales", split=by_random(0.2))
    assert "training rows are later than validation rows by 'day'" in said(at_random, "time")
    assert "'day' is a time: validate on the latest rows (--time day)" in said(look(frame, "sales"), "time")
    moved = frame.with_columns(
        price=pl.col("price") + 20 * (pl.int_range(pl.len()) >= 480),
        shop=pl.when(pl.int_range(pl.len()) >= 480).then(pl.lit("west")).otherwise(pl.col("shop")),
    )
    with pytest.warns(match="column 'shop': every validation row has a value never seen in training"):
        report = look(moved, "sales", split=by_indices([*range(480, ROWS)]))
    far = dict(report.drift.select("column", "distance").iter_rows())
    assert far["price"] == 1.0 == far["shop"] and far["size"] < 0.15
    assert "columns tell training from validation rows" in said(report, "drift")
    assert report.problems and report.findings[0].problem
    alike = drift_table(frame.sample(300, seed=0), frame.sample(300, seed=1), ["price", "shop", "size"])
    assert not alike["certain"].any()


def test_a_validation_table_may_have_its_columns_in_another_order_and_others_beside_them() -> None:
    frame = table().drop("euro").with_columns(tags=pl.lit("a"))
    train, valid = frame[:500], frame[500:]
    report = look(train, "sales", split=None, valid=valid, exclude=["tags"])
    assert (report.train, report.valid) == (500, 100) and report.drift.height == 6
    other = valid.select("sales", "dear", "day", "size", "price", "shop").with_columns(note=pl.lit("new"))
    again = look(train, "sales", split=None, valid=other, exclude=["tags"])
    same = ("findings", "classes", "duplicates", "suspects", "drift")
    assert [repr(getattr(again, name)) for name in same] == [repr(getattr(report, name)) for name in same]
    assert again.columns["column"].to_list() == train.columns
    assert again.columns.filter(column="tags")["missing"].item() == 100
    moments = look(train, "sales", split=None, valid=valid.cast({"day": pl.Datetime("us")}), exclude=["tags"])
    assert said(moments, "time") == said(report, "time")
    assert dict(moments.drift.select("column", "distance").iter_rows()) == dict(
        report.drift.select("column", "distance").iter_rows()
    )
    lists = Parts(train, other.with_columns(tags=pl.concat_list("dear")))
    kept = check(Looked(name="table", rows=lists, target=None, roles={}, features=lambda _: None))
    assert kept.columns.select("column", "type", "missing").equals(again.columns.select("column", "type", "missing"))


def test_other_applications(tmp_path: Path) -> None:
    texts = [
        f"the film number {n} was {'good and nice' if n % 2 else 'bad and dull'} for viewer {n % 7}" for n in range(120)
    ]
    labels = ["pos" if n % 2 else "neg" for n in range(120)]
    labels[5], labels[30] = "neg", "pos"
    texts.append(texts[4])
    data = TextData.from_texts(texts, [*labels, "neg"], split=train_on_all, min_freq=1, engine=Engine("cpu"))
    report = data.check()
    assert set(report.suspects["row"][:2]) == {5, 30}
    assert (120, 4, "equal") in report.duplicates.select("row", "same_as", "kind").rows()
    random = np.random.default_rng(0)
    ratings = pl.DataFrame({"user": random.integers(0, 30, 600), "item": random.integers(0, 40, 600)})
    ratings = ratings.unique(maintain_order=True).with_columns(stars=pl.col("item") % 5 + 1.0)
    found = RatingsData.from_table(ratings, "user", "item", "stars", split=train_on_all, engine=Engine("cpu")).check()
    assert found.train == len(ratings) and found.suspects["loss"][0] < 1.5  # the items explain all
    corpus = LanguageModelData.from_texts(texts, min_freq=1, batch_size=2, bptt=5, engine=Engine("cpu"))
    with pytest.raises(ConfigError, match="LanguageModelData keeps no rows to look at"):
        corpus.check()


def test_the_report_as_text_json_and_page(tmp_path: Path) -> None:
    frame = table().with_columns(dear=pl.lit("<b>&") + pl.col("dear"))
    report = look(frame, "dear", exclude=["euro", "sales"])
    assert max(map(len, str(report).splitlines())) <= 80
    read = json.loads(json.dumps(report.to_dict(), default=str))
    assert read["train"] == ROWS and {row["column"] for row in read["columns"]} == set(frame.columns)
    page = report.save(tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "&lt;b&gt;&amp;yes" in page and "<b>&yes" not in page
    with pytest.raises(ConfigError, match=r"report\.txt must end in \.html"):
        report.save(tmp_path / "report.txt")
    assert "CheckReport(table: 600 training and 0 validation rows" in repr(report)
    assert TabularData.from_table(frame, "dear", split=train_on_all).check(labels=False).suspects.is_empty()


def test_predictions_are_of_models_that_did_not_see_the_row() -> None:
    """With a feature per row and labels by chance a model that saw them would be right; one that did not is at chance."""
    random = np.random.default_rng(0)
    labels = pl.DataFrame({"y": random.choice(["a", "b"], 200)})
    target = fit_target(labels, ["y"], kind="label")
    encoded = target.encode(labels)
    own = dense_features(torch.eye(200))
    prediction = out_of_fold(own, target, encoded)
    assert prediction.shape == (200, 2) and abs(float((prediction.argmax(1) == encoded).float().mean()) - 0.5) < 0.1
    told = dense_features(torch.nn.functional.one_hot(encoded, 2).float())
    assert (out_of_fold(told, target, encoded).argmax(1) == encoded).all()


def test_what_can_be_coded() -> None:
    letters = codes_of(pl.Series(["a", None, "a", "b", "b", "c"]))
    assert letters is not None and letters.tolist() == [2, 0, 2, 3, 3, 1]
    numbers = codes_of(pl.Series([float(n) for n in range(1000)] + [None, float("inf")]))
    assert numbers is not None and numbers[-2:].tolist() == [0, 0] and len(np.unique(numbers)) == 25
    assert codes_of(pl.Series([f"id{n}" for n in range(3000)])) is None and codes_of(pl.Series([[1], [2]])) is None
    assert frame_features(pl.DataFrame({"l": [[1], [2]]}), ["l"]) is None
