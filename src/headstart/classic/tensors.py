"""Tensors between the lesson's shapes, time first and targets flat, and headstart's, batch first."""

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
    """``md.trn_dl``: windows of a language model's streams, as pairs of tokens and the tokens that follow them.

    **Shape:** int64 ``(time, streams)`` and ``(time * streams,)``. Each ``iter`` is of the next epoch, whose
    windows end elsewhere.

    Args:
        loader: headstart's loader.
        codec: the codec of the same texts.
    """

    def __init__(self, loader: Loader, codec: TextCodec) -> None:
        self.loader, self._codec, self._epoch = loader, codec, 0

    def __len__(self) -> int:
        return self.loader.steps(0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        beginning = self._codec.vocabulary.id_of(BOS)  # the lesson predicts it; headstart's loss ignores it
        for batch in self.loader.batches(epoch):
            tokens, _, target = batch.inputs  # (streams, time)
            x, following = tokens.long().T, target.masked_fill(target == IGNORED, beginning)
            yield x, following.T.reshape(-1)  # (time, streams), (time * streams,)


class _Encoder:
    """``m[0]``: setting its ``bs`` resets the carried state."""

    def __init__(self, owner: TimeFirst, bs: int) -> None:
        self._owner, self._bs = owner, bs

    @property
    def bs(self) -> int:
        """Number of streams. Can be set."""
        return self._bs

    @bs.setter
    def bs(self, streams: int) -> None:
        self._bs = streams
        self._owner.reset()


class TimeFirst(nn.Module):
    """``learner.model``: headstart's language model with the lesson's shapes.

    **Shape:** ids, int ``(time, streams)``, to logits ``(time * streams, words)`` and activations. The state is carried
    from call to call until `reset`, or until ``m[0].bs`` is set.

    Args:
        model: headstart's model, whose layers these are.
        codec: the model's codec.
        bs: number of streams of its training.
    """

    def __init__(self, model: LanguageModel, codec: TextCodec, bs: int) -> None:
        super().__init__()
        self.model, self.codec = model, codec
        self._encoder, self._begins = _Encoder(self, bs), True

    def __getitem__(self, number: int) -> _Encoder:
        """Return the encoder, number 0."""
        if number != 0:
            raise IndexError(f"the model's encoder is [0]; got [{number}]: learner.learner.model has all layers")
        return self._encoder

    def reset(self) -> None:
        """Reset the carried state."""
        self.model.reset()
        self._begins = True

    def forward(self, tokens: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return logits, and the last layer's activations before and after dropout.

        Args:
            tokens: ids, int ``(time, streams)``.

        Returns:
            Logits ``(time * streams, words)``, and two lists of activations ``(time, streams, width)``.
        """
        fresh = torch.full((tokens.shape[1],), self._begins)
        logits, windows = self.model(tokens.T, fresh.to(tokens.device))  # (streams, time, words)
        self._begins = False
        raw, dropped = ([window[index].transpose(0, 1) for window in windows] for index in (0, 1))
        return logits.transpose(0, 1).flatten(0, 1), raw, dropped
