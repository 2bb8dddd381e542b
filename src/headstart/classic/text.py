"""The lesson's language model and its classifier, by headstart's `LanguageModelLearner` and `TextLearner`."""

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
from headstart.classic.learner import ClassicLearner, OptimizerFunction, models_folder, optimizer_factory
from headstart.classic.tensors import StreamBatches, TimeFirst
from headstart.core.errors import ConfigError, DataError
from headstart.core.values import replaced
from headstart.text import LanguageModelLearner, TextLearner
from headstart.text.data import TextData as Texts
from headstart.text.encoder_learner import EncoderLearner
from headstart.text.generation import write
from headstart.text.language_model_data import LanguageModelData as Streams
from headstart.text.models.awd_lstm import Dropouts
from headstart.text.penalty import ActivationPenalty

__all__ = ["LanguageModelData", "TextData", "sample_model", "seq2seq_reg"]


def seq2seq_reg(output: Tensor, xtra: Any, loss: Tensor, *, alpha: float = 0.0, beta: float = 0.0) -> Tensor:
    """The penalties on activations, for ``learner.reg_fn = partial(seq2seq_reg, alpha=2, beta=1)``.

    Args:
        output: what the model predicts.
        xtra: activations before and after dropout, lists of ``(time, streams, width)``; the last layer's count.
        loss: to which the penalties are added.
        alpha: times the mean square of the activations.
        beta: times the mean square of their change from one time to the next.
    """
    raw, dropped = xtra
    windows = [(before.transpose(0, 1), after.transpose(0, 1)) for before, after in zip(raw, dropped, strict=True)]
    return ActivationPenalty(alpha, beta).penalised(windows[-1:], loss)


class EncoderAdapter(ClassicLearner):
    """A learner on an AWD-LSTM encoder.

    Args:
        learner: headstart's, without penalties: the lesson sets ``reg_fn``.
    """

    learner: EncoderLearner

    def __init__(self, learner: EncoderLearner) -> None:
        super().__init__(learner)
        self._reg_fn: Callable[..., Tensor] | None = None

    @property
    def reg_fn(self) -> Callable[..., Tensor] | None:
        """``partial(seq2seq_reg, alpha=2, beta=1)``, or None."""
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
        """Keeps the encoder with its vocabulary under a name."""
        self.learner.save_encoder(self.learner.snapshots.folder / name)

    def load_encoder(self, name: str) -> None:
        """Takes back an encoder; words are matched, so the vocabulary may be another."""
        self.learner.load_encoder(self.learner.snapshots.folder / name)


class LanguageAdapter(EncoderAdapter):
    """What `LanguageModelData.get_model` gives.

    Args:
        learner: headstart's.
        bs: streams that are read side by side.
    """

    learner: LanguageModelLearner

    def __init__(self, learner: LanguageModelLearner, bs: int) -> None:
        super().__init__(learner)
        self._time_first = TimeFirst(learner.model, learner.codec, bs)

    @property
    def model(self) -> TimeFirst:
        """The language model, time first."""
        return self._time_first


class LanguageModelData:
    """Texts of a language model; made by `from_text_files`.

    Args:
        path: folder whose ``models`` gets what is kept.
        field: how texts are read; its vocabulary is known.
        datasets: training, validation and test texts.
        bs: streams that are read side by side.
        bptt: words per window, on average.
        seed: of the order and the windows.

    Attributes:
        trn_ds: one element, whose ``text`` holds all words; ``val_ds``, ``test_ds`` likewise.
        trn_dl: training windows; ``val_dl`` likewise.
        nt: words in the vocabulary.
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
        """`headstart.LanguageModelData` of text files; gives the field its vocabulary.

        Args:
            path: the folder above those of the texts.
            field: how texts are read.
            train: folder of training texts, in ``path``.
            validation: folder of validation texts.
            test: folder of test texts; None: the validation texts.
            bs: streams that are read side by side.
            bptt: words per window, on average.
            min_freq: words that are rarer in the training texts are unknown.
            max_size: the most words that are known; None: no limit.
            seed: of the order and the windows.
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
        """A `LanguageModelLearner`.

        Args:
            opt_fn: ``optim.Adam`` or a partial of it; None: headstart's default.
            emb_sz: width of the embedding.
            n_hid: width of the hidden layers.
            n_layers: how many.
            dropouti: of the embedded words.
            dropout: after the last layer.
            wdrop: of the recurrent weights.
            dropoute: of whole words.
            dropouth: between layers.
            seed: of the weights and of dropout.
        """
        learner = LanguageModelLearner(
            self.data, embedding_size=emb_sz, hidden=n_hid, layers=n_layers, sampled=0, from_counts=False,
            dropouts=Dropouts(embedding=dropoute, input=dropouti, weight=wdrop, hidden=dropouth, output=dropout),
            **_options(self.path, opt_fn, seed),
        )  # fmt: skip
        return LanguageAdapter(learner, self.bs)


class TextData:
    """Labelled texts; made by `from_splits`.

    Args:
        path: folder whose ``models`` gets what is kept.
        data: headstart's.
    """

    def __init__(self, path: str | Path, data: Texts) -> None:
        self.path, self.data = path, data

    @classmethod
    def from_splits(cls, path: str | Path, splits: Sequence[TextDataset], bs: int, *, seed: int = 0) -> TextData:
        """`headstart.TextData` of data sets such as `IMDB.splits` gives.

        Args:
            path: folder whose ``models`` gets what is kept.
            splits: training and validation texts, with labels; the field's vocabulary is that of a language model.
            bs: training texts per step.
            seed: of the order of the texts.

        Raises:
            NotFittedError: the field has no vocabulary.
        """
        train, valid = splits
        if any(example.label is None for dataset in splits for example in dataset.examples):
            raise DataError("the texts of splits need labels: datasets.IMDB.splits(TEXT, IMDB_LABEL, root)")
        frames = [
            pl.DataFrame({"text": one.texts, "label": [example.label for example in one.examples]})
            for one in (train, valid)
        ]
        data = Texts.from_table(
            frames[0], "text", "label", valid=frames[1], tokenizer=train.field.tokenizer,
            vocabulary=train.field.vocab.vocabulary, batch_size=bs, seed=seed,
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
        """A `TextLearner`, whose head is one linear layer, as the lesson's.

        Args:
            opt_fn: ``optim.Adam`` or a partial of it; None: headstart's default.
            max_sl: words at the end of a text that gradients go through.
            bptt: words that are read at a time.
            emb_sz: width of the embedding.
            n_hid: width of the hidden layers.
            n_layers: how many.
            dropout: before the head.
            dropouti: of the embedded words.
            wdrop: of the recurrent weights.
            dropoute: of whole words.
            dropouth: between layers.
            seed: of the weights and of dropout.
        """
        learner = TextLearner(
            self.data, embedding_size=emb_sz, hidden=n_hid, layers=n_layers, head_hidden=0, bptt=bptt,
            max_length=max_sl,
            dropouts=Dropouts(embedding=dropoute, input=dropouti, weight=wdrop, hidden=dropouth, output=dropout),
            **_options(self.path, opt_fn, seed),
        )  # fmt: skip
        return EncoderAdapter(learner)


def _options(path: str | Path, opt_fn: OptimizerFunction | None, seed: int) -> dict[str, Any]:
    """What the lesson's learners of texts have in common: no penalties and no clipping until they are set."""
    options: dict[str, Any] = {
        "dropout": 1.0, "alpha": 0.0, "beta": 0.0, "clip": None, "seed": seed, "folder": models_folder(path),
        "progress": "none",
    }  # fmt: skip
    if opt_fn is not None:
        options["optimizer"] = optimizer_factory(opt_fn)
    return options


def sample_model(m: TimeFirst, s: str, l: int = 50) -> None:  # noqa: E741 - the lesson's name
    """Prints how the model goes on: the likeliest word each time, never ``<unk>``, up to the text's end.

    Args:
        m: a language model learner's ``model``.
        s: what the text begins with.
        l: the most words.
    """
    with torch.no_grad():
        words = write(m.model, m.codec, s, l, temperature=0)
    sys.stdout.write("..." + " ".join(words) + "\n")
