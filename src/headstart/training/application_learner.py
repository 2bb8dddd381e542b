"""`ApplicationLearner`: base class of the applications' learners, which are made of a codec, a design and a training.

Every learner, new or loaded, is created by its constructor. `restored` calls it with the saved values and then loads
the weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from headstart.core.artefact import load_weights, reading
from headstart.core.engine import Engine, seeded
from headstart.core.errors import ConfigError
from headstart.core.values import Json, Value, from_json, replaced
from headstart.training.learner import Learner
from headstart.training.loaders import Data
from headstart.training.saved import own_tensors, pickled, read_training, take_over, unpickled
from headstart.training.settings import Plan, Training, check_options, given_fields

__all__ = ["ApplicationLearner"]


class ApplicationLearner(Learner, ABC):
    """Base class of the applications' learners.

    Args:
        data: training and validation rows; or only the codec, for a learner that only predicts.
        design: design of the network; None: the default of the application.
        training: settings that determine a training step; None: the default of the application.
        options: fields of the design and of the training by name, and those of `LearnerOptions`.

    Attributes:
        codec: everything that was learnt from the training rows before training.
        design: design of the network, without undetermined fields.

    Raises:
        ConfigError: an option is unknown or out of range, or ``data`` belongs to another application.
    """

    codec_type: ClassVar[Any]
    design_type: ClassVar[type[Value]]
    training_type: ClassVar[type[Training]] = Training

    codec: Any
    design: Any

    def __init__(self, data: Any, *, design: Any = None, training: Training | None = None, **options: Any) -> None:
        session = check_options(type(self).__name__, options, self.design_type, self.training_type)
        rows: Data | None = data if isinstance(data, Data) else None
        self.codec = data if rows is None else data.codec
        if not isinstance(self.codec, self.codec_type):
            raise ConfigError(
                f"{type(self).__name__} needs data of its application or a {self.codec_type.__name__}; got"
                f" {type(data).__name__}"
            )
        for name, value, kind in (("design", design, self.design_type), ("training", training, self.training_type)):
            if value is not None and not isinstance(value, kind):
                raise ConfigError(f"{name} must be a {kind.__name__}; got a {type(value).__name__}")
        self.design = self.settled(replaced(design or self.design_type(), options), rows)
        given = given_fields(self.training_type, training, options)
        training = replaced(training or self.usual_training(self.design), options)
        self.check_engine(training, session.get("engine") or (Engine() if rows is None else rows.engine))
        with seeded(training.seed):
            model = self.make_model(training.seed)
        super().__init__(model, rows, training=training, target=self.target_of(rows), **session)
        self._training_given = given

    # ---- hooks for the applications

    @abstractmethod
    def make_model(self, seed: int) -> nn.Module:
        """Return a new network for the learner's codec and design.

        Args:
            seed: random seed of the weights; torch's global generator is already seeded with it.
        """

    def settled(self, design: Any, data: Any) -> Any:
        """Return the design with every field determined that depends on the data and is None.

        Args:
            design: the design that the user passed, or a saved one, in which no such field is None.
            data: the application's data; None for a learner that only predicts.
        """
        return design

    def usual_training(self, design: Any) -> Training:
        """Return the application's default training settings for a design that `settled` returned."""
        return self.training_type()

    def target_of(self, data: Any) -> Any:
        """Return the target whose loss is minimised, or None if the learner defines its own loss."""
        return self.codec.target

    @classmethod
    def check_engine(cls, training: Training, engine: Engine) -> None:
        """Raise `ConfigError` if the network cannot run on the engine at the precision of the training."""
        engine.at(training.precision)

    @classmethod
    def suggest(cls, data: Any, design: Any = None) -> Plan:
        """Return the suggested plan for training on data: number of epochs and learning rate.

        Args:
            data: the application's data.
            design: design of the network to train; None: the default design.

        Raises:
            ConfigError: the application has no suggestion.
        """
        raise ConfigError(f"{cls.__name__} suggests no plan: give lr and epochs")

    # ---- common to all applications

    @property
    def data(self) -> Any:
        """Training and validation rows. Data with the same codec can be assigned, to train on new rows.

        Raises:
            ConfigError: the assigned data have another codec.
        """
        return self._data

    @data.setter
    def data(self, data: Any) -> None:
        if not isinstance(data, Data | None):
            raise ConfigError(f"learner.data must be the application's data, or None; got {data!r}")
        given: Any = data
        if given is not None and not self.means_the_same(given.codec):
            raise ConfigError(
                "these data were made with another codec than the learner's, so their ids and numbers have another"
                " meaning: make them with codec=learner.codec"
            )
        if data is not None:
            self.prepare_for(data)
        self._data = data

    def means_the_same(self, codec: Any) -> bool:
        """Return whether the weights, which were trained with the learner's codec, mean the same with another one."""
        return bool(codec == self.codec)

    def prepare_for(self, data: Any) -> None:
        """Adapt the learner to data with the same codec that are about to be assigned; by default, do nothing.

        Raises:
            ConfigError: the learner cannot train on such data.
        """

    def plan(self) -> Plan:
        """Return the suggested plan for the learner's data and design; see `suggest`."""
        return self.suggest(self._own_data(), self.design)

    def values(self) -> dict[str, Any]:
        """Return the values that define the learner, except its weights, by name."""
        return {"codec": self.codec, "design": self.design, "training": self.training}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the learner by its values and weights, without data; metrics and losses of one's own are left out."""
        device = "cpu" if self.engine.device.type == "cpu" else "auto"
        return unpickled, (type(self), *pickled(self), device, self.progress)

    @classmethod
    def restored(cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine) -> Self:
        """Return a saved learner, without data: it predicts, and continues training once ``data`` is assigned.

        Args:
            record: contents of ``learner.json``.
            tensors: contents of ``weights.safetensors``.
            folder: the artefact, named in messages.
            engine: device and processes of the learner.

        Raises:
            ArtifactError: the record is incomplete, or the weights do not fit.
        """
        with reading(folder):
            codec = from_json(cls.codec_type, record["codec"], tensors)
            design = from_json(cls.design_type, record["design"], tensors)
            training = read_training(cls, record, engine, folder)
            learner = cls(codec, design=design, training=training, engine=engine)
        load_weights(learner.model, own_tensors(tensors), folder)
        take_over(learner, record, folder)
        return learner
