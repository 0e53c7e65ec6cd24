"""What is like a property, or near an embedding: types and resolvers."""

from typing import Annotated
from uuid import UUID

import strawberry

from domain import recommendations
from domain.contract import filters
from domain.properties import search
from graph.core.context import Context, Info
from graph.core.directives import weight
from graph.core.loaders import NearList, RankedList
from graph.core.nodes import parse_id
from graph.core.pagination import After, Diversity, First, PageInfo
from graph.core.ranked_cursors import RankedBefore, RankedLast, Window, ranked_page, window
from graph.core.weights import QUERY
from graph.properties.filters import PropertyFilter, Where, to_filter
from graph.properties.types import Property
from graph.recommendations.reasons import FallbackReason, version_of


@strawberry.type(description="A property like another, in a list.")
class SimilarPropertyEdge:
    """A property like another, in a list."""

    cursor: str = strawberry.field(description="Its place, for `after` and `before`.")
    similarity: float = strawberry.field(
        description="How alike they are, from 0 to 1. With a model, the cosine of their "
        "embeddings, mapped to 0 to 1. Without one, Gower's coefficient of similarity: the mean "
        "over those of location, price, square feet, bedrooms, bathrooms, type and year built that "
        "the reference property has."
    )
    node: Property = strawberry.field(description="The property.")


@strawberry.type(description="A page of properties like another, the most alike first.")
class SimilarPropertyConnection:
    """A page of properties like another."""

    anchors: strawberry.Private[list[UUID]]
    where: strawberry.Private[filters.PropertyFilter]
    edges: list[SimilarPropertyEdge] = strawberry.field(description="The page's, in order.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
    model_version: str | None = strawberry.field(
        description="Model version that ranked the list. Null if none did; see `reason`."
    )
    reason: FallbackReason | None = strawberry.field(
        description="Why no model ranked the list, and what the list follows instead. Null if one "
        "did."
    )

    @strawberry.field(
        description="How many other properties match the filter; counted only if asked for. The "
        "list shows the thousand of them that are most alike.",
        directives=[weight(QUERY)],
    )
    async def total_count(self, info: Info) -> int:
        """One more query."""
        async with info.context.work() as work:
            return await search.count(work, self.where, self.anchors)


async def list_similar(
    context: Context, property_id: UUID, where: PropertyFilter | None, diversity: float | None,
    window: Window,
) -> SimilarPropertyConnection:  # fmt: skip
    """A page of what is like a property."""
    matching = to_filter(where)
    asked = RankedList(
        property_id, matching, window.size, window.after, diversity or 0.0, window.before
    )
    page = await context.loaders.similar.load(asked)
    return _by_likeness("similar", page, matching, [property_id])


def _by_likeness(
    kind: str, page: recommendations.JudgedPage[recommendations.SimilarProperty],
    where: filters.PropertyFilter, anchors: list[UUID],
) -> SimilarPropertyConnection:  # fmt: skip
    edges, where_it_is = ranked_page(
        kind,
        page,
        lambda cursor, item: SimilarPropertyEdge(
            cursor=cursor, similarity=item.similarity, node=Property.of(item.property)
        ),
    )
    return SimilarPropertyConnection(
        anchors=anchors,
        where=where,
        edges=edges,
        page_info=where_it_is,
        model_version=version_of(page),
        reason=FallbackReason.of(page.reason),
    )


async def similar_properties(
    info: Info,
    property_id: Annotated[strawberry.ID, strawberry.argument(description="Like which one.")],
    where: Where = None,
    first: First = None,
    after: After = None,
    last: RankedLast = None,
    before: RankedBefore = None,
    diversity: Diversity = None,
) -> SimilarPropertyConnection:
    """What is like a property."""
    wanted = parse_id(property_id, "Property", "propertyId")
    page = window("similar", first, after, last, before)
    return await list_similar(info.context, wanted, where, diversity, page)


async def similar_to(
    info: Info,
    vector: Annotated[
        list[float],
        strawberry.argument(
            description="The 16 numbers of an embedding, as `Property.embedding` gives them, or a "
            "mean of several; only the direction counts. They mean something to the model version "
            "that they come from, and to no other."
        ),
    ],
    model_version: Annotated[
        str | None,
        strawberry.argument(
            description="The version that the vector comes from: refused if another answers now. "
            "Not checked if absent."
        ),
    ] = None,
    where: Where = None,
    first: First = None,
    after: After = None,
    last: RankedLast = None,
    before: RankedBefore = None,
    diversity: Diversity = None,
) -> SimilarPropertyConnection:
    """What is nearest to a vector."""
    page = window("similarTo", first, after, last, before)
    matching = to_filter(where)
    asked = NearList(
        tuple(vector), model_version, matching, page.size, page.after, diversity or 0.0, page.before
    )
    found = await info.context.loaders.near.load(asked)
    return _by_likeness("similarTo", found, matching, [])
