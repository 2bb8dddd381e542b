"""`TabularLearner`: trains on a table, predicts frames and single rows, and is saved as one folder."""

from __future__ import annotations

import copyreg
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias, Unpack

import polars as pl
import torch
from torch import Tensor, nn

from headstart.core.batch import output_of
from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError, ConfigError
from headstart.core.values import Json, checked
from headstart.frames.door import Table, read_table, row_in, to_source, usable_rows
from headstart.tabular.bagging import fit_bag, fit_on_all_rows, length_without_validation
from headstart.tabular.codec import TableCodec
from headstart.tabular.data import TabularData, table_loader
from headstart.tabular.design import TabularDesign, TabularOptions, TabularTraining
from headstart.tabular.interpretation import Embeddings, Interpretation, embedded_features, embeddings_of
from headstart.tabular.plan import FEWEST_ROWS, suggested_plan
from headstart.tabular.sensitivity import Dependence, Importance, feature_importance, partial_dependence
from headstart.targets.metrics import Better, Metric, MetricFunction
from headstart.training.application_learner import ApplicationLearner
from headstart.training.callbacks import Callback, Deadline
from headstart.training.ensemble import Ensemble
from headstart.training.history import History
from headstart.training.learner import FitOptions
from headstart.training.loaders import TensorLoader
from headstart.training.optim import Rates
from headstart.training.settings import Plan, Preset, Training

__all__ = ["NetworkFactory", "TabularLearner"]

NetworkFactory: TypeAlias = Callable[[TableCodec, TabularDesign, int], nn.Module]
"""``factory(codec, design, seed)``: makes a network of a user's own, called as ``network(ids, numbers)``."""

CUSTOM = "custom"
"""What ``learner.json`` says of a network from a user's own factory."""


class TabularLearner(ApplicationLearner):
    """A network on a table: `TabularModel`, or a user's own, or an ensemble of either.

    Args:
        data: from `TabularData.from_table`; or a `TableCodec`, for a learner that only predicts.
        design: the network; None: the defaults of `TabularDesign`.
        training: all that changes what a training step does; None: the defaults of `TabularTraining`.
        network: ``factory(codec, design, seed)`` that makes a network of your own, called as ``network(ids, numbers)``
            with ids, int32 ``(rows, categorical columns)``, and standardised numbers, float32 ``(rows, numbers)``; it
            returns float ``(rows, codec.target.outputs)``. It begins in a random stream of its seed. Its weights are
            saved, but not its code: make ``TabularLearner(codec, network=factory)`` again, then ``load(folder)``.
            None: `TabularModel`, by the design.
        options: the fields of both by name, ``TabularLearner(data, hidden=(1000, 500), clip=1.0)``, and those of
            `LearnerOptions`: ``loss``, ``metrics``, ``callbacks``, ``folder``, ``progress``, ``engine``.

    Raises:
        ConfigError: an option is unknown or out of its range, or ``network`` does not make a network.
    """

    application = "tabular"
    codec_type = TableCodec
    design_type = TabularDesign
    training_type = TabularTraining
    codec: TableCodec
    design: TabularDesign

    def __init__(
        self,
        data: TabularData | TableCodec,
        *,
        design: TabularDesign | None = None,
        training: Training | None = None,
        network: NetworkFactory | None = None,
        **options: Unpack[TabularOptions],
    ) -> None:
        if network is not None and (not callable(network) or isinstance(network, nn.Module)):
            raise ConfigError(
                f"network must be a function (codec, design, seed) that makes a network; got a {type(network).__name__}"
            )
        self._network = network
        super().__init__(data, design=design, training=training, **options)

    @property
    def members(self) -> int:  # type: ignore[override]  # read here, a plain attribute elsewhere
        """Number of networks that the built-in network computes side by side; 1 for a network of your own."""
        return self.design.members if self._network is None else 1

    def make_model(self, seed: int) -> nn.Module:
        """Return a fresh network of the design, or of the user's own factory."""
        network = self._network
        if network is None:
            return self.design.network(self.codec, seed)

        def member() -> nn.Module:
            model = network(self.codec, self.design, torch.initial_seed())
            if not isinstance(model, nn.Module):
                raise ConfigError(f"network must make a torch.nn.Module; it made a {type(model).__name__}")
            return model

        return Ensemble.of(member, self.design.ensemble, seed)

    @classmethod
    def suggest(cls, data: TabularData, design: TabularDesign | None = None) -> Plan:
        """Return how long and how fast to train on these data.

        See `headstart.tabular.plan`.

        Args:
            data: the rows.
            design: the network; None: the default one.
        """
        validated = data.valid is not None or data.train.rows >= FEWEST_ROWS
        return suggested_plan(data.train.steps(0), validated=validated)

    def fit_plan(self, plan: Plan | None = None, *, lr: Rates | None = None, **options: Unpack[FitOptions]) -> History:
        """Train by a plan; see `Learner.fit_plan`.

        Without validation rows, a plan with patience finds its length, and the temperature of classes, with a copy of
        the network and a fifth of the training rows; then the network itself trains on all of them for as long.
        """
        plan = self.plan() if plan is None else plan
        if plan.patience is None or self._own_data().valid is not None:
            return super().fit_plan(plan, lr=lr, **options)
        return self._fit_all_rows(plan, [], lr=lr, **options)

    def fit_preset(
        self,
        preset: Preset = "default",
        *,
        plan: Plan | None = None,
        minutes: float | None = None,
        refit: bool | None = None,
    ) -> History:
        """Train in as much time as there is: fast, by the suggested plan, or as well as can be.

        Args:
            preset: ``"fast"``: a third of the steps, and less patience; ``"default"``: by the plan; ``"best"``: eight
                networks, each of which leaves out an eighth of the training rows, averaged.
            plan: plan of each network; None: the suggested one.
            minutes: time limit; the model is then the best one so far. None: none.
            refit: afterwards, train anew on all rows, those of validation too, for as many epochs. The metrics remain
                those of before; the learner's data then have no validation rows. None: where the validation rows are
                the latest and nobody chose them (`TabularData.latest`), since the time after them is predicted.

        Returns:
            The figures of the epochs of all networks.

        Raises:
            ConfigError: an unknown preset, there are too few rows for it, or ``refit`` without validation rows.
            NotFittedError: the learner has no data.
        """
        preset, started = checked("preset", Preset, preset), len(self.history)
        if refit and self._own_data().valid is None:
            raise ConfigError("refit=True trains on the validation rows too, but there are none: leave it out")
        refit = self._own_data().latest if refit is None else refit
        plan = self.plan() if plan is None else plan
        deadline = None if minutes is None else Deadline(minutes / 2 if refit else minutes)
        plan = plan.shortened() if preset == "fast" else plan
        callbacks: list[Callback] = [] if deadline is None else [deadline]
        if preset == "best":
            kept = fit_bag(self, self._network_of, plan, deadline=deadline)
        elif minutes is not None and plan.patience is not None and self._own_data().valid is None:
            return self._fit_all_rows(plan, [Deadline(minutes / 2)], callbacks=callbacks)
        else:
            history = self.fit_plan(plan, callbacks=callbacks)
            kept = [history.kept() or len(history)]
        if refit:
            alike = self._network_of if preset == "best" else self._on_other_rows
            fit_on_all_rows(self, alike, plan, kept)
        return History(self.history[started:])

    def values(self) -> dict[str, Any]:
        """Return what the learner is made of, besides its weights, by name; that a network is custom among it."""
        return {**super().values(), **({} if self._network is None else {"network": CUSTOM})}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the learner by its values and weights; with a network of a user's own, by its model and factory."""
        if self._network is None:
            return super().__reduce__()
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]  # pickle's own

    @classmethod
    def restored(cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine) -> Self:
        """Return the learner that `save` wrote; see `ApplicationLearner.restored`.

        Raises:
            ArtifactError: the network was made by a user's own factory, whose code headstart does not have.
        """
        if record.get("network") == CUSTOM:
            raise ArtifactError(
                f"{folder} holds a network of your own ({record.get('model')}), whose code is not saved: make the"
                f" learner with the factory, TabularLearner(data, network=...), then learner.load({str(folder)!r})"
            )
        return super().restored(record, tensors, folder, engine)

    def read(self, table: Table, name: str = "table") -> pl.DataFrame:
        """Return any table as a frame, read as the training rows were: text stays text, a code ``01`` stays ``01``.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet.
            name: name of the table in messages.
        """
        return read_table(table, name, readings=self.codec.readings, csv=self.codec.csv)

    def predict(self, rows: Table | Mapping[str, Any], *, snapshot: str | None = None) -> Any:
        """Return predictions for a table, or for one row.

        Args:
            rows: a table (columns in any order, others ignored); or one row, as a dictionary or a pandas Series, which
                takes the shortest path: about as long as the model itself.
            snapshot: average the predictions of all cycles saved under this name; for tables.

        Returns:
            For a table one of the same library, a row per row: ``prediction``, and for classes
            ``probability_<class>`` for each. For a dictionary the same as a dictionary.

        Raises:
            DataError: a column is missing, or holds what it cannot be read as.
        """
        rows = rows if row_in(rows) is None else row_in(rows)
        if isinstance(rows, Mapping):
            if snapshot is not None:
                raise ConfigError("snapshot averages over tables; for one row give a table of one row")
            return self._predict_one(rows)
        frame = self.read(rows)
        if not len(frame):
            return to_source(self.codec.decode(self._no_rows()), rows)
        loader = table_loader(self.codec, frame, self.engine, with_target=False)
        return to_source(self.codec.decode(self.predict_batches(loader, snapshot=snapshot)), rows)

    def evaluate(self, table: Table, *, where: str | None = None) -> dict[str, float]:
        """Return ``valid_loss`` and the metrics over the rows of a table that has the target.

        Args:
            table: a table, as for `predict`.
            where: a SQL condition on the rows, such as that of the training data; None: all count.
        """
        frame = self.read(table)
        if self.codec.recipe is not None and where is not None:
            frame = self.codec.recipe.completed(frame)  # of all rows, since one is the history of another
        frame = usable_rows(frame, where, "table", self.codec.target.columns)
        return self.validate(table_loader(self.codec, frame, self.engine, with_target=True))

    def embeddings(self, column: str) -> Embeddings:
        """Return the vectors learnt for a categorical column's values: a ``frame()`` and a ``plot()``.

        Of an ensemble those of all members stand side by side, since each member has a space of its own.

        Args:
            column: its name; of a date one of its parts, such as ``Date.month``.

        Raises:
            ConfigError: not a categorical column, or the network is the user's own.
        """
        return embeddings_of(self.model, self.codec, column)

    def transform(self, rows: Table) -> Any:
        """Return embeddings and numbers as features for another model, such as gradient boosting.

        Args:
            rows: a table, as for `predict`.

        Returns:
            One of the same library, a row per row, Float32: ``<column>_1``, ``<column>_2``, ... for each categorical
            column, then the numbers in their own unit, limited to those of the training rows and with missing ones
            filled, then ``<column>_na`` where training rows had missing numbers.
        """
        return to_source(embedded_features(self.model, self.codec, self.read(rows)), rows)

    def feature_importance(
        self,
        columns: Sequence[str] | None = None,
        *,
        metric: str | Metric | MetricFunction | None = None,
        better: Better | None = None,
        repeats: int = 5,
        rows: int | None = None,
        seed: int = 0,
    ) -> Importance:
        """Return how much worse the model predicts validation rows when a column is shuffled.

        Columns that carry the same information share their importance: shuffling one leaves the other to rely on.

        **Source:** Breiman, "Random Forests" (2001), section 10; over repeats as in Fisher, Rudin and Dominici, "All
        Models are Wrong, but Many are Useful" (2019).

        Args:
            columns: None: all. A date is shuffled with all its parts; a part such as ``Date.month`` can be named.
            metric: a name, a `Metric`, or a function ``f(prediction, target)``; ``"valid_loss"``; None: the learner's
                first metric.
            better: ``"higher"`` or ``"lower"``: which values of a metric of your own are better.
            repeats: how often each column is shuffled.
            rows: number of validation rows used, drawn by the seed; None: all.
            seed: seed of the shuffling.

        Returns:
            An object with a ``frame()`` and a ``plot()``.

        Raises:
            ConfigError: an unknown column or metric, or a metric without a direction.
        """
        return feature_importance(
            self, self.codec, self._valid(), columns=columns, metric=metric, better=better, repeats=repeats, rows=rows,
            seed=seed,
        )  # fmt: skip

    def partial_dependence(
        self, column: str, *, values: int = 20, rows: int | None = 2_000, seed: int = 0
    ) -> Dependence:
        """Return the mean prediction if all validation rows had one value in a column, for several values.

        Where columns go together (heat and month), some of these rows cannot occur: read it with care.

        **Source:** Friedman, "Greedy Function Approximation" (2001), section 8.2.

        Args:
            column: a category (its most frequent values are tried), or a number, also a category of whole numbers
                (quantiles of the validation rows' values are).
            values: largest number of values to try.
            rows: number of validation rows used, drawn by the seed; None: all.
            seed: seed of the draw.

        Returns:
            An object with a ``frame()`` and a ``plot()``.

        Raises:
            ConfigError: an unknown column, or a date, of which a part must be named.
        """
        return partial_dependence(self, self.codec, self._valid(), column, values=values, rows=rows, seed=seed)

    def interpret(self, table: Table | None = None) -> Interpretation:
        """Return where the model is wrong: rows with the largest errors, residuals, confusion matrix.

        Args:
            table: rows with the target; None: the validation rows.
        """
        if table is None:
            loader, rows = self._valid(), self._own_data().valid_rows
        else:
            rows = self.read(table)
            loader = table_loader(self.codec, rows, self.engine, with_target=True)
        assert loader.target is not None and rows is not None
        return Interpretation.of(
            self.codec, self.predict_batches(loader), self.codec.target.original(loader.target), rows
        )

    def _fit_all_rows(
        self, plan: Plan, first: list[Callback], *, lr: Rates | None = None, **options: Unpack[FitOptions]
    ) -> History:
        """Find the length of a fit, with callbacks of its own, then train on all rows for as long."""
        epochs, temperature = length_without_validation(self, self._on_other_rows, plan, first)
        plan = dataclasses.replace(plan, epochs=epochs, patience=None, keep="last")
        history = super().fit_plan(plan, lr=lr, **options)
        self.temperature = temperature
        return history

    def _network_of(self, data: TabularData, number: int) -> Self:
        """Return a fresh learner of one network of the same design, on other rows and with a seed of its own."""
        return self._on_other_rows(data, number, ensemble=1)

    def _on_other_rows(self, data: TabularData, number: int, *, ensemble: int | None = None) -> Self:
        return type(self)(
            data, design=dataclasses.replace(self.design, ensemble=ensemble or self.design.ensemble),
            training=dataclasses.replace(self.training, seed=self.training.seed + 1_000_003 * number),
            network=self._network, loss=self.loss, metrics=self.metrics, callbacks=self.callbacks,
            progress=self.progress, engine=self.engine,
        )  # fmt: skip

    def _own_data(self) -> TabularData:
        data = super()._own_data()
        assert isinstance(data, TabularData)
        return data

    def _valid(self) -> TensorLoader:
        valid = super()._valid()
        assert isinstance(valid, TensorLoader)
        return valid

    def _predict_one(self, row: Mapping[str, Any]) -> dict[str, Any]:
        inputs = (tensor.to(self.engine.device) for tensor in self.codec.encode_one(row))
        with torch.inference_mode(), self.engine.autocast():
            prediction = self.prediction(output_of(self.model(*inputs)))
        return self.codec.target.decode_one(prediction)

    def _no_rows(self) -> Tensor:
        outputs = torch.zeros(0, self.codec.target.outputs)
        return self.codec.target.prediction(outputs)
