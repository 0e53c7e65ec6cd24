"""Properties: the type, and reading one or a list of them."""

from collections.abc import Awaitable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import strawberry

from domain.contract.filters import PropertyFilter
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.errors import not_found
from domain.properties import search, table
from domain.properties.input import PROPERTY_COLUMNS
from domain.properties.rows import PropertyRow, PropertyValues
from graph.core.context import Info
from graph.core.directives import at_most, page_of, weight
from graph.core.loaders import Pair
from graph.core.nodes import Node, NodeId, global_id, parse_id
from graph.core.pagination import (
    DEFAULT_PAGE,
    After,
    Before,
    Diversity,
    First,
    Last,
    PageInfo,
    keyset_page,
    page_size,
    parse_position,
    position_cursor,
)
from graph.core.ranked_cursors import RankedBefore, RankedLast, window
from graph.core.weights import AUDIENCE, QUERY, SEARCH
from graph.execution import READY
from graph.properties.filters import Where, to_filter
from graph.properties.ordering import PropertyOrder, to_order

if TYPE_CHECKING:
    from graph.interactions.types import Feedback
    from graph.properties.facets import PropertyFacets
    from graph.recommendations.audience import InterestedUserConnection
    from graph.recommendations.similarity import SimilarPropertyConnection

T = TypeVar("T", bound=type[Any])

COLUMNS = {
    "external_id": "The id in the tenant's own systems.",
    "address": "Street and number.",
    "city": "City.",
    "state": "State, as in the source.",
    "zipcode": "ZIP code.",
    "latitude": "Degrees north, WGS 84.",
    "longitude": "Degrees east, WGS 84.",
    "property_type": "What kind of building or land it is.",
    "listing_status": "Where it stands on the market.",
    "listing_price": "Asking price, in dollars.",
    "estimated_value": "What it is thought to be worth, in dollars.",
    "cap_rate": "Net operating income over price, a fraction: 0.065 is 6.5%.",
    "cash_on_cash_return": "Yearly cash flow over cash invested, a fraction.",
    "bedrooms": "How many bedrooms.",
    "bathrooms": "How many bathrooms, halves allowed.",
    "square_feet": "Living area, in square feet.",
    "lot_square_feet": "Area of the lot, in square feet.",
    "year_built": "The year it was built.",
    "days_on_market": "How many days it has been listed.",
    "condition_score": "Condition, 0 (worst) to 1 (best).",
    "renovation_needed": "Whether it needs renovation.",
    "listed_at": "When it was listed.",
    "source_system": "Where the record comes from.",
    "confidence": "How far the source is trusted, 0 to 1.",
}
"""What each import column means, for the type and for the input alike."""

UserId = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="The investor; the caller if absent. Not for viewers."),
]


def describe_columns(kind: T) -> T:
    """Describe the fields of a type that are import columns, in the words of ``COLUMNS``."""
    for field in kind.__strawberry_definition__.fields:
        field.description = COLUMNS.get(field.python_name, field.description)
    return kind


@strawberry.type(
    description="Where the value of one field of a property comes from.",
    # Part of the property's own row, however many there are.
    directives=[weight(0)],
)
class FieldProvenance:
    """Where the value of one field comes from."""

    field: str = strawberry.field(description="The field's name, as in this schema.")
    source_system: str | None = strawberry.field(description="The system that gave the value.")
    confidence: float | None = strawberry.field(description="How far it is trusted, 0 to 1.")
    observed_at: datetime | None = strawberry.field(description="When the value was observed.")


@describe_columns
@strawberry.type(description="A property of the tenant's pipeline.")
class Property(Node):
    """A property."""

    row: strawberry.Private[PropertyValues]
    external_id: str
    address: str | None
    city: str | None
    state: str | None
    zipcode: str | None
    latitude: float | None
    longitude: float | None
    property_type: PropertyType | None
    listing_status: ListingStatus | None
    listing_price: float | None
    estimated_value: float | None
    cap_rate: float | None
    cash_on_cash_return: float | None
    bedrooms: int | None
    bathrooms: float | None
    square_feet: float | None
    lot_square_feet: float | None
    year_built: int | None
    days_on_market: int | None
    condition_score: float | None
    renovation_needed: bool | None
    listed_at: datetime | None
    source_system: str | None
    confidence: float | None
    engagement: float = strawberry.field(
        description="How much the tenant's investors engage with it, in views; at least 0."
    )
    price_per_square_foot: float | None = strawberry.field(
        description="The listing price over the living area."
    )
    told_affinity: strawberry.Private[float | None] = None
    """The caller's own, where a list told it."""

    @staticmethod
    def of(row: PropertyValues, told_affinity: float | None = None) -> "Property":
        """A property as a client sees it, with the caller's affinity if that is known already."""
        found = Property.__new__(Property)
        # What its constructor would do, value by value, for each of a page.
        found.__dict__.update(
            row._asdict() if isinstance(row, PropertyRow) else _values(row),
            id=global_id("Property", row.id),
            row=row,
            price_per_square_foot=row.price_per_square_foot,
            told_affinity=told_affinity,
        )
        return found

    @strawberry.field(
        description="Where its values come from, field by field.",
        directives=[at_most(len(COLUMNS))],
    )
    def provenance(self) -> list[FieldProvenance]:
        """The recorded sources, by field."""
        return [
            FieldProvenance(
                field=camel_case(column),
                source_system=noted.get("source"),
                confidence=noted.get("confidence"),
                observed_at=_moment(noted.get("observed_at")),
            )
            for column, noted in sorted(self.row.provenance.items())
        ]

    @strawberry.field(
        description="Its 16 numbers in the space of the active model; null while there is none.",
        directives=[weight(1)],
    )
    async def embedding(self, info: Info) -> list[float] | None:
        """One batch of the model for a whole list."""
        return await info.context.loaders.embeddings.load(self.row.id)

    @strawberry.field(
        graphql_type=float | None,
        description="How well it fits an investor, calibrated to 0 to 1.",
        directives=[weight(1)],
        metadata={READY: "told_affinity"},
    )
    def affinity(self, info: Info, user_id: UserId = None) -> float | Awaitable[float] | None:
        """One query and one batch of the model for a whole list; nothing on the caller's own."""
        if user_id is None and self.told_affinity is not None:
            return self.told_affinity
        investor = info.context.investor(user_id, "userId")
        return info.context.loaders.affinity_of(Pair(investor, self.row.id))

    @strawberry.field(description="The caller's own opinion of it, if it gave one.")
    async def feedback(
        self, info: Info
    ) -> Annotated["Feedback", strawberry.lazy("graph.interactions.types")] | None:
        """One query for a whole list."""
        from graph.interactions.types import Feedback

        given = await info.context.loaders.feedback.load(self.row.id)
        return Feedback.of(given) if given else None

    @strawberry.field(
        description="The properties most like it, by the active model; without one, by attributes "
        "and location.",
        directives=[weight(SEARCH), page_of(DEFAULT_PAGE, "first", "last")],
    )
    async def similar_properties(
        self,
        info: Info,
        where: Where = None,
        first: First = None,
        after: After = None,
        last: RankedLast = None,
        before: RankedBefore = None,
        diversity: Diversity = None,
    ) -> Annotated[
        "SimilarPropertyConnection", strawberry.lazy("graph.recommendations.similarity")
    ]:
        """As the query of the same name."""
        from graph.recommendations.similarity import list_similar

        page = window("similar", first, after, last, before)
        return await list_similar(info.context, self.row.id, where, diversity, page)

    @strawberry.field(
        description="The investors whom it would suit, the best first, without those who own it or "
        "disliked or dismissed it; for analysts and admins. Of at most 20 properties in one "
        "request.",
        directives=[weight(AUDIENCE), page_of(DEFAULT_PAGE, "first", "last")],
    )
    async def interested_users(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: RankedLast = None,
        before: RankedBefore = None,
    ) -> Annotated["InterestedUserConnection", strawberry.lazy("graph.recommendations.audience")]:
        """A search for each of a list, and one batch of the model for all."""
        from graph.recommendations.audience import list_interested

        page = window("interested", first, after, last, before)
        return await list_interested(info.context, self.row.id, page)


def _values(row: table.Property) -> dict[str, Any]:
    return {name: getattr(row, name) for name in (*PROPERTY_COLUMNS, "engagement")}


def camel_case(name: str) -> str:
    """A column's name in the schema."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _moment(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


@strawberry.type(description="A property in a list.")
class PropertyEdge:
    """A property in a list."""

    cursor: str = strawberry.field(description="Its place, for `after` and `before`.")
    node: Property = strawberry.field(description="The property.")


@strawberry.type(description="A page of properties.")
class PropertyConnection:
    """A page of properties."""

    where: strawberry.Private[PropertyFilter]
    edges: list[PropertyEdge] = strawberry.field(description="The page's properties, in order.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")

    @strawberry.field(description="How many of all that match have each value.")
    def facets(self) -> Annotated["PropertyFacets", strawberry.lazy("graph.properties.facets")]:
        """Counted only if asked for, in one query."""
        from graph.properties.facets import PropertyFacets

        return PropertyFacets(where=self.where)

    @strawberry.field(
        description="How many properties match in all; counted only if asked for.",
        directives=[weight(QUERY)],
    )
    async def total_count(self, info: Info) -> int:
        """One more query."""
        async with info.context.work() as work:
            return await search.count(work, self.where)


OrderBy = Annotated[
    PropertyOrder | None, strawberry.argument(description="In which order; by id if absent.")
]


async def find_property(info: Info, property_id: NodeId) -> Property | None:
    """The property of that id. Raises DomainError NOT_FOUND."""
    row = await info.context.loaders.properties.load(parse_id(property_id, "Property", "id"))
    if row is None:
        raise not_found("property", ("id",))
    return Property.of(row)


async def list_properties(
    info: Info,
    where: Where = None,
    order_by: OrderBy = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> PropertyConnection:
    """A page of the properties that match, after and before the given places."""
    order, matching, size = to_order(order_by), to_filter(where), page_size(first, last)
    backward = last is not None
    async with info.context.work() as work:
        rows = await search.page(
            work,
            matching,
            order,
            size + 1,
            after=parse_position(after, order, "after") if after is not None else None,
            before=parse_position(before, order, "before") if before is not None else None,
            backward=backward,
        )
    info.context.loaders.remember(rows)

    def edge(row: table.Property) -> PropertyEdge:
        cursor = position_cursor(order, search.position(row, order))
        return PropertyEdge(cursor=cursor, node=Property.of(row))

    edges, page = keyset_page(rows, size, edge, after=after, before=before, backward=backward)
    return PropertyConnection(where=matching, edges=edges, page_info=page)
