"""Reasons say what is true of the property and the history, and no more."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from domain.contract.filters import Range
from domain.contract.snapshots import BuyBox, Cause, CauseKind, InvestorHistory
from domain.contract.vocabulary import InteractionKind, PropertyType
from domain.properties.snapshots import columns_of
from domain.properties.table import Property
from domain.recommendations.explanations import Explainer
from domain.recommendations.reasons import (
    Approval,
    Attribute,
    BuyBoxReason,
    HistoryReason,
    NearnessReason,
    RangeReason,
    Reason,
    ReasonKind,
    TraitKind,
)
from domain.users.buy_boxes import Criterion

KINDS = list(InteractionKind)


def house(number: int, **fields: Any) -> Property:
    defaults = {
        "address": f"{number} Main Street",
        "external_id": f"house-{number}",
        "canonical_zipcode": "98103",
        "property_type": PropertyType.SINGLE_FAMILY,
        "listing_price": 400_000.0 + 10_000 * number,
        "square_feet": 1000.0 + 100 * number,
        "bedrooms": 3,
        "owners": 0,
    }
    return Property(id=UUID(int=number), **(defaults | fields))


PAST = [house(number) for number in range(1, 11)]
NEW = house(99, listing_price=450_000.0, square_feet=1500.0)


def explain(
    found: Property,
    *causes: Cause,
    past: Sequence[Property] = PAST,
    kinds: Sequence[InteractionKind] = (InteractionKind.SAVE,) * 10,
    box: BuyBox | None = None,
) -> tuple[Reason, ...]:
    history = InvestorHistory(
        user_id=UUID(int=0),
        properties=columns_of(past),
        kind=np.array([KINDS.index(kind) for kind in kinds], dtype=np.int8),
        occurred_at=np.arange(len(kinds), 0, -1, dtype=np.float64),
        as_of=100.0,
        buy_box=box,
    )
    return Explainer(history, {one.id: one for one in past}).reasons(found, causes)


def history_cause(number: int, strength: float = 1.0) -> Cause:
    return Cause(CauseKind.HISTORY, strength, UUID(int=number))


def test_a_likeness_names_the_property_the_deed_and_what_they_share() -> None:
    (reason,) = explain(NEW, history_cause(5))
    assert isinstance(reason, HistoryReason)
    assert (reason.kind, reason.property_id, reason.strength, reason.deed) == (
        ReasonKind.LIKE_HISTORY, UUID(int=5), 1.0, Approval.SAVE,
    )  # fmt: skip
    assert [trait.kind for trait in reason.traits] == list(TraitKind)
    assert reason.text == (
        "Like 5 Main Street, which you saved: same ZIP code 98103, also single family, "
        "price within 1%, 3 bedrooms."
    )
    strange = house(
        98, canonical_zipcode=None, property_type=PropertyType.LAND, listing_price=1.0, bedrooms=0
    )
    (reason,) = explain(strange, history_cause(5))
    assert isinstance(reason, HistoryReason)
    assert reason.traits == ()
    assert reason.text == "Like 5 Main Street, which you saved."


def test_the_weightiest_deed_is_told_and_what_was_refused_is_not() -> None:
    past = [PAST[0], PAST[0], PAST[1], PAST[1]]
    kinds = [
        InteractionKind.VIEW, InteractionKind.DEAL,
        InteractionKind.THUMBS_DOWN, InteractionKind.SAVE,
    ]  # fmt: skip
    (reason,) = explain(NEW, history_cause(1), history_cause(2), past=past, kinds=kinds)
    assert "1 Main Street, which you bought" in reason.text
    # A property deleted since is not spoken of either.
    assert explain(NEW, history_cause(77), past=past, kinds=kinds) == ()


def test_the_investors_own_find_is_called_that() -> None:
    (named,) = explain(PAST[3], history_cause(4, 0.7))
    assert (named.kind, named.text, named.property_id, named.strength) == (
        ReasonKind.OWN_HISTORY, "You saved this property.", UUID(int=4), 0.7,
    )  # fmt: skip
    like, own = explain(PAST[3], history_cause(5))
    assert (like.kind, own.kind) == (ReasonKind.LIKE_HISTORY, ReasonKind.OWN_HISTORY)
    assert own.strength is None


def test_a_range_is_claimed_within_it_alone() -> None:
    prices, sizes = Cause(CauseKind.PRICE, 0.4), Cause(CauseKind.SIZE, 0.3)
    price, size = explain(NEW, prices, sizes)
    assert isinstance(price, RangeReason)
    assert isinstance(size, RangeReason)
    assert (price.attribute, price.value) == (Attribute.PRICE, 450_000)
    assert price.low == pytest.approx(419_000)
    assert price.high == pytest.approx(491_000)
    assert price.text == "Within your usual price: 419,000 to 491,000."
    assert (size.attribute, size.value) == (Attribute.SIZE, 1500)
    assert size.text == "Within your usual size: 1,190 to 1,910 square feet."
    for value in (418_999.0, 491_001.0, None):
        assert explain(house(99, listing_price=value), prices) == ()
    # Four are too few to call anything usual, and so are four known ones among many.
    kinds = [InteractionKind.SAVE] * 4
    assert explain(NEW, prices, past=PAST[:4], kinds=kinds) == ()
    unknown = [*PAST[:4], *(house(n, listing_price=None) for n in range(20, 26))]
    assert explain(NEW, prices, past=unknown) == ()
    # The same house ten times is one house.
    assert explain(PAST[0], prices, past=[PAST[0]] * 10)[0].kind is ReasonKind.OWN_HISTORY


def test_a_type_is_usual_from_a_fifth_on() -> None:
    cause = Cause(CauseKind.PROPERTY_TYPE, 0.2)
    condo = house(99, property_type=PropertyType.CONDO)
    past = [house(n, property_type=PropertyType.CONDO) for n in (1, 2)] + PAST[2:]
    (reason,) = explain(condo, cause, past=past)
    assert isinstance(reason, RangeReason)
    assert (reason.attribute, reason.property_type, reason.share) == (
        Attribute.PROPERTY_TYPE, PropertyType.CONDO, 0.2,
    )  # fmt: skip
    assert reason.text == "Condo, like 20% of the properties you took to."
    assert explain(condo, cause, past=[*past[:1], *PAST[1:]]) == ()
    assert explain(house(99, property_type=None), cause, past=past) == ()


def test_nearness_is_claimed_within_five_kilometres() -> None:
    def near(km: float | None, number: int = 3) -> tuple[Reason, ...]:
        return explain(NEW, Cause(CauseKind.NEARNESS, 0.5, UUID(int=number), km))

    (reason,) = near(0.31)
    assert isinstance(reason, NearnessReason)
    assert (reason.kind, reason.distance_km, reason.deed) == (
        ReasonKind.NEAR_HOLDINGS, 0.31, Approval.SAVE,
    )  # fmt: skip
    assert reason.text == "Near 3 Main Street, which you saved: 0.3 km."
    assert near(0.01)[0].text.endswith("less than 0.1 km.")
    assert near(5.0)
    assert near(5.01) == near(None) == near(1.0, 77) == ()
    kinds = {
        reason.kind for reason in explain(PAST[2], Cause(CauseKind.NEARNESS, 1, UUID(int=3), 0.0))
    }
    assert kinds == {ReasonKind.OWN_HISTORY}


def test_a_buy_box_is_claimed_where_it_is_met() -> None:
    cause = Cause(CauseKind.BUY_BOX, 0.9)
    box = BuyBox(zipcodes=("98103",), price=Range(None, 100))
    (reason,) = explain(NEW, cause, box=box)
    assert isinstance(reason, BuyBoxReason)
    assert (reason.criteria, reason.strength) == ((Criterion.ZIPCODE,), 0.9)
    assert explain(house(99, canonical_zipcode=None), cause, box=box) == ()
    assert explain(NEW, cause) == ()


def test_three_reasons_at_most_in_the_order_of_the_causes() -> None:
    causes = [
        Cause(CauseKind.PRICE, 0.9), history_cause(5, 0.8), Cause(CauseKind.SIZE, 0.7),
        Cause(CauseKind.PROPERTY_TYPE, 0.6),
    ]  # fmt: skip
    reasons = explain(NEW, *causes)
    assert [reason.strength for reason in reasons] == [0.9, 0.8, 0.7]
    assert explain(NEW) == ()
