"""What is like a property, or near an embedding: types and resolvers."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry

from domain.contract import filters
from domain.recommendations.paging import JudgedPage
from domain.recommendations.ranking import SimilarProperty
from graph.core.context import Context, Info
from graph.core.directives import SEARCH, weight
from graph.core.extension import extend
from graph.core.nodes import parse_id
from graph.core.pagination import PAGED, After, Diversity, Edge, First
from graph.core.ranked_cursors import RankedBefore, RankedLast, Window, ranked_page, window
from graph.properties.filters import PropertyFilter, Where, to_filter
from graph.properties.loaders import count_properties
from graph.properties.types import Property
from graph.recommendations.loaders import NearList, RecommendationLoaders, SimilarList
from graph.recommendations.reasons import FallbackReason, JudgedConnection, version_of


@strawberry.type
class SimilarPropertyEdge(Edge[Property]):
    """A property like another, in a list."""

    similarity: float = strawberry.field(
        description="How alike they are, from 0 to 1. With a model, the cosine of their "
        "embeddings, mapped to 0 to 1. Without one, Gower's coefficient of similarity: the mean "
        "over those of location, price, square feet, bedrooms, bathrooms, type and year built that "
        "the reference property has."
    )


@strawberry.type
class SimilarPropertyConnection(JudgedConnection[Property]):
    """A page of properties like another, the most alike first.

    `totalCount` counts the other properties that match the filter. The list shows the thousand most
    alike of them.
    """

    edges: Sequence[SimilarPropertyEdge] = strawberry.field(
        description="Edges of this page, in order."
    )


@strawberry.type
class SimilarityQueries:
    """Queries of what is alike."""

    @strawberry.field(directives=[weight(SEARCH), PAGED])
    async def similar_properties(
        self,
        info: Info,
        property_id: Annotated[strawberry.ID, strawberry.argument(description="Like which one.")],
        where: Where = None,
        first: First = None,
        after: After = None,
        last: RankedLast = None,
        before: RankedBefore = None,
        diversity: Diversity = None,
    ) -> SimilarPropertyConnection:
        """The properties most like one, by the active model.

        Without an active model, by attributes and location.
        """
        wanted = parse_id(property_id, "Property", "propertyId")
        page = window("similar", first, after, last, before)
        return await _similar(info.context, wanted, where, diversity, page)

    @strawberry.field(directives=[weight(SEARCH), PAGED])
    async def similar_to(
        self,
        info: Info,
        vector: Annotated[
            list[float],
            strawberry.argument(
                description="The 16 numbers of an embedding, as `Property.embedding` gives them, "
                "or a mean of several; only the direction counts. They mean something to the model "
                "version that they come from, and to no other."
            ),
        ],
        model_version: Annotated[
            str | None,
            strawberry.argument(
                description="The version that the vector comes from: refused if another answers "
                "now. Not checked if absent."
            ),
        ] = None,
        where: Where = None,
        first: First = None,
        after: After = None,
        last: RankedLast = None,
        before: RankedBefore = None,
        diversity: Diversity = None,
    ) -> SimilarPropertyConnection:
        """What is nearest to an embedding, by the model.

        The embedding may be the mean of a few properties' embeddings, say.
        """
        page = window("similarTo", first, after, last, before)
        matching = to_filter(where)
        asked = NearList(
            tuple(vector), model_version, matching,
            page.size, page.after, diversity or 0.0, page.before,
        )  # fmt: skip
        found = await info.context.loaders(RecommendationLoaders).near.load(asked)
        return _by_likeness("similarTo", found, matching, [])


@extend(Property, "similar_properties", directives=[weight(SEARCH), PAGED])
async def similar_properties_of(
    parent: strawberry.Parent[Property],
    info: Info,
    where: Where = None,
    first: First = None,
    after: After = None,
    last: RankedLast = None,
    before: RankedBefore = None,
    diversity: Diversity = None,
) -> SimilarPropertyConnection:
    """The properties most like it, by the active model.

    Without an active model, by attributes and location.
    """
    page = window("similar", first, after, last, before)
    return await _similar(info.context, parent.row.id, where, diversity, page)


async def _similar(
    context: Context, property_id: UUID, where: PropertyFilter | None, diversity: float | None,
    page: Window,
) -> SimilarPropertyConnection:  # fmt: skip
    matching = to_filter(where)
    asked = SimilarList(property_id, matching, page.size, page.after, diversity or 0.0, page.before)
    found = await context.loaders(RecommendationLoaders).similar.load(asked)
    return _by_likeness("similar", found, matching, [property_id])


def _by_likeness(
    kind: str, found: JudgedPage[SimilarProperty],
    where: filters.PropertyFilter, anchors: list[UUID],
) -> SimilarPropertyConnection:  # fmt: skip
    edges, page = ranked_page(
        kind,
        found,
        lambda cursor, item: SimilarPropertyEdge(
            cursor=cursor, similarity=item.similarity, node=Property.of(item.property)
        ),
    )
    return SimilarPropertyConnection(
        count=partial(count_properties, where=where, exclude=anchors),
        edges=edges,
        page_info=page,
        model_version=version_of(found),
        reason=FallbackReason.of(found.reason),
    )
