"""Reading a property, a list of them, or how many have each value."""

from functools import partial
from typing import Annotated

import strawberry

from domain.properties import search
from domain.properties.rows import PropertyValues
from graph.core.context import Info
from graph.core.directives import QUERY, weight
from graph.core.nodes import NodeId, parse_id
from graph.core.pagination import PAGED, After, Before, First, Last, keyset_page, slice_of
from graph.properties.facets import PropertyFacets
from graph.properties.filters import Where, to_filter
from graph.properties.loaders import PropertyLoaders, count_properties
from graph.properties.ordering import PropertyOrder, parse_position, position_cursor, to_order
from graph.properties.types import Property, PropertyConnection

OrderBy = Annotated[
    PropertyOrder | None, strawberry.argument(description="In which order; by id if absent.")
]


@strawberry.type
class PropertyQueries:
    """Queries of properties."""

    @strawberry.field
    async def property(self, info: Info, property_id: NodeId) -> Property | None:
        """A property.

        Raises DomainError NOT_FOUND.
        """
        # Who has no token is told so, whatever the id.
        _ = info.context.principal
        return await Property.get(info.context, parse_id(property_id, "Property", "id"), "id")

    @strawberry.field(directives=[weight(QUERY), PAGED])
    async def properties(
        self,
        info: Info,
        where: Where = None,
        order_by: OrderBy = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> PropertyConnection:
        """The properties that match, a page at a time."""
        order, matching = to_order(order_by), to_filter(where)
        asked = slice_of(first, after, last, before)
        rows = await info.context.recommender.lists.page(
            info.context.principal.tenant_id,
            matching,
            order,
            asked.size + 1,
            after=parse_position(after, order, "after"),
            before=parse_position(before, order, "before"),
            backward=asked.backward,
        )
        info.context.loaders(PropertyLoaders).remember(rows)

        def cursor(row: PropertyValues) -> str:
            return position_cursor(order, search.position(row, order))

        edges, page = keyset_page(rows, asked, cursor, Property.of)
        return PropertyConnection(
            where=matching,
            count=partial(count_properties, where=matching),
            edges=edges,
            page_info=page,
        )

    @strawberry.field
    def property_facets(self, where: Where = None) -> PropertyFacets:
        """How many of the properties that match have each value."""
        return PropertyFacets(where=to_filter(where))
