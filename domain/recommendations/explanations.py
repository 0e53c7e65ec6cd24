"""From what a model names as causes to reasons that hold for the property and the history."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from domain.contract.snapshots import Cause, CauseKind, InvestorHistory, PropertyColumns
from domain.contract.vocabulary import INTERACTION_WEIGHTS, InteractionKind, PropertyType
from domain.properties.rows import PropertyValues
from domain.recommendations.reasons import (
    DEED,
    Approval,
    Attribute,
    HistoryReason,
    NearnessReason,
    RangeReason,
    Reason,
    ReasonKind,
    buy_box_reason,
    name_of,
    shared_traits,
    words,
)

MAX_REASONS = 3
NEAR_KM = 5.0
"""How near to another a property must be for that to be said."""

USUAL_OF = 5
"""Of how many known values on a range is called usual."""

USUAL_SHARE = 0.2
"""From which share of the approvals on a type is called usual."""

_KINDS = list(InteractionKind)
_TYPES = list(PropertyType)


class Explainer:
    """Turns the causes of one investor's scores into reasons.

    Args:
        history: the investor's.
        named: the rows of the properties that causes name, by id.
    """

    def __init__(self, history: InvestorHistory, named: Mapping[UUID, PropertyValues]) -> None:
        self._box = history.buy_box
        self._named = named
        self._deeds = _deeds(history)
        self._approved = _approved(history, self._deeds)

    def reasons(self, found: PropertyValues, causes: Sequence[Cause]) -> tuple[Reason, ...]:
        """At most three reasons for a property, the strongest first; only what is true of it."""
        reasons = [reason for cause in causes if (reason := self._reason(found, cause)) is not None]
        own = all(reason.kind is not ReasonKind.OWN_HISTORY for reason in reasons)
        if own and found.id in self._deeds:
            reasons.append(self._own(found, None))
        return tuple(reasons[:MAX_REASONS])

    def _reason(self, found: PropertyValues, cause: Cause) -> Reason | None:
        match cause.kind:
            case CauseKind.HISTORY:
                return self._like(found, cause)
            case CauseKind.NEARNESS:
                return self._near(found, cause)
            case CauseKind.PRICE:
                prices = self._approved.column("listing_price")
                return _within(Attribute.PRICE, found.listing_price, prices, cause.strength)
            case CauseKind.SIZE:
                sizes = self._approved.column("square_feet")
                return _within(Attribute.SIZE, found.square_feet, sizes, cause.strength)
            case CauseKind.PROPERTY_TYPE:
                return self._usual_type(found, cause.strength)
            case CauseKind.BUY_BOX:
                return buy_box_reason(found, self._box, cause.strength)

    def _own(self, found: PropertyValues, strength: float | None) -> Reason:
        deed = self._deeds[found.id]
        return HistoryReason(
            kind=ReasonKind.OWN_HISTORY,
            text=f"{DEED[deed].capitalize()} this property.",
            property_id=found.id,
            strength=strength,
            deed=deed,
        )

    def _pointed_at(self, cause: Cause) -> tuple[PropertyValues, Approval] | None:
        # What was deleted or taken back in the meantime is not spoken of.
        if cause.property_id not in self._named or cause.property_id not in self._deeds:
            return None
        return self._named[cause.property_id], self._deeds[cause.property_id]

    def _like(self, found: PropertyValues, cause: Cause) -> Reason | None:
        pointed_at = self._pointed_at(cause)
        if pointed_at is None:
            return None
        other, deed = pointed_at
        if other.id == found.id:
            return self._own(found, cause.strength)
        traits = shared_traits(found, other)
        because = f": {', '.join(trait.text for trait in traits)}" if traits else ""
        return HistoryReason(
            kind=ReasonKind.LIKE_HISTORY,
            text=f"Like {name_of(other)}, which {DEED[deed]}{because}.",
            property_id=other.id,
            strength=cause.strength,
            deed=deed,
            traits=traits,
        )

    def _near(self, found: PropertyValues, cause: Cause) -> Reason | None:
        pointed_at, distance = self._pointed_at(cause), cause.distance_km
        if pointed_at is None or distance is None or distance > NEAR_KM:
            return None
        other, deed = pointed_at
        if other.id == found.id:
            return None
        far = f"{distance:.1f} km" if distance >= 0.1 else "less than 0.1 km"
        return NearnessReason(
            kind=ReasonKind.NEAR_HOLDINGS,
            text=f"Near {name_of(other)}, which {DEED[deed]}: {far}.",
            property_id=other.id,
            strength=cause.strength,
            deed=deed,
            distance_km=distance,
        )

    def _usual_type(self, found: PropertyValues, strength: float) -> Reason | None:
        known = self._approved.property_type[self._approved.property_type >= 0]
        if found.property_type is None or len(known) < USUAL_OF:
            return None
        share = float((known == _TYPES.index(found.property_type)).mean())
        if share < USUAL_SHARE:
            return None
        kind = words(found.property_type).capitalize()
        return RangeReason(
            kind=ReasonKind.WITHIN_RANGE,
            text=f"{kind}, like {share:.0%} of the properties you took to.",
            strength=strength,
            attribute=Attribute.PROPERTY_TYPE,
            property_type=found.property_type,
            share=share,
        )


def named_in(causes: Collection[Sequence[Cause]]) -> set[UUID]:
    """The properties that causes point at."""
    return {cause.property_id for row in causes for cause in row if cause.property_id is not None}


def _within(
    attribute: Attribute, value: float | None, approved: NDArray[np.float64], strength: float
) -> Reason | None:
    known = approved[np.isfinite(approved)]
    if value is None or len(known) < USUAL_OF:
        return None
    low, high = (float(bound) for bound in np.percentile(known, [10, 90]))
    if not low <= value <= high:
        return None
    unit = " square feet" if attribute is Attribute.SIZE else ""
    return RangeReason(
        kind=ReasonKind.WITHIN_RANGE,
        text=f"Within your usual {words(attribute)}: {low:,.0f} to {high:,.0f}{unit}.",
        strength=strength,
        attribute=attribute,
        low=low,
        high=high,
        value=value,
    )


def _deeds(history: InvestorHistory) -> dict[UUID, Approval]:
    """The weightiest approval of each property that nothing in the history speaks against."""
    deeds: dict[UUID, Approval] = {}
    refused: set[UUID] = set()
    for property_id, position in zip(history.properties.ids, history.kind.tolist(), strict=True):
        kind = _KINDS[position]
        if INTERACTION_WEIGHTS[kind] <= 0:
            refused.add(property_id)
            continue
        known = deeds.get(property_id)
        if known is None or INTERACTION_WEIGHTS[kind] > INTERACTION_WEIGHTS[_KINDS_OF[known]]:
            deeds[property_id] = Approval(kind.value)
    return {property_id: deed for property_id, deed in deeds.items() if property_id not in refused}


_KINDS_OF = {approval: InteractionKind(approval.value) for approval in Approval}


def _approved(history: InvestorHistory, deeds: Collection[UUID]) -> PropertyColumns:
    """The properties approved of, each once."""
    rows = {one: row for row, one in enumerate(history.properties.ids) if one in deeds}
    return history.properties.take(list(rows.values()))
