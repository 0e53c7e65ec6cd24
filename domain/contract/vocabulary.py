"""The closed vocabularies of the domain. Their order is the order of one-hot features."""

from enum import StrEnum


class PropertyType(StrEnum):
    """What kind of building or land a property is."""

    SINGLE_FAMILY = "SINGLE_FAMILY"
    CONDO = "CONDO"
    TOWNHOUSE = "TOWNHOUSE"
    MULTI_FAMILY = "MULTI_FAMILY"
    LAND = "LAND"


class ListingStatus(StrEnum):
    """Where a property stands on the market."""

    ACTIVE = "ACTIVE"
    PENDING = "PENDING"
    SOLD = "SOLD"
    OFF_MARKET = "OFF_MARKET"


class InteractionKind(StrEnum):
    """What an investor did with a property, or said of it."""

    VIEW = "VIEW"
    SAVE = "SAVE"
    OUTREACH = "OUTREACH"
    DEAL = "DEAL"
    THUMBS_UP = "THUMBS_UP"
    THUMBS_DOWN = "THUMBS_DOWN"
    DISMISS = "DISMISS"


class Role(StrEnum):
    """What a user may do in its tenant; each role may do all that the one before it may."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    ADMIN = "admin"

    def at_most(self, limit: "Role") -> "Role":
        """This role, or the limit where that may do less."""
        return min(self, limit, key=list(Role).index)


INTERACTION_WEIGHTS: dict[InteractionKind, float] = {
    InteractionKind.VIEW: 1.0,
    InteractionKind.SAVE: 3.0,
    InteractionKind.OUTREACH: 5.0,
    InteractionKind.DEAL: 10.0,
    InteractionKind.THUMBS_UP: 6.0,
    InteractionKind.THUMBS_DOWN: -6.0,
    InteractionKind.DISMISS: -2.0,
}
"""How strongly each kind speaks for (or against) a property, in views."""

THUMBS: frozenset[InteractionKind] = frozenset(
    {InteractionKind.THUMBS_UP, InteractionKind.THUMBS_DOWN}
)
"""The kinds that are an opinion: an investor holds at most one of a property at a time."""

EXCLUDING: frozenset[InteractionKind] = frozenset(
    {InteractionKind.DEAL, InteractionKind.THUMBS_DOWN, InteractionKind.DISMISS}
)
"""The kinds after which a property is not recommended again: owned, disliked or dismissed."""
