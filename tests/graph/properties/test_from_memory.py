"""What the API answers of properties from memory is what it answers from PostgreSQL."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import httpx
import pytest

from domain.contract.snapshots import ModelKey, StoredModel
from domain.contract.vocabulary import Role
from domain.model_registry import model_versions
from domain.properties.feed import DatabaseFeed
from domain.recommendations.recommender import Recommender
from graph.app import build
from graph.identity import mint
from ml.serving.inference import TwinService
from runtime import Runtime
from settings import Settings
from tests.factories import Town
from tests.graph.conftest import Session, SignIn, property_id
from tests.graph.properties.test_filter_isolation import FILTERS
from tests.waiting import until

FACETS = """{
  propertyTypes { values { value count } missing other }
  listingStatuses { values { value count } missing other }
  zipcodes { values { value count } missing other }
  cities { values { value count } missing other }
  states { values { value count } missing other }
  bedrooms { values { value count } missing other }
  price { bands { min max count } missing } }"""
ASK = f"""
query ($where: PropertyFilter) {{ properties(filter: $where, first: 7) {{
    totalCount edges {{ cursor node {{ id }} }} facets {FACETS} }} }}"""
RANKED = """
query ($where: PropertyFilter, $own: ID!, $vector: [Float!]!) {
  recommendations(filter: $where, first: 1) { totalCount }
  similarProperties(propertyId: $own, filter: $where, first: 1) { totalCount }
  similarTo(vector: $vector, filter: $where, first: 1) { totalCount } }"""


@pytest.fixture(scope="module")
async def in_memory(rt: Runtime, settings: Settings, town: Town) -> AsyncIterator[Session]:
    """A session on a server that has the town in memory."""

    async def load(key: ModelKey) -> StoredModel:
        async with rt.database.work(key.tenant_id) as work:
            return await model_versions.stored(work, key.version_id)

    twin = TwinService(rt.index, load, "cpu", feed=DatabaseFeed(rt.database))
    recommender = Recommender(rt.database, twin)
    runtime = dataclasses.replace(rt, twin=twin, recommender=recommender)
    server = build(lambda: nullcontext(runtime), settings)
    user = town.southerners[0]
    token = mint(rt.services.jwt_secret, town.tenant.id, user, [Role.ANALYST], timedelta(minutes=5))
    async with (
        server.router.lifespan_context(server),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(server), base_url="http://localhost"
        ) as http,
    ):
        session = Session(http, token, town.tenant.id, user)
        # A list of properties is enough to have them loaded.
        await session.data("{ properties(first: 1) { totalCount } }")
        await until(lambda: twin.properties(town.tenant.id, town.south))
        yield session
    await twin.close()


@pytest.mark.parametrize("name", [None, *FILTERS])
async def test_every_filter_finds_the_same(
    town: Town, in_memory: Session, sign_in: SignIn, name: str | None
) -> None:
    value = FILTERS[name] if name else None
    if name in ("ids", "excludeIds"):
        value = [property_id(one) for one in town.south[3:6]]
    variables: dict[str, Any] = {"where": {name: value} if name else None}
    in_sql = sign_in(town.tenant, town.southerners[0])
    assert await in_memory.data(ASK, **variables) == await in_sql.data(ASK, **variables)


async def test_ranked_lists_have_the_same_total(
    town: Town, in_memory: Session, sign_in: SignIn
) -> None:
    variables: dict[str, Any] = {
        "where": {"price": {"max": 500_000}},
        "own": property_id(town.south[3]),
        "vector": [1.0] * 16,
    }
    in_sql = sign_in(town.tenant, town.southerners[0])
    assert await in_memory.data(RANKED, **variables) == await in_sql.data(RANKED, **variables)


@pytest.mark.parametrize("column", ["listing_price", "bedrooms", "listed_at", "engagement"])
async def test_orders_and_their_cursors_are_the_same(
    town: Town, in_memory: Session, sign_in: SignIn, column: str
) -> None:
    in_sql = sign_in(town.tenant, town.southerners[0])
    ask = """query ($order: PropertyOrder, $after: String) {
        properties(first: 25, orderBy: $order, after: $after) {
            edges { cursor node { id } } pageInfo { hasNextPage endCursor } } }"""
    order, after = {"field": column.upper(), "direction": "DESC"}, None
    for _ in range(3):
        answer = await in_memory.data(ask, order=order, after=after)
        assert answer == await in_sql.data(ask, order=order, after=after)
        after = answer["properties"]["pageInfo"]["endCursor"]


async def test_facets_in_memory_read_the_property_log_alone(
    in_memory: Session, statements: list[str]
) -> None:
    await in_memory.data(f'{{ propertyFacets(filter: {{text: "main"}}) {FACETS} }}')
    assert len(statements) == 1
    assert "property_log" in statements[0]
