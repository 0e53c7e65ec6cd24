"""Buy boxes: what an investor says is wanted, before or beside what its history shows."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Float, and_, case, cast, func, literal, select

from domain.contract.filters import PropertyFilter, Range, canonical_zipcode
from domain.contract.snapshots import BuyBox
from domain.contract.vocabulary import PropertyType
from domain.core import canonical, clock
from domain.core.base import storable
from domain.core.errors import DomainError, invalid, not_found
from domain.core.events import Event, Topic
from domain.core.work import Work
from domain.properties import search
from domain.properties.rows import PropertyValues
from domain.users.users import User

MAX_VALUES = 50
"""How many ZIP codes or cities a buy box names at most."""

MAX_TEXT = 100
MAX_BEDROOMS = 1000
MAX_PRICE = 1e12


class Criterion(StrEnum):
    """One side of a buy box; the value is the name of its field."""

    PROPERTY_TYPE = "property_types"
    ZIPCODE = "zipcodes"
    CITY = "cities"
    PRICE = "price"
    BEDROOMS = "bedrooms"


def stated(box: BuyBox) -> tuple[Criterion, ...]:
    """The sides that the box says something of."""
    return tuple(one for one in Criterion if getattr(box, one.value))


def met(box: BuyBox, found: PropertyValues) -> tuple[Criterion, ...]:
    """The stated criteria that a property meets; one whose value is missing meets none of it."""
    meets = {
        Criterion.PROPERTY_TYPE: found.property_type in box.property_types,
        Criterion.ZIPCODE: found.canonical_zipcode in box.zipcodes,
        Criterion.CITY: found.city in box.cities,
        Criterion.PRICE: _within(found.listing_price, box.price),
        Criterion.BEDROOMS: _within(found.bedrooms, box.bedrooms),
    }
    return tuple(one for one in stated(box) if meets[one])


def _within(value: float | None, wanted: Range | None) -> bool:
    if value is None or wanted is None:
        return False
    above = wanted.min is None or value >= wanted.min
    return above and (wanted.max is None or value <= wanted.max)


def met_share(box: BuyBox) -> ColumnElement[float]:
    """The share of the stated criteria that a property meets, as SQL. Something is stated."""
    criteria = stated(box)
    conditions = [
        and_(*search.matching(PropertyFilter(**{one.value: getattr(box, one.value)})))
        for one in criteria
    ]
    return _count(conditions) / float(len(criteria))


def met_share_of(found: PropertyValues) -> ColumnElement[float]:
    """The share of what a user states that a property meets, as SQL; null without a buy box."""
    box = User.buy_box

    def named(one: Criterion, value: str | None) -> ColumnElement[bool]:
        return literal(False) if value is None else box[one.value].has_key(str(value))

    def within(one: Criterion, value: float | None) -> ColumnElement[bool]:
        if value is None:
            return literal(False)
        low, high = (box[one.value, side].as_float() for side in ("min", "max"))
        above, below = func.coalesce(low <= value, True), func.coalesce(high >= value, True)
        return and_(box.has_key(one.value), above, below)

    meets = {
        Criterion.PROPERTY_TYPE: named(Criterion.PROPERTY_TYPE, found.property_type),
        Criterion.ZIPCODE: named(Criterion.ZIPCODE, found.canonical_zipcode),
        Criterion.CITY: named(Criterion.CITY, found.city),
        Criterion.PRICE: within(Criterion.PRICE, found.listing_price),
        Criterion.BEDROOMS: within(Criterion.BEDROOMS, found.bedrooms),
    }
    stated = _count(box.has_key(one.value) for one in meets)
    return _count(meets.values()) / func.nullif(stated, 0.0, type_=Float(53))


def _count(conditions: Iterable[ColumnElement[bool]]) -> ColumnElement[float]:
    """How many of the conditions hold, as SQL."""
    total: ColumnElement[float] = literal(0.0, Float(53))
    for one in conditions:
        total += case((one, literal(1.0, Float(53))), else_=literal(0.0, Float(53)))
    return cast(total, Float(53))


def loads(value: Mapping[str, Any] | None) -> BuyBox | None:
    """The buy box of a user's row; None if nothing is said."""
    if not value:
        return None
    return BuyBox(
        property_types=tuple(PropertyType(one) for one in value.get("property_types", ())),
        zipcodes=tuple(value.get("zipcodes", ())),
        cities=tuple(value.get("cities", ())),
        price=Range(**value["price"]) if "price" in value else None,
        bedrooms=Range(**value["bedrooms"]) if "bedrooms" in value else None,
    )


def _dumps(box: BuyBox) -> dict[str, Any] | None:
    said: dict[str, Any] = {}
    for one in stated(box):
        value = getattr(box, one.value)
        if isinstance(value, Range):
            said[one.value] = {"min": value.min, "max": value.max}
        else:
            said[one.value] = list(value)
    return said or None


async def state(work: Work, user_id: UUID, box: BuyBox) -> User:
    """Replace what an investor says is wanted; a box that says nothing takes it back.

    Raises:
        DomainError: NOT_FOUND for the user; INVALID_INPUT for a list, text or range against the
            rules, naming the field as clients know it.
    """
    for broken in _broken(box):
        raise broken
    user = await work.session.scalar(
        select(User).where(User.id == user_id).with_for_update(key_share=True)
    )
    if user is None:
        raise not_found("user", ("userId",))
    said = _dumps(_canonical(box))
    if user.buy_box != said:
        user.buy_box, user.buy_box_set_at = said, await clock.now(work)
        await work.session.flush()
        work.publish(Event(Topic.BUY_BOX, user_id))
    return user


def _canonical(box: BuyBox) -> BuyBox:
    """The box in the words that properties have, each once."""
    cities = (canonical.value_of(canonical.phrase(city)) or city for city in box.cities)
    zipcodes = (canonical_zipcode(code.strip()) for code in box.zipcodes)
    return replace(
        box, cities=tuple(dict.fromkeys(cities)), zipcodes=tuple(dict.fromkeys(zipcodes))
    )


def _broken(box: BuyBox) -> Iterator[DomainError]:
    for name, values in (
        ("propertyTypes", box.property_types),
        ("zipcodes", box.zipcodes),
        ("cities", box.cities),
    ):
        if len(values) > MAX_VALUES:
            yield invalid(f"{name}: {len(values)} values; use at most {MAX_VALUES}", name)
        for place, value in enumerate(values):
            if not value.strip() or len(value) > MAX_TEXT or not storable(value):
                yield invalid(
                    f"{name} {value[:60]!r}: use text of 1 to {MAX_TEXT} characters, without "
                    "zero bytes",
                    name, str(place),
                )  # fmt: skip
    for name, wanted, limit in (
        ("price", box.price, MAX_PRICE),
        ("bedrooms", box.bedrooms, MAX_BEDROOMS),
    ):
        if wanted is None:
            continue
        for side, bound in (("min", wanted.min), ("max", wanted.max)):
            if bound is not None and not 0 <= bound <= limit:
                yield invalid(f"{name}.{side} {bound:g}: use 0 to {limit:g}", name, side)
        if wanted.min is not None and wanted.max is not None and wanted.min > wanted.max:
            yield invalid(
                f"{name}: min {wanted.min:g} is above max {wanted.max:g}; swap them", name, "min"
            )
