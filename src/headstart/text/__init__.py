"""Text: from raw text to language models, generated sentences and classifiers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.text.classifier import TextLearner
    from headstart.text.codec import TextCodec
    from headstart.text.data import TextData
    from headstart.text.ensemble import TextEnsemble
    from headstart.text.language_model import LanguageModelLearner
    from headstart.text.learner import ActivationPenalty
    from headstart.text.model import AWDLSTM, Dropouts, LanguageModel
    from headstart.text.pooling import TextClassifier
    from headstart.text.streams import LanguageModelData
    from headstart.text.subwords import SubwordTokenizer
    from headstart.text.tokens import WordTokenizer
    from headstart.text.transformer import TransformerLearner
    from headstart.text.vocabulary import Vocabulary

__all__ = [
    "AWDLSTM",
    "ActivationPenalty",
    "Dropouts",
    "LanguageModel",
    "LanguageModelData",
    "LanguageModelLearner",
    "SubwordTokenizer",
    "TextClassifier",
    "TextCodec",
    "TextData",
    "TextEnsemble",
    "TextLearner",
    "TransformerLearner",
    "Vocabulary",
    "WordTokenizer",
]

_HOMES = {
    "AWDLSTM": "model",
    "ActivationPenalty": "learner",
    "Dropouts": "model",
    "LanguageModel": "model",
    "LanguageModelData": "streams",
    "LanguageModelLearner": "language_model",
    "SubwordTokenizer": "subwords",
    "TextClassifier": "pooling",
    "TextCodec": "codec",
    "TextData": "data",
    "TextLearner": "classifier",
    "TextEnsemble": "ensemble",
    "TransformerLearner": "transformer",
    "Vocabulary": "vocabulary",
    "WordTokenizer": "tokens",
}


def __getattr__(name: str) -> Any:
    """Resolved on first use: the processes that cut texts into tokens need no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart.text' has no attribute {name!r}")
    return getattr(import_module(f"headstart.text.{_HOMES[name]}"), name)
