"""What recommendations leave out: what the investor has dealt with, and what is not for sale."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from domain.contract.filters import PropertyFilter
from domain.contract.vocabulary import EXCLUDING, InteractionKind, ListingStatus


class RecommendationHistory(StrEnum):
    """Whether properties that the investor has acted on are recommended."""

    NEW = "NEW"
    ANY = "ANY"


LEFT_OUT: Mapping[RecommendationHistory, frozenset[InteractionKind]] = {
    RecommendationHistory.NEW: EXCLUDING | {InteractionKind.SAVE, InteractionKind.OUTREACH},
    RecommendationHistory.ANY: EXCLUDING,
}
"""The interactions with a property after which it is not recommended to the investor."""

NOT_FOR_SALE: tuple[ListingStatus, ...] = (ListingStatus.SOLD, ListingStatus.OFF_MARKET)
"""The statuses of properties that are recommended only if a filter names them."""


def for_sale(where: PropertyFilter) -> PropertyFilter:
    """The filter without what is not for sale, unless it names statuses.

    A property of unknown status may be for sale.
    """
    return (
        where if where.listing_statuses else replace(where, exclude_listing_statuses=NOT_FOR_SALE)
    )
