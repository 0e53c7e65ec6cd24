"""What is answered over GraphQL while Qdrant does not answer."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta

import httpx

from domain.contract.snapshots import ModelKey, StoredModel
from domain.contract.vocabulary import Role
from domain.model_registry import model_versions
from domain.properties.feed import DatabaseFeed
from domain.recommendations.recommender import Recommender
from graph.app import build
from graph.identity import mint
from ml.index.index import EmbeddingIndex
from ml.serving.inference import TwinService
from runtime import Runtime
from settings import Settings
from tests.embedded.processes import client_of
from tests.factories import Town
from tests.graph.conftest import Session, property_id
from tests.waiting import until

QUERIES = (
    "{ recommendations(first: 5) { edges { node { property { id } } } } }",
    """query ($id: ID!) { similarProperties(propertyId: $id, first: 5) {
        edges { node { id } } } }""",
)


@asynccontextmanager
async def served(
    rt: Runtime, settings: Settings, town: Town, limit: int
) -> AsyncIterator[tuple[Session, TwinService]]:
    """A session on a server with catalogues of at most so many properties, and without Qdrant."""
    client = client_of("http://127.0.0.1:9")
    index = EmbeddingIndex(client)

    async def load(key: ModelKey) -> StoredModel:
        async with rt.database.work(key.tenant_id) as work:
            return await model_versions.stored(work, key.version_id)

    twin = TwinService(index, load, "cpu", feed=DatabaseFeed(rt.database), limit=limit)
    recommender = Recommender(rt.database, twin)
    runtime = dataclasses.replace(rt, index=index, twin=twin, recommender=recommender)
    server = build(lambda: nullcontext(runtime), settings)
    user = town.southerners[0]
    token = mint(rt.services.jwt_secret, town.tenant.id, user, [Role.ANALYST], timedelta(minutes=5))
    transport = httpx.ASGITransport(server)
    async with (
        server.router.lifespan_context(server),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
    ):
        yield Session(http, token, town.tenant.id, user), twin
    await twin.close()
    await client.close()


async def test_without_a_catalogue_there_is_one_clear_error(
    rt: Runtime, settings: Settings, town: Town
) -> None:
    async with served(rt, settings, town, limit=0) as (session, _):
        for query in QUERIES:
            error = await session.error(query, id=property_id(town.south[3]))
            assert error["code"] == "UNAVAILABLE"
            assert error["message"] == (
                "The search index does not answer; ask again in some seconds."
            )


async def test_a_catalogue_answers_without_the_index(
    rt: Runtime, settings: Settings, town: Town
) -> None:
    async with served(rt, settings, town, limit=1000) as (session, twin):
        house = property_id(town.south[3])
        await session.post(QUERIES[0])
        await until(lambda: twin.properties(town.tenant.id, town.south))
        for query in QUERIES:
            (found,) = (await session.data(query, id=house)).values()
            assert len(found["edges"]) == 5
