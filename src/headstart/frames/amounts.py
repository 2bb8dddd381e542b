"""Numbers as people write them: with thousands separators, currency and percent signs, or decimal commas."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import polars as pl

__all__ = ["AmountForm", "amounts_in", "form_of_amounts"]

SIGNS = r"[$€£¥₹₽₩₺฿₫₴%‰]|\b(?:USD|EUR|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|BRL|CAD|AUD|Fr|Rs|kr|zł)\b\.?"
"""Currencies and shares, before or after a number."""

BLANKS = r"[\s\u00a0\u202f\u2009'’_]"
"""What stands between thousands everywhere, besides the comma or the point."""


@dataclass(frozen=True)
class AmountForm:
    """How a column writes its numbers.

    Attributes:
        decimal: the decimal mark; the other of comma and point may stand between thousands.
    """

    decimal: Literal[".", ","] = "."


def amounts_in(series: pl.Series, form: AmountForm) -> pl.Series:
    """Return text as numbers, Float64; null for what is none.

    Signs of currencies and shares are left out: 12 % is 12, as it is written. (5) and 5- are -5.

    Args:
        series: text.
        form: how the numbers are written.
    """
    plain = series.cast(pl.Float64, strict=False) if form.decimal == "." else None
    if plain is not None and plain.null_count() == series.null_count():
        return pl.select(pl.when(plain.is_finite()).then(plain)).to_series().alias(series.name)
    point, comma = re.escape(form.decimal), re.escape("," if form.decimal == "." else ".")
    texts = series.str.replace_all(SIGNS, " ").str.strip_chars().str.replace(r"^[−–]", "-")
    texts = texts.str.replace(r"^\((.*)\)$", "-$1").str.replace(r"^([^-]+)-$", "-$1")
    texts = texts.str.replace(r"^([+-])\s+", "$1").str.strip_chars()
    grouped = rf"^[+-]?[0-9]{{1,3}}(?:(?:{comma}|{BLANKS})[0-9]{{3}})+(?:{point}[0-9]*)?$"
    whole = texts.str.replace_all(rf"{comma}|{BLANKS}", "")
    texts = pl.select(pl.when(texts.str.contains(grouped)).then(whole).otherwise(texts)).to_series()
    if form.decimal == ",":
        texts = texts.set(texts.str.contains(".", literal=True).fill_null(value=False), None)
        texts = texts.str.replace(",", ".", literal=True)
    numbers = texts.cast(pl.Float64, strict=False)
    return pl.select(pl.when(numbers.is_finite()).then(numbers)).to_series().alias(series.name)


def form_of_amounts(series: pl.Series) -> tuple[AmountForm, pl.Series]:
    """Return the form by which most texts of a column are numbers, and these numbers.

    Where both marks would do (1,234 alone), the point is the decimal mark.

    Args:
        series: text.
    """
    forms = (AmountForm("."), AmountForm(","))
    read = [(form, amounts_in(series, form)) for form in forms]
    return min(read, key=lambda pair: pair[1].null_count())
