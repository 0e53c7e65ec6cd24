"""Recommendations, similar properties and affinity: the rules between the twin and its users.

With an active version and a positive history the twin ranks. Without either, the tenant's
engagement, the investor's buy box and what properties have in common do, and every answer says so.
"""

from domain.recommendations.audience import Audience, AudienceAsk, FoundUser, count_investors
from domain.recommendations.cold_start import ENGAGEMENT
from domain.recommendations.concentration import Concentration, Exposure
from domain.recommendations.counterfactuals import Counterfactual
from domain.recommendations.listings import MAX_DEPTH
from domain.recommendations.paging import JudgedPage, Page, Place
from domain.recommendations.ranking import Judgement, Ranking, Recommendation, SimilarProperty
from domain.recommendations.recommender import Recommender

__all__ = [
    "ENGAGEMENT",
    "MAX_DEPTH",
    "Audience",
    "AudienceAsk",
    "Concentration",
    "Counterfactual",
    "Exposure",
    "FoundUser",
    "JudgedPage",
    "Judgement",
    "Page",
    "Place",
    "Ranking",
    "Recommendation",
    "Recommender",
    "SimilarProperty",
    "count_investors",
]
