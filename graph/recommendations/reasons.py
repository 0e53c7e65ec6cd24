"""Why a property is on an investor's list: one interface, one type for each sort of evidence."""

from typing import Any, TypeVar
from uuid import UUID

import strawberry

from domain.contract.vocabulary import PropertyType
from domain.recommendations import reasons
from domain.recommendations.paging import JudgedPage
from domain.recommendations.ranking import Judgement
from domain.recommendations.reasons import Approval, Attribute, ReasonKind, TraitKind
from domain.users.buy_boxes import Criterion
from graph.core.context import Info
from graph.core.directives import weight
from graph.core.enums import publish
from graph.core.pagination import Connection
from graph.properties.types import Property

T = TypeVar("T")

publish(
    ReasonKind,
    "What a reason rests on.",
    {
        ReasonKind.OWN_HISTORY: "The investor took to this very property before.",
        ReasonKind.LIKE_HISTORY: "It is like a property that the investor took to.",
        ReasonKind.WITHIN_RANGE: "It is of the price, size or type that the investor takes to.",
        ReasonKind.NEAR_HOLDINGS: "It lies within 5 km of a property that the investor took to.",
        ReasonKind.BUY_BOX: "It meets criteria that the investor stated.",
        ReasonKind.FIRM_ENGAGEMENT: "The tenant's investors engage with it.",
        ReasonKind.NO_HISTORY: "The investor has no history to rank by yet.",
        ReasonKind.NO_ACTIVE_MODEL: "The tenant has no trained model to rank by yet.",
    },
)
publish(
    Approval,
    "What an investor did that speaks for a property.",
    {
        Approval.VIEW: "Looked at it.",
        Approval.SAVE: "Kept it for later.",
        Approval.OUTREACH: "Made contact about it.",
        Approval.DEAL: "Bought it.",
        Approval.THUMBS_UP: "Asked for more like it.",
    },
)
publish(
    TraitKind,
    "What two properties can have in common.",
    {
        TraitKind.ZIPCODE: "The ZIP code.",
        TraitKind.PROPERTY_TYPE: "The type.",
        TraitKind.PRICE: "The listing price, within 15%.",
        TraitKind.BEDROOMS: "The number of bedrooms.",
    },
)
publish(
    Attribute,
    "What an investor has a usual range of.",
    {
        Attribute.PRICE: "The listing price, in dollars.",
        Attribute.SIZE: "The living area, in square feet.",
        Attribute.PROPERTY_TYPE: "The type.",
    },
    name="ReasonAttribute",
)
publish(
    Criterion,
    "One side of a buy box.",
    {
        Criterion.PROPERTY_TYPE: "The type.",
        Criterion.ZIPCODE: "The ZIP code.",
        Criterion.CITY: "The city.",
        Criterion.PRICE: "The listing price.",
        Criterion.BEDROOMS: "The number of bedrooms.",
    },
    name="BuyBoxCriterion",
)


@strawberry.interface
class Reason:
    """Why a property is on an investor's list."""

    property_id: strawberry.Private[UUID | None]
    kind: ReasonKind = strawberry.field(description="What it rests on.")
    text: str = strawberry.field(description="A sentence for people.")
    strength: float | None = strawberry.field(
        description="How far the property's score would fall without it, in log-odds; null where "
        "no model ranked or that is not known."
    )

    @strawberry.field(name="property")
    async def named_property(self, info: Info) -> Property | None:
        """The property that it points at, if any."""
        return await Property.find(info.context, self.property_id)


@strawberry.type(directives=[weight(0)])
class SharedTrait:
    """Something that two properties have in common."""

    kind: TraitKind = strawberry.field(description="In what respect.")
    text: str = strawberry.field(description="As a person would say it.")


@strawberry.type
class HistoryReason(Reason):
    """OWN_HISTORY or LIKE_HISTORY: what the investor did with it, or with one like it."""

    deed: Approval = strawberry.field(description="The weightiest of what the investor did.")
    shared_traits: list[SharedTrait] = strawberry.field(
        description="What the two have in common, the most telling first; empty for its own."
    )


@strawberry.type
class RangeReason(Reason):
    """WITHIN_RANGE: it lies where most of what the investor approved of does."""

    attribute: Attribute = strawberry.field(description="In what respect.")
    low: float | None = strawberry.field(
        description="Of price and size: the 10th percentile of what the investor approved of."
    )
    high: float | None = strawberry.field(description="Of price and size: the 90th percentile.")
    value: float | None = strawberry.field(
        description="Of price and size: the property's, in dollars or square feet."
    )
    property_type: PropertyType | None = strawberry.field(
        description="Of the type: the property's."
    )
    share: float | None = strawberry.field(
        description="Of the type: its share of what the investor approved of, 0 to 1."
    )


@strawberry.type
class NearnessReason(Reason):
    """NEAR_HOLDINGS: it lies within 5 km of a property that the investor took to."""

    deed: Approval = strawberry.field(description="What the investor did with that property.")
    distance_km: float = strawberry.field(description="How far apart they are, in kilometres.")


@strawberry.type
class BuyBoxReason(Reason):
    """BUY_BOX: it meets criteria that the investor stated."""

    criteria: list[Criterion] = strawberry.field(description="The criteria that it meets.")


@strawberry.type
class EngagementReason(Reason):
    """FIRM_ENGAGEMENT: the tenant's investors engage with it."""

    engagement: float = strawberry.field(description="How much, in views.")


@strawberry.type
class FallbackReason(Reason):
    """NO_HISTORY or NO_ACTIVE_MODEL: why no model computed the answer."""

    @staticmethod
    def of(given: reasons.Reason | None) -> "FallbackReason | None":
        """The reason as a client sees it. None if a model computed the answer."""
        if given is None:
            return None
        return FallbackReason(
            kind=given.kind, text=given.text, property_id=None, strength=given.strength
        )


REASONS = (
    HistoryReason,
    RangeReason,
    NearnessReason,
    BuyBoxReason,
    EngagementReason,
    FallbackReason,
)
"""The types of the interface, which the schema does not find by itself."""


def reason_of(given: reasons.Reason) -> Reason:
    """A reason as a client sees it."""
    kind, text, property_id, strength = given.kind, given.text, given.property_id, given.strength
    match given:
        case reasons.HistoryReason(deed=deed, traits=traits):
            shared = [SharedTrait(kind=trait.kind, text=trait.text) for trait in traits]
            return HistoryReason(
                kind=kind, text=text, property_id=property_id, strength=strength,
                deed=deed, shared_traits=shared,
            )  # fmt: skip
        case reasons.RangeReason():
            return RangeReason(
                kind=kind, text=text, property_id=property_id, strength=strength,
                attribute=given.attribute, low=given.low, high=given.high, value=given.value,
                property_type=given.property_type, share=given.share,
            )  # fmt: skip
        case reasons.NearnessReason(deed=deed, distance_km=distance_km):
            return NearnessReason(
                kind=kind, text=text, property_id=property_id, strength=strength,
                deed=deed, distance_km=distance_km,
            )  # fmt: skip
        case reasons.BuyBoxReason(criteria=criteria):
            return BuyBoxReason(
                kind=kind, text=text, property_id=property_id, strength=strength,
                criteria=list(criteria),
            )  # fmt: skip
        case reasons.EngagementReason(engagement=engagement):
            return EngagementReason(
                kind=kind, text=text, property_id=property_id, strength=strength,
                engagement=engagement,
            )  # fmt: skip
        case _:
            return FallbackReason(kind=kind, text=text, property_id=property_id, strength=strength)


def version_of(judged: Judgement | JudgedPage[Any]) -> str | None:
    """The version that computed the answer, as a client sees it. None if none did."""
    return str(judged.model_version) if judged.model_version else None


@strawberry.type
class JudgedConnection(Connection[T]):
    """A page of a list that a model ranked, or something in its place."""

    model_version: str | None = strawberry.field(
        description="Model version that ranked the list. Null if none did; see `reason`."
    )
    reason: FallbackReason | None = strawberry.field(
        description="Why no model ranked the list, and what the list follows instead. Null if one "
        "did."
    )
