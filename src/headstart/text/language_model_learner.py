"""`LanguageModelLearner`: trains on texts without labels, and writes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from headstart.core.batch import Batch, Loss
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.frames.door import Table, usable_rows
from headstart.targets.metrics import Better
from headstart.text.codec import TextCodec
from headstart.text.cooccurrence import frequencies, log_frequencies, word_vectors
from headstart.text.design import EncoderDesign, LanguageModelDesign, LanguageModelOptions, LanguageModelTraining
from headstart.text.encoder_learner import EncoderLearner
from headstart.text.folders import read_rows
from headstart.text.generation import Continuation, beam_search, generate, next_words
from headstart.text.language_model_data import LanguageModelData, language_model_loader
from headstart.text.loaders import StreamLoader
from headstart.text.models.awd_lstm import LanguageModel
from headstart.training.loaders import Loader
from headstart.training.settings import Plan, Training

__all__ = ["LanguageModelLearner"]

COUNTED_SCALE = 0.5
"""Standard deviation of word vectors that come from counts."""


class LanguageModelLearner(EncoderLearner):
    """An AWD-LSTM language model.

    Args:
        data: from `LanguageModelData`; or a codec, for a learner that only writes.
        language_model: folder of a saved language model to start from: its sizes are used, known words keep their
            vectors, and new words get the mean; None: that of the data, if they name one.
        from_counts: take the word vectors of a model without a start from which words are neighbours in the training
            texts, and its decoder's bias from how frequent each is (`headstart.text.cooccurrence`), which takes some
            seconds and saves most of the first epoch; False: random vectors and zeros.
        design: the network; None: the defaults of `LanguageModelDesign`.
        training: all that changes what a training step does; None: the defaults of `LanguageModelTraining`.
        options: the fields of both by name, ``LanguageModelLearner(data, hidden=256, alpha=0.0)``, and those of
            `LearnerOptions`: ``callbacks``, ``folder``, ``progress``, ``engine``.
    """

    application = "language-model"
    design_type = LanguageModelDesign
    training_type = LanguageModelTraining
    design: LanguageModelDesign
    model: LanguageModel

    def __init__(
        self,
        data: LanguageModelData | TextCodec,
        *,
        language_model: str | Path | None = None,
        from_counts: bool = True,
        design: LanguageModelDesign | None = None,
        training: Training | None = None,
        **options: Unpack[LanguageModelOptions],
    ) -> None:
        for name in ("loss", "metrics"):
            if options.get(name) is not None:
                raise ConfigError(f"a language model has its own loss and figures: leave {name} out")
        super().__init__(data, language_model=language_model, design=design, training=training, **options)
        if self.data is not None:
            self.prepare_for(self.data)
            if from_counts and self.data.language_model is None:
                self._take_counts(self.data)

    def make_model(self, seed: int) -> nn.Module:
        """Return a fresh network of the design."""
        return self.design.network(self.codec, seed)

    def settled(self, design: EncoderDesign, data: Any) -> LanguageModelDesign:
        """Return the design with sizes, dropout and sampling settled by the start, the device and the texts."""
        design = super().settled(design, data)
        assert isinstance(design, LanguageModelDesign)
        device = (Engine() if data is None else data.engine).device.type
        tokens = None if data is None else data.train.rows
        return design.settled(device, len(self.codec.vocabulary), tokens)

    def prepare_for(self, data: LanguageModelData) -> None:
        """Count the words of the training texts, which sampling must know."""
        if self.model.sampled is not None:
            shares = frequencies(data.train.corpus, len(self.codec.vocabulary))
            self.model.frequencies = torch.from_numpy(shares).to(self.model.bias.device)

    @classmethod
    def suggest(cls, data: LanguageModelData, design: LanguageModelDesign | None = None) -> Plan:
        """Return as many epochs as read three million tokens, 1 to 10; at 0.01, or at 0.005 from a start."""
        epochs = max(1, min(10, round(3_000_000 / data.train.rows)))
        return Plan(lr=0.01 if data.language_model is None else 0.005, epochs=epochs)

    def validate(self, loader: Loader | None = None) -> dict[str, float]:
        """Return the loss, and what it means, over the validation texts or those of another loader.

        Returns:
            ``valid_loss`` per token; ``perplexity``; ``accuracy`` of the likeliest word; and what a perplexity must be
            read beside: size of the ``vocabulary`` and share of ``unknown`` words. The fewer words a model knows, the
            easier the rest is to predict.
        """
        loader = self._valid() if loader is None else loader
        figures = self._figures(loader)
        unknown = loader.corpus.unknown if isinstance(loader, StreamLoader) else math.nan
        return {**figures, "vocabulary": float(len(self.codec.vocabulary)), "unknown": unknown}

    def better(self) -> dict[str, Better]:
        """Return for each figure of an epoch whether lower or higher is better."""
        return {"perplexity": "lower", "accuracy": "higher", "valid_loss": "lower", "train_loss": "lower"}

    def evaluate(self, table: Table, *, where: str | None = None) -> dict[str, float]:
        """Return the figures of `validate` over the texts of a table, or of a folder of ``.txt`` files.

        Args:
            table: a table, or a folder.
            where: a SQL condition on the rows; None: all count.
        """
        codec = self.codec
        rows = read_rows(table, codec.columns, readings=codec.readings, csv=codec.csv)
        return self.validate(language_model_loader(codec, usable_rows(rows, where, "the table", ()), self.engine))

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
        """Return a random continuation of a prompt: see `headstart.text.generation.generate`."""
        return generate(
            self.model, self.codec, prompt, n_words, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        )

    def beam_search(self, prompt: str = "", n_words: int = 20, *, beams: int = 5) -> list[Continuation]:
        """Return the likeliest continuations, the best first: see `headstart.text.generation.beam_search`."""
        return beam_search(self.model, self.codec, prompt, n_words, beams=beams)

    def next_words(self, prompt: str = "", k: int = 10) -> list[tuple[str, float]]:
        """Return the likeliest next words with their probabilities: see `headstart.text.generation.next_words`."""
        return next_words(self.model, self.codec, prompt, k)

    def predict(self, rows: Table) -> Any:
        """Raise `ConfigError`: a language model has no labels to predict."""
        raise ConfigError(
            "a language model predicts words, not rows: generate(prompt), next_words(prompt), headstart generate;"
            " or train a classifier from it: headstart train text --language-model"
        )

    def _row_loss(self) -> Loss:
        return self.loss or model_loss

    def _take_counts(self, data: LanguageModelData) -> None:
        """Put word vectors and bias from counts of the training texts in place of random vectors and zeros."""
        embedding, corpus = self.model.encoder.embedding.weight, data.train.corpus
        vectors = torch.from_numpy(word_vectors(corpus, *embedding.shape)).to(embedding.device) * COUNTED_SCALE
        with torch.no_grad():
            embedding.copy_(torch.where(vectors == 0, embedding, vectors))  # words without neighbours stay random
            self.model.bias.copy_(torch.from_numpy(log_frequencies(corpus, len(embedding))))

    def _figures(self, loader: Loader) -> dict[str, float]:
        model, engine = self.model.eval(), self.engine
        engine.begin()
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
        loss_sum, hit_sum, total = engine.sum(torch.stack([loss, hits, loss.new_tensor(float(rows))])).tolist()
        if not total:
            raise DataError("there are no words to predict")
        mean_loss = loss_sum / total
        perplexity = math.exp(mean_loss) if mean_loss < 700 else math.inf
        return {"valid_loss": mean_loss, "perplexity": perplexity, "accuracy": hit_sum / total}


def model_loss(outputs: Any, batch: Batch) -> Tensor:
    """Return the loss, which the model has computed: its first output."""
    loss: Tensor = outputs[0]
    return loss
