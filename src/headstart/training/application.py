"""`ApplicationLearner`: a learner that is made from values: codec, design and training. All applications' learners are.

There is one way to a learner, new or saved: through its constructor. `restored` calls it with the values that were
saved, and then puts the weights in.
"""

from __future__ import annotations

import dataclasses
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from headstart.core.artefact import load_weights, reading
from headstart.core.engine import Engine, seeded
from headstart.core.errors import ConfigError, HeadstartWarning
from headstart.core.values import Json, Value, from_json, replaced
from headstart.training.learner import Learner
from headstart.training.loaders import Data
from headstart.training.saved import own_tensors, take_over
from headstart.training.settings import Plan, Training, check_options

__all__ = ["ApplicationLearner"]


class ApplicationLearner(Learner, ABC):
    """What the applications' learners have in common.

    Args:
        data: training and validation rows; or the codec alone, for a learner that only predicts.
        design: the network; None: the default of the application.
        training: all that changes what a training step does; None: the default of the application.
        options: the fields of design and training by name, and those of `LearnerOptions`.

    Attributes:
        codec: what was learnt from the training rows before training.
        design: the network's design, with every field settled.
    """

    codec_type: ClassVar[Any]
    design_type: ClassVar[type[Value]]
    training_type: ClassVar[type[Training]] = Training

    codec: Any
    design: Any

    def __init__(self, data: Any, *, design: Any = None, training: Training | None = None, **options: Any) -> None:
        session = check_options(type(self).__name__, options, self.design_type, self.training_type)
        given: Data | None = data if isinstance(data, Data) else None
        self.codec = data if given is None else data.codec
        if not isinstance(self.codec, self.codec_type):
            raise ConfigError(
                f"{type(self).__name__} takes its application's data, or a {self.codec_type.__name__}; got"
                f" {type(data).__name__}"
            )
        for name, value, kind in (("design", design, self.design_type), ("training", training, self.training_type)):
            if value is not None and not isinstance(value, kind):
                raise ConfigError(f"{name} must be a {kind.__name__}; got a {type(value).__name__}")
        self.design = self.settled(replaced(design or self.design_type(), options), given)
        training = replaced(training or self.usual_training(self.design), options)
        self.check_engine(training, session.get("engine") or (Engine() if given is None else given.engine))
        with seeded(training.seed):
            model = self.make_model(training.seed)
        super().__init__(model, given, training=training, target=self.target_of(given), **session)

    # ---- what an application says of itself

    @abstractmethod
    def make_model(self, seed: int) -> nn.Module:
        """Return a fresh network of the learner's codec and design.

        Args:
            seed: of the weights; torch's own random stream begins with it here, too.
        """

    def settled(self, design: Any, data: Any) -> Any:
        """Return the design with every field settled that is left to the data (None); a saved one is settled already.

        Args:
            design: as given.
            data: the application's data; None for a learner that only predicts.
        """
        return design

    def usual_training(self, design: Any) -> Training:
        """Return the application's default training for a settled design."""
        return self.training_type()

    def target_of(self, data: Any) -> Any:
        """Return the target whose loss is minimised; None: the learner has a loss of its own."""
        return self.codec.target

    @classmethod
    def check_engine(cls, training: Training, engine: Engine) -> None:
        """Raise `ConfigError` where the network cannot run on the engine at the training's precision."""
        engine.at(training.precision)

    @classmethod
    def suggest(cls, data: Any, design: Any = None) -> Plan:
        """Return how long and how fast to train on these data.

        Args:
            data: the application's data.
            design: the network that is trained; None: the default network.
        """
        raise ConfigError(f"{cls.__name__} has no plan: give lr and epochs")

    # ---- the same for all

    @property
    def data(self) -> Any:
        """Training and validation rows. Other data of the same codec can be set, to go on training with new rows.

        Raises:
            ConfigError: data that were made with another codec.
        """
        return self._data

    @data.setter
    def data(self, data: Any) -> None:
        if data is not None and getattr(data, "codec", None) != self.codec:
            raise ConfigError(
                "these data were made with another codec than the learner's, so their ids and numbers mean something"
                " else to it: make them with codec=learner.codec"
            )
        if data is not None:
            self.prepare_for(data)
        self._data = data

    def prepare_for(self, data: Any) -> None:
        """Adapt to other data of the same codec, which are about to be set; here nothing is to be done.

        Raises:
            ConfigError: the learner cannot go on with such data.
        """

    def plan(self) -> Plan:
        """Return how long and how fast to train on the learner's data: the application's ``suggest``."""
        return self.suggest(self._own_data(), self.design)

    def values(self) -> dict[str, Any]:
        """Return what the learner is made of, besides its weights, by name."""
        return {"codec": self.codec, "design": self.design, "training": self.training}

    @classmethod
    def restored(cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine) -> Self:
        """Return the learner that `save` wrote, without data: it predicts, and trains on once ``data`` is set.

        Args:
            record: what ``learner.json`` holds.
            tensors: those of ``weights.safetensors``.
            folder: the artefact, for messages.
            engine: where the learner shall run.

        Raises:
            ArtifactError: the record is incomplete, or the weights do not fit.
        """
        with reading(folder):
            codec = from_json(cls.codec_type, record["codec"], tensors)
            design = from_json(cls.design_type, record["design"], tensors)
            training = cls._possible(from_json(cls.training_type, record["training"]), engine, folder)
            learner = cls(codec, design=design, training=training, engine=engine)
        load_weights(learner.model, own_tensors(tensors), folder)
        take_over(learner, record, folder)
        return learner

    @classmethod
    def _possible(cls, training: Training, engine: Engine, folder: Path) -> Training:
        """The training at a precision that the engine has."""
        try:
            cls.check_engine(training, engine)
            return training
        except ConfigError as error:
            warnings.warn(
                f"{folder} was trained in {training.precision} and runs in fp32 here: {error}",
                HeadstartWarning,
                stacklevel=5,
            )
            return dataclasses.replace(training, precision="fp32")
