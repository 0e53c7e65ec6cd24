"""Reasons: why a property is on an investor's list, true of the model and the data."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.contract.snapshots import BuyBox
from domain.contract.vocabulary import INTERACTION_WEIGHTS, PropertyType
from domain.properties.rows import PropertyValues
from domain.users import buy_boxes
from domain.users.buy_boxes import Criterion


class ReasonKind(StrEnum):
    """What a reason rests on."""

    OWN_HISTORY = "OWN_HISTORY"
    LIKE_HISTORY = "LIKE_HISTORY"
    WITHIN_RANGE = "WITHIN_RANGE"
    NEAR_HOLDINGS = "NEAR_HOLDINGS"
    BUY_BOX = "BUY_BOX"
    FIRM_ENGAGEMENT = "FIRM_ENGAGEMENT"
    NO_HISTORY = "NO_HISTORY"
    NO_ACTIVE_MODEL = "NO_ACTIVE_MODEL"


class Approval(StrEnum):
    """The interaction kinds that speak for a property."""

    VIEW = "VIEW"
    SAVE = "SAVE"
    OUTREACH = "OUTREACH"
    DEAL = "DEAL"
    THUMBS_UP = "THUMBS_UP"


assert {one.value for one in Approval} == {
    kind.value for kind, weight in INTERACTION_WEIGHTS.items() if weight > 0
}


class TraitKind(StrEnum):
    """What two properties can have in common, the most telling first."""

    ZIPCODE = "ZIPCODE"
    PROPERTY_TYPE = "PROPERTY_TYPE"
    PRICE = "PRICE"
    BEDROOMS = "BEDROOMS"


class Attribute(StrEnum):
    """What an investor has a usual range of."""

    PRICE = "PRICE"
    SIZE = "SIZE"
    PROPERTY_TYPE = "PROPERTY_TYPE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason.

    Attributes:
        kind: what it rests on.
        text: a sentence for people.
        property_id: the property it points at, if any.
        strength: how far the score falls without it, in log-odds; None if no model ranked.
    """

    kind: ReasonKind
    text: str
    property_id: UUID | None = None
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Trait:
    """Something that two properties have in common, and how a person would say it."""

    kind: TraitKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryReason(Reason):
    """OWN_HISTORY or LIKE_HISTORY: what the investor did with it or one like it."""

    deed: Approval
    traits: tuple[Trait, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeReason(Reason):
    """WITHIN_RANGE: the property lies where most of what the investor approved of does.

    Attributes:
        attribute: in what respect.
        low: of price and size, the 10th percentile of what the investor approved of.
        high: the 90th.
        value: the property's, in dollars or square feet.
        property_type: of the type, the property's.
        share: of the type, its share of what the investor approved of.
    """

    attribute: Attribute
    low: float | None = None
    high: float | None = None
    value: float | None = None
    property_type: PropertyType | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NearnessReason(Reason):
    """NEAR_HOLDINGS: how near, in kilometres, it is to a property that the investor took to."""

    deed: Approval
    distance_km: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyBoxReason(Reason):
    """BUY_BOX: which of the stated criteria it meets."""

    criteria: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngagementReason(Reason):
    """FIRM_ENGAGEMENT: how much the tenant's investors engage with it, in views."""

    engagement: float


FOLLOWED = "what your firm's investors engage with"
"""What scores and lists follow where no model judges."""

DEED = {
    Approval.VIEW: "you viewed",
    Approval.SAVE: "you saved",
    Approval.OUTREACH: "you made contact about",
    Approval.DEAL: "you bought",
    Approval.THUMBS_UP: "you liked",
}
_CRITERION = {
    Criterion.PROPERTY_TYPE: "type",
    Criterion.ZIPCODE: "ZIP code",
    Criterion.CITY: "city",
    Criterion.PRICE: "price",
    Criterion.BEDROOMS: "bedrooms",
}


def name_of(found: PropertyValues) -> str:
    """How a person would call the property: its address, else its external id."""
    return found.address or found.external_id


def words(value: StrEnum) -> str:
    """A value of a vocabulary as words."""
    return value.value.replace("_", " ").lower()


def shared_traits(one: PropertyValues, other: PropertyValues) -> tuple[Trait, ...]:
    """What two properties have in common, the most telling first."""
    traits = []
    zipcode = one.canonical_zipcode
    if zipcode and zipcode == other.canonical_zipcode:
        traits.append(Trait(TraitKind.ZIPCODE, f"same ZIP code {zipcode}"))
    if one.property_type and one.property_type == other.property_type:
        traits.append(Trait(TraitKind.PROPERTY_TYPE, f"also {words(one.property_type)}"))
    if one.listing_price and other.listing_price:
        difference = one.listing_price / other.listing_price - 1
        if abs(difference) <= 0.15:
            percent = max(1, round(abs(difference) * 100))
            traits.append(Trait(TraitKind.PRICE, f"price within {percent}%"))
    if one.bedrooms and one.bedrooms == other.bedrooms:
        traits.append(Trait(TraitKind.BEDROOMS, f"{one.bedrooms} bedrooms"))
    return tuple(traits)


def buy_box_reason(
    found: PropertyValues, box: BuyBox | None, strength: float | None = None
) -> BuyBoxReason | None:
    """Which stated criteria the property meets; None if it meets none."""
    criteria = buy_boxes.met(box, found) if box else ()
    if box is None or not criteria:
        return None
    whole = "all of your buy box" if criteria == buy_boxes.stated(box) else "your buy box in part"
    listed = ", ".join(_CRITERION[one] for one in criteria)
    return BuyBoxReason(
        kind=ReasonKind.BUY_BOX,
        text=f"Meets {whole}: {listed}.",
        strength=strength,
        criteria=criteria,
    )


def cold_reasons(
    found: PropertyValues, box: BuyBox | None, *, model_active: bool
) -> tuple[Reason, ...]:
    """The reasons of a property that no model ranked, and why none did."""
    reasons: list[Reason] = []
    if (meets := buy_box_reason(found, box)) is not None:
        reasons.append(meets)
    if found.engagement > 0:
        reasons.append(
            EngagementReason(
                kind=ReasonKind.FIRM_ENGAGEMENT,
                text="Your firm's investors engage with this property.",
                engagement=found.engagement,
            )
        )
    return (*reasons, cold_reason("list", box, model_active=model_active))


def cold_reason(answer: str, box: BuyBox | None, *, model_active: bool) -> Reason:
    """Why no model judged for an investor, and what the answer, a list or score, follows."""
    follows = f"your buy box and {FOLLOWED}" if box else FOLLOWED
    if not model_active:
        return no_active_model(answer, follows)
    text = f"You have no history yet, so this {answer} follows {follows}."
    return Reason(kind=ReasonKind.NO_HISTORY, text=text)


def no_active_model(answer: str, follows: str) -> Reason:
    """That no version is active, and what the answer, a list or score, follows instead."""
    text = f"No model is active yet, so this {answer} follows {follows}."
    return Reason(kind=ReasonKind.NO_ACTIVE_MODEL, text=text)
