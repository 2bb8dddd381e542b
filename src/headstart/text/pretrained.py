"""A saved language model as a start: its codec, its sizes, its encoder's weights; and their match to other words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from headstart.core.artefact import read_folder, reading
from headstart.core.errors import ArtifactError
from headstart.core.values import Json
from headstart.text.codec import TextCodec
from headstart.text.vocabulary import UNKNOWN_ID, Vocabulary

__all__ = ["Pretrained", "matched_rows", "read_codec", "read_pretrained", "save_record"]

SIZES = ("embedding_size", "hidden", "layers")
EMBEDDING = "embedding.weight"


@dataclass(frozen=True)
class Pretrained:
    """What a saved language model, classifier or encoder hands on.

    Attributes:
        codec: how its texts became ids.
        sizes: ``embedding_size``, ``hidden`` and ``layers``.
        encoder: the encoder's weights, by their names in it.
        bias: the decoder's, ``(words,)``; None where only an encoder was saved.
    """

    codec: TextCodec
    sizes: dict[str, int]
    encoder: dict[str, Tensor]
    bias: Tensor | None

    def for_vocabulary(self, vocabulary: Vocabulary) -> Pretrained:
        """The same weights for another vocabulary: known words keep their rows, new ones get the mean of all."""
        known = self.codec.vocabulary
        if known == vocabulary:
            return self
        encoder = {**self.encoder, EMBEDDING: matched_rows(self.encoder[EMBEDDING], known, vocabulary)}
        bias = None if self.bias is None else matched_rows(self.bias, known, vocabulary)
        return Pretrained(self.codec, self.sizes, encoder, bias)


def matched_rows(rows: Tensor, known: Vocabulary, wanted: Vocabulary) -> Tensor:
    """A matrix with a row per word, for another vocabulary.

    **Source:** Howard and Ruder (2018), section 3.2, as in fastai: the mean for words that are new.

    Args:
        rows: ``(known words, ...)``.
        known: whose words the rows belong to.
        wanted: the other vocabulary.

    Returns:
        ``(wanted words, ...)``: known words take over their rows, new ones the mean of all rows.
    """
    places = torch.from_numpy(known.encode(wanted.words).copy()).long()
    found = rows[places]
    new = places == UNKNOWN_ID
    new[UNKNOWN_ID] = False
    found[new] = rows.mean(0)
    return found


def read_codec(folder: str | Path) -> TextCodec:
    """The codec of a saved language model or encoder.

    Raises:
        ArtifactError: as for `read_pretrained`.
    """
    return read_pretrained(folder).codec


def read_pretrained(folder: str | Path) -> Pretrained:
    """What `LanguageModelLearner.save` or ``save_encoder`` wrote to a folder.

    Raises:
        ArtifactError: the folder is missing, damaged, or holds no model of text with an encoder.
    """
    path = Path(folder)
    name = "encoder" if (path / "encoder.json").is_file() else "learner"
    record, tensors = read_folder(path, name)
    if name == "learner" and record.get("application") not in ("language-model", "text"):
        raise ArtifactError(
            f"{path} holds a model of the application {record.get('application')!r}; a language model is needed:"
            " headstart train language-model"
        )
    with reading(path):
        codec = TextCodec.from_json(record["codec"])
        sizes = {size: int(record["model"][size]) for size in SIZES}
        encoder = _encoder_of(tensors)
        if len(encoder[EMBEDDING]) != len(codec.vocabulary):
            raise ValueError("vocabulary and embedding differ in size")
    return Pretrained(codec, sizes, encoder, tensors.get("bias"))


def save_record(codec: TextCodec, design: Json) -> Json:
    """What ``encoder.json`` says."""
    return {"codec": codec.to_json(), "model": {size: design[size] for size in SIZES}}


def _encoder_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = "encoder."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
