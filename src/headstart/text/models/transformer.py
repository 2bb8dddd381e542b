"""`TransformerClassifier`: one prediction per text from a pretrained transformer. Needs torch alone.

The backbone is a model of the `transformers` library, or any module that is called and answers alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["TransformerClassifier"]


class TransformerClassifier(nn.Module):
    """A transformer, the mean of its last layer over a text's tokens, and a linear layer.

    **Shape:** tokens int ``(batch, time)``, lengths int ``(batch,)`` -> outputs ``(batch, outputs)``.

    Args:
        backbone: a model of the `transformers` library; its pooler is removed.
        transformer_ids: the backbone's id of each of headstart's ids.
        outputs: number of outputs.
        dropout: probability of dropping a number before the linear layer.
    """

    transformer_ids: Tensor

    def __init__(self, backbone: nn.Module, transformer_ids: Sequence[int], outputs: int, *, dropout: float) -> None:
        super().__init__()
        if getattr(backbone, "pooler", None) is not None:
            backbone.pooler = None  # type: ignore[assignment]  # the mean takes its place
        self.backbone = backbone
        config: Any = backbone.config
        self.most = int(getattr(config, "max_position_embeddings", 512))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(int(config.hidden_size), outputs))
        self.register_buffer("transformer_ids", torch.tensor(transformer_ids), persistent=False)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return the embeddings, each layer, the head."""
        stack = next((part for part in self.backbone.modules() if isinstance(part, nn.ModuleList)), nn.ModuleList())
        inside = {id(parameter) for layer in stack for parameter in layer.parameters()}
        first: list[nn.Module | nn.Parameter] = [p for p in self.backbone.parameters() if id(p) not in inside]
        layers: list[list[nn.Module | nn.Parameter]] = [[layer] for layer in stack]
        return [first, *layers, [self.head]]

    def start_at_zero(self) -> None:
        """Set the last layer to 0, so that the outputs are those that are added to them, until training begins."""
        for parameter in self.head[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, tokens: Tensor, lengths: Tensor, linear: Tensor | None = None
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Return outputs, and an empty list in place of activations; tokens beyond the longest input are cut off.

        Args:
            tokens: int ``(batch, time)``.
            lengths: int ``(batch,)``.
            linear: outputs ``(batch, outputs)`` that those of the network are added to; None: 0.
        """
        tokens, lengths = tokens[:, : self.most], lengths.clamp(max=self.most)
        mask = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]  # (batch, time)
        states = self.backbone(input_ids=self.transformer_ids[tokens.long()], attention_mask=mask.long())
        kept = states.last_hidden_state.float() * mask.unsqueeze(2)  # (batch, time, hidden)
        outputs: Tensor = self.head(kept.sum(1) / lengths[:, None])
        return outputs if linear is None else outputs + linear, []
