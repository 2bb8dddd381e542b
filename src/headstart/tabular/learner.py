"""`TabularLearner`: trains on a table, predicts frames and single rows, and is saved as one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from headstart.core.errors import ConfigError
from headstart.frames.door import Table, read_table, to_source
from headstart.tabular.codec import TableCodec
from headstart.tabular.data import TabularData, suggest, table_loader
from headstart.tabular.design import TabularDesign, TabularOptions, TabularTraining
from headstart.tabular.interpretation import Embeddings, Interpretation, embedded_features, embeddings_of
from headstart.tabular.models.network import TabularModel
from headstart.tabular.sensitivity import Dependence, Importance, feature_importance, partial_dependence
from headstart.targets.metrics import Metric
from headstart.training.application import ApplicationLearner
from headstart.training.ensemble import Ensemble
from headstart.training.loaders import TensorLoader
from headstart.training.settings import Plan, Training

__all__ = ["TabularLearner"]


class TabularLearner(ApplicationLearner):
    """A network on a table: `TabularModel`, or an ensemble of them.

    Args:
        data: from `TabularData.from_table`; or a `TableCodec`, for a learner that only predicts.
        design: the network; None: the defaults of `TabularDesign`.
        training: all that changes what a training step does; None: the defaults of `TabularTraining`.
        options: the fields of both by name, ``TabularLearner(data, hidden=(1000, 500), clip=1.0)``, and those of
            `LearnerOptions`: ``loss``, ``metrics``, ``callbacks``, ``folder``, ``progress``, ``engine``.
    """

    application = "tabular"
    codec_type = TableCodec
    design_type = TabularDesign
    training_type = TabularTraining
    codec: TableCodec
    design: TabularDesign
    model: TabularModel | Ensemble

    def __init__(
        self,
        data: TabularData | TableCodec,
        *,
        design: TabularDesign | None = None,
        training: Training | None = None,
        **options: Unpack[TabularOptions],
    ) -> None:
        super().__init__(data, design=design, training=training, **options)

    @property
    def members(self) -> int:  # type: ignore[override]  # read here, a plain attribute elsewhere
        """Number of networks in each model."""
        return self.design.members

    def make_model(self, seed: int) -> nn.Module:
        """Return a fresh network of the design."""
        return self.design.network(self.codec, seed)

    @classmethod
    def suggest(cls, data: TabularData, design: TabularDesign | None = None) -> Plan:
        """Return how long and how fast to train the default network: see `suggested_epochs`."""
        return suggest(data)

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
            return Interpretation.of(self.codec, prediction, true, self._own_data().valid_rows)
        rows = read_table(table)
        loader = table_loader(self.codec, rows, self.engine, with_target=True)
        assert loader.target is not None
        true = self.codec.target.original(loader.target)
        return Interpretation.of(self.codec, self.predict_batches(loader), true, rows)

    def _valid(self) -> TensorLoader:
        valid = super()._valid()
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
