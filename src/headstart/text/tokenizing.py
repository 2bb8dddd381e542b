"""Which tokenizer a name or a saved record means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.text.subwords import SubwordTokenizer
from headstart.text.tokens import RULES, Tokenizer, WordTokenizer
from headstart.text.transformer_tokens import TransformerTokenizer

__all__ = ["tokenizer_from_json"]


def tokenizer_from_json(record: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that ``to_json`` described.

    Raises:
        ValueError: it is of no known kind, or of later rules.
    """
    if record["kind"] == "words" and record["rules"] == RULES:
        return WordTokenizer(bool(record["lower"]), record["rules"])
    if record["kind"] == "subwords":
        return SubwordTokenizer(record["model"])
    if record["kind"] == "transformer":
        return TransformerTokenizer(record["model"])
    raise ValueError(f"unknown tokenizer {record['kind']!r}, rules {record.get('rules')!r}: upgrade headstart")
