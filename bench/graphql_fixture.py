"""Prepared recommendations of the schema's own types, and schemas that serve them."""

import dataclasses
from copy import copy
from typing import Any
from uuid import UUID

import strawberry
from strawberry.dataloader import DataLoader

import graph.enums  # noqa: F401 - before the types that have them
from domain import properties
from domain.vocabulary import ListingStatus, PropertyType
from graph.limits.directives import page_of
from graph.loaders import Pair
from graph.nodes import global_id
from graph.properties import Property, UserId, page_info
from graph.recommendations import Recommendation, RecommendationConnection, RecommendationEdge

COLUMNS = (
    "address", "city", "zipcode", "latitude", "longitude", "propertyType", "listingStatus",
    "listingPrice", "bedrooms", "bathrooms", "squareFeet", "yearBuilt",
)  # fmt: skip
QUERY = (
    "query ($first: Int) { recommendations(first: $first) { edges { node { property { "
    f"{' '.join(COLUMNS)} affinity }} }} }} }} }}"
)
VARIABLES = {"first": 20}
INVESTOR = UUID(int=99)
LONGEST = 100


def score(property_id: UUID) -> float:
    """The affinity of a property."""
    return round(1 / (1 + property_id.int % 97), 6)


AFFINITIES = {
    Pair(INVESTOR, UUID(int=rank)): score(UUID(int=rank)) for rank in range(1, LONGEST + 1)
}


class Loaders:
    """As the server's, from memory."""

    def __init__(self) -> None:
        self.affinity = DataLoader(self._affinity)

    async def _affinity(self, wanted: list[Pair]) -> list[float]:
        return [score(pair.property_id) for pair in wanted]


class Context:
    """As the server's, as far as the query needs it."""

    def __init__(self) -> None:
        self.loaders = Loaders()
        self.affinities: dict[Pair, float] = {}
        """What a list found."""

    def investor(self, _user_id: str | None, *_field: str) -> UUID:
        """The caller."""
        return INVESTOR


Info = strawberry.Info[Context, None]


def narrowed(kind: type, name: str, **fields: Any) -> type:
    """A type of the schema's with some fields of other types."""
    made: type = strawberry.type(type(name, (kind,), {"__annotations__": fields}))
    return made


def made(kind: type, **values: Any) -> Any:
    """An object of which only some attributes matter."""
    fields: Any = dataclasses.fields(kind)
    return kind(**dict.fromkeys(one.name for one in fields if one.init) | values)


@strawberry.type
class SyncProperty(Property):
    """Its affinity comes from what the list found, without waiting."""

    @strawberry.field(description="How well it fits.")
    def affinity(self, info: Info, user_id: UserId = None) -> float | None:
        """From memory."""
        return info.context.affinities[Pair(info.context.investor(user_id, "userId"), self.row.id)]


@strawberry.type
class FilledProperty(Property):
    """Its affinity was found by the list."""

    affinity: float | None = None


class Serving:
    """A schema's query type, and the page that it answers with.

    Args:
        kind: of the properties on the page.
    """

    def __init__(self, kind: type) -> None:
        name = f"Bench{kind.__name__}"
        recommendation: Any = narrowed(Recommendation, f"{name}Recommendation", property=kind)
        edge: Any = narrowed(RecommendationEdge, f"{name}Edge", node=recommendation)
        connection: Any = narrowed(RecommendationConnection, f"{name}Connection", edges=list[edge])
        edges = [
            made(
                edge,
                cursor=str(rank),
                node=made(
                    recommendation,
                    property=home(kind, rank),
                    score=score(UUID(int=rank)),
                    rank=rank,
                    model_version="1",
                ),
            )
            for rank in range(1, LONGEST + 1)
        ]
        cursors = [one.cursor for one in edges]
        info = page_info(cursors, has_next=False, has_previous=False)
        whole = made(connection, edges=edges, page_info=info)

        pages: dict[int | None, Any] = {}

        async def recommendations(info: Info, first: int | None = None) -> Any:
            info.context.affinities = AFFINITIES
            if first not in pages:
                pages[first] = copy(whole)
                pages[first].edges = edges[:first]
            return pages[first]

        recommendations.__annotations__["return"] = connection
        field = strawberry.field(resolver=recommendations, directives=[page_of(20, "first")])
        self.query = strawberry.type(type("Query", (), {"recommendations": field}))
        self.edges = edges


def home(kind: type, rank: int) -> Any:
    """A property of that class, all columns filled."""
    columns = {
        "external_id": f"home-{rank}",
        "address": f"{rank} Main Street",
        "city": "Springfield",
        "zipcode": f"{60000 + rank}",
        "latitude": 39.5 + rank / 1000,
        "longitude": -89.5 - rank / 1000,
        "property_type": list(PropertyType)[rank % len(PropertyType)],
        "listing_status": ListingStatus.ACTIVE,
        "listing_price": 200_000.0 + rank * 1000,
        "bedrooms": rank % 6,
        "bathrooms": 1.5,
        "square_feet": 1000.0 + rank,
        "year_built": 1950 + rank % 70,
    }
    filled = {"affinity": score(UUID(int=rank))} if kind is FilledProperty else {}
    return made(
        kind,
        id=global_id("Property", UUID(int=rank)),
        row=properties.Property(id=UUID(int=rank)),
        **columns,
        **filled,
    )
