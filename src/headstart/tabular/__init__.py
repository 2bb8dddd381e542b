"""Tables: from rows and columns to a trained model that predicts numbers or classes."""

from headstart.tabular.codec import TableCodec
from headstart.tabular.data import TabularData, suggested_epochs, suggested_lr
from headstart.tabular.learner import LESSON_NETWORK, MEMBERS_NETWORK, TabularLearner
from headstart.tabular.models.network import TabularModel

__all__ = [
    "LESSON_NETWORK", "MEMBERS_NETWORK", "TableCodec", "TabularData", "TabularLearner", "TabularModel",
    "suggested_epochs", "suggested_lr",
]  # fmt: skip
