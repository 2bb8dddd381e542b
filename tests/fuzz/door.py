"""Random and damaged files of tables, to be read by the door: it reads them, or says by `DataError` why not.

``python -m fuzz.door 20000`` (with ``tests`` on the path; ``make fuzz``) tries so many; the tests try a few.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

from headstart.core.errors import DataError, HeadstartWarning
from headstart.frames.door import read_table

WORDS = [
    "", "a", "NA", "null", "nan", "1", "01", "-2.5", "1,5", "1.234,56", "1e400", "inf", "12%", "$5", "2015-06-20", "20/06/2015",
    "2015-06-20T23:30:00+02:00", "10:00", "true", "False", "Köln", "東京", "\ud83d\ude00", "x" * 300, '"', "''", "\t", ";", "::", "|",
    " ", "\n", "\r\n", "a\nb", "9" * 30, "0x1f", "=1+1", "#", "\x00", "\ufeff", "{}", "[1]", "\\N", "e", "-", ".", ",", "+",
]  # fmt: skip
ENCODINGS = ["utf-8", "utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-32", "shift_jis", "cp1251"]
SEPARATORS = [",", ",", ";", "\t", "|", "::", " ", ":"]


def csv_file(draw: random.Random) -> bytes:
    """Return a CSV file of some dialect, rarely a clean one."""
    separator, end = draw.choice(SEPARATORS), draw.choice(["\n", "\n", "\r\n", "\r", "\n\n"])
    width, clean = draw.randint(1, 6), draw.random() < 0.5

    def field() -> str:
        word = draw.choice(WORDS)
        return '"' + word.replace('"', '""') + '"' if clean and set(word) & set(separator + '"\r\n') else word

    rows = [[f"c{number}" for number in range(width)]] if draw.random() < 0.8 else []
    rows += [[field() for _ in range(width if clean else draw.randint(0, 7))] for _ in range(draw.randint(0, 40))]
    text = end.join(separator.join(row) for row in rows) + draw.choice(["", end])
    return text.encode(draw.choice(ENCODINGS), "replace")


def typed_frame(draw: random.Random) -> pl.DataFrame:
    """Return a frame with columns of some types."""
    rows = draw.randint(0, 20)
    columns: dict[str, list[object]] = {}
    for number in range(draw.randint(1, 4)):
        kind = draw.choice(["int", "float", "text", "list", "null"])
        values: dict[str, Callable[[], object]] = {
            "int": lambda: draw.randint(-9, 9), "float": draw.random, "text": lambda: draw.choice(WORDS[:8]),
            "list": lambda: [1] * draw.randint(0, 2), "null": lambda: None,
        }  # fmt: skip
        columns[f"c{number}"] = [values[kind]() for _ in range(rows)]
    return pl.DataFrame(columns)


def parquet_file(draw: random.Random) -> bytes:
    """Return a Parquet file."""
    buffer = io.BytesIO()
    typed_frame(draw).write_parquet(buffer)
    return buffer.getvalue()


def json_file(draw: random.Random) -> bytes:
    """Return JSON lines, or a list of rows, with values of any kind."""
    values = [*WORDS, 1, -2.5, None, True, [1], {"k": 1}, 2**70, 1e308, float("nan")]
    rows = [
        {f"c{n}": draw.choice(values) for n in range(draw.randint(0, 4))}
        if draw.random() < 0.97
        else draw.choice(values)
        for _ in range(draw.randint(0, 12))
    ]
    text = json.dumps(rows) if draw.random() < 0.2 else "\n".join(json.dumps(row) for row in rows)
    return text.encode()


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    ".csv": csv_file, ".tsv": csv_file, ".dat": csv_file, ".parquet": parquet_file, ".jsonl": json_file, ".json": json_file,
    "": csv_file,
}  # fmt: skip


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return the content with bytes changed, cut out, doubled or cut off."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        if not changed:
            break
        place = draw.randrange(len(changed))
        match draw.randrange(5):
            case 0:
                changed[place] = draw.randrange(256)
            case 1:
                del changed[place : place + draw.randint(1, 30)]
            case 2:
                changed[place:place] = changed[place : place + draw.randint(1, 30)]
            case 3:
                del changed[place:]
            case _:
                changed[place:place] = draw.choice([b'"', b"\x00", b"\n", b"\xff", b",", b"\r", b"\xed\xa0\xbd"])
    return bytes(changed)


def a_file(seed: int) -> tuple[str, bytes]:
    """Return the name and the content of the file of a seed."""
    draw = random.Random(seed)
    ending = draw.choice(list(KINDS))
    content = KINDS[ending](draw)
    if draw.random() < 0.5:
        content = damaged(content, draw)
    name = f"t{ending}"
    packing = draw.random()
    if packing < 0.05:
        content, name = gzip.compress(content, mtime=0), f"{name}.gz"
    elif packing < 0.1:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(name, content)
        content, name = buffer.getvalue(), f"{name}.zip"
    if packing < 0.1 and draw.random() < 0.3:
        content = damaged(content, draw)
    return name, content


def read(seed: int, folder: Path) -> str:
    """Read the file of a seed, by path or as an open file; return ``read`` or ``refused``.

    Raises:
        Exception: whatever but `DataError` the door raises.
    """
    name, content = a_file(seed)
    path = folder / name
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HeadstartWarning)
            frame = read_table(path if seed % 5 else io.BytesIO(content))
        assert isinstance(frame, pl.DataFrame)
        frame.head(3).rows()
        return "read"
    except DataError as error:
        assert str(error).strip()
        return "refused"
    finally:
        path.unlink()


def main() -> None:
    """Read as many files as the first argument says, from the seed that the second says; print what came of them."""
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    counts = {"read": 0, "refused": 0}
    longest, wrong = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + count):
            started = time.process_time()
            try:
                counts[read(seed, Path(folder))] += 1
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                wrong += 1
                print(f"seed {seed}: {type(error).__module__}.{type(error).__name__}: {str(error)[:200]}", flush=True)
            longest = max(longest, time.process_time() - started)
    print(
        f"{count} files: {counts['read']} read, {counts['refused']} refused by DataError, {wrong} otherwise;", end=" "
    )
    print(f"the slowest took {longest:.2f} s")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
