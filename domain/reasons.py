"""Reasons: why a property is on an investor's list, true of the model and the data."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.properties import Property
from domain.vocabulary import InteractionKind


class ReasonKind(StrEnum):
    """What a reason rests on."""

    OWN_HISTORY = "OWN_HISTORY"
    LIKE_HISTORY = "LIKE_HISTORY"
    FIRM_ENGAGEMENT = "FIRM_ENGAGEMENT"
    NO_HISTORY = "NO_HISTORY"
    NO_ACTIVE_MODEL = "NO_ACTIVE_MODEL"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: its kind, a sentence for people, and the property it points at, if any."""

    kind: ReasonKind
    text: str
    property_id: UUID | None = None


DEED = {
    InteractionKind.VIEW: "you viewed",
    InteractionKind.SAVE: "you saved",
    InteractionKind.OUTREACH: "you made contact about",
    InteractionKind.DEAL: "you bought",
    InteractionKind.THUMBS_UP: "you liked",
}


def name_of(found: Property) -> str:
    """How a person would call the property: its address, else its external id."""
    return found.address or found.external_id


def shared_traits(one: Property, other: Property) -> list[str]:
    """What two properties have in common, in words, the most telling first."""
    traits = []
    if one.zipcode and one.zipcode == other.zipcode:
        traits.append(f"same ZIP code {one.zipcode}")
    if one.property_type and one.property_type == other.property_type:
        traits.append(f"also {one.property_type.replace('_', ' ').lower()}")
    if one.listing_price and other.listing_price:
        difference = one.listing_price / other.listing_price - 1
        if abs(difference) <= 0.15:
            traits.append(f"price within {max(1, round(abs(difference) * 100))}%")
    if one.bedrooms and one.bedrooms == other.bedrooms:
        traits.append(f"{one.bedrooms} bedrooms")
    return traits


def history_reasons(
    found: Property, nearest: Property, kind: InteractionKind
) -> tuple[Reason, ...]:
    """The reason of a property that the twin ranked: what in the history it is most like."""
    if found.id == nearest.id:
        deed = f"{DEED[kind].capitalize()} this property."
        return (Reason(ReasonKind.OWN_HISTORY, deed, found.id),)
    traits = shared_traits(found, nearest)
    because = f": {', '.join(traits)}" if traits else ""
    sentence = f"Like {name_of(nearest)}, which {DEED[kind]}{because}."
    return (Reason(ReasonKind.LIKE_HISTORY, sentence, nearest.id),)


def engagement_reasons(found: Property, *, model_active: bool) -> tuple[Reason, ...]:
    """The reasons of a property that the tenant's engagement ranked, and why that did."""
    if model_active:
        why = Reason(
            ReasonKind.NO_HISTORY,
            "You have no history yet, so this list follows what your firm's investors engage with.",
        )
    else:
        why = Reason(
            ReasonKind.NO_ACTIVE_MODEL,
            "No model is active yet, so this list follows what your firm's investors engage with.",
        )
    if found.engagement <= 0:
        return (why,)
    liked = "Your firm's investors engage with this property."
    return (Reason(ReasonKind.FIRM_ENGAGEMENT, liked), why)
