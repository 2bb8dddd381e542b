"""The lesson's tensors are time first and flat; headstart's have the batch first. Here they are turned."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from headstart.text.codec import TextCodec
from headstart.text.models.awd_lstm import LanguageModel
from headstart.text.models.softmax import IGNORED
from headstart.text.tokens import BOS
from headstart.training.loaders import Loader

__all__ = ["StreamBatches", "TimeFirst"]


class StreamBatches:
    """``md.trn_dl``: windows of a language model's streams, ``x`` of ``(time, streams)`` and all that follows, flat.

    Each ``iter`` is of a further epoch, so that the windows' breakpoints move.

    Args:
        loader: headstart's.
        codec: of the same texts.
    """

    def __init__(self, loader: Loader, codec: TextCodec) -> None:
        self.loader, self._codec, self._epoch = loader, codec, 0

    def __len__(self) -> int:
        return self.loader.steps(0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        beginning = self._codec.vocabulary.id_of(BOS)  # headstart predicts no text's beginning; the lesson shows it
        for batch in self.loader.batches(epoch):
            tokens, _, target = batch.inputs  # (streams, time)
            x, following = tokens.long().T, target.masked_fill(target == IGNORED, beginning)
            yield x, following.T.reshape(-1)  # (time, streams), (time * streams,)


class _Encoder:
    """``m[0]``: its ``bs`` can be set, which forgets the carried state."""

    def __init__(self, owner: TimeFirst, bs: int) -> None:
        self._owner, self._bs = owner, bs

    @property
    def bs(self) -> int:
        """Streams that are read side by side."""
        return self._bs

    @bs.setter
    def bs(self, streams: int) -> None:
        self._bs = streams
        self._owner.reset()


class TimeFirst(nn.Module):
    """``learner.model``: headstart's, from ids ``(time, streams)`` to logits ``(time * streams, words)``.

    The state goes on from call to call, until `reset` or another ``m[0].bs``.

    Args:
        model: headstart's, whose layers these are.
        codec: of the same model.
        bs: streams that it was trained on.
    """

    def __init__(self, model: LanguageModel, codec: TextCodec, bs: int) -> None:
        super().__init__()
        self.model, self.codec = model, codec
        self._encoder, self._begins = _Encoder(self, bs), True

    def __getitem__(self, number: int) -> _Encoder:
        """The encoder, which is 0."""
        if number != 0:
            raise IndexError(f"the model's encoder is [0]; got [{number}]: learner.learner.model has all layers")
        return self._encoder

    def reset(self) -> None:
        """Forgets what was read."""
        self.model.reset()
        self._begins = True

    def forward(self, tokens: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Logits, flat; and the last layer's activations ``(time, streams, width)`` before and after dropout.

        Args:
            tokens: int ``(time, streams)``.
        """
        fresh = torch.full((tokens.shape[1],), self._begins)
        logits, windows = self.model(tokens.T, fresh.to(tokens.device))  # (streams, time, words)
        self._begins = False
        raw, dropped = ([window[place].transpose(0, 1) for window in windows] for place in (0, 1))
        return logits.transpose(0, 1).flatten(0, 1), raw, dropped
