"""Text: from raw text to language models, generated sentences and classifiers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.text.codec import TextCodec
    from headstart.text.data import TextData
    from headstart.text.design import LanguageModelDesign, TextDesign
    from headstart.text.ensemble import TextEnsemble
    from headstart.text.language_model_data import LanguageModelData
    from headstart.text.language_model_learner import LanguageModelLearner
    from headstart.text.learner import TextLearner
    from headstart.text.models.awd_lstm import AWDLSTM, Dropouts, LanguageModel
    from headstart.text.models.classifier import TextClassifier
    from headstart.text.penalty import ActivationPenalty
    from headstart.text.subwords import SubwordTokenizer
    from headstart.text.tokens import WordTokenizer
    from headstart.text.transformer_learner import TransformerLearner
    from headstart.text.transformer_tokens import read_tokenizer
    from headstart.text.vocabulary import Vocabulary

__all__ = [
    "AWDLSTM",
    "ActivationPenalty",
    "Dropouts",
    "LanguageModel",
    "LanguageModelData",
    "LanguageModelDesign",
    "LanguageModelLearner",
    "SubwordTokenizer",
    "TextClassifier",
    "TextCodec",
    "TextData",
    "TextDesign",
    "TextEnsemble",
    "TextLearner",
    "TransformerLearner",
    "Vocabulary",
    "WordTokenizer",
    "read_tokenizer",
]

_HOMES = {
    "AWDLSTM": "models.awd_lstm",
    "ActivationPenalty": "penalty",
    "Dropouts": "models.awd_lstm",
    "LanguageModel": "models.awd_lstm",
    "LanguageModelData": "language_model_data",
    "LanguageModelDesign": "design",
    "LanguageModelLearner": "language_model_learner",
    "SubwordTokenizer": "subwords",
    "TextClassifier": "models.classifier",
    "TextCodec": "codec",
    "TextData": "data",
    "TextDesign": "design",
    "TextEnsemble": "ensemble",
    "TextLearner": "learner",
    "TransformerLearner": "transformer_learner",
    "Vocabulary": "vocabulary",
    "WordTokenizer": "tokens",
    "read_tokenizer": "transformer_tokens",
}


def __getattr__(name: str) -> Any:
    """Resolve a public name on first use: the processes that tokenize need no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart.text' has no attribute {name!r}")
    return getattr(import_module(f"headstart.text.{_HOMES[name]}"), name)
