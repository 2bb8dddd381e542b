"""Data sets of ratings, and of the users and items that they refer to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headstart.datasets.recipes.recipe import Recipe
from headstart.datasets.sources import LocalFolder, Prepare, Source, Wheel

if TYPE_CHECKING:
    import polars as pl

__all__ = ["RATINGS"]


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
        # One film has no title, as in the source.
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


_RATING_COLUMNS = {
    "user": "user id",
    "item": "film id",
    "rating": "stars, up to 5",
    "timestamp": "seconds since 1 January 1970, UTC",
}
_FILM_COLUMNS = {
    "item": "film id",
    "title": "title, with the year in brackets",
    "year": "year of release; empty where unknown",
    "genres": "genres, separated by |",
}


def _recbole(ending: str, sha256: str, prepare: Prepare) -> Wheel:
    file = f"recbole/dataset_example/ml-100k/ml-100k.{ending}"
    return Wheel(project="recbole", version="1.2.1", files={file: sha256}, prepare=prepare)


def _lesson_films(file: str, prepare: Prepare) -> LocalFolder:
    how_to_get = (
        "The public ml-latest-small (grouplens.org/datasets/movielens) is a later version. From the lesson's version, "
        "October 2016, save ratings (user, item, rating, timestamp) and films (item, title, year, genres) as "
        "ratings.parquet and items.parquet in a folder 'ml-latest-small-2016', and set HEADSTART_DATA to its parent "
        "folder."
    )
    return LocalFolder("ml-latest-small-2016", (file,), how_to_get, prepare)


def _million_films(file: str, prepare: Prepare) -> LocalFolder:
    how_to_get = (
        "From ml-1m (grouplens.org/datasets/movielens/1m) save ratings (user, movie, rating) and movies (movie, title, "
        "genres) as ratings_no_timestamp.parquet and movies.parquet in a folder 'ml-1m', and set HEADSTART_DATA to its "
        "parent folder."
    )
    return LocalFolder("ml-1m", (file,), how_to_get, prepare)


def _movielens(*, name: str, description: str, contents: dict[str, str], source: Source, rows: int) -> Recipe:
    return Recipe(
        name=name,
        description=description,
        contents=contents,
        sources=(source,),
        terms="for research use only, no redistribution without permission: GroupLens's terms",
        citation=(
            "F. M. Harper and J. A. Konstan: The MovieLens Datasets: History and Context. "
            "ACM Transactions on Interactive Intelligent Systems 5 (4), 2015, doi 10.1145/2827872"
        ),
        rows=rows,
    )


RATINGS = [
    _movielens(
        name="ml-100k",
        description="100,000 ratings of 1,682 films by 943 users, September 1997 to April 1998",
        contents=_RATING_COLUMNS,
        source=_recbole("inter", "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff", _ml_100k),
        rows=100_000,
    ),
    _movielens(
        name="ml-100k-items",
        description="the films of ml-100k: title, year, genres",
        contents=_FILM_COLUMNS,
        source=_recbole("item", "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532", _ml_100k_items),
        rows=1_682,
    ),
    _movielens(
        name="ml-100k-users",
        description="the users of ml-100k: age, gender, occupation",
        contents={
            "user": "user id, 1 to 943",
            "age": "age in years",
            "gender": "F or M",
            "occupation": "one of 21",
            "zip_code": "postal code, mostly of the United States",
        },
        source=_recbole("user", "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972", _ml_100k_users),
        rows=943,
    ),
    _movielens(
        name="ml-latest-small-2016",
        description="100,004 ratings of 9,066 films by 671 users, 1995 to 2016: the data set of fast.ai's lesson",
        contents=_RATING_COLUMNS,
        source=_lesson_films("ratings.parquet", _ml_latest_small),
        rows=100_004,
    ),
    _movielens(
        name="ml-latest-small-2016-items",
        description="the films of ml-latest-small-2016: title, year, genres",
        contents=_FILM_COLUMNS,
        source=_lesson_films("items.parquet", _ml_latest_small_items),
        rows=9_066,
    ),
    _movielens(
        name="ml-1m",
        description="one million ratings of 3,706 films by 6,040 users, without times",
        contents={name: meaning for name, meaning in _RATING_COLUMNS.items() if name != "timestamp"},
        source=_million_films("ratings_no_timestamp.parquet", _ml_1m),
        rows=999_714,
    ),
    _movielens(
        name="ml-1m-items",
        description="the films of ml-1m: title, year, genres",
        contents=_FILM_COLUMNS,
        source=_million_films("movies.parquet", _ml_1m_items),
        rows=3_883,
    ),
]
