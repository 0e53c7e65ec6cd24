"""Recommendations, similar properties and affinity: types and resolvers."""

from typing import Annotated
from uuid import UUID

import strawberry

from domain import reasons, recommendations
from domain.errors import invalid, not_found
from domain.reasons import ReasonKind
from graph.context import Context, Info
from graph.enums import publish
from graph.filters import PropertyFilter, Where, to_filter
from graph.loaders import Pair, RankedList
from graph.nodes import parse_id
from graph.pagination import After, First, PageInfo, page_size, parse_place, place_cursor
from graph.properties import Property, UserId, page_info
from graph.users import User

MAX_AFFINITIES = 500

publish(
    ReasonKind,
    "What a reason rests on.",
    {
        ReasonKind.OWN_HISTORY: "The investor took to this very property before.",
        ReasonKind.LIKE_HISTORY: "It is like a property that the investor took to.",
        ReasonKind.FIRM_ENGAGEMENT: "The tenant's investors engage with it.",
        ReasonKind.NO_HISTORY: "The investor has no history to rank by yet.",
        ReasonKind.NO_ACTIVE_MODEL: "The tenant has no trained model to rank by yet.",
    },
)


@strawberry.type(description="Why a property is on an investor's list.")
class Reason:
    """Why a property is on an investor's list."""

    property_id: strawberry.Private[UUID | None]
    kind: ReasonKind = strawberry.field(description="What it rests on.")
    text: str = strawberry.field(description="A sentence for people.")

    @staticmethod
    def of(reason: reasons.Reason) -> "Reason":
        """A reason as a client sees it."""
        return Reason(property_id=reason.property_id, kind=reason.kind, text=reason.text)

    @strawberry.field(name="property", description="The property that it points at, if any.")
    async def named_property(self, info: Info) -> Property | None:
        """One query for all reasons of a list."""
        if self.property_id is None:
            return None
        row = await info.context.loaders.properties.load(self.property_id)
        return Property.of(row) if row else None


@strawberry.type(description="A property on an investor's list.")
class Recommendation:
    """A property on an investor's list."""

    user_id: strawberry.Private[UUID]
    property: Property = strawberry.field(description="The property.")
    score: float = strawberry.field(
        description="How well it fits, calibrated to 0 to 1: the same number as the affinity."
    )
    rank: int = strawberry.field(description="Its place on the list, from 1.")
    reasons: list[Reason] = strawberry.field(description="Why it is on the list.")
    model_version: str = strawberry.field(
        description="The model that ranked it; `engagement` where none did."
    )

    @staticmethod
    def of(item: recommendations.Recommendation) -> "Recommendation":
        """A recommendation as a client sees it."""
        return Recommendation(
            user_id=item.user_id,
            property=Property.of(item.property),
            score=item.score,
            rank=item.rank,
            reasons=[Reason.of(reason) for reason in item.reasons],
            model_version=item.model_version,
        )

    @strawberry.field(description="The investor.")
    async def user(self, info: Info) -> User:
        """One query for a whole list."""
        row = await info.context.loaders.users.load(self.user_id)
        if row is None:
            raise not_found("user", ("userId",))
        return User.of(row)


@strawberry.type(description="A recommendation in a list.")
class RecommendationEdge:
    """A recommendation in a list."""

    cursor: str = strawberry.field(description="Its place, for `after`.")
    node: Recommendation = strawberry.field(description="The recommendation.")


@strawberry.type(description="A page of recommendations, the best first.")
class RecommendationConnection:
    """A page of recommendations."""

    edges: list[RecommendationEdge] = strawberry.field(description="The page's, in order.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")


@strawberry.type(description="A property like another, in a list.")
class SimilarPropertyEdge:
    """A property like another, in a list."""

    cursor: str = strawberry.field(description="Its place, for `after`.")
    similarity: float = strawberry.field(
        description="How alike they are: the cosine of their embeddings, mapped to 0 to 1."
    )
    node: Property = strawberry.field(description="The property.")


@strawberry.type(description="A page of properties like another, the most alike first.")
class SimilarPropertyConnection:
    """A page of properties like another."""

    edges: list[SimilarPropertyEdge] = strawberry.field(description="The page's, in order.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")


@strawberry.type(description="How well a property fits an investor.")
class Affinity:
    """How well a property fits an investor."""

    property: Property = strawberry.field(description="The property.")
    score: float = strawberry.field(description="Calibrated to 0 to 1.")


async def list_recommendations(
    context: Context, user_id: UUID, where: PropertyFilter | None, first: int | None,
    after: str | None,
) -> RecommendationConnection:  # fmt: skip
    """A page of an investor's recommendations."""
    place = parse_place(after, "recommendations")
    asked = RankedList(user_id, to_filter(where), page_size(first), place)
    page = await context.loaders.recommendations.load(asked)
    edges = [
        RecommendationEdge(
            cursor=place_cursor("recommendations", item.place), node=Recommendation.of(item)
        )
        for item in page.items
    ]
    cursors = [edge.cursor for edge in edges]
    return RecommendationConnection(
        edges=edges,
        page_info=page_info(cursors, has_next=page.has_next, has_previous=place is not None),
    )


async def list_similar(
    context: Context, property_id: UUID, where: PropertyFilter | None, first: int | None,
    after: str | None,
) -> SimilarPropertyConnection:  # fmt: skip
    """A page of what is like a property."""
    place = parse_place(after, "similar")
    asked = RankedList(property_id, to_filter(where), page_size(first), place)
    page = await context.loaders.similar.load(asked)
    edges = [
        SimilarPropertyEdge(
            cursor=place_cursor("similar", item.place),
            similarity=item.similarity,
            node=Property.of(item.property),
        )
        for item in page.items
    ]
    cursors = [edge.cursor for edge in edges]
    return SimilarPropertyConnection(
        edges=edges,
        page_info=page_info(cursors, has_next=page.has_next, has_previous=place is not None),
    )


async def recommend(
    info: Info,
    user_id: UserId = None,
    where: Where = None,
    first: First = None,
    after: After = None,
) -> RecommendationConnection:
    """What is recommended to an investor."""
    investor = info.context.investor(user_id, "userId")
    return await list_recommendations(info.context, investor, where, first, after)


async def similar_properties(
    info: Info,
    property_id: Annotated[strawberry.ID, strawberry.argument(description="Like which one.")],
    where: Where = None,
    first: First = None,
    after: After = None,
) -> SimilarPropertyConnection:
    """What is like a property."""
    wanted = parse_id(property_id, "Property", "propertyId")
    return await list_similar(info.context, wanted, where, first, after)


async def affinity(
    info: Info,
    property_ids: Annotated[
        list[strawberry.ID], strawberry.argument(description="At most 500 properties.")
    ],
    user_id: UserId = None,
) -> list[Affinity]:
    """How well each of the properties fits an investor, in the order asked."""
    investor = info.context.investor(user_id, "userId")
    if len(property_ids) > MAX_AFFINITIES:
        raise invalid(
            f"propertyIds: {len(property_ids)} ids; use at most {MAX_AFFINITIES}", "propertyIds"
        )
    wanted = [
        parse_id(value, "Property", "propertyIds", str(place))
        for place, value in enumerate(property_ids)
    ]
    loaders = info.context.loaders
    rows = await loaders.require_properties(wanted, "propertyIds")
    scores = await loaders.affinity.load_many([Pair(investor, value) for value in wanted])
    return [
        Affinity(property=Property.of(row), score=score)
        for row, score in zip(rows, scores, strict=True)
    ]
