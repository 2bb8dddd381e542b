"""Conversion of any table to a polars frame, and of frames back to the library that the table came from."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
from polars import selectors as cs

from headstart.core.errors import ConfigError, DataError, did_you_mean, first_line, warn
from headstart.core.paths import expanded
from headstart.frames.csv import CsvOptions, plain_texts
from headstart.frames.dates import checked_format
from headstart.frames.files import Query, Read, is_file, read_file, read_query
from headstart.frames.missing_texts import MISSING_TEXTS
from headstart.frames.readings import ReadAsDate, ReadAsText, Reading, read_columns, settle
from headstart.frames.rows import clean_text, frame_of_rows, series_of, types_in

__all__ = [
    "Opened",
    "Table",
    "check_columns",
    "check_output",
    "csv_text",
    "matches",
    "open_table",
    "read_table",
    "row_in",
    "sql_name",
    "to_source",
    "usable_rows",
    "values_of",
    "with_new_columns",
    "write_table",
]

Table: TypeAlias = Any
"""A pandas, polars or pyarrow table; a path, an open file or a `Query`; or a list of rows as dictionaries. `Any`,
because pandas is never imported."""


WORDS = tuple(text for text in MISSING_TEXTS if text)
"""Texts that stand for a missing value among numbers, and may be values among texts."""


@dataclass(frozen=True)
class Opened:
    """A table that was read, and what is known of its columns beside their values.

    Attributes:
        frame: its rows.
        unread: its rows as they are written: for a file of text, all columns are text.
        readings: how its columns of text were read, by column.
        categories: columns that the table itself declares as categories, whatever they hold.
    """

    frame: pl.DataFrame
    unread: pl.DataFrame
    readings: Mapping[str, Reading]
    categories: frozenset[str] = frozenset()


def read_table(
    source: Table,
    name: str = "table",
    *,
    text: Collection[str] = (),
    readings: Mapping[str, Reading] | None = None,
    csv: CsvOptions | None = None,
    columns: Sequence[str] = (),
) -> pl.DataFrame:
    """Read any table as a polars frame; see `open_table`, which also returns how its columns were read.

    Args:
        source: any table.
        name: name of the table in messages.
        text: columns that are read as text: a code ``01`` in a CSV file stays ``01``. Columns that the table does not
            have are ignored.
        readings: how columns of text are read, such as a codec's; other columns are settled by their values.
        csv: how CSV files are read; None: by a look at them.
        columns: names for the first columns of a CSV file without a header.

    Raises:
        DataError: the file is missing, empty or unreadable; two columns have the same name.
        ConfigError: ``source`` is not a table.
    """
    given = {**dict.fromkeys(text, ReadAsText()), **(readings or {})}
    return open_table(source, name, readings=given, csv=csv, columns=columns).frame


def open_table(
    source: Table,
    name: str = "table",
    *,
    readings: Mapping[str, Reading] | None = None,
    no_dates: Collection[str] = (),
    date_format: str | None = None,
    csv: CsvOptions | None = None,
    columns: Sequence[str] = (),
) -> Opened:
    """Read any table as a polars frame, and settle what its columns of text hold.

    The user's table is not changed, and not copied where Arrow allows it. A file of text has only text: what its
    columns hold is settled by all their values. In other tables text is text, except that columns in which every value
    is a date become dates. A column of several types, which no column of a frame can be, comes out with the type
    Object, so that it stops only what uses it.

    Args:
        source: a polars, pandas or pyarrow table (anything with the Arrow stream interface); a path to a file, a
            folder of parts or a pattern, or an open file (see `headstart.frames.files`); a `Query`; or a list of rows
            as dictionaries. The index of a pandas table is ignored, since it is not a column.
        name: name of the table in messages.
        readings: how columns of text are read, such as a codec's; columns that the table does not have are ignored.
        no_dates: columns of text that do not become dates.
        date_format: how dates are written, as of ``strptime``; other forms are recognised as well.
        csv: how CSV files are read; None: by a look at them.
        columns: names for the first columns of a CSV file without a header.

    Raises:
        DataError: the file is missing, empty or unreadable; two columns have the same name.
        ConfigError: ``source`` is not a table, or ``date_format`` is no format.
    """
    if date_format is not None:
        checked_format(date_format)
    given, csv = readings or {}, csv or CsvOptions()
    unread, untyped, decimal = _read_any(source, name, csv, columns)
    frame = plain_texts(unread, csv, decimal) if untyped else unread
    texts = [series for series in frame if series.dtype == pl.String]
    known = () if csv.null_values is None else WORDS
    settled = {
        series.name: given.get(series.name)
        or _reading_of(series, untyped=untyped, dates=series.name not in no_dates, date_format=date_format, known=known)
        for series in texts
    }
    if untyped and csv.null_values is None:
        as_text = (s for s in texts if s.name not in given and isinstance(settled[s.name], ReadAsText))
        _warn_of_words(as_text, name)
    return Opened(read_columns(frame, settled), unread, settled, _declared_categories(source))


def _reading_of(
    texts: pl.Series, *, untyped: bool, dates: bool, date_format: str | None, known: Collection[str]
) -> Reading:
    """Return how a column of text is read, by its values: of a file of text as anything, else as dates or as it is."""
    reading = settle(texts, only_dates=not untyped, dates=dates, date_format=date_format, known=known)
    if untyped:  # NA among texts may be Namibia
        return ReadAsText(known=WORDS, formats=reading.formats) if isinstance(reading, ReadAsText) else reading
    return reading if isinstance(reading, ReadAsDate) else ReadAsText(missing=False, formats=reading.formats)


def _warn_of_words(columns: Iterable[pl.Series], name: str) -> None:
    """Warn, in one line for all columns, of texts that stay texts although they often stand for a missing value."""
    doubtful = {column.name: words for column in columns if (words := _words_in(column))}
    if not doubtful:
        return
    (column, (word, *_)), others = next(iter(doubtful.items())), len(doubtful) - 1
    warn(
        f"{name}: {word!r} in column {column!r}{f' and {others} more' if others else ''} is read as a text like the"
        f" others; if it means a missing value: csv=CsvOptions(null_values=[{word!r}]), and if not:"
        " csv=CsvOptions(null_values=[])"
    )


def _words_in(texts: pl.Series) -> list[str]:
    """Return the texts that often stand for a missing value in a column, unless it holds nothing else."""
    held = texts.is_in(WORDS)
    if not held.any() or held.sum() == len(texts) - texts.null_count():
        return []
    words: list[str] = texts.filter(held).unique(maintain_order=True).to_list()
    return words


def values_of(source: Any) -> list[Any] | None:
    """Return the values of a column, such as a pandas or polars Series, a numpy or Arrow array; None for others."""
    if isinstance(source, pl.Series):
        return source.to_list()
    of_library = type(source).__module__.partition(".")[0] in ("pandas", "pyarrow", "numpy")
    if not of_library or hasattr(source, "columns") or getattr(source, "ndim", 1) != 1:
        return None
    values: list[Any] | None = source.tolist() if hasattr(source, "tolist") else None
    return values


def row_in(source: Any) -> dict[str, Any] | None:
    """Return a row of a pandas table, which is a Series named by the columns, as a dictionary; None for others."""
    if not _is_pandas(source) or hasattr(source, "columns") or not hasattr(source, "to_dict"):
        return None
    return {str(name): value for name, value in source.to_dict().items()}


def _read_any(source: Table, name: str, csv: CsvOptions, columns: Sequence[str]) -> Read:
    """Return a table as it is."""
    if is_file(source):
        return read_file(source, name, csv, columns=columns)
    if isinstance(source, Query):
        return Read(read_query(source, name))
    if isinstance(source, pl.LazyFrame):
        try:
            return Read(source.collect())
        except Exception as error:
            raise DataError(f"{name}: the lazy frame cannot be collected: {first_line(error)}") from error
    if isinstance(source, pl.DataFrame):
        return Read(source)
    if isinstance(source, list) and source and all(isinstance(row, Mapping) for row in source):
        return Read(frame_of_rows(source, name))
    if getattr(source, "columns", None) is None or not hasattr(source, "__arrow_c_stream__"):
        raise ConfigError(
            f"{name} must be a pandas, polars or pyarrow table, a path or an open file, or a list of rows as"
            f" dictionaries; got {type(source).__name__}"
        )
    if _is_pandas(source):
        return Read(_read_pandas(source, name))
    _check_duplicates(source.schema.names if hasattr(source, "schema") else (), name)
    try:
        return Read(pl.DataFrame(source))
    except Exception as error:
        raise DataError(
            f"{name} cannot be read as columns of one type each: {first_line(error)}; convert it"
        ) from error


def _read_pandas(source: Table, name: str) -> pl.DataFrame:
    levels = getattr(source.columns, "nlevels", 1)
    if levels > 1:
        raise DataError(
            f"{name}: the columns have {levels} levels (a MultiIndex), such as {tuple(source.columns[0])!r}; give each"
            " one name: df.columns = ['_'.join(map(str, levels)) for levels in df.columns]"
        )
    _check_duplicates((clean_text(str(column)) for column in source.columns), name)
    source = source.reset_index(drop=True).rename(columns=lambda column: clean_text(str(column)))
    source = _with_named_intervals(source)
    try:
        frame = pl.DataFrame(source)
    except Exception:  # noqa: BLE001 - some column is of no type of Arrow's: find which, and keep the others
        frame = pl.DataFrame([_read_column(source, column) for column in source.columns])
    return _with_whole_numbers(frame)


def _read_column(source: Table, column: str) -> pl.Series:
    """Return one column of a pandas table: as Arrow has it, dense if it is sparse, or of its values one by one."""
    values = source[column]
    if hasattr(values, "sparse"):
        return pl.Series(column, values.sparse.to_dense().to_numpy())
    try:
        return pl.DataFrame(source[[column]]).to_series()
    except Exception:  # noqa: BLE001 - whatever Arrow cannot convert
        return series_of(column, values.tolist())


def _with_named_intervals(source: Table) -> Table:
    """Return a pandas table with intervals, such as those of ``pd.cut``, by name, and periods by their start."""
    changed = {}
    for name, dtype in source.dtypes.items():
        categories = getattr(dtype, "categories", None)
        kind = str(dtype) if categories is None else str(categories.dtype)
        if kind.startswith("interval"):
            column = source[name] if categories is not None else source[name].astype("category")
            changed[name] = column.cat.rename_categories(str)
        elif kind.startswith("period") and categories is None:
            changed[name] = source[name].dt.to_timestamp()
    return source.assign(**changed) if changed else source


def _with_whole_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Restore the whole numbers that missing values turned into floats in pandas."""
    changed: list[pl.Series] = []
    for series in frame:
        if series.dtype.is_float() and series.null_count() + series.is_nan().sum():
            known = series.drop_nulls().drop_nans()
            if len(known) and bool((known.is_finite() & (known == known.round(0)) & (known.abs() < 2**53)).all()):
                changed.append(series.fill_nan(None).cast(pl.Int64))
    return frame.with_columns(changed) if changed else frame


def _declared_categories(source: Table) -> frozenset[str]:
    """Return the columns that a table declares as categories: by pandas' or polars' type, or Arrow's dictionaries."""
    if _is_pandas(source):
        types = {str(name): str(dtype) for name, dtype in source.dtypes.items()}
    elif isinstance(source, pl.DataFrame):
        types = {name: str(dtype.base_type()) for name, dtype in source.schema.items()}
    elif type(source).__module__.partition(".")[0] == "pyarrow":
        types = {field.name: str(field.type) for field in source.schema}
    else:
        return frozenset()
    return frozenset(
        name for name, dtype in types.items() if dtype.startswith(("category", "Categorical", "Enum", "dictionary"))
    )


def to_source(frame: pl.DataFrame, source: Table) -> Table:
    """Convert a frame to the library of ``source``, with its pandas index; a path stands for polars.

    Args:
        frame: one row for each row of ``source``.
        source: what `read_table` received.
    """
    if _is_pandas(source):
        pandas_frame = frame.to_pandas()
        pandas_frame.index = source.index
        return pandas_frame
    if type(source).__module__.partition(".")[0] == "pyarrow":
        return frame.to_arrow()
    return frame


def with_new_columns(source: Table, columns: Sequence[pl.Series]) -> Table:
    """Return the user's table with additional columns; the columns that it has keep their types.

    Args:
        source: what `read_table` received; it is not changed.
        columns: one value for each row; names that the table does not have.

    Returns:
        A table of the same library as ``source``; a polars frame for a path.
    """
    if _is_pandas(source):
        added = pl.DataFrame(columns).to_pandas()
        added.index = source.index
        return source.assign(**{name: added[name] for name in added.columns})
    if type(source).__module__.partition(".")[0] == "pyarrow":
        for series in columns:
            source = source.append_column(series.name, series.to_arrow())
        return source
    return (source if isinstance(source, pl.DataFrame) else read_table(source)).with_columns(columns)


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as CSV or Parquet, completely or not at all.

    Args:
        frame: the rows.
        path: a file that ends in .csv or .parquet.

    Raises:
        ConfigError: the file's name ends in something else.
        DataError: the file cannot be written, or a column of lists cannot be stored as CSV.
    """
    path = expanded(path)
    check_output(path)
    if path.suffix == ".csv":
        _check_flat(frame, f"cannot write {path}")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; give a folder that exists and is writable") from error
    try:
        write = frame.write_csv if path.suffix == ".csv" else frame.write_parquet
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def sql_name(column: str) -> str:
    """Return a column's name for use in SQL: quoted if it contains more than letters, digits and underscores."""
    return column if re.fullmatch(r"[A-Za-z_]\w*", column) else f'"{column}"'


def csv_text(frame: pl.DataFrame) -> str:
    """Return a frame as CSV text.

    Raises:
        DataError: a column contains lists.
    """
    _check_flat(frame, "cannot print this as CSV")
    return frame.write_csv()


def check_output(path: Path) -> None:
    """Raise an error if `write_table` could not write to a path; call it before long computations.

    Raises:
        ConfigError: the file's name does not end in .csv or .parquet.
        DataError: the folder does not exist.
    """
    path = expanded(path)
    if path.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"{path} must end in .csv or .parquet, so that its format is known")
    if not path.parent.is_dir():
        raise DataError(
            f"cannot write {path}: {path.parent} is not a folder; give a folder that exists and is writable"
        )


def _check_flat(frame: pl.DataFrame, problem: str) -> None:
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    if nested:
        raise DataError(f"{problem}: column {nested[0]!r} contains lists, which CSV cannot represent; use .parquet")


def matches(frame: pl.DataFrame, condition: str, argument: str = "where") -> pl.Series:
    """Evaluate a SQL condition such as ``Sales > 0 AND Date >= '2014-08-01'`` for each row.

    Args:
        frame: the rows.
        condition: the SQL condition.
        argument: name of the argument in messages.

    Returns:
        Boolean, ``(rows,)``; False where the condition is null.

    Raises:
        ConfigError: polars does not understand the condition, it refers to other columns, or it does not yield one
            boolean for each row.
    """
    try:
        pl.sql_expr(condition)  # refuses anything but a single expression
        # A query compares text with a date as a date, unlike an expression. The line break ends a comment.
        fulfilled = frame.sql(f"SELECT ({condition}\n) AS fulfilled FROM self")["fulfilled"]
    except Exception as error:
        known = ", ".join(frame.columns[:20])
        raise ConfigError(
            f"{argument} is not a SQL condition on this table: {condition!r}: {first_line(error)}"
            f" (its columns: {known})"
        ) from error
    if fulfilled.dtype != pl.Boolean:
        raise ConfigError(f"{argument} must be true or false for each row; {condition!r} gives {fulfilled.dtype}")
    if len(fulfilled) != len(frame):
        raise ConfigError(
            f"{argument} must have one value for each row; {condition!r} gives {len(fulfilled)} for {len(frame)} rows"
        )
    return fulfilled.fill_null(value=False)


def usable_rows(frame: pl.DataFrame, where: str | None, name: str, needed: Sequence[str]) -> pl.DataFrame:
    """Return the rows of a table that fulfil a condition, with NaN replaced by null, also for the condition.

    Args:
        frame: the table.
        where: a SQL condition; None: all rows.
        name: name of the table in messages.
        needed: columns that the table must have.

    Raises:
        DataError: the table lacks a column, has no rows, or has none that fulfils the condition.
        ConfigError: ``where`` is not a valid condition.
    """
    if not len(frame):
        raise DataError(f"{name} has no rows")
    check_columns(frame, needed, name)
    frame = frame.with_columns(cs.float().fill_nan(None))
    if where is None:
        return frame
    kept = frame.filter(matches(frame, where))
    if not len(kept):
        raise DataError(f"{name}: none of the {len(frame):,} rows fulfils where={where!r}")
    return kept


def check_columns(frame: pl.DataFrame, names: Iterable[str], what: str) -> None:
    """Raise `DataError` if a table lacks a column that is used, or cannot read it.

    Args:
        frame: the table.
        names: columns that it must have.
        what: start of the message: name of the table or of the function that needs the columns.

    Raises:
        DataError: a column is missing; the message names it and the closest existing name. Or it holds values of
            several types.
    """
    for name in names:
        if name not in frame.columns:
            raise DataError(f"{what}: there is no column {name!r}; {did_you_mean(name, frame.columns)}")
        if frame.schema[name] == pl.Object:
            raise DataError(
                f"{what}: column {name!r} holds values of several types ({types_in(frame[name])}); make them one, such"
                f" as df[{name!r}].astype(str)"
            )


def _check_duplicates(columns: Iterable[str], name: str) -> None:
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        raise DataError(f"{name} has more than one column named {repeated[0]!r}; rename or drop all but one")


def _is_pandas(source: Table) -> bool:
    return type(source).__module__.partition(".")[0] == "pandas"
