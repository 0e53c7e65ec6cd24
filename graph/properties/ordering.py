"""The order of properties: an input, turned into the domain's, and cursors in that order."""

import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import strawberry

from domain.contract.property_search import ORDERABLE, Order, Position
from domain.core.errors import invalid
from graph.core.enums import publish
from graph.core.pagination import decode, encode, not_ours

INTEGER_COLUMNS = ("bedrooms", "year_built", "days_on_market")


class PropertyOrderField(StrEnum):
    """What properties are ordered by: the domain's ``ORDERABLE``."""

    LISTING_PRICE = "listing_price"
    ESTIMATED_VALUE = "estimated_value"
    PRICE_PER_SQUARE_FOOT = "price_per_square_foot"
    CAP_RATE = "cap_rate"
    CASH_ON_CASH_RETURN = "cash_on_cash_return"
    BEDROOMS = "bedrooms"
    BATHROOMS = "bathrooms"
    SQUARE_FEET = "square_feet"
    LOT_SQUARE_FEET = "lot_square_feet"
    YEAR_BUILT = "year_built"
    DAYS_ON_MARKET = "days_on_market"
    CONDITION_SCORE = "condition_score"
    LISTED_AT = "listed_at"
    ENGAGEMENT = "engagement"


class OrderDirection(StrEnum):
    """Which way a list is ordered."""

    ASC = "ASC"
    DESC = "DESC"


assert {field.value for field in PropertyOrderField} == set(ORDERABLE)

publish(
    PropertyOrderField,
    "What properties are ordered by.",
    {
        PropertyOrderField.LISTING_PRICE: "The listing price.",
        PropertyOrderField.ESTIMATED_VALUE: "The estimated value.",
        PropertyOrderField.PRICE_PER_SQUARE_FOOT: "The listing price over the living area.",
        PropertyOrderField.CAP_RATE: "The cap rate.",
        PropertyOrderField.CASH_ON_CASH_RETURN: "Yearly cash flow over cash invested.",
        PropertyOrderField.BEDROOMS: "How many bedrooms.",
        PropertyOrderField.BATHROOMS: "How many bathrooms.",
        PropertyOrderField.SQUARE_FEET: "The living area.",
        PropertyOrderField.LOT_SQUARE_FEET: "The area of the lot.",
        PropertyOrderField.YEAR_BUILT: "The year it was built.",
        PropertyOrderField.DAYS_ON_MARKET: "How long it has been on the market.",
        PropertyOrderField.CONDITION_SCORE: "Its condition.",
        PropertyOrderField.LISTED_AT: "When it was listed.",
        PropertyOrderField.ENGAGEMENT: "How much the tenant's investors engage with it.",
    },
)
publish(
    OrderDirection,
    "Which way a list is ordered.",
    {OrderDirection.ASC: "The smallest first.", OrderDirection.DESC: "The greatest first."},
)


@strawberry.input
class PropertyOrder:
    """How properties are ordered: those that lack the value come last, ties go by id."""

    field: PropertyOrderField = strawberry.field(description="By what.")
    direction: OrderDirection = strawberry.field(
        default=OrderDirection.ASC, description="Which way."
    )


def to_order(order: PropertyOrder | None) -> Order:
    """The domain's order; by id if none is asked for."""
    if order is None:
        return Order()
    return Order(order.field.value, descending=order.direction is OrderDirection.DESC)


def position_cursor(order: Order, place: Position) -> str:
    """The cursor of a property in an ordered list."""
    value = place.value.isoformat() if isinstance(place.value, datetime) else place.value
    return encode("properties", order.column, order.descending, value, place.id.hex)


def parse_position(cursor: str | None, order: Order, field: str) -> Position | None:
    """The place of a cursor, if any. Raises DomainError INVALID_INPUT for another list's."""
    if cursor is None:
        return None
    column, descending, value, place_id = decode(cursor, "properties", 4, field)
    if (column, descending) != (order.column, order.descending):
        raise invalid(f"{field}: this cursor is of a list in another order", field)
    try:
        return Position(_column_value(order.column, value), UUID(place_id))
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise not_ours(field) from None


def _column_value(column: str | None, value: Any) -> float | datetime | None:
    if column is None or value is None:
        return None
    if column == "listed_at":
        return datetime.fromisoformat(value).astimezone(UTC)
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(value)
    if column in INTEGER_COLUMNS and (not isinstance(value, int) or abs(value) >= 2**31):
        raise ValueError(value)
    return value if column in INTEGER_COLUMNS else float(value)
