"""Prepared recommendations of the schema's own types, and query types that serve them."""

import dataclasses
from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import strawberry
from strawberry.dataloader import DataLoader

import graph.core.enums
import graph.recommendations.queries  # noqa: F401 - adds Property.affinity
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.properties import table
from graph.core.directives import page_of
from graph.core.nodes import global_id
from graph.core.pagination import Edge, page_info
from graph.properties.types import Property
from graph.recommendations.loaders import Pair
from graph.recommendations.types import Recommendation, RecommendationConnection

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


class Loaders:
    """As the server's, from memory."""

    def __init__(self) -> None:
        self.affinity = DataLoader(self._affinity)

    def affinity_of(self, pair: Pair) -> Awaitable[float]:
        """What is to be awaited."""
        return self.affinity.load(pair)

    async def _affinity(self, wanted: list[Pair]) -> list[float]:
        return [score(pair.property_id) for pair in wanted]


class Context:
    """As the server's, as far as the query needs it."""

    def __init__(self) -> None:
        self._loaders = Loaders()

    def loaders(self, _kind: type) -> Loaders:
        """The only ones there are."""
        return self._loaders

    def investor(self, _user_id: str | None, *_field: str) -> UUID:
        """The caller."""
        return INVESTOR


Info = strawberry.Info[Context, None]


def made(kind: type, **values: Any) -> Any:
    """An object of which only some attributes matter."""
    fields: Any = dataclasses.fields(kind)
    return kind(**dict.fromkeys(one.name for one in fields if one.init) | values)


def query_type(*, told: bool) -> type:
    """A schema's query type, which answers with prepared recommendations.

    Args:
        told: whether the list tells the affinity of its properties.
    """
    whole = edges(told=told)
    pages = {first: connection(whole[:first]) for first in (None, VARIABLES["first"])}

    async def recommendations(first: int | None = None) -> RecommendationConnection:
        return pages[first]

    field = strawberry.field(resolver=recommendations, directives=[page_of(20, "first")])
    made_type: type = strawberry.type(type("Query", (), {"recommendations": field}))
    return made_type


def edges(*, told: bool) -> list[Edge[Recommendation]]:
    """What is recommended."""
    return [
        Edge(
            cursor=str(rank),
            node=made(
                Recommendation,
                property=home(rank, told=told),
                score=score(UUID(int=rank)),
                rank=rank,
                model_version="1",
            ),
        )
        for rank in range(1, LONGEST + 1)
    ]


def connection(page: list[Edge[Recommendation]]) -> RecommendationConnection:
    """A page of it."""
    cursors = [one.cursor for one in page]
    info = page_info(cursors, has_next=False, has_previous=False)
    found: RecommendationConnection = made(RecommendationConnection, edges=page, page_info=info)
    return found


def home(rank: int, *, told: bool) -> Any:
    """A property, its columns filled."""
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
    return made(
        Property,
        id=global_id("Property", UUID(int=rank)),
        row=table.Property(id=UUID(int=rank)),
        prefetched_affinity=score(UUID(int=rank)) if told else None,
        **columns,
    )
