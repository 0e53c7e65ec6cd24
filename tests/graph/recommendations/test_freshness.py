"""What another process commits is in the next answers of a server that holds properties."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

import runtime
from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.properties import following, table
from domain.properties.input import PropertyInput
from domain.properties.upsert import upsert
from graph.app import build
from graph.identity import mint
from settings import Settings
from tests.factories import Town
from tests.graph.conftest import Session, property_id
from tests.waiting import until

NEVER = 3600.0
LISTS = (
    """query ($price: FloatRange) {
        recommendations(first: 5, filter: {price: $price}) {
            edges { node { property { id } } } } }""",
    """query ($id: ID!, $price: FloatRange) {
        similarProperties(propertyId: $id, first: 5, filter: {price: $price}) {
            edges { node { id } } } }""",
)


@pytest.fixture
async def session(
    settings: Settings, services: runtime.Services, town: Town
) -> AsyncIterator[Session]:
    """An investor's session on a server that hears of changes, and does nothing but hear."""
    async with (
        runtime.connect(settings, services, catalogues=True) as opened,
        following.following(opened.database, opened.twin, look_every=NEVER),
    ):
        server = build(lambda: nullcontext(opened), settings)
        transport = httpx.ASGITransport(server)
        async with (
            server.router.lifespan_context(server),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
        ):
            secret, user = services.jwt_secret, town.southerners[0]
            token = mint(secret, town.tenant.id, user, [Role.ANALYST], timedelta(minutes=5))
            made = Session(http, token, town.tenant.id, user)
            await made.data(LISTS[0])
            await until(lambda: opened.twin.properties(town.tenant.id, town.south))
            yield made


async def listed(session: Session, town: Town, query: str, price: float) -> list[str]:
    """The ids of what has just that price."""
    exactly = {"min": price, "max": price}
    (found,) = (await session.data(query, id=property_id(town.south[3]), price=exactly)).values()
    return [one["node"].get("property", one["node"])["id"] for one in found["edges"]]


async def test_a_committed_change_is_in_the_next_lists(
    database: Database, session: Session, town: Town
) -> None:
    async def send(price: float) -> UUID:
        async with database.work(town.tenant.id) as work:
            item = PropertyInput(external_id="fresh", listing_price=price, latitude=47.3)
            return (await upsert(work, [item]))[0].property_id

    async def shown(query: str, price: float) -> None:
        found: list[str] = []
        async with asyncio.timeout(60):
            while not found:
                found = await listed(session, town, query, price)
        assert found == [property_id(house)]

    house = await send(7e6)
    for query in LISTS:
        await shown(query, 7e6)
    await send(8e6)
    # At once, for PostgreSQL has the last word, and soon where it is now.
    assert await listed(session, town, LISTS[0], 7e6) == []
    for query in LISTS:
        await shown(query, 8e6)
    async with database.work(town.tenant.id) as work:
        await table.remove(work, house)
    for query in LISTS:
        assert await listed(session, town, query, 8e6) == []
