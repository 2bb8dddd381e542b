"""Tables: from rows and columns to a trained model that predicts numbers or classes."""

from headstart.tabular.codec import TableCodec
from headstart.tabular.data import TabularData
from headstart.tabular.design import LESSON_NETWORK, MEMBERS_NETWORK, TabularDesign, TabularTraining
from headstart.tabular.learner import TabularLearner
from headstart.tabular.models.network import TabularModel
from headstart.tabular.plan import suggested_epochs

__all__ = [
    "LESSON_NETWORK", "MEMBERS_NETWORK", "TableCodec", "TabularData", "TabularDesign", "TabularLearner", "TabularModel",
    "TabularTraining", "suggested_epochs",
]  # fmt: skip
