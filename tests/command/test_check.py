"""``headstart check``: a table at 80 columns, JSON, a page; tables, texts, ratings and folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import vision_toys as toys
from command_line import run
from headstart.core.errors import DataError


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    price = random.uniform(1, 10, 300)
    frame = pl.DataFrame({
        "shop": random.choice(["north", "south"], 300), "price": price, "sales": 5 * price + random.normal(size=300),
        "year": [2023] * 200 + [2024] * 100, "text": [f"a film number {n} of the year" for n in range(300)],
    })  # fmt: skip
    frame.write_csv(tmp_path / "sales.csv")
    return tmp_path / "sales.csv"


def test_a_table_on_the_terminal_as_json_and_as_a_page(sales: Path) -> None:
    code, out, err = run("check", sales, "--target", "sales", "--exclude", "text", "--html", sales.parent / "page.html")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "sales.csv: 300 rows" and max(map(len, lines)) <= 80
    assert any(line.split()[:2] == ["price", "Float64"] and "number: floating-point" in line for line in lines)
    assert "Labels to look at first" in out
    assert "<h1>sales.csv</h1>" in (sales.parent / "page.html").read_text(encoding="utf-8")
    code, out, err = run(
        "check",
        sales,
        "--target",
        "sales",
        "--exclude",
        "text,year",
        "--valid-where",
        "year = 2024",
        "--json",
        "--no-labels",
    )
    assert code == 0, err
    report = json.loads(out.splitlines()[-1])
    assert (report["train"], report["valid"], report["suspects"]) == (200, 100, [])
    assert {row["column"] for row in report["drift"]} >= {"price", "shop", "sales"}


def test_texts_and_ratings_and_mistakes(sales: Path) -> None:
    code, out, err = run("check", sales, "--text", "text", "--target", "sales", "--no-labels")
    assert code == 0 and "nearly equal" not in err, err
    assert any(line.split()[:2] == ["sales", "Float64"] and "target: number" in line for line in out.splitlines())
    pl.DataFrame({"u": [1, 1, 2, 2] * 20, "i": list(range(80)), "r": [1.0, 2.0] * 40}).write_csv(sales.parent / "r.csv")
    code, out, err = run("check", sales.parent / "r.csv", "--user", "u", "--item", "i", "--target", "r")
    assert code == 0 and "category: user" in out, err
    for arguments, said in (
        (
            [sales],
            "give --target, the column to predict, or for ratings --user and --item; sales.csv has 'shop', 'price', 'sales'",
        ),
        ([sales, "--target", "salse"], "did you mean 'sales'"),
        ([sales, "--user", "shop"], "ratings need --user and --item"),
        ([sales, "--text", "text", "--target", "sales", "--exclude", "shop"], "--exclude is for tables"),
        ([sales, "--user", "shop", "--item", "year", "--exclude", "price"], "--exclude is for tables"),
        ([sales, "--target", "sales", "--html", "page.txt"], "--html page.txt must end in .html"),
        (["nowhere.csv", "--target", "sales"], "nowhere.csv"),
    ):
        code, _, err = run("check", *arguments)
        assert code == 2 and said in err and err.count("\n") == 1, err


@pytest.mark.filterwarnings("always::headstart.core.errors.HeadstartWarning")
def test_a_folder_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = toys.make_folder(tmp_path / "photos", each=30)
    (folder / "red" / "again.png").write_bytes((folder / "blue" / "blue_03.png").read_bytes())
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))

    def no_weights(*_: object) -> str:
        raise DataError("there is no network")

    monkeypatch.setattr("headstart.vision.checking.load_backbone", no_weights)
    (folder / "red" / "cut.JPG").write_bytes(b"\xff\xd8\xff\xe0cut")
    code, out, err = run("check", folder, "--json")
    assert code == 0 and "labels are not checked without a pretrained backbone: there is no network" in err, err
    report = json.loads(out.splitlines()[-1])
    assert report["train"] + report["valid"] == 61 and report["suspects"] == []
    assert any("1 of 62 files cannot be decoded" in finding["text"] for finding in report["findings"])
    [pair] = [pair for pair in report["duplicates"] if pair["kind"] == "equal"]
    assert pair["labels_differ"]
    monkeypatch.setattr("headstart.vision.checking.load_backbone", lambda *_: "random")
    report = json.loads(run("check", folder, "--json")[1].splitlines()[-1])
    assert report["suspects"] and {"row", "given label", "prediction", "loss", "path"} <= set(report["suspects"][0])


def test_a_folder_of_texts(tmp_path: Path) -> None:
    for label, word in (("pos", "good"), ("neg", "bad")):
        (tmp_path / "mails" / label).mkdir(parents=True)
        for number in range(40):
            (tmp_path / "mails" / label / f"{number}.txt").write_text(f"the film {number} was {word} and {word}er")
    code, out, err = run("check", tmp_path / "mails", "--json")
    assert code == 0, err
    assert [row["class"] for row in json.loads(out.splitlines()[-1])["classes"]] in (["pos", "neg"], ["neg", "pos"])


def test_a_target_with_a_comma_and_amounts(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f'"${row % 9},{row:03}.50",{row % 7 + row / 10}\n' for row in range(60))
    path.write_text('"price, USD", size\n' + rows, encoding="utf-8")
    code, _, err = run("check", path, "--target", "price, USD", "--no-labels")
    assert code == 2 and "--numbers '\"price, USD\"' reads them as numbers; --target-kind label" in err
    code, out, err = run("check", path, "--target", "price, USD", "--numbers", '"price, USD"', "--no-labels")
    assert code == 0, err
    assert "0.5 .. 8053.5" in " ".join(out.split()) or "price, USD  Float64" in out
    code, _, err = run("check", path, "--text", " size", "--numbers", "size")
    assert code == 2 and "--numbers is for tables, and these are data for 'train text': leave it out" in err
