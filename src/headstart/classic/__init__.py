"""The lesson's names, as thin adapters over headstart: ``from headstart.classic import *``.

    images     ImageClassifierData  tfms_from_model  ConvLearner.pretrained, and the names of architectures
    tables     add_datepart  get_cv_idxs  proc_df  ColumnarModelData
    text       data.Field  spacy_tok  LanguageModelData  seq2seq_reg  sample_model  datasets.IMDB  TextData
    ratings    CollabFilterDataset
    all        accuracy  to_np

docs/coming-from-the-lesson.md shows headstart's own way to do the same.
"""

from headstart.classic import data, datasets, vision
from headstart.classic.collab import CollabFilterDataset
from headstart.classic.data import spacy_tok
from headstart.classic.learner import accuracy, to_np
from headstart.classic.structured import ColumnarModelData, add_datepart, get_cv_idxs, proc_df
from headstart.classic.text import LanguageModelData, TextData, sample_model, seq2seq_reg
from headstart.classic.vision import *  # noqa: F403 - twenty architectures

__all__ = [
    "CollabFilterDataset",
    "ColumnarModelData",
    "LanguageModelData",
    "TextData",
    "accuracy",
    "add_datepart",
    "data",
    "datasets",
    "get_cv_idxs",
    "proc_df",
    "sample_model",
    "seq2seq_reg",
    "spacy_tok",
    "to_np",
]
__all__ += vision.__all__
