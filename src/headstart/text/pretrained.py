"""A saved model of text as a start: its codec, its sizes, its encoder's weights; and their match to other words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from headstart.core.artefact import read_folder, reading, write_folder
from headstart.core.errors import ArtifactError
from headstart.core.paths import expanded
from headstart.core.values import from_json, to_json
from headstart.text.codec import TextCodec
from headstart.text.vocabulary import UNKNOWN_ID, Vocabulary

__all__ = ["Pretrained", "matched_rows", "read_codec", "read_pretrained", "write_encoder"]

SIZES = ("embedding_size", "hidden", "layers")
EMBEDDING = "embedding.weight"
ENCODER = "model.encoder."
"""What the names of an encoder's tensors begin with in an artefact."""


@dataclass(frozen=True)
class Pretrained:
    """What a saved language model, classifier or encoder passes on.

    Attributes:
        folder: where it was saved, for messages.
        codec: how its texts became ids.
        sizes: ``embedding_size``, ``hidden`` and ``layers`` of the encoder.
        encoder: the encoder's weights, by name.
        bias: the decoder's bias, float32 ``(words,)``; None if only an encoder was saved.
    """

    folder: Path
    codec: TextCodec
    sizes: Mapping[str, int]
    encoder: Mapping[str, Tensor]
    bias: Tensor | None

    def for_vocabulary(self, vocabulary: Vocabulary) -> Pretrained:
        """Return the weights for another vocabulary: see `matched_rows`."""
        known = self.codec.vocabulary
        if known == vocabulary:
            return self
        encoder = {**self.encoder, EMBEDDING: matched_rows(self.encoder[EMBEDDING], known, vocabulary)}
        bias = None if self.bias is None else matched_rows(self.bias, known, vocabulary)
        return replace(self, encoder=encoder, bias=bias)


def matched_rows(rows: Tensor, known: Vocabulary, wanted: Vocabulary) -> Tensor:
    """Return a matrix with a row per word for another vocabulary.

    **Source:** Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018), section 3.2,
    as in fastai: the mean for new words.

    Args:
        rows: ``(known words, ...)``.
        known: the vocabulary of the rows.
        wanted: the other vocabulary.

    Returns:
        ``(wanted words, ...)``: known words keep their rows, new words get the mean of all rows.
    """
    indices = torch.from_numpy(known.encode(wanted.words).copy()).long()
    matched = rows[indices]
    new = indices == UNKNOWN_ID
    new[UNKNOWN_ID] = False
    matched[new] = rows.mean(0)
    return matched


def read_codec(folder: str | Path) -> TextCodec:
    """Return the codec of a saved language model, classifier or encoder.

    Raises:
        ArtifactError: as for `read_pretrained`.
    """
    return read_pretrained(folder).codec


def read_pretrained(folder: str | Path) -> Pretrained:
    """Read what ``save`` or ``save_encoder`` of a learner of texts wrote.

    Raises:
        ArtifactError: the folder is missing or damaged, or holds no model of texts with an AWD-LSTM encoder.
    """
    path = expanded(folder)
    name = "encoder" if (path / "encoder.json").is_file() else "learner"
    record, tensors = read_folder(path, name)
    if name == "learner" and record.get("application") not in ("language-model", "text"):
        raise ArtifactError(
            f"{path} holds a model of the application {record.get('application')!r}; a language model is needed:"
            " headstart train language-model"
        )
    with reading(path):
        codec: TextCodec = from_json(TextCodec, {**record["codec"], "linear": None})
        sizes = {size: int(record["design"][size]) for size in SIZES}
        encoder = {name.removeprefix(ENCODER): part for name, part in tensors.items() if name.startswith(ENCODER)}
        if len(encoder[EMBEDDING]) != len(codec.vocabulary):
            raise ValueError("vocabulary and embedding differ in size")
    return Pretrained(path, codec, sizes, encoder, tensors.get("model.bias"))


def write_encoder(folder: Path, codec: TextCodec, sizes: Mapping[str, int], encoder: Mapping[str, Tensor]) -> None:
    """Write an encoder with its codec to a folder, for `read_pretrained`.

    Raises:
        ArtifactError: the folder cannot be written, or holds other files.
    """
    record = {"codec": to_json(replace(codec, linear=None)), "design": {size: sizes[size] for size in SIZES}}
    write_folder(folder, "encoder", record, {f"{ENCODER}{name}": tensor for name, tensor in encoder.items()})
