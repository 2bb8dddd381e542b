"""Ratings: from who rated what to predicted ratings, recommendations, and a picture of taste."""

from headstart.collab.codec import RatingsCodec
from headstart.collab.data import RatingsData, suggested_epochs
from headstart.collab.evaluation import evaluate_ranking
from headstart.collab.learner import CollabLearner
from headstart.collab.models.dot_product import DotProductBias, ImplicitDotProductBias
from headstart.collab.rankers import EASE, IALS
from headstart.collab.recommender import Recommender
from headstart.collab.seen import NewUser
from headstart.collab.splits import by_last_of_user, by_pairs

__all__ = [
    "EASE",
    "IALS",
    "CollabLearner",
    "DotProductBias",
    "ImplicitDotProductBias",
    "NewUser",
    "RatingsCodec",
    "RatingsData",
    "Recommender",
    "by_last_of_user",
    "by_pairs",
    "evaluate_ranking",
    "suggested_epochs",
]
