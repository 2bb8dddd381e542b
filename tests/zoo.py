"""A small learner of each application, for the laws that all of them keep. A new application adds its line to `ZOO`."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import toys
import vision_toys
from headstart import (
    EASE,
    IALS,
    CollabLearner,
    Engine,
    ImageData,
    ImageLearner,
    LanguageModelData,
    LanguageModelLearner,
    RatingsData,
    TabularData,
    TabularLearner,
    TextData,
    TextLearner,
    splits,
)
from headstart.core.torchvision import import_torchvision
from headstart.text import TextEnsemble, TransformerLearner
from headstart.text.transformer_learner import read_tokenizer

CPU = Engine("cpu")
ALL = "all"
"""Asks for data without validation rows."""


@dataclass(frozen=True)
class Kept:
    """How one application's learner is made.

    Attributes:
        data: data of 32 rows or a few more, by what validates: the same rows (None), or nothing (`ALL`); ``other=True``
            makes rows of which another codec is learnt.
        learner: a learner on such data; keyword arguments are the learner's own.
        rate: top rate at which it overfits.
        design: a field of the design with another value that is not the default.
        measured_by: a figure of its epochs.
        overfitted: share of the first epoch's training loss below which the last one's must be.
    """

    data: Callable[..., Any]
    learner: Callable[..., Any]
    rate: float
    design: tuple[str, Any]
    measured_by: str
    overfitted: float = 0.7


def rows_of(valid: str | None, table: Any) -> dict[str, Any]:
    return {"split": splits.train_on_all} if valid == ALL else {"valid": table}


def table(*, other: bool = False) -> pl.DataFrame:
    random = np.random.default_rng(3)
    kind = random.choice(["a", "b", "c", "d"] if not other else ["a", "b", "x"], 40)
    size = random.normal(3.0, 1.0, 40)
    return pl.DataFrame({"kind": kind, "size": size, "y": size * 2 + (kind == "a") * 3 + random.normal(0, 0.1, 40)})


def tabular_data(valid: str | None = None, *, other: bool = False) -> TabularData:
    rows = table(other=other)
    return TabularData.from_table(rows, "y", **rows_of(valid, rows), batch_size=8, engine=CPU)


def ratings_data(valid: str | None = None, *, other: bool = False) -> RatingsData:
    rows = toys.ratings(users=11 if other else 12)
    return RatingsData.from_table(rows, "user", "item", "stars", **rows_of(valid, rows), batch_size=40, engine=CPU)


def choices_data(valid: str | None = None, *, other: bool = False) -> RatingsData:
    rows = toys.ratings(users=11 if other else 12).filter(pl.col("stars") > 2)
    held = toys.ratings(users=12).filter(pl.col("stars") <= 2) if valid is None else None
    return RatingsData.from_table(rows, "user", "item", **rows_of(valid, held), batch_size=40, engine=CPU)


def sentences(*, other: bool = False) -> pl.DataFrame:
    texts = [text.replace("film", "play") for text in toys.SENTENCES] if other else toys.SENTENCES
    return pl.DataFrame({"text": texts, "label": ["neg" if n % 3 else "pos" for n in range(len(texts))]})


def text_data(valid: str | None = None, *, other: bool = False) -> TextData:
    rows = sentences(other=other)
    return TextData.from_table(
        rows, "text", "label", **rows_of(valid, rows), min_freq=1, batch_size=8, word_vectors="none", engine=CPU
    )


def stream_data(valid: str | None = None, *, other: bool = False) -> LanguageModelData:
    rows = sentences(other=other)
    return LanguageModelData.from_table(
        rows, "text", **rows_of(valid, rows), min_freq=1, batch_size=4, bptt=12, engine=CPU
    )


def image_data(valid: str | None = None, *, other: bool = False) -> ImageData:
    images, labels = vision_toys.arrays()
    labels = [label.upper() for label in labels] if other else labels
    return ImageData.from_arrays(
        images, labels, **rows_of(valid, (images, labels)), size=32, batch_size=8, cache=vision_toys.cache(), engine=CPU
    )


@functools.cache
def transformer() -> Path:
    """A folder with a transformer of two layers, its weights random, in the layout of the `transformers` library."""
    import_torchvision()
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = Path(tempfile.mkdtemp(prefix="headstart-tests-"))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "film", "was", "good", "bad", "not", ".", "old", "new", "long"]
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]", "unk_token": "[UNK]"}))
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    toys.seeded(lambda: transformers.BertModel(config)).save_pretrained(folder)
    return folder


def transformer_data(valid: str | None = None, *, other: bool = False) -> TextData:
    rows = sentences(other=other)
    rows = rows.with_columns(label=pl.col("label") + "!") if other else rows
    return TextData.from_table(
        rows,
        "text",
        "label",
        **rows_of(valid, rows),
        tokenizer=read_tokenizer(transformer()),
        batch_size=8,
        word_vectors="none",
        engine=CPU,
    )


SMALL: dict[str, Any] = {"embedding_size": 16, "hidden": 16, "layers": 1, "dropout": 0.1, "progress": "none"}

ZOO: dict[str, Kept] = {
    "tabular": Kept(
        tabular_data, lambda data, **o: TabularLearner(data, progress="none", **o), 0.05, ("hidden", (50, 20)), "rmse"
    ),
    "tabular, members": Kept(
        tabular_data,
        lambda data, **o: TabularLearner(data, **{"progress": "none", "hidden": (32,), "members": 3, **o}),
        0.05, ("members", 2), "rmse",
    ),
    "tabular, ensemble": Kept(
        tabular_data,
        lambda data, **o: TabularLearner(data, **{"progress": "none", "hidden": (32,), "ensemble": 2, **o}),
        0.05, ("ensemble", 3), "rmse",
    ),
    "collab": Kept(
        ratings_data, lambda data, **o: CollabLearner(data, **{"factors": 8, "progress": "none", **o}),
        0.05, ("factors", 9), "rmse",
    ),
    "collab, rankings": Kept(
        choices_data, lambda data, **o: CollabLearner(data, **{"factors": 8, "progress": "none", **o}),
        0.05, ("ranking_loss", "bpr"), "ndcg_10", 0.85,
    ),
    "language-model": Kept(
        stream_data, lambda data, **o: LanguageModelLearner(data, **{**SMALL, **o}), 0.05, ("hidden", 20), "perplexity"
    ),
    "text": Kept(
        text_data, lambda data, **o: TextLearner(data, **{**SMALL, "head_hidden": 8, **o}),
        0.05, ("head_hidden", 9), "accuracy",
    ),
    "transformer": Kept(
        transformer_data, lambda data, **o: TransformerLearner(data, transformer(), progress="none", **o),
        0.01, ("head_dropout", 0.2), "accuracy",
    ),
    "vision": Kept(
        image_data,
        lambda data, **o: ImageLearner(
            data, **{"backbone": vision_toys.BACKBONE, "weights": vision_toys.weights(), "hidden": (16,),
                     "progress": "none", **o}
        ),
        0.02, ("hidden", (17,)), "accuracy",
    ),
}  # fmt: skip
"""By the application's name, and for what differs inside one a word more."""

SOLVED: dict[str, Callable[[], Any]] = {
    "ease": lambda: EASE(choices_data()),
    "ials": lambda: IALS(choices_data(), factors=4),
    "text-ensemble": lambda: TextEnsemble([ZOO["text"].learner(text_data(), seed=seed) for seed in (0, 1)]),
}
"""Applications that are no learners: they are solved or put together, not trained step by step."""
