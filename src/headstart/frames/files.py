"""Files with tables: what is inside is found by the ending or by the first bytes, and read as a polars frame.

==============================  ===========================================================================
a path to                       is read as
==============================  ===========================================================================
``.parquet``, ``.feather``      their own types
``.csv``, ``.tsv``, ``.txt``,   CSV, by a look at the file: `headstart.frames.csv`
``.dat``, ``.data``, any other
``.jsonl``, ``.ndjson``         a row per line
``.json``                       a list of rows
``.xlsx``, ``.xls``, ``.ods``   the first sheet, or ``book.xlsx/Sheet2`` (extra ``excel``)
any of these with ``.gz``,      the same, decompressed
``.bz2``, ``.xz``, ``.zst``
``.zip``                        the one table inside, or ``data.zip/train.csv``
a folder, ``parts/*.csv``       all parts below each other; folders such as ``year=2020`` are a column
``sqlite:///shop.db``, ...      a database, with a query: `Query` (extra ``database``, but for SQLite)
==============================  ===========================================================================

An open file, or anything with a method ``read()``, is read like a file, by its name if it has one.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import sqlite3
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import polars as pl

from headstart.core.errors import ConfigError, DataError, HeadstartError, HeadstartWarning, first_line
from headstart.core.paths import expanded
from headstart.frames.csv import CsvOptions, read_csv
from headstart.frames.rows import frame_of_rows

__all__ = ["DATABASES", "PACKED", "Query", "is_file", "is_table_name", "read_file", "read_query"]

TABS = (".tsv", ".tab")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
BOOKS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")
DATABASES = (".db", ".sqlite", ".sqlite3")
BINARY = (".npy", ".npz", ".pkl", ".pickle", ".h5", ".hdf5", ".png", ".jpg", ".jpeg", ".pdf", ".tar", ".7z", ".rar")

MAGIC = (
    (b"PAR1", ".parquet"),
    (b"ARROW1", ".feather"),
    (b"\x1f\x8b", ".gz"),
    (b"BZh", ".bz2"),
    (b"\xfd7zXZ\x00", ".xz"),
    (b"\x28\xb5\x2f\xfd", ".zst"),
    (b"PK\x03\x04", ".zip"),
    (b"SQLite format 3\x00", ".sqlite"),
    (b"\xd0\xcf\x11\xe0", ".xls"),
)
"""First bytes of formats, by which a file is read whose ending says nothing."""

SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Query:
    """A query on a database, which can be given wherever a table can.

    Attributes:
        database: ``sqlite:///shop.db`` or another URI that connectorx knows, such as
            ``postgresql://user:password@host/shop`` (extra ``database``); the path of an SQLite file; or an open
            connection (DBAPI, SQLAlchemy or ADBC).
        sql: the query.
    """

    database: Any
    sql: str


@dataclass(frozen=True)
class Way:
    """How files are read: what holds for a table, and for each part of a folder.

    Attributes:
        options: what the user has given of CSV files.
        columns: names for the first columns of a CSV file without a header.
    """

    options: CsvOptions
    columns: Sequence[str]


class Read(NamedTuple):
    """What was read.

    Attributes:
        frame: the rows.
        untyped: whether they are of CSV files, whose columns are all text.
        decimal: decimal mark of these texts.
    """

    frame: pl.DataFrame
    untyped: bool = False
    decimal: str = "."


def is_file(source: Any) -> bool:
    """Return whether a table's source is a path, or an open file."""
    return isinstance(source, str | Path) or hasattr(source, "read")


def is_table_name(file: str) -> bool:
    """Return whether a file's name ends as that of a table does, packed or not; a ``.txt`` counts as a text."""
    return _ending(file)[0] in (*KINDS, *BOOKS)


def read_file(source: Any, name: str, csv: CsvOptions, *, columns: Sequence[str] = ()) -> Read:
    """Read a file, an open file, a folder of parts, or all files of a pattern.

    Args:
        source: a path, or anything with a method ``read()``.
        name: name of the table in messages.
        csv: how CSV files are read.
        columns: names for the first columns of a CSV file without a header.

    Raises:
        DataError: the file is missing or cannot be read as its ending or content says.
        ConfigError: options that do not fit, or a missing package.
    """
    way = Way(csv, columns)
    try:
        if not isinstance(source, str | Path):
            return _read_object(source, name, way)
        if isinstance(source, str) and re.match(r"[a-z][a-z0-9+]+://", source):
            advice = "download the file and give its path"
            if not source.startswith(("http", "ftp", "s3:", "gs:")):
                advice = f"give a query as well, Query({source!r}, 'SELECT ...')"
            raise DataError(f"{name}: {source} is no path: {advice}")
        return _read_path(expanded(source), name, way)
    except (HeadstartError, HeadstartWarning):
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise DataError(f"{name}: {_shown(source)} cannot be read: {first_line(error)}") from error


def read_query(query: Query, name: str) -> pl.DataFrame:
    """Return the rows of a query.

    Args:
        query: database and SQL.
        name: name of the table in messages.

    Raises:
        DataError: the database cannot be opened, or does not understand the query.
        ConfigError: connectorx is needed and not installed.
    """
    database = query.database
    shown = re.sub(r"//[^/@]*@", "//...@", str(database)) if isinstance(database, str | Path) else "the connection"
    try:
        if not isinstance(database, str | Path):
            return pl.read_database(query.sql, database, infer_schema_length=None)
        uri = str(database)
        if "://" not in uri or uri.startswith("sqlite:"):
            path = expanded(re.sub(r"^sqlite:(//)?(?=/)/?", "", uri))
            if not path.is_file():
                raise DataError(f"{name}: there is no database {path}")
            with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                return pl.read_database(query.sql, connection, infer_schema_length=None)
        try:
            return pl.read_database_uri(query.sql, uri)
        except ImportError as error:
            raise ConfigError(f"{shown} needs the package connectorx: pip install 'headstart[database]'") from error
    except (HeadstartError, HeadstartWarning):
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise DataError(f"{name}: the query on {shown} failed: {first_line(error)}") from error


# ---- where the bytes are


def _read_path(path: Path, name: str, way: Way) -> Read:
    if path.is_dir():
        return _read_parts(_parts_of(path, name), name, way, root=path)
    if path.is_file():
        return _read_content(path, path.name, f"{name}: {path}", way)
    first = next((number for number, part in enumerate(path.parts) if set(part) & set("*?[")), None)
    if first is not None:
        root = Path(*path.parts[:first])
        parts = sorted(part for part in root.glob(str(Path(*path.parts[first:]))) if part.is_file())
        if not parts:
            raise DataError(f"{name}: no file matches {path}")
        return _read_parts(parts, name, way, root=root)
    for outer in path.parents:
        if outer.is_file():  # data.zip/train.csv, book.xlsx/Sheet2, shop.db/orders
            inner = path.relative_to(outer).as_posix()
            return _read_content(outer, outer.name, f"{name}: {path}", way, inner)
    raise DataError(f"{name}: there is no file {path}")


def _parts_of(folder: Path, name: str) -> list[Path]:
    """Return the files of a folder that hold rows: those of one kind, without hidden ones and marks of success."""
    inside = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    known = [path for path in inside if _ending(path.name)[0] in KINDS]
    if not known:
        raise DataError(
            f"{name}: {folder} is a folder without tables; give a file, or a folder of Parquet or CSV parts"
        )
    endings = {_ending(path.name)[0] for path in known}
    if len(endings) > 1:
        raise DataError(
            f"{name}: {folder} is a folder of {' and '.join(sorted(endings))} files; give one of them, or those of one"
            f" kind: {folder / ('*' + min(endings))}"
        )
    return known


def _read_parts(parts: Sequence[Path], name: str, way: Way, *, root: Path) -> Read:
    """Return the rows of all parts, in the order of their names, with the columns that folders such as a=1 make."""
    read = [_part(part, name, way, root) for part in parts]
    first = read[0].frame
    for part, (frame, *_) in zip(parts, read, strict=True):
        if set(frame.columns) != set(first.columns):
            lacking = sorted(set(first.columns) ^ set(frame.columns))
            raise DataError(
                f"{name}: {part} and {parts[0]} have not the same columns: only one of them has {lacking[0]!r};"
                " give parts of one table"
            )
    for column, dtype in first.schema.items():
        for part, (frame, *_) in zip(parts, read, strict=True):
            other = frame.schema[column]
            if other != dtype and pl.Null not in (other, dtype) and not (other.is_numeric() and dtype.is_numeric()):
                raise DataError(
                    f"{name}: column {column!r} holds {dtype} in {parts[0]} and {other} in {part}; convert one of them"
                )
    rows = pl.concat([part.frame.select(first.columns) for part in read], how="vertical_relaxed")
    return Read(rows, all(part.untyped for part in read), max((part.decimal for part in read), key=",".__eq__))


def _part(path: Path, name: str, way: Way, root: Path) -> Read:
    frame, untyped, decimal = _read_content(path, path.name, f"{name}: {path}", way)
    folders = [part.split("=", 1) for part in path.relative_to(root).parts[:-1] if "=" in part]
    made: list[pl.Series] = []
    for column, value in folders:
        if column not in frame.columns:
            missing = value == "__HIVE_DEFAULT_PARTITION__"
            series = pl.Series(column, [None if missing else value], dtype=pl.String)
            number = series.cast(pl.Int64, strict=False)
            whole = not untyped and str(number[0]) == value  # 01 is a code
            made.append((number if whole else series).new_from_index(0, len(frame)))
    return Read(frame.with_columns(made) if made else frame, untyped, decimal)


def _read_object(source: Any, name: str, way: Way) -> Read:
    content = source.read()
    if isinstance(content, str):
        content = content.encode("utf-8", "replace")
    if not isinstance(content, bytes | bytearray | memoryview):
        raise ConfigError(f"{name}: read() must return bytes or text; it returned {type(content).__name__}")
    given = getattr(source, "name", None)
    file = PurePosixPath(given).name if isinstance(given, str) else ""
    return _read_content(bytes(content), file, f"{name}: {file or 'the open file'}", way)


# ---- what the bytes are


def _ending(file: str) -> tuple[str, str]:
    """Return the ending that tells the kind, and that of the packing; each may be empty."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(file).suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in PACKED else ""
    kind = suffixes[-1] if suffixes else ""
    return ("" if kind == ".zip" else kind), packed


def _read_content(source: Path | bytes, file: str, label: str, way: Way, inner: str | None = None) -> Read:
    """Read a file, or its content, unpacked first.

    Args:
        source: where the bytes are.
        file: the file's name; empty if it has none.
        label: what messages call it.
        way: how it is read.
        inner: the table inside, of an archive, a workbook or a database.
    """
    kind, packed = _ending(file)
    if not packed and kind not in KINDS and kind not in (*BOOKS, *DATABASES):
        found = _by_content(source)
        kind, packed = ("", found) if found in PACKED else (found or kind, "")
    if packed:
        members = _unpacked(source, packed, file, label, inner)
        if isinstance(members, bytes):
            return _read_content(members, file[: -len(packed)] if file.lower().endswith(packed) else "", label, way)
        return _read_content(members[1], members[0], f"{label}: {members[0]}", way)
    if kind in BOOKS:
        return Read(_read_book(source, label, inner))
    if kind in DATABASES:
        return Read(_read_sqlite(source, label, inner))
    if inner is not None:
        raise DataError(f"{label}: {file} holds one table; leave {inner!r} out")
    if kind in BINARY:
        raise DataError(f"{label} ends in {kind}, which is no table that headstart reads: convert it to Parquet or CSV")
    if kind in TYPED:
        return Read(TYPED[kind](source, label))
    frame, decimal = read_csv(source, label, way.options, usual="\t" if kind in TABS else ",", columns=way.columns)
    return Read(frame, untyped=True, decimal=decimal)


def _by_content(source: Path | bytes) -> str:
    """Return the ending that a file's first bytes call for; empty for text."""
    start = _start(source)
    for magic, ending in MAGIC:
        if start.startswith(magic):
            if ending == ".zip":
                with zipfile.ZipFile(source if isinstance(source, Path) else io.BytesIO(source)) as archive:
                    return ".xlsx" if "xl/workbook.xml" in archive.namelist() else ".zip"
            return ending
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return ".json" if re.match(rb'\{\s*("|\})|\[\s*(\{|\])', text) else ""


def _start(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:4096]
    with source.open("rb") as file:
        return file.read(4096)


def _content(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _unpacked(
    source: Path | bytes, packing: str, file: str, label: str, inner: str | None
) -> bytes | tuple[str, bytes]:
    """Return the unpacked content; of an archive the name and content of the one table inside."""
    content = _content(source)
    try:
        if packing == ".gz":
            return gzip.decompress(content)
        if packing == ".bz2":
            import bz2

            return bz2.decompress(content)
        if packing == ".xz":
            import lzma

            return lzma.decompress(content)
        if packing == ".zst":
            import pyarrow as pa

            with pa.input_stream(pa.BufferReader(content), compression="zstd") as stream:
                return bytes(stream.read())
        return _member(content, label, inner)
    except (HeadstartError, HeadstartWarning):
        raise
    except Exception as error:
        raise DataError(f"{label} cannot be unpacked: {first_line(error)}; it may be cut short") from error


def _member(content: bytes, label: str, inner: str | None) -> tuple[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [
            entry.filename
            for entry in archive.infolist()
            if not entry.is_dir() and not any(p.startswith((".", "__MACOSX")) for p in entry.filename.split("/"))
        ]
        chosen = members if inner is None else [name for name in members if name == inner]
        tables = [name for name in chosen if is_table_name(name)] or chosen
        if len(tables) != 1:
            held = ", ".join(members[:5]) or "no file"
            advice = f"; give the one to read, such as archive.zip/{members[0]}" if members else ""
            raise DataError(f"{label} holds {held}{', ...' if len(members) > 5 else ''}{advice}")
        return tables[0].rpartition("/")[2], archive.read(tables[0])


# ---- formats


def _read_parquet(source: Path | bytes, label: str) -> pl.DataFrame:
    if isinstance(source, bytes):
        return pl.read_parquet(io.BytesIO(source))
    return pl.read_parquet(source, memory_map=False, hive_partitioning=False, glob=False)


def _read_arrow(source: Path | bytes, label: str) -> pl.DataFrame:
    content = io.BytesIO(_content(source))
    try:
        return pl.read_ipc(content)
    except pl.exceptions.PolarsError:
        content.seek(0)
        return pl.read_ipc_stream(content)


def _read_lines(source: Path | bytes, label: str) -> pl.DataFrame:
    content = _content(source).removeprefix(b"\xef\xbb\xbf")
    if not SURROGATE.search(content):  # polars drops halves of surrogate pairs
        with contextlib.suppress(pl.exceptions.PolarsError, pl.exceptions.PanicException):
            return pl.read_ndjson(content, infer_schema_length=None)
    return frame_of_rows(_rows_of_lines(content, label), label)


def _rows_of_lines(content: bytes, label: str) -> Iterator[Any]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{label}: line {number} is not JSON ({error}); correct it or leave it out") from None


def _read_json(source: Path | bytes, label: str) -> pl.DataFrame:
    content = _content(source).removeprefix(b"\xef\xbb\xbf")
    try:
        rows = json.loads(content)
    except (ValueError, RecursionError) as error:
        if re.match(rb"\s*\{", content):
            return _read_lines(content, label)
        raise DataError(f"{label} is neither a JSON list of rows nor JSON lines: {error}") from None
    if isinstance(rows, dict):  # {"data": [...]}, or one row
        lists = [value for value in rows.values() if isinstance(value, list)]
        rows = lists[0] if len(lists) == 1 and lists[0] and isinstance(lists[0][0], dict) else [rows]
    if not isinstance(rows, list):
        raise DataError(f"{label} must be a JSON list of rows, or a row per line; it holds {str(rows)[:40]}")
    return frame_of_rows(rows, label)


def _read_book(source: Path | bytes, label: str, sheet: str | None) -> pl.DataFrame:
    try:
        import fastexcel
    except ImportError as error:
        raise ConfigError(f"{label}: workbooks need the package fastexcel: pip install 'headstart[excel]'") from error
    book = fastexcel.read_excel(_content(source))
    names = book.sheet_names
    if sheet is not None and sheet not in names:
        raise DataError(f"{label}: there is no sheet {sheet!r}; there are: {', '.join(names)}")
    frame: pl.DataFrame = book.load_sheet(names[0] if sheet is None else sheet).to_polars()
    return frame.filter(~pl.all_horizontal(pl.all().is_null())) if frame.width else frame


def _read_sqlite(source: Path | bytes, label: str, table: str | None) -> pl.DataFrame:
    if isinstance(source, bytes):
        raise DataError(f"{label} is a database; give its path")
    found = Query(source, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
    tables = read_query(found, label)["name"].to_list()
    if table is None and len(tables) == 1:
        table = tables[0]
    if table not in tables:
        raise DataError(
            f"{label} is a database with the tables {', '.join(tables[:10]) or '(none)'}; give one, such as"
            f" {source.name}/{tables[0] if tables else 'orders'}, or a query: Query({str(source)!r}, 'SELECT ...')"
        )
    quoted = '"' + str(table).replace('"', '""') + '"'
    return read_query(Query(source, f"SELECT * FROM {quoted}"), label)  # a name that the database gave


TYPED: dict[str, Callable[[Path | bytes, str], pl.DataFrame]] = {
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".feather": _read_arrow,
    ".arrow": _read_arrow,
    ".ipc": _read_arrow,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".json": _read_json,
}
"""What reads a kind of file that has types, by its ending."""

KINDS = (*TYPED, ".csv", *TABS, ".psv", ".dat", ".data")
"""Endings of files that are one table."""


def _shown(source: Any) -> str:
    return str(source) if isinstance(source, str | Path) else f"the open {type(source).__name__}"
