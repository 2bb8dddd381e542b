"""CSV files as people have them: separator, decimal mark, encoding and header are found by a look at the file's start.

What was found and is not the usual (comma or tab by the file's ending, decimal point, UTF-8, a header) is reported in
one line, and each of it can be given: `CsvOptions`.

- Encoding: a byte order mark decides; otherwise UTF-8 if the bytes are valid; otherwise the guess of
  charset-normalizer for other scripts, and cp1252 (Windows, a superset of Latin-1) for Latin letters.
- Separator: of comma, semicolon, tab, ``|`` and ``::`` the one that gives all rows as many fields as the header, and
  the most of them.
- Decimal comma: where the separator is not a comma and columns hold numbers such as ``1,5``.
- Header: none if the first row holds values like those below it, and no name above a column of numbers or dates.

Blank lines are no rows. Empty cells are missing values; so are NA, NaN and null among numbers and dates, while a text
``NA`` remains a text, since it may be Namibia.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import charset_normalizer
import polars as pl

from headstart.core.errors import ConfigError, DataError, first_line, warn
from headstart.core.values import Range, Value
from headstart.frames.missing_texts import MISSING_TEXTS

__all__ = ["SAMPLE", "CsvOptions", "Dialect", "later_options", "look_at", "plain_texts", "read_csv"]

SAMPLE = 1 << 20
"""Bytes at the start of a file that are looked at."""

SEPARATORS = (";", "\t", "|", "::", ",")
"""Separators that are looked for. The comma is last: with the same number of fields, another one is the separator,
since commas occur in names and numbers, and the others hardly do."""

RECORDS = 300
"""Number of records of the sample by which separators are compared."""

UNUSED = "\x1f"
"""What a separator of several characters is replaced by: ASCII's unit separator."""

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
COMMA_NUMBER = re.compile(r"\s*[+-]?(\d{1,3}(\.\d{3})+|\d*),\d+([eE][+-]?\d+)?\s*")
DATE = re.compile(r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ]\d{1,2}:\d{2}.*)?\s*")
DECIMAL_COMMA = rf"^{COMMA_NUMBER.pattern}$"
COMMA_OR_WHOLE = rf"{DECIMAL_COMMA}|^\s*[+-]?(\d+|\d{{1,3}}(\.\d{{3}})+)([eE][+-]?\d+)?\s*$"
BLANK_LINE = re.compile(rb"^[ \t]*\r?\n", re.MULTILINE)

WINDOWS = {"mac_cyrillic": "cp1251", "iso8859_5": "cp1251", "mac_greek": "cp1253", "iso8859_7": "cp1253"}
"""Encodings of the same letters by which files are written nowadays, of those that look alike in short texts."""

WORDS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'", "::": "'::'"}


@dataclass(frozen=True, kw_only=True)
class CsvOptions(Value):
    """How a CSV file is read; each field left out is found by a look at the file.

    Attributes:
        separator: what stands between fields, one character or several; ``tab`` for a tab. None: by the file.
        decimal: decimal mark of numbers, a point or a comma. None: by the file.
        encoding: a name that Python knows, such as ``latin-1``. None: by the file.
        null_values: texts that mean a missing value in every column, besides an empty cell, such as ``?,-``. None: NA,
            N/A, NaN, nan, NULL and null among numbers and dates, while texts remain.
        header: whether the first row holds the columns' names. None: by the file.
        names: names of the columns, in order, of a file without a header. Example: ``user,item,rating,time``.
        skip: number of lines before the header, such as a title, to leave out.
        strict: whether all this holds even where a file speaks against it; False: as far as it fits, as for the files
            that a trained model reads.
    """

    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    encoding: str | None = None
    null_values: tuple[str, ...] | None = None
    header: bool | None = None
    names: tuple[str, ...] | None = None
    skip: Annotated[int, Range(low=0)] = 0
    strict: bool = True

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.separator is not None:
            separator = {"tab": "\t", "\\t": "\t"}.get(self.separator, self.separator)
            if not separator or "\n" in separator or '"' in separator:
                raise ConfigError(f"separator must be one character or several, such as ';'; got {separator!r}")
            object.__setattr__(self, "separator", separator)
        if self.separator == self.decimal == ",":
            raise ConfigError("a comma cannot be both separator and decimal mark; give another separator")
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise ConfigError(
                    f"encoding must be one that Python knows, such as utf-8, latin-1 or utf-16; got {self.encoding!r}"
                ) from None
        if self.names is not None and self.header:
            raise ConfigError("names= is for a file without a header; give header=False, or leave it out")


def later_options(options: CsvOptions | None) -> CsvOptions | None:
    """Return the options of a training file as they hold for later files: as far as these do not speak against it."""
    return None if options is None else replace(options, strict=False)


@dataclass(frozen=True)
class Dialect:
    """How one file is written.

    Attributes:
        separator: what stands between fields.
        decimal: decimal mark.
        encoding: a name that Python knows.
        header: whether the first row holds the columns' names.
        skip: number of lines before the header.
        names: the columns' names, as the file or the options have them; empty if the file is.
    """

    separator: str
    decimal: str
    encoding: str
    header: bool
    skip: int
    names: tuple[str, ...]


def look_at(
    sample: bytes,
    options: CsvOptions,
    label: str = "the file",
    *,
    usual: str = ",",
    whole: bool = True,
    columns: Sequence[str] = (),
) -> Dialect:
    """Find how a file is written, as far as the options leave it open.

    Args:
        sample: its first bytes, up to `SAMPLE`.
        options: what the user has given.
        label: name of the file in messages.
        usual: separator that the file's ending suggests.
        whole: whether the sample is the whole file.
        columns: names for the first columns if there is no header; the others are ``column_3``, ``column_4``.

    Raises:
        DataError: the bytes are no text in the encoding.
        ConfigError: ``names`` has more columns than the file.
    """
    encoding = options.encoding
    if encoding is None or not options.strict:
        found = _encoding_of(sample, whole=whole)
        encoding = found if encoding is None or found.startswith("utf") else encoding
    text = _decoded(sample, encoding, label, whole=whole)
    skip, declared = options.skip, re.match(r"sep=(.)\r?\n", text)
    if declared:
        skip += 1
    lines = io.StringIO(text.replace("\r", "\n") if "\n" not in text else text, newline=None).read().split("\n")[skip:]
    if not whole and len(lines) > 1:
        lines.pop()  # the last line is cut
    separator = options.separator or (declared and declared[1])
    if separator is None or not (options.strict or any(separator in line for line in lines[:1])):
        separator = _separator_of(lines, usual)
    records = _records(lines, separator)
    decimal = options.decimal or ("," if separator != "," and _has_decimal_commas(records) else ".")
    given = options.names or ()
    if not records:
        return Dialect(separator, decimal, encoding, True, skip, ())
    header = options.header
    if header is None:
        header = bool(set(given) & set(records[0])) if given else _has_header(records, decimal)
    if header:
        return Dialect(separator, decimal, encoding, True, skip, tuple(records[0]))
    names = given or tuple(columns)
    width = max(len(record) for record in records)
    if len(given) > width and options.strict:
        raise ConfigError(f"names= gives {len(given)} columns, but {label} has {width}: {records[0]}")
    names = (*names[:width], *(f"column_{number}" for number in range(len(names[:width]) + 1, width + 1)))
    return Dialect(separator, decimal, encoding, False, skip, names)


def read_csv(
    source: Path | bytes,
    label: str,
    options: CsvOptions,
    *,
    usual: str = ",",
    columns: Sequence[str] = (),
) -> tuple[pl.DataFrame, str]:
    """Read a CSV file as text: every column is text as it is written, an empty cell is null, a blank line no row.

    Args:
        source: the file, or its content.
        label: name of the file in messages.
        options: what the user has given of its dialect.
        usual: separator that the file's ending suggests.
        columns: names for the first columns if there is no header.

    Returns:
        The texts, and the decimal mark of the numbers among them; see `plain_texts`.

    Raises:
        DataError: the file is empty, is no text, has rows longer than the header, or two columns of one name.
        ConfigError: the options do not fit the file.
    """
    frame, dialect = _read(source, label, options, usual, columns)
    return frame, dialect.decimal


def plain_texts(frame: pl.DataFrame, options: CsvOptions, decimal: str) -> pl.DataFrame:
    """Return texts of a CSV file with null in place of ``null_values``, and decimal points in columns of numbers.

    Args:
        frame: from `read_csv`.
        options: what the user has given of its dialect.
        decimal: decimal mark of its numbers.
    """
    if options.null_values:
        texts = list(options.null_values)
        frame = frame.with_columns(pl.when(~pl.col(pl.String).is_in(texts)).then(pl.col(pl.String)))
    return _with_points(frame) if decimal == "," else frame


def _read(
    source: Path | bytes, label: str, options: CsvOptions, usual: str, columns: Sequence[str], guess: str | None = None
) -> tuple[pl.DataFrame, Dialect]:
    """Return the texts of a file and how it is written; ``guess`` is the encoding, if its start does not show it."""
    sample, whole = _sample_of(source)
    looked = options if guess is None else replace(options, encoding=guess)
    dialect = look_at(sample, looked, label, usual=usual, whole=whole, columns=columns)
    if not dialect.names:
        raise DataError(f"{label} is empty: it has no row, not even a header")
    repeated = [name for name, count in Counter(dialect.names).items() if count > 1]
    if repeated:
        raise DataError(f"{label} has more than one column named {repeated[0]!r}; rename or drop all but one")
    try:
        plain = _plain(source, sample, dialect, label)
        frame = _parsed(plain, dialect)
        if frame.width == 1 or all(series.null_count() for series in frame):  # there may be blank lines
            kept = _without_blank_lines(plain, dialect)
            frame = frame if kept is plain else _parsed(kept, dialect)
    except pl.exceptions.PolarsError as error:
        content = _bytes(source)
        encoding = _encoding_of(content, whole=True)
        if looked.encoding is None and encoding != dialect.encoding:  # a later line shows it
            return _read(content, label, options, usual, columns, encoding)
        raise DataError(f"{label} cannot be read: {_explained(error, sample, dialect, label)}") from error
    _report(label, dialect, options, usual)
    return frame, dialect


# ---- what a file is like


def _sample_of(source: Path | bytes) -> tuple[bytes, bool]:
    if isinstance(source, bytes):
        return source[:SAMPLE], len(source) <= SAMPLE
    with source.open("rb") as file:
        sample = file.read(SAMPLE)
        return sample, not file.read(1)


def _encoding_of(sample: bytes, *, whole: bool) -> str:
    marks = (("utf-8", codecs.BOM_UTF8), ("utf-32", codecs.BOM_UTF32_LE), ("utf-32", codecs.BOM_UTF32_BE))
    for encoding, mark in (*marks, ("utf-16", codecs.BOM_UTF16_LE), ("utf-16", codecs.BOM_UTF16_BE)):
        if sample.startswith(mark):
            return encoding
    start = sample[:1000]
    if start.count(0) > len(start) // 4:  # UTF-16 without a mark: every other byte of plain letters is 0
        return "utf-16-be" if start[::2].count(0) > start[1::2].count(0) else "utf-16-le"
    with contextlib.suppress(UnicodeDecodeError):
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=whole)
        return "utf-8"
    around = _around_first_other(sample)
    # Letters of other scripts stand in words; accented ones stand alone, too few to guess by.
    others, alone = (
        re.findall(rb"[\x80-\xff]+", around),
        re.findall(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])", around),
    )
    guess = charset_normalizer.from_bytes(around).best() if len(alone) < len(others) / 2 else None
    if guess is not None:
        letters = [letter for letter in str(guess) if letter.isalpha() and ord(letter) > 127]
        latin = sum("LATIN" in unicodedata.name(letter, "") for letter in letters)
        if letters and latin < len(letters) / 2:
            return WINDOWS.get(guess.encoding, guess.encoding)
    with contextlib.suppress(UnicodeDecodeError):
        sample.decode("cp1252")
        return "cp1252"
    return "latin-1"  # every byte is a letter


def _around_first_other(sample: bytes) -> bytes:
    """Return 64 KB of a sample from the line on that has the first byte outside ASCII."""
    first = next((match.start() for match in re.finditer(rb"[\x80-\xff]", sample)), 0)
    start = sample.rfind(b"\n", 0, first) + 1
    return sample[start : start + (1 << 16)]


def _decoded(sample: bytes, encoding: str, label: str, *, whole: bool) -> str:
    name = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    try:
        return codecs.getincrementaldecoder(name)().decode(sample, final=whole)
    except (UnicodeDecodeError, UnicodeError) as error:
        raise DataError(
            f"{label} is not {encoding} ({error}); give its encoding, such as csv=CsvOptions(encoding='latin-1')"
        ) from None


def _records(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Return the first records, blank lines left out, as far as they can be read."""
    found: list[list[str]] = []
    several = len(separator) > 1
    rows: Iterable[str] = (line.replace(separator, UNUSED) for line in lines) if several else lines
    delimiter = UNUSED if several else separator
    with contextlib.suppress(csv.Error):
        quoting: Any = csv.QUOTE_NONE if several else csv.QUOTE_MINIMAL
        for record in csv.reader((f"{line}\n" for line in rows), delimiter=delimiter, quoting=quoting):
            if record and not (len(record) == 1 and not record[0].strip()):
                found.append(record)
            if len(found) == RECORDS:
                break
    return found


def _separator_of(lines: Sequence[str], usual: str) -> str:
    best, fields = usual, 1
    head = lines[: RECORDS * 4]
    for separator in SEPARATORS:
        if not any(separator in line for line in head[:20]):
            continue
        records = _records(head, separator)
        width = len(records[0]) if records else 0
        if width > fields and sum(len(record) == width for record in records) >= 0.95 * len(records):
            best, fields = separator, width
    return best


def _columns(records: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the values of each column, those that are empty or mean a missing value left out."""
    width = len(records[0])
    rows = ([*record, *[""] * (width - len(record))][:width] for record in records)
    return [[value for value in column if value and value not in MISSING_TEXTS] for column in zip(*rows, strict=True)]


def _has_decimal_commas(records: Sequence[Sequence[str]]) -> bool:
    commas = points = 0
    for values in _columns(records[1:]) if len(records) > 1 else ():
        with_comma = sum(COMMA_NUMBER.fullmatch(value) is not None for value in values)
        with_point = sum("." in value and NUMBER.fullmatch(value) is not None for value in values)
        whole = sum("." not in value and NUMBER.fullmatch(value) is not None for value in values)
        if with_comma and with_comma + whole >= 0.9 * len(values):
            commas += 1
        elif with_point and with_point + whole >= 0.9 * len(values):
            points += 1
    return commas > points


def _has_header(records: Sequence[Sequence[str]], decimal: str) -> bool:
    """Return whether the first record holds names: no doubt unless it holds values like those below."""
    first = records[0]
    if len(records) < 2 or not any(first):
        return True

    def is_value(field: str) -> bool:
        number = NUMBER.fullmatch(field) or (decimal == "," and COMMA_NUMBER.fullmatch(field))
        return bool(number or DATE.fullmatch(field))

    alike = 0
    for field, below in zip(first, _columns([first, *records[1:]]), strict=True):
        below = below[1:] if field and field not in MISSING_TEXTS else below
        if below and all(map(is_value, below)):
            if field and not is_value(field) and field not in MISSING_TEXTS:
                return True  # a name above values
            alike += bool(field)
    if not alike:
        return True
    with contextlib.suppress(ValueError):  # names such as 0, 1, 2 and 2019, 2020, 2021
        numbers = [int(field) for field in first if NUMBER.fullmatch(field)]
        if len(numbers) > 1 and all(b - a == 1 for a, b in itertools.pairwise(numbers)):
            return True
    return False


def _report(label: str, dialect: Dialect, options: CsvOptions, usual: str) -> None:
    """Warn of what was found and is not the usual, in one line, with the option to give it."""
    found, given = [], []
    if options.separator is None and dialect.separator != usual and dialect.skip == options.skip:  # no line sep=;
        found.append(f"separator {WORDS.get(dialect.separator, repr(dialect.separator))}")
        given.append(f"separator={dialect.separator!r}")
    if options.decimal is None and dialect.decimal == ",":
        found.append("decimal comma")
        given.append("decimal=','")
    if options.encoding is None and dialect.encoding != "utf-8":
        found.append(f"encoding {dialect.encoding}")
        given.append(f"encoding={dialect.encoding!r}")
    if options.header is None and options.names is None and not dialect.header:
        found.append(f"no header, so the columns are {', '.join(dialect.names)}")
        given.append("names=[...]")
    if found:
        warn(
            f"{label} was read with {'; '.join(found)}; if that is wrong, or to read it so without this message:"
            f" csv=CsvOptions({', '.join(given)})"
        )


# ---- reading


def _plain(source: Path | bytes, sample: bytes, dialect: Dialect, label: str) -> Path | bytes:
    """Return the file, or its content as polars reads it: in UTF-8, with separators of one character."""
    content = source if isinstance(source, bytes) else None
    if codecs.lookup(dialect.encoding).name != "utf-8":
        raw = source if isinstance(source, bytes) else source.read_bytes()
        try:
            content = raw.decode(dialect.encoding).encode("utf-8")
        except UnicodeError as error:
            raise DataError(
                f"{label} is not {dialect.encoding} throughout ({error}); give its encoding, such as"
                " csv=CsvOptions(encoding='latin-1')"
            ) from None
        sample = content[:SAMPLE]
    if b"\r" in sample and b"\n" not in sample:
        content = (content if content is not None else _bytes(source)).replace(b"\r", b"\n")
    if dialect.skip:
        content = content if content is not None else _bytes(source)
        content = content.split(b"\n", dialect.skip)[-1] if content.count(b"\n") >= dialect.skip else b""
    if len(dialect.separator) > 1:
        content = content if content is not None else _bytes(source)
        content = content.replace(UNUSED.encode(), b" ").replace(dialect.separator.encode(), UNUSED.encode())
    if BLANK_LINE.search(sample):
        return _without_blank_lines(source if content is None else content, dialect)
    return source if content is None else content


def _bytes(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _without_blank_lines(source: Path | bytes, dialect: Dialect) -> Path | bytes:
    content = _bytes(source).removeprefix(codecs.BOM_UTF8)
    if BLANK_LINE.search(content) is None:
        return source
    separator = re.escape(UNUSED if len(dialect.separator) > 1 else dialect.separator).encode()
    # A quoted field may hold blank lines, which are text.
    quoted = rb"(?:^|(?<=" + separator + rb'))"(?:[^"]|"")*+"'
    kept = re.sub(
        quoted + rb"|(^[ \t]*\r?\n)", lambda m: b"" if m[1] is not None else m[0], content, flags=re.MULTILINE
    )
    return source if kept == content else kept


def _parsed(source: Path | bytes, dialect: Dialect) -> pl.DataFrame:
    several = len(dialect.separator) > 1
    arguments: dict[str, Any] = {} if dialect.header else {"new_columns": list(dialect.names)}
    return pl.read_csv(
        source,
        separator=UNUSED if several else dialect.separator,
        quote_char=None if several else '"',
        has_header=dialect.header,
        infer_schema=False,
        glob=False,
        **arguments,
    )


def _with_points(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with decimal points in the columns in which all values are numbers with decimal commas."""
    changed = []
    for series in frame.select(pl.col(pl.String)):
        texts = series.drop_nulls()
        texts = texts.filter(~texts.is_in(MISSING_TEXTS))
        if texts.str.contains(DECIMAL_COMMA).any() and texts.str.contains(COMMA_OR_WHOLE).all():
            changed.append(series.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True))
    return frame.with_columns(changed) if changed else frame


def _explained(error: Exception, sample: bytes, dialect: Dialect, label: str) -> str:
    """Return polars' message; of a row with too many fields that row, and what can be done."""
    text = _decoded(sample, dialect.encoding, label, whole=False)
    lines = text.splitlines()[dialect.skip :]
    width = len(dialect.names)
    for number, record in enumerate(_records(lines, dialect.separator), start=1):
        if len(record) > width:
            return (
                f"row {number} has {len(record)} fields where the header has {width}, with the separator"
                f" {WORDS.get(dialect.separator, repr(dialect.separator))}: correct it, or give"
                " csv=CsvOptions(separator=..., skip=...)"
            )
    return first_line(error)
