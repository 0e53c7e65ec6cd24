"""The order of properties: an input, turned into the domain's."""

from enum import StrEnum

import strawberry

from domain.properties.search import ORDERABLE, Order
from graph.core.enums import publish


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


@strawberry.input(
    description="How properties are ordered: those that lack the value come last, ties go by id."
)
class PropertyOrder:
    """How properties are ordered."""

    field: PropertyOrderField = strawberry.field(description="By what.")
    direction: OrderDirection = strawberry.field(
        default=OrderDirection.ASC, description="Which way."
    )


def to_order(order: PropertyOrder | None) -> Order:
    """The domain's order; by id if none is asked for."""
    if order is None:
        return Order()
    return Order(order.field.value, descending=order.direction is OrderDirection.DESC)
