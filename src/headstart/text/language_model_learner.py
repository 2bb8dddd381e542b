"""`LanguageModelLearner`: trains on text without labels, judges, generates, and is saved as one folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headstart.core.artefact import load_weights, reading
from headstart.core.batch import Batch
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.core.values import Json
from headstart.frames.door import Table, read_table
from headstart.text.codec import TextCodec
from headstart.text.cooccurrence import log_frequencies, word_vectors
from headstart.text.encoder_learner import ActivationPenalty, EncoderLearner, check_precision, make_encoder, text_adam
from headstart.text.generation import Continuation, beam_search, generate, next_words
from headstart.text.language_model_data import LanguageModelData, language_model_loader
from headstart.text.loaders import StreamLoader
from headstart.text.models.awd_lstm import Dropouts, LanguageModel
from headstart.text.pretrained import read_pretrained
from headstart.training.callbacks import Callback
from headstart.training.display import Verbosity
from headstart.training.learner import Learner
from headstart.training.loaders import Data, Loader
from headstart.training.optim import OptimizerFactory

__all__ = ["LanguageModelLearner"]

COUNTED_SCALE = 0.5
"""Standard deviation of word vectors that come from counts."""


class LanguageModelLearner(EncoderLearner):
    """An AWD-LSTM language model on a corpus.

    Args:
        data: from `LanguageModelData`.
        embedding_size: width of the embedding and of the last layer.
        hidden: width of the layers before.
        layers: how many. Defaults: 400, 1152, 3, for a GPU; 128, 256, 2 train on a processor.
        dropouts: all of AWD-LSTM's dropouts; None: fastai's for language models.
        dropout: factor on all of them: less for much text, more for little.
        language_model: a saved language model's folder to start from; sizes are taken from there, and known words keep
            their vectors.
        from_counts: without ``language_model``: start the words' vectors from which words stand next to which, and the
            decoder's bias from how often each comes (`headstart.text.cooccurrence`), instead of at random and at 0. It
            takes some seconds and saves most of the first epoch.
        sampled: compare each next word with this many random ones instead of the whole vocabulary while training:
            several times as fast on a processor (`headstart.text.models.awd_lstm.LanguageModel`). Figures are by all
            words.
        alpha: of activation regularisation.
        beta: of temporal activation regularisation.
        optimizer: a factory; None: AdamW with betas (0.7, 0.99).
        weight_decay: as for `Learner`, and the same for all that follows.
        clip: largest norm of the gradients.
        accumulate: batches per step.
        callbacks: for every fit.
        seed: of the weights and of dropout.
        folder: where snapshots are kept.
        progress: what a fit shows.
    """

    application = "language-model"
    model: LanguageModel

    def __init__(
        self,
        data: LanguageModelData,
        *,
        embedding_size: int | None = None,
        hidden: int | None = None,
        layers: int | None = None,
        dropouts: Dropouts | None = None,
        dropout: float = 1.0,
        language_model: str | Path | None = None,
        from_counts: bool = True,
        sampled: int | None = None,
        alpha: float = 2.0,
        beta: float = 1.0,
        optimizer: OptimizerFactory | None = None,
        weight_decay: float = 0.01,
        clip: float | None = 0.3,
        accumulate: int = 1,
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
        folder: str | Path = "models",
        progress: Verbosity = "auto",
    ) -> None:
        check_precision(data.engine)
        self.codec = data.codec
        pretrained = None if language_model is None else read_pretrained(language_model)
        sizes: dict[str, int | None] = {"embedding_size": embedding_size, "hidden": hidden, "layers": layers}
        self.design: Json = {
            **chosen_sizes(sizes, None if pretrained is None else pretrained.sizes),
            "dropouts": asdict((dropouts or Dropouts()).times(dropout)),
            "sampled": sampled,
        }
        super().__init__(
            _make_model(self.codec, self.design, seed), data, loss=model_loss, metrics=(),
            optimizer=optimizer or text_adam(), weight_decay=weight_decay, clip=clip, accumulate=accumulate,
            callbacks=[ActivationPenalty(alpha, beta), *callbacks], seed=seed, folder=folder, progress=progress,
        )  # fmt: skip
        if pretrained is not None:
            assert language_model is not None
            self.take_pretrained(pretrained, Path(language_model))
        elif from_counts:
            self._take_counts(data)

    def validate(self, loader: Loader | None = None) -> dict[str, float]:
        """``valid_loss``, ``perplexity``, ``accuracy`` of the likeliest word, and what they are to be read beside.

        A perplexity means nothing without the size of the ``vocabulary`` and the share of ``unknown`` words: who knows
        few words finds the rest easy to predict.
        """
        found = self._own_data().valid if loader is None else loader
        if found is None:
            raise ConfigError("there are no validation texts; give the data some, or a loader here")
        figures = self._streamed(found)
        known = self.data.unknown if isinstance(self.data, LanguageModelData) and loader is None else None
        if known is None:
            known = found.corpus.unknown() if isinstance(found, StreamLoader) else math.nan
        return {**figures, "vocabulary": float(len(self.codec.vocabulary)), "unknown": known}

    def evaluate(self, table: Table) -> dict[str, float]:
        """The figures of `validate` over all texts of a table."""
        return self.validate(language_model_loader(self.codec, read_table(table), self.engine))

    def generate(
        self,
        prompt: str = "",
        n_words: int = 50,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> str:
        """Goes on writing: see `headstart.text.generation.generate`."""
        return generate(
            self.model, self.codec, prompt, n_words, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        )

    def beam_search(self, prompt: str = "", n_words: int = 20, *, beams: int = 5) -> list[Continuation]:
        """The likeliest ways to go on, the best first: see `headstart.text.generation.beam_search`."""
        return beam_search(self.model, self.codec, prompt, n_words, beams=beams)

    def next_words(self, prompt: str = "", k: int = 10) -> list[tuple[str, float]]:
        """The likeliest next words with their probabilities."""
        return next_words(self.model, self.codec, prompt, k)

    def predict(self, rows: Table) -> Any:
        """A language model has no labels to predict.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "a language model predicts words, not rows: generate(prompt), next_words(prompt), headstart generate;"
            " or train a classifier from it: headstart train text --language-model"
        )

    def describe(self) -> list[str]:
        """Lines for ``headstart info``."""
        return describe_codec(self.codec)

    def record(self) -> Json:
        """What ``learner.json`` says of this learner."""
        return super().record() | {
            "model": {"class": "LanguageModel", **self.design}, "codec": self.codec.to_json(), "loss": "default",
        }  # fmt: skip

    @classmethod
    def from_record(
        cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine
    ) -> LanguageModelLearner:
        """The learner that `save` wrote, without data: it generates; set ``data`` to go on training."""
        learner = cls.__new__(cls)
        with reading(folder):
            learner.codec = TextCodec.from_json(record["codec"])
            learner.design = dict(record["model"])
            learner.design.pop("class")
            model = _make_model(learner.codec, learner.design, seed=0)
        load_weights(model, tensors, folder)
        Learner.__init__(
            learner, model, None, loss=model_loss, metrics=(), optimizer=text_adam(), clip=0.3,
            callbacks=[ActivationPenalty()], engine=engine,
        )  # fmt: skip
        learner.take_over(record, folder)
        return learner

    def _take_counts(self, data: LanguageModelData) -> None:
        """What counting the training texts says, in place of random vectors and of no bias."""
        embedding, corpus = self.model.encoder.embedding.weight, data.train.corpus
        vectors = torch.from_numpy(word_vectors(corpus, *embedding.shape)).to(embedding.device) * COUNTED_SCALE
        with torch.no_grad():
            embedding.copy_(torch.where(vectors == 0, embedding, vectors))  # what has no neighbours stays random
            self.model.bias.copy_(torch.from_numpy(log_frequencies(corpus, len(embedding))))

    def _own_data(self) -> Data:
        data = super()._own_data()
        if isinstance(data, LanguageModelData) and data.codec.vocabulary != self.codec.vocabulary:
            raise ConfigError(
                "learner.data has another vocabulary than the learner, so its ids mean other words: make it with"
                " codec=learner.codec"
            )
        return data

    def _streamed(self, loader: Loader) -> dict[str, float]:
        model, engine = self.model.eval(), self.engine
        loss, hits, rows = engine.accumulator(), engine.accumulator(), 0
        with torch.no_grad():
            for batch in loader.batches(0):
                tokens, fresh, target = batch.to(engine.device).inputs
                with engine.autocast():
                    mean, right = model.loss_and_hits(tokens, fresh, target)
                loss += mean * batch.rows
                hits += right
                rows += batch.rows
        model.reset()
        counted = engine.sum(torch.stack([loss, hits, loss.new_tensor(float(rows))])).tolist()
        if not counted[2]:
            raise DataError("there are no words to predict")
        mean_loss = counted[0] / counted[2]
        perplexity = math.exp(mean_loss) if mean_loss < 700 else math.inf
        return {"valid_loss": mean_loss, "perplexity": perplexity, "accuracy": counted[1] / counted[2]}


def model_loss(outputs: Any, batch: Batch) -> Tensor:
    """The loss, which the model has computed itself: its first output."""
    loss: Tensor = outputs[0]
    return loss


def chosen_sizes(asked: Mapping[str, int | None], given: Mapping[str, int] | None) -> dict[str, int]:
    """The encoder's sizes: those of the model to start from, else what is asked for, else the lesson's successor's.

    Raises:
        ConfigError: sizes are asked for that the start does not have.
    """
    usual = {"embedding_size": 400, "hidden": 1152, "layers": 3}
    for name, size in asked.items():
        if given is not None and size is not None and size != given[name]:
            raise ConfigError(f"{name}={size}, but the language model to start from has {given[name]}: leave it out")
    base = dict(usual if given is None else given)
    return base | {name: size for name, size in asked.items() if size is not None}


def describe_codec(codec: TextCodec) -> list[str]:
    """What texts a model reads, in lines."""
    direction = ", each text from its end" if codec.backward else ""
    kind = codec.tokenizer.to_json()["kind"]
    return [
        f"text         {', '.join(codec.columns)}{direction}",
        f"vocabulary   {len(codec.vocabulary):,} {'words' if kind == 'words' else 'parts of words'}",
    ]


def _make_model(codec: TextCodec, design: Json, seed: int) -> LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LanguageModel(make_encoder(len(codec.vocabulary), design), sampled=design["sampled"])
