"""`TransformerLearner`: a classifier of texts on a pretrained transformer (extra ``transformers``)."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Unpack

import torch
from torch import nn

from headstart.core.engine import seeded
from headstart.core.errors import ArtifactError, ConfigError, first_line
from headstart.core.paths import expanded
from headstart.core.torchvision import import_torchvision
from headstart.core.values import Range, Value
from headstart.text.classifier_learner import START_PLAN, ClassifierLearner
from headstart.text.codec import TextCodec
from headstart.text.data import TextData
from headstart.text.models.transformer import TransformerClassifier
from headstart.text.transformer_tokens import TransformerTokenizer, read_tokenizer
from headstart.training.settings import LearnerOptions, Plan, Training

__all__ = ["TransformerDesign", "TransformerLearner", "TransformerOptions", "TransformerTraining", "read_tokenizer"]


@dataclass(frozen=True, kw_only=True)
class TransformerDesign(Value):
    """A transformer, the mean of its last layer over a text's tokens, and a linear layer.

    Attributes:
        head_dropout: probability of dropping a number before the linear layer.
        config: the transformer's configuration: the content of its ``config.json``; None: that of the folder.
    """

    head_dropout: Annotated[float, Range(low=0, below=1)] = 0.1
    config: Mapping[str, Any] | None = None

    def network(self, codec: TextCodec, seed: int, backbone: nn.Module | None = None) -> TransformerClassifier:
        """Return a fresh network.

        Args:
            codec: learnt from the training texts, with a transformer's tokens.
            seed: of the weights.
            backbone: a pretrained transformer of the same configuration; None: random weights.

        Raises:
            ConfigError: the codec has other tokens, or the `transformers` library is not installed.
        """
        if not isinstance(codec.tokenizer, TransformerTokenizer):
            raise ConfigError(
                "these data are cut into other tokens than the transformer's: make them with"
                " tokenizer=headstart.text.transformer_learner.read_tokenizer(folder)"
            )
        with seeded(seed):
            backbone = self._backbone() if backbone is None else backbone
        with seeded(seed):
            network = TransformerClassifier(
                backbone, codec.tokenizer.transformer_ids, codec.label.outputs, dropout=self.head_dropout
            )
        if codec.linear is not None:
            network.start_at_zero()
        return network

    def _backbone(self) -> nn.Module:
        if self.config is None:
            raise ConfigError("give transformer=, the folder of a pretrained transformer")
        library, config = _library(), dict(self.config)
        kind = config.pop("model_type")
        backbone: nn.Module = library.AutoModel.from_config(
            library.AutoConfig.for_model(kind, **config), dtype=torch.float32
        )
        return backbone


@dataclass(frozen=True, kw_only=True)
class TransformerTraining(Training):
    """Training of a transformer.

    Attributes:
        clip: largest norm of all gradients together; None: no limit.
    """

    clip: Annotated[float | None, Range(above=0)] = 1.0


class TransformerOptions(LearnerOptions, total=False):
    """Keyword arguments of `TransformerLearner`: the fields of its design and training, and those of every learner."""

    head_dropout: float
    config: Mapping[str, Any] | None


class TransformerLearner(ClassifierLearner):
    """A classifier of texts on a pretrained transformer, frozen (``freeze()``) or fine-tuned.

    Args:
        data: from `TextData`, made with ``tokenizer=read_tokenizer(folder)``; or a codec.
        transformer: folder of a pretrained transformer: config.json, model.safetensors, tokenizer.json. Nothing is
            downloaded. None: random weights of the design's configuration.
        design: the network; None: the defaults of `TransformerDesign`.
        training: all that changes what a training step does; None: the defaults of `TransformerTraining`.
        options: the fields of both by name, ``TransformerLearner(data, folder, head_dropout=0.2)``, and those of
            `LearnerOptions`: ``loss``, ``metrics``, ``callbacks``, ``folder``, ``progress``, ``engine``.

    Raises:
        ConfigError: the `transformers` library is not installed, or the data have other tokens.
        ArtifactError: the folder cannot be read.
    """

    application = "transformer"
    design_type = TransformerDesign
    training_type = TransformerTraining
    design: TransformerDesign
    model: TransformerClassifier

    def __init__(
        self,
        data: TextData | TextCodec,
        transformer: str | Path | None = None,
        *,
        design: TransformerDesign | None = None,
        training: Training | None = None,
        **options: Unpack[TransformerOptions],
    ) -> None:
        self._backbone = None if transformer is None else _read_backbone(expanded(transformer))
        super().__init__(data, design=design, training=training, **options)
        self._backbone = None  # it is part of the model now

    def settled(self, design: TransformerDesign, data: TextData | None) -> TransformerDesign:
        """Return the design with the configuration of the pretrained transformer."""
        if self._backbone is None:
            return design
        config: Any = self._backbone.config
        return replace(design, config=json.loads(config.to_json_string(use_diff=False)))

    def make_model(self, seed: int) -> nn.Module:
        """Return the pretrained transformer, or a fresh one, with a fresh head."""
        return self.design.network(self.codec, seed, self._backbone)

    @classmethod
    def suggest(cls, data: TextData, design: TransformerDesign | None = None) -> Plan:
        """Return two epochs at 0.0002, with lower rates at the input side."""
        return replace(START_PLAN, lr=2e-4, epochs=2)


def _read_backbone(folder: Path) -> nn.Module:
    """Return the pretrained transformer in a folder."""
    library = _library()
    try:
        backbone: nn.Module = library.AutoModel.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise ArtifactError(f"the transformer in {folder} cannot be read: {first_line(error)}") from error
    return backbone


def _library() -> Any:
    """Return the `transformers` library, which imports torchvision where that is installed."""
    try:
        with contextlib.suppress(ImportError):  # it is not needed
            import_torchvision()
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ConfigError(
            "a transformer needs a package that is not installed: pip install 'headstart[transformers]'"
        ) from error
    except RuntimeError as error:
        raise ConfigError(f"torchvision, which transformers imports, is damaged ({error}): reinstall it") from error
