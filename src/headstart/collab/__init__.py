"""Ratings: from who rated what to predicted ratings, recommendations, and a map of taste."""

from headstart.collab.codec import RatingsCodec
from headstart.collab.data import RatingsData, RatingsSettings, suggested_epochs
from headstart.collab.design import CollabDesign
from headstart.collab.evaluation import evaluate_ranking
from headstart.collab.learner import CollabLearner
from headstart.collab.methods import METHODS, find_method
from headstart.collab.models.dot_product import DotProductBias, ImplicitDotProductBias
from headstart.collab.rankers import EASE, IALS, EASEDesign, IALSDesign
from headstart.collab.ranking import RANKING_METRICS
from headstart.collab.recommender import Recommender
from headstart.collab.seen import NewUser
from headstart.collab.splits import by_last_of_user, by_pairs

__all__ = [
    "EASE",
    "IALS",
    "METHODS",
    "RANKING_METRICS",
    "CollabDesign",
    "CollabLearner",
    "DotProductBias",
    "EASEDesign",
    "IALSDesign",
    "ImplicitDotProductBias",
    "NewUser",
    "RatingsCodec",
    "RatingsData",
    "RatingsSettings",
    "Recommender",
    "by_last_of_user",
    "by_pairs",
    "evaluate_ranking",
    "find_method",
    "suggested_epochs",
]
