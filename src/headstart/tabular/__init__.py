"""Tables: from rows and columns to a trained model that predicts numbers or classes."""

from headstart.tabular.codec import TableCodec
from headstart.tabular.data import TabularData, suggested_epochs
from headstart.tabular.learner import TabularLearner
from headstart.tabular.model import TabularModel

__all__ = ["TableCodec", "TabularData", "TabularLearner", "TabularModel", "suggested_epochs"]
