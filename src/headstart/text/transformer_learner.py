"""`TransformerLearner`: a pretrained transformer as the encoder of texts (extra ``transformers``)."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core.artefact import load_weights, reading
from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError, ConfigError
from headstart.core.torchvision import import_torchvision
from headstart.core.values import Json
from headstart.targets.metrics import Metric
from headstart.targets.target import Loss
from headstart.text.codec import TextCodec
from headstart.text.data import TextData
from headstart.text.learner import TextLearner
from headstart.text.transformer_tokens import TransformerTokenizer, read_tokenizer
from headstart.training.callbacks import Callback
from headstart.training.display import Verbosity
from headstart.training.learner import Learner
from headstart.training.optim import OptimizerFactory, adamw

__all__ = ["TransformerClassifier", "TransformerLearner", "read_tokenizer"]


class TransformerClassifier(nn.Module):
    """A transformer, the mean of its last layer over a text's own tokens, and a linear layer.

    **Shape:** tokens int ``(batch, time)``, lengths int ``(batch,)`` -> outputs ``(batch, outputs)``.

    Args:
        backbone: a model of the `transformers` library.
        transformer_ids: the backbone's id of each of headstart's ids.
        outputs: how many.
        dropout: before the linear layer.
    """

    transformer_ids: Tensor

    def __init__(self, backbone: nn.Module, transformer_ids: Sequence[int], outputs: int, *, dropout: float) -> None:
        super().__init__()
        if getattr(backbone, "pooler", None) is not None:
            backbone.pooler = None  # type: ignore[assignment]  # ours is the mean
        self.backbone = backbone
        config: Any = backbone.config
        self.most = int(getattr(config, "max_position_embeddings", 512))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(int(config.hidden_size), outputs))
        self.register_buffer("transformer_ids", torch.tensor(transformer_ids), persistent=False)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """The embeddings, each layer, the head."""
        stack = next((part for part in self.backbone.modules() if isinstance(part, nn.ModuleList)), nn.ModuleList())
        inside = {id(parameter) for layer in stack for parameter in layer.parameters()}
        first: list[nn.Module | nn.Parameter] = [p for p in self.backbone.parameters() if id(p) not in inside]
        layers: list[list[nn.Module | nn.Parameter]] = [[layer] for layer in stack]
        return [first, *layers, [self.head]]

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Outputs; what stands after the longest text that the backbone can read does not count."""
        tokens, lengths = tokens[:, : self.most], lengths.clamp(max=self.most)
        own = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]  # (batch, time)
        found = self.backbone(input_ids=self.transformer_ids[tokens.long()], attention_mask=own.long())
        kept = found.last_hidden_state.float() * own.unsqueeze(2)  # (batch, time, hidden)
        outputs: Tensor = self.head(kept.sum(1) / lengths[:, None])
        return outputs, []


class TransformerLearner(TextLearner):
    """A classifier of texts on a pretrained transformer, frozen (``freeze()``) or fine-tuned.

    Args:
        data: made with ``tokenizer=read_tokenizer(folder)``.
        transformer: the folder of a transformer: config.json, model.safetensors, tokenizer.json. Nothing is downloaded.
        head_dropout: before the linear layer.
        loss: as for `Learner`, and the same for all that follows.
        metrics: names or functions.
        optimizer: a factory; None: AdamW.
        weight_decay: of embeddings and weights.
        clip: largest norm of the gradients.
        accumulate: batches per step.
        callbacks: for every fit.
        seed: of the head's weights and of dropout.
        folder: where snapshots are kept.
        progress: what a fit shows.

    Raises:
        ConfigError: the `transformers` library is not installed, or the data are cut into other tokens.
        ArtifactError: the folder cannot be read.
    """

    application = "transformer"

    def __init__(
        self,
        data: TextData,
        transformer: str | Path,
        *,
        head_dropout: float = 0.1,
        loss: Loss | None = None,
        metrics: Sequence[str | Metric] | None = None,
        optimizer: OptimizerFactory | None = None,
        weight_decay: float = 0.01,
        clip: float | None = 1.0,
        accumulate: int = 1,
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
        folder: str | Path = "models",
        progress: Verbosity = "auto",
    ) -> None:
        library = _library()
        if not isinstance(data.codec.tokenizer, TransformerTokenizer):
            raise ConfigError(
                "these data are cut into other tokens than the transformer's: make them with"
                " tokenizer=headstart.text.transformer_learner.read_tokenizer(folder)"
            )
        try:
            backbone = library.AutoModel.from_pretrained(
                str(transformer), local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError) as error:
            said = str(error).splitlines()[0]
            raise ArtifactError(f"the transformer in {transformer} cannot be read: {said}") from error
        self.codec = data.codec
        self.design: Json = {"config": backbone.config.to_dict(), "head_dropout": head_dropout}
        Learner.__init__(
            self, _make_model(self.codec, backbone, head_dropout, seed), data, loss=loss, metrics=metrics,
            optimizer=optimizer or adamw(), weight_decay=weight_decay, clip=clip, accumulate=accumulate,
            callbacks=callbacks, seed=seed, folder=folder, progress=progress,
        )  # fmt: skip

    @classmethod
    def from_record(
        cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine
    ) -> TransformerLearner:
        """The learner that `save` wrote, without data: it predicts; set ``data`` to go on training."""
        learner = cls.__new__(cls)
        library = _library()
        with reading(folder):
            learner.codec = TextCodec.from_json(record["codec"])
            learner.design = {name: record["model"][name] for name in ("config", "head_dropout")}
            settings = dict(learner.design["config"])
            config = library.AutoConfig.for_model(settings.pop("model_type"), **settings)
            backbone = library.AutoModel.from_config(config, dtype=torch.float32)
            model = _make_model(learner.codec, backbone, learner.design["head_dropout"], seed=0)
        load_weights(model, tensors, folder)
        Learner.__init__(learner, model, None, clip=1.0, engine=engine, target=learner.codec.target)
        learner.take_over(record, folder)
        return learner


def _make_model(codec: TextCodec, backbone: Any, head_dropout: float, seed: int) -> TransformerClassifier:
    assert codec.target is not None and isinstance(codec.tokenizer, TransformerTokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TransformerClassifier(
            backbone, codec.tokenizer.transformer_ids, codec.target.outputs, dropout=head_dropout
        )


def _library() -> Any:
    """The `transformers` library, which imports torchvision where that is installed."""
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
