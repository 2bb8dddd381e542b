"""`TextClassifier`: one prediction per text, of any length, from the activations of an encoder.

Imports torch, `headstart.core.errors` and `headstart.text.models.awd_lstm` alone, so that both can be copied out.

**Source:** Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018), section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from headstart.core.errors import ConfigError
from headstart.text.models.awd_lstm import AWDLSTM, Windows

__all__ = ["TextClassifier"]

SHARE = 0.7
"""Weight of a network that was trained apart, beside 1 of the linear path: of three tried the best on a development
split of movie-snippets; the temperature settles the size of both."""


class TextClassifier(nn.Module):
    """Reads a text window by window, and predicts from the last, the largest and the mean activations.

    Memory is bounded for texts of any length: gradients go through the last ``max_length`` tokens only, and of earlier
    windows nothing but the pooled values is kept.

    **Shape:** tokens int ``(batch, time)``, padded at the end, lengths int ``(batch,)`` -> ``(batch, outputs)``.

    >>> model = TextClassifier(AWDLSTM(100, embedding_size=8, hidden=12, layers=2), 3).eval()
    >>> model(torch.zeros(4, 200, dtype=torch.int64), torch.tensor([200, 7, 1, 90]))[0].shape
    torch.Size([4, 3])

    Args:
        encoder: a pretrained or fresh encoder.
        outputs: number of outputs.
        hidden: width of the head's hidden layer; 0: none.
        bptt: tokens per window.
        max_length: number of tokens at the end of a text that gradients go through.
        head_dropout: probability of dropping a number before the last layer; before the hidden layer it is
            ``encoder.dropouts.output``.
        apart: train without the linear path's outputs, and add `SHARE` of the network's to them in evaluation; False:
            add both always.

    Raises:
        ConfigError: a size is not a whole number of at least 1.
    """

    def __init__(
        self,
        encoder: AWDLSTM,
        outputs: int,
        *,
        hidden: int = 50,
        bptt: int = 72,
        max_length: int = 1440,
        head_dropout: float = 0.1,
        apart: bool = False,
    ) -> None:
        super().__init__()
        for name, size in {"outputs": outputs, "bptt": bptt, "max_length": max_length}.items():
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1; got {size!r}")
        self.encoder, self.bptt, self.max_length, self.apart = encoder, bptt, max_length, apart
        width = 3 * encoder.embedding.embedding_dim
        parts: list[nn.Module] = [nn.BatchNorm1d(width), nn.Dropout(encoder.dropouts.output)]
        if hidden:
            parts += [nn.Linear(width, hidden), nn.ReLU(), nn.BatchNorm1d(hidden), nn.Dropout(head_dropout)]
        self.head = nn.Sequential(*parts, nn.Linear(hidden or width, outputs))

    def start_at_zero(self) -> None:
        """Set the last layer to 0, so that the outputs are those that are added to them, until training begins."""
        for parameter in self.head[-1].parameters():
            nn.init.zeros_(parameter)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return the encoder's groups, and the head."""
        return [*self.encoder.groups(), [self.head]]

    def forward(
        self, tokens: Tensor, lengths: Tensor, linear: Tensor | None = None, embedded: Tensor | None = None
    ) -> tuple[Tensor, Windows]:
        """Return outputs, and the activations that gradients go through, 0 at padding.

        Args:
            tokens: int ``(batch, time)``.
            lengths: int ``(batch,)``: number of tokens of each text, at least 1; the rest is padding and makes no
                difference.
            linear: outputs ``(batch, outputs)`` that those of the network are added to; None: 0.
            embedded: vectors ``(batch, time, embedding)`` to use in place of those of the tokens.
        """
        batch, time = tokens.shape
        width = self.encoder.embedding.embedding_dim
        state = self.encoder.no_state(batch)
        total = self.encoder.embedding.weight.new_zeros(batch, width)
        largest, last = torch.full_like(total, -torch.inf), total
        windows: Windows = []
        learning = self._learning(time, lengths)
        for number, start in enumerate(range(0, time, self.bptt)):
            end = min(time, start + self.bptt)
            with torch.set_grad_enabled(torch.is_grad_enabled() and learning[number]):
                given = None if embedded is None else embedded[:, start:end]
                activations, state = self.encoder(tokens[:, start:end], state, given)
            # With gradients, since earlier windows may have contributed to shorter texts.
            mask = torch.arange(start, end, device=tokens.device) < lengths[:, None]  # (batch, time of the window)
            kept = activations.float() * mask.unsqueeze(2)
            total = total + kept.sum(1)
            masked = activations.float().masked_fill(~mask.unsqueeze(2), -torch.inf)
            largest = torch.maximum(largest, masked.amax(1))
            index = (lengths - 1 - start).clamp(0, end - start - 1)
            ends_here = (lengths > start) & (lengths <= end)
            final = kept[torch.arange(batch, device=tokens.device), index]  # (batch, embedding)
            last = torch.where(ends_here[:, None], final, last)
            if self.training and learning[number]:
                windows.append((kept, kept))
        pooled = torch.cat([last, largest, total / lengths[:, None]], dim=1)  # (batch, 3 * embedding)
        outputs: Tensor = self.head(pooled)
        if linear is None or (self.apart and self.training):
            return outputs, windows
        return linear + (SHARE * outputs if self.apart else outputs), windows

    def _learning(self, time: int, lengths: Tensor) -> list[bool]:
        """For each window whether it holds one of the last ``max_length`` tokens of some text."""
        starts = range(0, time, self.bptt)
        if time <= self.max_length or not self.training:
            return [True] * len(starts)
        ends: Sequence[int] = lengths.tolist()  # waits for the device; only batches with a very long text get here
        return [any(end > start and end - self.max_length < start + self.bptt for end in ends) for start in starts]
