"""`TabularLearner`: trains on a table, predicts frames and single rows, and is saved as one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from headstart.core.artefact import Json, load_weights, read_folder, reading
from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError, ConfigError, did_you_mean
from headstart.frames.door import Table, read_table, to_source
from headstart.tabular.codec import TableCodec
from headstart.tabular.data import TabularData, table_loader
from headstart.tabular.interpretation import Embeddings, Interpretation, embedded_features, embeddings_of
from headstart.tabular.models.network import TabularModel, embedding_size
from headstart.tabular.models.numeric import bin_edges
from headstart.tabular.sensitivity import Dependence, Importance, feature_importance, partial_dependence
from headstart.targets.metrics import Metric
from headstart.targets.target import Loss
from headstart.training.callbacks import Callback
from headstart.training.display import Verbosity
from headstart.training.ensemble import Ensemble
from headstart.training.learner import Learner
from headstart.training.loaders import Data, TensorLoader
from headstart.training.optim import OptimizerFactory, adamw

__all__ = ["LESSON_NETWORK", "MEMBERS_NETWORK", "NumericEmbedding", "TabularLearner"]

NumericEmbedding: TypeAlias = Literal["piecewise_linear", "periodic"]

RARE = 1e-8
"""AdamW's eps. At fastai's 1e-5 the embeddings of rare categories, whose gradients are small, hardly learn; the less in
an ensemble, where each member's gradient is a share of the mean loss's."""

LESSON_NETWORK: dict[str, Any] = {"numeric_embedding": None, "norm_first": False}
"""The network of fast.ai's lesson, ``TabularLearner(data, **LESSON_NETWORK)``."""

MEMBERS_NETWORK: dict[str, Any] = {
    "hidden": (256, 128), "members": 4, "numeric_embedding": "piecewise_linear", "batch_norm": False, "dropout": 0.3,
    "embedding_dropout": 0.1,
}  # fmt: skip
"""Four networks in one, ``TabularLearner(data, **MEMBERS_NETWORK)``; its usual top rate is 0.003."""


class TabularLearner(Learner):
    """A `TabularModel`, or an ensemble of them, on a table.

    The defaults are the lesson's network but for how numbers enter and where batch norm stands, by the figures of
    docs/tables.md; `LESSON_NETWORK` and `MEMBERS_NETWORK` are others.

    Args:
        data: from `TabularData.from_table`.
        hidden: width of each hidden layer, of each member.
        members: how many networks in one, which share embeddings and weights (see `TabularModel`).
        numeric_embedding: how numbers enter: ``"piecewise_linear"``, with bins of as many training rows each;
            ``"periodic"``; or None, as they are.
        batch_norm: of each hidden layer, and of numbers that enter as they are.
        norm_first: batch norm before the ReLU; False: after it, as in the lesson (see `TabularModel`).
        straight: whether piecewise linear numbers have a linear path to the outputs besides (see `TabularModel`).
        dropout: after each hidden layer: one probability, or one per layer.
        embedding_dropout: probability of dropping an embedding's number.
        embedding_sizes: width of the embedding of some columns; the others get half their number of ids, at most 50.
        ensemble: how many models, each from weights of its own, whose answers are averaged.
        loss: as for `Learner`, and the same for all that follows.
        metrics: names or functions.
        optimizer: a factory; None: `adamw` with an eps below the gradients of rare categories.
        weight_decay: of embeddings and weights.
        clip: largest norm of the gradients.
        accumulate: batches per step.
        callbacks: for every fit.
        seed: of the weights and of dropout.
        folder: where snapshots are kept.
        progress: what a fit shows.
    """

    application = "tabular"
    model: TabularModel | Ensemble

    def __init__(
        self,
        data: TabularData,
        *,
        hidden: Sequence[int] = (200, 100),
        members: int = 1,
        numeric_embedding: NumericEmbedding | None = "piecewise_linear",
        batch_norm: bool = True,
        norm_first: bool = True,
        straight: bool = True,
        dropout: float | Sequence[float] = 0.1,
        embedding_dropout: float = 0.0,
        embedding_sizes: Mapping[str, int] | None = None,
        ensemble: int = 1,
        loss: Loss | None = None,
        metrics: Sequence[str | Metric] | None = None,
        optimizer: OptimizerFactory | None = None,
        weight_decay: float = 0.01,
        clip: float | None = None,
        accumulate: int = 1,
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
        folder: str | Path = "models",
        progress: Verbosity = "auto",
    ) -> None:
        self.codec = data.codec
        target = data.codec.target
        self.design: Json = {
            "cardinalities": data.codec.cardinalities,
            "continuous": data.codec.numbers,
            "outputs": target.outputs,
            "embedding_sizes": _embedding_sizes(data.codec, embedding_sizes or {}),
            "members": members,
            **_numeric(data, numeric_embedding),
            "batch_norm": batch_norm,
            "norm_first": norm_first,
            "straight": straight,
            "hidden": list(hidden) if isinstance(hidden, Sequence) else hidden,  # the model says what is wrong
            "embedding_dropout": embedding_dropout,
            "dropout": dropout if isinstance(dropout, int | float) else list(dropout),
            "output_range": target.output_range(),
        }
        self.ensemble = ensemble
        super().__init__(
            _make_model(self.design, ensemble, seed), data, loss=loss, metrics=metrics,
            optimizer=optimizer or adamw(eps=RARE),
            weight_decay=weight_decay, clip=clip, accumulate=accumulate, callbacks=callbacks, seed=seed,
            folder=folder, progress=progress,
        )  # fmt: skip

    def predict(self, rows: Table | Mapping[str, Any], *, snapshot: str | None = None) -> Any:
        """Answers for a table, or for one row.

        Args:
            rows: a table (columns in any order, others ignored), or one row as a dictionary, which takes the shortest
                path: about as long as the model itself.
            snapshot: average the predictions of all cycles saved under this name; for tables.

        Returns:
            For a table one of the same library, a row per row: ``prediction``, and for classes
            ``probability_<class>`` for each. For a dictionary the same as a dictionary.

        Raises:
            DataError: a column is missing, or holds what it cannot be read as.
        """
        if isinstance(rows, Mapping):
            if snapshot is not None:
                raise ConfigError("snapshot averages over tables; for one row give a table of one row")
            return self._predict_one(rows)
        frame = read_table(rows)
        if not len(frame):
            return to_source(self.codec.decode(self._no_rows()), rows)
        loader = table_loader(self.codec, frame, self.engine, with_target=False)
        return to_source(self.codec.decode(self.predict_batches(loader, snapshot=snapshot)), rows)

    def evaluate(self, table: Table) -> dict[str, float]:
        """``valid_loss`` and the metrics over all rows of a table that has the target."""
        return self.validate(table_loader(self.codec, read_table(table), self.engine, with_target=True))

    def embeddings(self, column: str) -> Embeddings:
        """The vectors that the model has learnt for a categorical column's values: a ``frame()`` and a ``plot()``.

        Of an ensemble those of all members stand side by side, since each member has a space of its own.

        Args:
            column: its name; of a date one of its parts, such as ``Date.month``.

        Raises:
            ConfigError: no categorical column.
        """
        return embeddings_of(self.model, self.codec, column)

    def transform(self, rows: Table) -> Any:
        """Embeddings and numbers as features for another model, such as gradient boosting.

        Args:
            rows: a table, as for `predict`.

        Returns:
            One of the same library, a row per row, Float32: ``<column>_1``, ``<column>_2``, ... for each categorical
            column, then the numbers in their own unit with gaps filled, then ``<column>_na`` where training had gaps.
        """
        return to_source(embedded_features(self.model, self.codec, read_table(rows)), rows)

    def feature_importance(
        self,
        columns: Sequence[str] | None = None,
        *,
        metric: str | Metric | None = None,
        repeats: int = 5,
        rows: int | None = None,
        seed: int = 0,
    ) -> Importance:
        """How much worse the model predicts validation rows when a column is shuffled: a ``frame()`` and a ``plot()``.

        Columns that say the same share their importance: shuffling one leaves the other to rely on.

        **Source:** Breiman, "Random Forests" (2001), section 10; over repeats as in Fisher, Rudin and Dominici, "All
        Models are Wrong, but Many are Useful" (2019).

        Args:
            columns: None: all. A date is shuffled with all its parts; a part such as ``Date.month`` can be named.
            metric: a name or function; ``"valid_loss"``; None: the learner's first metric.
            repeats: how often each column is shuffled.
            rows: at most so many validation rows, drawn by the seed; None: all.
            seed: of the shuffling.

        Raises:
            ConfigError: an unknown column or metric, or one of which it is not known whether more is better.
        """
        return feature_importance(
            self, self.codec, self._valid(), columns=columns, metric=metric, repeats=repeats, rows=rows, seed=seed,
            progress=self.progress,
        )  # fmt: skip

    def partial_dependence(
        self, column: str, *, values: int = 20, rows: int | None = 2_000, seed: int = 0
    ) -> Dependence:
        """The mean prediction if all validation rows had one value in a column: a ``frame()`` and a ``plot()``.

        Where columns go together (heat and month), some of these rows cannot be: read it with care.

        **Source:** Friedman, "Greedy Function Approximation" (2001), section 8.2.

        Args:
            column: a category (its most frequent values are tried), or a number, also a category of whole numbers
                (quantiles of the validation rows' values are).
            values: how many values are tried at most.
            rows: at most so many validation rows, drawn by the seed; None: all.
            seed: of the draw.

        Raises:
            ConfigError: an unknown column, or a date: one of its parts is meant.
        """
        return partial_dependence(self, self.codec, self._valid(), column, values=values, rows=rows, seed=seed)

    def interpret(self, table: Table | None = None) -> Interpretation:
        """Where the model is wrong: rows with the largest error, residuals, confusion matrix.

        Args:
            table: rows with the target; None: the validation rows.
        """
        if table is None:
            prediction, true = self.predict_with_targets()
            return Interpretation.of(self.codec, prediction, true, self._table_data().valid_rows)
        rows = read_table(table)
        loader = table_loader(self.codec, rows, self.engine, with_target=True)
        assert loader.target is not None
        true = self.codec.target.original(loader.target)
        return Interpretation.of(self.codec, self.predict_batches(loader), true, rows)

    def record(self) -> Json:
        """What ``learner.json`` says of this learner."""
        return super().record() | {
            "model": {"class": "TabularModel", "ensemble": self.ensemble, **self.design},
            "codec": self.codec.to_json(),
        }

    @classmethod
    def from_record(cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine) -> TabularLearner:
        """The learner that `save` wrote, without data: it predicts; set ``data`` to go on training."""
        learner = cls.__new__(cls)
        with reading(folder):
            learner.codec = TableCodec.from_json(record["codec"])
            learner.design = {"norm_first": False, "straight": False, **record["model"]}  # as it was before
            learner.ensemble = learner.design.pop("ensemble")
            learner.design.pop("class")
            model = _make_model(learner.design, learner.ensemble, seed=0)
        load_weights(model, tensors, folder)
        Learner.__init__(learner, model, None, engine=engine, target=learner.codec.target)
        learner.take_over(record, folder)
        return learner

    def load(self, folder: str | Path) -> None:
        """Takes the weights of a saved learner with the same codec into this one.

        Raises:
            ArtifactError: as for `Learner.load`, or the codec is another.
        """
        record, _ = read_folder(Path(folder), "learner")
        if record.get("codec") not in (None, self.codec.to_json()):
            raise ArtifactError(
                f"the model in {folder} was trained with another codec (columns, categories, means), so its weights"
                " mean something else here: headstart.load(folder), or make the data with codec=load(folder).codec"
            )
        super().load(folder)

    def _own_data(self) -> Data:
        return self._table_data()

    def _table_data(self) -> TabularData:
        data = super()._own_data()
        if not isinstance(data, TabularData) or data.codec != self.codec:
            raise ConfigError(
                "learner.data has another codec than the learner, so its ids and numbers mean something else:"
                " make it with TabularData.from_table(..., codec=learner.codec)"
            )
        return data

    def _valid(self) -> TensorLoader:
        valid = self._table_data().valid
        assert isinstance(valid, TensorLoader)
        return valid

    def _predict_one(self, row: Mapping[str, Any]) -> dict[str, Any]:
        categorical, continuous = self.codec.encode_one(row)
        device = self.engine.device
        with torch.inference_mode(), self.engine.autocast():
            prediction = self.codec.target.prediction(self.model(categorical.to(device), continuous.to(device)))
        return self.codec.target.decode_one(prediction)

    def _no_rows(self) -> Tensor:
        outputs = torch.zeros(0, self.codec.target.outputs)
        return self.codec.target.prediction(outputs)


def _make_model(design: Json, ensemble: int, seed: int) -> TabularModel | Ensemble:
    model = Ensemble.of(lambda: TabularModel(**design), ensemble, seed)
    assert isinstance(model, TabularModel | Ensemble)
    return model


def _numeric(data: TabularData, asked: NumericEmbedding | None) -> Json:
    if asked not in (None, "piecewise_linear", "periodic"):
        raise ConfigError(f"numeric_embedding must be 'piecewise_linear', 'periodic' or None; got {asked!r}")
    assert isinstance(data.train, TensorLoader)
    numbers = data.train.inputs[1].cpu()
    bins = [bin_edges(column) for column in numbers.T] if asked == "piecewise_linear" and numbers.shape[1] else None
    return {"bins": data.engine.from_main(bins), "periodic": asked == "periodic"}


def _embedding_sizes(codec: TableCodec, asked: Mapping[str, int]) -> list[int]:
    names = [column.name for column in codec.categorical]
    for name in asked:
        if name not in names:
            raise ConfigError(f"embedding_sizes: {name!r} is no categorical column; {did_you_mean(name, names)}")
    return [asked.get(column.name, embedding_size(len(column.vocab))) for column in codec.categorical]
