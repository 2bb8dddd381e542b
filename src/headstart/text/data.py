"""`TextData`: from tables, folders and lists of labelled texts to training and validation batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import polars as pl

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.frames.door import Table, check_columns
from headstart.frames.splits import Splitter, by_random
from headstart.targets.fit import fit_target
from headstart.targets.row_weights import ClassWeight, row_weights
from headstart.text.codec import Columns, TextCodec, columns_and_marks, texts_of
from headstart.text.encoding import (
    EVALUATION_BATCH,
    NO_WORDS,
    TextOptions,
    Tokens,
    as_frame,
    check_options,
    encoded_texts,
    learnt,
    make_tokenizer,
    notes_on,
    sides,
    split_files,
)
from headstart.text.folders import find_texts, read_texts
from headstart.text.loaders import BucketLoader
from headstart.text.pretrained import read_codec
from headstart.text.tokens import Tokenizer
from headstart.text.vocabulary import Vocabulary
from headstart.training.loaders import Data

__all__ = ["LabelledOptions", "TextData", "text_loader"]


class LabelledOptions(TextOptions, total=False):
    """The same of texts with labels."""

    language_model: str | Path | None
    class_weight: ClassWeight | None


@dataclass(frozen=True, kw_only=True)
class TextData(Data):
    """Training and validation texts with their labels.

    Attributes:
        codec: how texts became ids, and labels targets.
        unknown: share of the validation texts' words that the vocabulary does not know.
        valid_rows: the validation texts and labels, in their order, to be shown.
        language_model: the folder of the language model whose vocabulary this is; a `TextLearner` starts from it.
        notes: what a user should know.
    """

    train: BucketLoader
    valid: BucketLoader
    codec: TextCodec
    unknown: float
    valid_rows: pl.DataFrame
    language_model: Path | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_table(
        cls,
        table: Table,
        text: Columns,
        label: str,
        *,
        split: Splitter | None = None,
        valid: Table | None = None,
        where: str | None = None,
        language_model: str | Path | None = None,
        tokenizer: Tokens | Tokenizer = "words",
        min_freq: int = 3,
        max_vocab: int = 60_000,
        vocabulary: Vocabulary | None = None,
        backward: bool = False,
        class_weight: ClassWeight | None = None,
        batch_size: int = 32,
        seed: int = 0,
        codec: TextCodec | None = None,
        workers: int | None = None,
        engine: Engine | None = None,
    ) -> TextData:
        """Splits a table's rows, learns vocabulary and labels from the training rows, and encodes both sides.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet; it is not changed.
            text: the column of texts, or several: see `LanguageModelData.from_table`.
            label: the column of labels: a class per row, or a list of classes.
            split: from `headstart.frames.splits`; None: a random fifth of the rows validates.
            valid: a table of validation rows, instead of a split.
            where: a SQL condition on the rows of both sides.
            language_model: a saved language model's folder: its tokens, vocabulary and direction are taken over, and
                a `TextLearner` on these data starts from its encoder.
            tokenizer: ``"words"``, ``"subwords"``, or the tokenizer of a transformer
                (`headstart.text.transformer_learner.read_tokenizer`).
            min_freq: words that are rarer in the training texts are unknown.
            max_vocab: the most frequent words that are known, at most.
            vocabulary: the tokens that are known, instead of those of the training texts.
            backward: read each text from its end.
            class_weight: in the training loss; ``"balanced"``: each class counts the same; or a weight per class.
            batch_size: training texts per step, over all processes.
            seed: of the order of the training texts, and of the default split.
            codec: an earlier one, to go on training its model.
            workers: processes that cut texts into tokens; None: as many as it is worth.
            engine: device and processes.

        Raises:
            DataError: a column is missing or unfit, no rows are left, fewer than two classes.
            ConfigError: options that do not go together.
            ArtifactError: the language model's folder cannot be read.
        """
        columns, marks = columns_and_marks(text)
        if label in columns:
            raise ConfigError(f"column {label!r} cannot be both text and label")
        needed = [*columns, label]
        train_rows, valid_rows = sides(table, valid, split, where, needed, default=by_random(seed=seed))
        engine = engine or Engine()
        train_texts = [texts_of(train_rows, columns, marks)]
        if codec is not None or language_model is not None:
            if codec is not None and language_model is not None:
                raise ConfigError("codec and language_model both say how texts become ids: give one")
            if codec is None:
                assert language_model is not None
                codec_read = read_codec(language_model)
                if backward and not codec_read.backward:
                    raise ConfigError(
                        f"backward=True, but the language model in {language_model} reads forward: train one backward"
                    )
                if vocabulary is not None or tokenizer != "words":
                    what = "vocabulary" if vocabulary is not None else "tokenizer"
                    raise ConfigError(f"{what} is the language model's own: leave {what} out, or language_model")
                codec = replace(
                    codec_read, columns=columns, marks=marks, target=fit_target(train_rows, [label], kind="label")
                )
            if codec.columns != columns or codec.target is None or codec.target.column != label:
                raise ConfigError(
                    f"the codec reads {', '.join(map(repr, codec.columns))} and predicts"
                    f" {None if codec.target is None else codec.target.column!r}; got {text!r} and {label!r}"
                )
            corpus = encoded_texts(codec, train_texts, workers, None)
        else:
            target = fit_target(train_rows, [label], kind="label")
            tokenizer = make_tokenizer(tokenizer, train_texts, max_vocab, marks)
            empty = TextCodec(columns, marks, tokenizer, NO_WORDS, backward, target)
            codec, corpus = learnt(empty, train_texts, min_freq, max_vocab, vocabulary, workers, None, engine)
        assert codec.target is not None
        encoded = codec.target.encode(train_rows)
        train = BucketLoader(
            corpus, encoded, row_weights(train_rows, encoded, None, class_weight, codec.target),
            batch_size=batch_size, shuffle=True, seed=seed, engine=engine,
        )  # fmt: skip
        judged = text_loader(codec, valid_rows, engine, with_target=True, workers=workers)
        unknown = judged.corpus.unknown()
        return cls(
            train=train, valid=judged, target=codec.target, engine=engine, codec=codec, unknown=unknown,
            valid_rows=valid_rows.select(needed), notes=notes_on(codec, corpus, judged.corpus, unknown),
            language_model=None if language_model is None else Path(language_model),
        )  # fmt: skip

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        valid: str | None = None,
        split: Splitter | None = None,
        exclude: Sequence[str] = ("unsup",),
        **options: Unpack[LabelledOptions],
    ) -> TextData:
        """Text files in a folder per label: ``pos/1.txt``, or ``train/pos/1.txt`` and ``test/pos/1.txt`` as in IMDB.

        Args:
            folder: of ``.txt`` files.
            valid: the first folder inside it whose texts validate; None: ``valid`` or ``test`` beside ``train``.
            split: of the files (columns ``path``, ``label``, ``part``, ``text``) instead; else a random fifth.
            exclude: names of folders to leave out: texts without label.
            options: the arguments of `from_table` of these names.
        """
        check_options(options, LabelledOptions)
        files = read_texts(find_texts(folder, labelled=True, exclude=exclude))
        rows = split_files(files, valid, split, by_random(seed=options.get("seed", 0)))
        return cls.from_table(files[rows.train], "text", "label", valid=files[rows.valid], **options)

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        labels: Sequence[str] | Sequence[Sequence[str]],
        *,
        split: Splitter | None = None,
        **options: Unpack[LabelledOptions],
    ) -> TextData:
        """Two lists, of texts and of their labels; all else as for `from_table`."""
        check_options(options, LabelledOptions)
        if len(texts) != len(labels):
            raise DataError(f"there must be a label for each text; got {len(texts)} texts and {len(labels)} labels")
        frame = as_frame(texts, "texts").with_columns(pl.Series("label", list(labels)))
        return cls.from_table(frame, "text", "label", split=split, **options)


def text_loader(
    codec: TextCodec, frame: pl.DataFrame, engine: Engine, *, with_target: bool, workers: int | None = 1
) -> BucketLoader:
    """All rows of a frame, to be predicted or judged."""
    if with_target and codec.target is not None:
        check_columns(frame, codec.target.columns, "the table (label)")
    target = codec.target.encode(frame) if with_target and codec.target is not None else None
    corpus = encoded_texts(codec, [codec.texts(frame)], workers, None)
    return BucketLoader(corpus, target, batch_size=EVALUATION_BATCH, shuffle=False, engine=engine)
