"""The lesson's language model and classifier, by headstart's `LanguageModelLearner` and `TextLearner`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from headstart.classic.data import Field, Joined, TextDataset
from headstart.classic.learner import ClassicLearner, OptimizerFunction, common_options
from headstart.classic.tensors import StreamBatches, TimeFirst
from headstart.core.errors import ConfigError, DataError
from headstart.core.values import replaced
from headstart.text import LanguageModelLearner, TextLearner
from headstart.text.data import TextData as Texts
from headstart.text.design import LanguageModelDesign, LanguageModelTraining, TextDesign, TextTraining
from headstart.text.encoder_learner import EncoderLearner
from headstart.text.generation import write
from headstart.text.language_model_data import LanguageModelData as Streams
from headstart.text.models.awd_lstm import Dropouts
from headstart.text.penalty import ActivationPenalty

__all__ = ["LanguageModelData", "TextData", "sample_model", "seq2seq_reg"]


def seq2seq_reg(output: Tensor, xtra: Any, loss: Tensor, *, alpha: float = 0.0, beta: float = 0.0) -> Tensor:
    """Add AWD-LSTM's penalties on activations to a loss: ``learner.reg_fn = partial(seq2seq_reg, alpha=2, beta=1)``.

    Args:
        output: the model's output, which has no effect.
        xtra: activations before and after dropout, two lists of ``(time, streams, width)``; the last of each count.
        loss: the loss, a number.
        alpha: factor of the mean square of the activations after dropout.
        beta: factor of the mean square of the change from time to time of those before dropout.
    """
    raw, dropped = xtra
    windows = [(before.transpose(0, 1), after.transpose(0, 1)) for before, after in zip(raw, dropped, strict=True)]
    return ActivationPenalty(alpha, beta).penalised(windows[-1:], loss)


class EncoderAdapter(ClassicLearner):
    """A learner on an AWD-LSTM encoder.

    Args:
        learner: headstart's learner, without penalties until ``reg_fn`` is set.
    """

    learner: EncoderLearner

    def __init__(self, learner: EncoderLearner) -> None:
        super().__init__(learner)
        self._reg_fn: Callable[..., Tensor] | None = None

    @property
    def reg_fn(self) -> Callable[..., Tensor] | None:
        """``partial(seq2seq_reg, alpha=2, beta=1)``; None: no penalties. Can be set."""
        return self._reg_fn

    @reg_fn.setter
    def reg_fn(self, function: Callable[..., Tensor] | None) -> None:
        alpha = beta = 0.0
        if function is not None:
            if not isinstance(function, partial) or function.func is not seq2seq_reg or function.args:
                raise ConfigError(
                    f"reg_fn must be partial(seq2seq_reg, alpha=..., beta=...); got {function!r}. For a penalty of your"
                    " own add a Callback with on_loss to learner.learner.callbacks"
                )
            alpha, beta = function.keywords.get("alpha", 0.0), function.keywords.get("beta", 0.0)
        self.learner.training = replaced(self.learner.training, {"alpha": alpha, "beta": beta})
        self._reg_fn = function

    def save_encoder(self, name: str) -> None:
        """Save the encoder and its vocabulary under a name."""
        self.learner.save_encoder(self.learner.snapshots.folder / name)

    def load_encoder(self, name: str) -> None:
        """Load an encoder that `save_encoder` wrote; its words are matched, so the vocabularies may differ."""
        self.learner.load_encoder(self.learner.snapshots.folder / name)


class LanguageAdapter(EncoderAdapter):
    """What `LanguageModelData.get_model` returns.

    Args:
        learner: headstart's learner.
        bs: number of streams.
    """

    learner: LanguageModelLearner

    def __init__(self, learner: LanguageModelLearner, bs: int) -> None:
        super().__init__(learner)
        self._time_first = TimeFirst(learner.model, learner.codec, bs)

    @property
    def model(self) -> TimeFirst:
        """The language model, with the lesson's shapes."""
        return self._time_first


class LanguageModelData:
    """Texts of a language model; made by `from_text_files`.

    Args:
        path: folder whose ``models`` gets saved weights and encoders.
        field: how texts are read, with its vocabulary.
        datasets: training, validation and test texts.
        bs: number of streams.
        bptt: mean number of words per window.
        seed: seed of the order of the texts and of the windows.

    Attributes:
        trn_ds: one element, whose ``text`` holds all training words; ``val_ds`` and ``test_ds`` likewise.
        trn_dl: the training windows; ``val_dl`` the validation windows.
        nt: size of the vocabulary.
    """

    def __init__(
        self, path: str | Path, field: Field, datasets: Sequence[TextDataset], *, bs: int, bptt: int, seed: int
    ) -> None:
        self.path, self.bs, self.nt = path, bs, len(field.vocab)
        self.data = Streams.from_texts(
            datasets[0].texts, valid=datasets[1].texts, tokenizer=field.tokenizer, vocabulary=field.vocab.vocabulary,
            batch_size=bs, bptt=bptt, seed=seed,
        )  # fmt: skip
        assert self.data.valid is not None
        self.trn_dl = StreamBatches(self.data.train, self.data.codec)
        self.val_dl = StreamBatches(self.data.valid, self.data.codec)
        self.trn_ds, self.val_ds, self.test_ds = ([Joined(dataset)] for dataset in datasets)

    @classmethod
    def from_text_files(
        cls,
        path: str | Path,
        field: Field,
        train: str,
        validation: str,
        test: str | None = None,
        *,
        bs: int = 64,
        bptt: int = 70,
        min_freq: int = 1,
        max_size: int | None = None,
        seed: int = 0,
    ) -> LanguageModelData:
        """Make a `headstart.LanguageModelData` of text files, and give the field its vocabulary.

        Args:
            path: the folder that holds those of the texts.
            field: how texts are read.
            train: folder of the training texts, relative to ``path``.
            validation: folder of the validation texts.
            test: folder of the test texts; None: the validation texts.
            bs: number of streams.
            bptt: mean number of words per window.
            min_freq: least number of occurrences of a known word in the training texts.
            max_size: largest size of the vocabulary; None: no limit.
            seed: seed of the order of the texts and of the windows.
        """
        folders = [Path(path) / part for part in (train, validation, test or validation)]
        datasets = [TextDataset.of_folder(folder, field, labelled=False) for folder in folders]
        field.build_vocab(datasets[0].texts, min_freq=min_freq, max_size=max_size)
        return cls(path, field, datasets, bs=bs, bptt=bptt, seed=seed)

    def get_model(
        self,
        opt_fn: OptimizerFunction | None,
        emb_sz: int,
        n_hid: int,
        n_layers: int,
        *,
        dropouti: float = 0.5,
        dropout: float = 0.4,
        wdrop: float = 0.5,
        dropoute: float = 0.1,
        dropouth: float = 0.3,
        seed: int = 0,
    ) -> LanguageAdapter:
        """Return a `LanguageModelLearner`.

        Args:
            opt_fn: ``optim.Adam`` or a partial of it; None: headstart's default.
            emb_sz: width of the embedding, and of the last layer.
            n_hid: width of the other layers.
            n_layers: number of LSTM layers.
            dropouti: dropout of the embedded words.
            dropout: dropout after the last layer.
            wdrop: dropout of the recurrent weights.
            dropoute: dropout of whole words.
            dropouth: dropout between layers.
            seed: seed of the weights and of dropout.
        """
        design = LanguageModelDesign(
            embedding_size=emb_sz, hidden=n_hid, layers=n_layers, sampled=0, dropout=1.0,
            dropouts=Dropouts(embedding=dropoute, input=dropouti, weight=wdrop, hidden=dropouth, output=dropout),
        )  # fmt: skip
        learner = LanguageModelLearner(
            self.data, from_counts=False, design=design, training=LanguageModelTraining(alpha=0.0, beta=0.0, clip=None),
            **common_options(self.path, opt_fn, seed),
        )  # fmt: skip
        return LanguageAdapter(learner, self.bs)


class TextData:
    """Labelled texts; made by `from_splits`.

    Args:
        path: folder whose ``models`` gets saved weights and encoders.
        data: headstart's data.
    """

    def __init__(self, path: str | Path, data: Texts) -> None:
        self.path, self.data = path, data

    @classmethod
    def from_splits(cls, path: str | Path, splits: Sequence[TextDataset], bs: int, *, seed: int = 0) -> TextData:
        """Make a `headstart.TextData` of data sets such as `IMDB.splits` returns, without a linear path, as the lesson.

        Args:
            path: folder whose ``models`` gets saved weights and encoders.
            splits: training and validation texts, with labels; their field has a language model's vocabulary.
            bs: batch size, in texts.
            seed: seed of the order of the texts.

        Raises:
            DataError: a text has no label.
            NotFittedError: the field has no vocabulary.
        """
        train, valid = splits
        if any(example.label is None for dataset in splits for example in dataset.examples):
            raise DataError("the texts of splits need labels: datasets.IMDB.splits(TEXT, IMDB_LABEL, root)")
        frames = [
            pl.DataFrame({"text": dataset.texts, "label": [example.label for example in dataset.examples]})
            for dataset in (train, valid)
        ]
        data = Texts.from_table(
            frames[0], "text", "label", valid=frames[1], tokenizer=train.field.tokenizer,
            vocabulary=train.field.vocab.vocabulary, batch_size=bs, seed=seed, linear=False,
        )  # fmt: skip
        return cls(path, data)

    def get_model(
        self,
        opt_fn: OptimizerFunction | None,
        max_sl: int,
        bptt: int,
        *,
        emb_sz: int,
        n_hid: int,
        n_layers: int,
        dropout: float = 0.4,
        dropouti: float = 0.5,
        wdrop: float = 0.5,
        dropoute: float = 0.1,
        dropouth: float = 0.3,
        seed: int = 0,
    ) -> EncoderAdapter:
        """Return a `TextLearner` whose head is one linear layer, as the lesson's.

        Args:
            opt_fn: ``optim.Adam`` or a partial of it; None: headstart's default.
            max_sl: number of words at the end of a text that gradients go through.
            bptt: number of words that are read at a time.
            emb_sz: width of the embedding, and of the last layer.
            n_hid: width of the other layers.
            n_layers: number of LSTM layers.
            dropout: dropout before the head.
            dropouti: dropout of the embedded words.
            wdrop: dropout of the recurrent weights.
            dropoute: dropout of whole words.
            dropouth: dropout between layers.
            seed: seed of the weights and of dropout.
        """
        design = TextDesign(
            embedding_size=emb_sz, hidden=n_hid, layers=n_layers, head_hidden=0, bptt=bptt, max_length=max_sl,
            dropout=1.0,
            dropouts=Dropouts(embedding=dropoute, input=dropouti, weight=wdrop, hidden=dropouth, output=dropout),
        )  # fmt: skip
        learner = TextLearner(
            self.data, design=design, training=TextTraining(alpha=0.0, beta=0.0, clip=None),
            **common_options(self.path, opt_fn, seed),
        )  # fmt: skip
        return EncoderAdapter(learner)


def sample_model(m: TimeFirst, s: str, l: int = 50) -> None:  # noqa: E741 - the lesson's name
    """Print a continuation of a text: the most probable next word each time, never ``<unk>``, up to the text's end.

    Args:
        m: a language model learner's ``model``.
        s: beginning of the text.
        l: largest number of words.
    """
    with torch.no_grad():
        words = write(m.model, m.codec, s, l, temperature=0)
    sys.stdout.write("..." + " ".join(words) + "\n")
