"""Two trained firms side by side: whatever one of them asks, nothing of the other comes or goes.

Each entry of ``CALLS`` asks as firm B with everything that it could have learned of firm A: ids,
external ids and cursors. The lists of root fields and index calls are compared with the
schema and the code, so that a new one fails here until it is covered.
"""

import inspect
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from graphql import GraphQLInterfaceType, GraphQLObjectType, build_schema
from sqlalchemy import text

import runtime
from domain.changes.changes import Noun
from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import BuyBox, ModelKey
from domain.contract.vocabulary import InteractionKind, Role
from domain.core.database import Database
from domain.imports import record
from domain.imports.sources import RecordSource
from domain.interactions import interactions
from domain.jobs import job_runs
from domain.model_registry import model_versions
from domain.properties import snapshots
from domain.tables import Base
from domain.tenants.tenants import active_version_id
from domain.users import buy_boxes
from graph.app import build
from graph.core.nodes import node_types, split_id
from graph.identity import mint
from graph.schema import build_schema as build_own_schema
from ml.catalogue.candidates import Source
from ml.index.index import EmbeddingIndex
from ml.index.space import Space
from runtime import Runtime
from settings import Settings
from tests.conftest import new_tenant
from tests.factories import Town, build_town, interests_in, train
from tests.graph.conftest import Session, SignIn, property_id, user_id
from tests.graph.isolation_calls import CALLS, WHOLE_RECOMMENDATION
from tests.waiting import until

PROBE = np.full(16, 0.25, dtype=np.float32)
"""Some direction to search in."""

INDEX, CATALOGUE = "index", "catalogue"
SEARCHED = {"me", "similarTo", "similarProperties", "recommendations", "affinity"}
"""What catalogues answer."""


@pytest.fixture(scope="module")
async def firms(rt: Runtime, database: Database) -> tuple[Town, Town]:
    """Firm A, which has something to lose, and firm B, which asks."""
    towns = []
    for _ in range(2):
        town = await build_town(database, await new_tenant(database))
        async with database.work(town.tenant.id) as work:
            for investor, house in zip(town.southerners, town.south, strict=False):
                await buy_boxes.state(work, investor, BuyBox(cities=("Seattle", wish_of(town))))
                await interactions.record(work, investor, house, InteractionKind.DEAL)
        await train(rt, town.tenant)
        async with database.work(town.tenant.id) as work:
            await job_runs.request(work, job_runs.REINDEX)
            source = RecordSource(f"houses of {wish_of(town)}.csv", [])
            await record.record(work, Noun.PROPERTY, source)
        towns.append(town)
    return towns[0], towns[1]


@pytest.fixture(scope="module")
async def with_catalogues(
    rt: Runtime, settings: Settings, firms: tuple[Town, Town]
) -> AsyncIterator[httpx.AsyncClient]:
    """A server that has the properties of both in memory."""
    async with runtime.connect(settings, rt.services, catalogues=True) as opened:
        server = build(lambda: nullcontext(opened), settings)
        transport = httpx.ASGITransport(server)
        async with (
            server.router.lifespan_context(server),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
        ):
            for town in firms:
                secret, role = rt.services.jwt_secret, [Role.ADMIN]
                user, hour = town.southerners[0], timedelta(hours=1)
                token = mint(secret, town.tenant.id, user, role, hour)
                session = Session(http, token, town.tenant.id, user)
                await session.data("{ recommendations(first: 1) { edges { cursor } } }")
                held = partial(opened.twin.properties, town.tenant.id, town.south)
                await until(held)
            yield http


@pytest.fixture(scope="module")
def sessions(
    request: pytest.FixtureRequest, firms: tuple[Town, Town], sign_in: SignIn
) -> tuple[Session, Session]:
    """An admin of each, whom the index or catalogues answer."""
    a, b = (sign_in(town.tenant, town.southerners[0], Role.ADMIN) for town in firms)
    if getattr(request, "param", INDEX) == INDEX:
        return a, b
    http = request.getfixturevalue("with_catalogues")
    return replace(a, client=http), replace(b, client=http)


@pytest.fixture(scope="module")
async def variables(firms: tuple[Town, Town], sessions: tuple[Session, Session]) -> dict[str, Any]:
    """What B learned of A, and one house of B's own."""
    a, b = firms
    house = property_id(a.south[3])
    answer = await sessions[0].data(
        """query ($house: ID!, $user: ID!) {
            property(id: $house) { externalId embedding }
            similarTo(vector: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1], first: 1) { edges { cursor } }
            properties(first: 1) { edges { cursor } }
            users(first: 1) { edges { cursor node { externalId email } } }
            recommendations(first: 1) { edges { cursor } }
            varied: recommendations(first: 1, diversity: 0.5) { edges { cursor } }
            wanted: property(id: $house) { interestedUsers(first: 1) { edges { cursor } } }
            similarUsers(userId: $user, first: 1) { edges { cursor } }
            modelVersions(first: 1) { edges { cursor node { id } } }
            jobRuns(first: 1) { edges { cursor node { id } } }
            imports(first: 1) { edges { cursor node { id } } }
            similarProperties(propertyId: $house, first: 1) { edges { cursor } } }""",
        house=house,
        user=user_id(a.southerners[0]),
    )
    return {
        "property": house,
        "user": user_id(a.southerners[0]),
        "own": property_id(b.south[3]),
        "ownUser": user_id(b.southerners[0]),
        "interested": answer["wanted"]["interestedUsers"]["edges"][0]["cursor"],
        "kin": answer["similarUsers"]["edges"][0]["cursor"],
        "external": answer["property"]["externalId"],
        "vector": answer["property"]["embedding"],
        "near": answer["similarTo"]["edges"][0]["cursor"],
        "users": answer["users"]["edges"][0]["cursor"],
        "member": answer["users"]["edges"][0]["node"]["externalId"],
        "email": answer["users"]["edges"][0]["node"]["email"],
        "versions": answer["modelVersions"]["edges"][0]["cursor"],
        "version": answer["modelVersions"]["edges"][0]["node"]["id"],
        "runs": answer["jobRuns"]["edges"][0]["cursor"],
        "imports": answer["imports"]["edges"][0]["cursor"],
        "import": answer["imports"]["edges"][0]["node"]["id"],
        "run": answer["jobRuns"]["edges"][0]["node"]["id"],
        "page": answer["properties"]["edges"][0]["cursor"],
        "ranked": answer["recommendations"]["edges"][0]["cursor"],
        "varied": answer["varied"]["edges"][0]["cursor"],
        "similar": answer["similarProperties"]["edges"][0]["cursor"],
    }


async def test_no_node_is_found_by_its_id(
    sessions: tuple[Session, Session], variables: dict[str, Any]
) -> None:
    """B knows ids of A, one of each type."""
    ids = {
        split_id(variables[name])[0]: variables[name]
        for name in ("property", "user", "version", "run", "import")
    }
    ours = [one.__name__ for one in node_types() if one.__module__.startswith("graph.")]
    assert sorted(ids) == ours, "variables needs the id of a row of each type"
    for value in ids.values():
        error = await sessions[1].error("query ($id: ID!) { node(id: $id) { id } }", id=value)
        assert error["code"] == "NOT_FOUND"


def secrets_of(town: Town) -> Iterator[str]:
    """How a property or user of the firm would show in an answer."""
    yield from map(property_id, town.south + town.north)
    yield from map(user_id, [*town.southerners, *town.northerners, town.idle])
    yield wish_of(town)


def wish_of(town: Town) -> str:
    """A city that the firm's investors say they want, and nobody else."""
    return f"City of {town.tenant.slug}"


async def state(database: Database, rt: Runtime, town: Town) -> list[Any]:
    """Everything the firm has: each table's rows and the points of its active version."""
    found: list[Any] = []
    async with database.work(town.tenant.id) as work:
        for table in sorted(Base.metadata.tables):
            where = "id = :tenant" if table == "tenants" else "tenant_id = :tenant"
            rows = await work.session.execute(
                text(f"SELECT t::text FROM {table} t WHERE {where} ORDER BY 1"),
                {"tenant": town.tenant.id},
            )
            found.append([row[0] for row in rows])
        version_id = await active_version_id(work)
    assert version_id is not None
    space = rt.index.space(ModelKey(town.tenant.id, version_id))
    hits = await space.query(PROBE, PropertyFilter(), [], 1000, with_vectors=True)
    vectors = sorted(zip(hits.ids, map(bytes, hits.vectors), strict=True))
    assert len(vectors) == len(town.south + town.north)
    return [*found, vectors, await space.property_ids(), await interests_in(space)]


def test_every_root_field_is_covered() -> None:
    schema = build_schema(build_own_schema().as_str())
    assert schema.query_type
    assert schema.mutation_type
    assert set(CALLS) == set(schema.query_type.fields) | set(schema.mutation_type.fields)


def test_every_field_of_a_recommendation_is_asked_for() -> None:
    schema = build_schema(build_own_schema().as_str())
    asked = set(re.findall(r"\w+", WHOLE_RECOMMENDATION))
    reason = schema.type_map["Reason"]
    assert isinstance(reason, GraphQLInterfaceType)
    names = ["Recommendation", "SharedTrait", "Concentration", "Exposure", "Counterfactual"]
    kinds = [*map(schema.type_map.__getitem__, names), *schema.get_possible_types(reason)]
    for kind in kinds:
        assert isinstance(kind, GraphQLObjectType)
        assert set(kind.fields) <= asked


@pytest.mark.parametrize(
    ("sessions", "field", "query"),
    [
        (engine, field, query)
        for engine in (INDEX, CATALOGUE)
        for field, queries in CALLS.items()
        for query in queries
        if engine == INDEX or field in SEARCHED
    ],
    indirect=["sessions"],
)
async def test_a_call_gives_and_takes_nothing(
    database: Database,
    rt: Runtime,
    firms: tuple[Town, Town],
    sessions: tuple[Session, Session],
    variables: dict[str, Any],
    field: str,
    query: str,
) -> None:
    before = await state(database, rt, firms[0])
    used = {name: value for name, value in variables.items() if f"${name}:" in query}
    body = await sessions[1].post(query, **used)
    answer = json.dumps(body)
    # An answer or an expected refusal, never a failure that would hide a leak.
    assert "INTERNAL" not in answer
    assert field in answer
    assert not [secret for secret in secrets_of(firms[0]) if secret in answer]
    assert await state(database, rt, firms[0]) == before


async def test_no_index_call_reaches_another_firm(
    database: Database, rt: Runtime, firms: tuple[Town, Town]
) -> None:
    a, b = firms
    before = await state(database, rt, a)
    async with database.work(a.tenant.id) as work:
        version = await active_version_id(work)
        houses = await snapshots.snapshot(work, a.south)
    assert version is not None
    items = await rt.twin.items(ModelKey(a.tenant.id, version), houses)
    interests = await rt.index.space(ModelKey(a.tenant.id, version)).interests(a.southerners)
    # B's tenant with A's version: the nearest that a mistake of ours could come.
    space = rt.index.space(ModelKey(b.tenant.id, version))
    answers: dict[str, Any] = {
        "query": await space.query(PROBE, PropertyFilter(), [], 10),
        "candidates": (await space.candidates(PROBE[None], PropertyFilter(), [], [Source(10)])).ids,
        "count": await space.count(),
        "property_ids": await space.property_ids(),
        "user_ids": await space.user_ids(),
        "investors": (await space.investors(PROBE[None], [], 10))[0],
        "interests": await space.interests(a.southerners),
        "count_users": await space.count_users(),
        # Whatever is A's, B's own lacks.
        "differing": set(a.south) - await space.differing(houses, items),
        "differing_users": set(interests) - await space.differing_users(interests),
    }
    assert interests
    assert not any(answers.values())
    await space.delete_properties(a.south)
    await space.delete_users(a.southerners)
    await space.drop()
    await rt.index.delete_properties_everywhere(b.tenant.id, a.south)
    await rt.index.delete_users_everywhere(b.tenant.id, a.southerners)
    async with database.work(b.tenant.id) as work:
        await rt.index.keep_versions(b.tenant.id, await model_versions.indexed(work))
    assert await state(database, rt, a) == before
    writes = {"delete_properties", "delete_users", "drop"}
    # Whose the points are that these write is proved in tests/ml.
    writes |= {"upsert_properties", "upsert_users"}
    public = {name for name, _ in inspect.getmembers(Space, inspect.isfunction) if name[0] != "_"}
    assert public == set(answers) | writes
    methods = inspect.getmembers(EmbeddingIndex, inspect.isfunction)
    assert {name for name, _ in methods if name[0] != "_"} == {
        "delete_properties_everywhere",
        "delete_users_everywhere",
        "forget_earlier",
        "keep_versions",
        "search",
        "space",
        # Of no tenant.
        "ensure_collections",
        "has_earlier",
        "outdated",
        "ping",
    }
