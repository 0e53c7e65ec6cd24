"""What subscriptions cost: to open them, with their first event, and each event after it."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from domain.contract.snapshots import BuyBox
from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes
from graph import subscriptions
from graph.core.context import Context
from graph.core.errors import RequestRefused
from graph.identity import Principal
from graph.limits.bucket import Buckets, ExhaustedError
from graph.limits.meter import Meter
from graph.schema import build_schema
from graph.server.documents import DocumentStore
from graph.server.operations import GraphQLRequest, Operations, Prepared
from runtime import Runtime
from tests.factories import add_user

LIST = "subscription ($user: ID) { recommendationsChanged(userId: $user) { causes } }"
SCHEMA = build_schema()._schema


@pytest.fixture
async def context(rt: Runtime, database: Database, tenant: Tenant) -> Context:
    async with database.work(tenant.id) as work:
        investor = await add_user(work)
    until = datetime.now(UTC) + timedelta(minutes=5)
    principal = Principal(tenant.id, investor.id, Role.ANALYST, until)
    return Context(rt.database, rt.recommender, rt.broker, principal, "test")


@pytest.fixture
async def operations(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operations]:
    monkeypatch.setattr(subscriptions, "PACE", 0.0)
    meter = Meter(10_000, 1_000_000, 100_000)
    async with meter.metering(rt.services.redis_url):
        yield Operations(DocumentStore(SCHEMA), meter, 10.0)


def prepare(operations: Operations, context: Context, **variables: str) -> Prepared:
    return operations.prepare(GraphQLRequest(LIST, None, None, variables), context)


async def test_who_has_no_points_opens_nothing(
    operations: Operations,
    context: Context,
    statements: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def none_left(*_: object) -> None:
        raise ExhaustedError(1.0, 0)

    monkeypatch.setattr(Buckets, "take", none_left)
    statements.clear()
    with pytest.raises(RequestRefused) as refused:
        await operations.subscribe(prepare(operations, context), context)
    assert (refused.value.errors[0].extensions or {})["code"] == "RATE_LIMITED"
    assert statements == []


async def test_what_is_refused_gives_its_points_back(
    operations: Operations, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []

    async def give_back(_: Buckets, _tenant: object, points: int) -> None:
        given.append(points)

    monkeypatch.setattr(Buckets, "give_back", give_back)
    prepared = prepare(operations, context, user="nobody")
    with pytest.raises(RequestRefused):
        await operations.subscribe(prepared, context)
    assert given == [prepared.asked]


async def test_an_event_waits_until_its_tenant_has_points_for_it(
    operations: Operations, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    take = Buckets.take

    async def poor(self: Buckets, tenant_id: object, points: int) -> None:
        asked.append(points)
        if len(asked) in (2, 3):
            raise ExhaustedError(0.01, 0)
        await take(self, tenant_id, points)  # type: ignore[arg-type]

    monkeypatch.setattr(Buckets, "take", poor)
    prepared = prepare(operations, context)
    async with aclosing(await operations.subscribe(prepared, context)) as answers:
        body = await anext(answers)
        # To open it took the first event's points.
        assert asked == [prepared.asked]
        assert body["extensions"]["cost"]["actual"] == prepared.asked
        async with context.work() as work:
            await buy_boxes.state(work, context.principal.user_id, BuyBox(cities=("Kent",)))
        body = await anext(answers)
    assert asked == [prepared.asked] * 4
    assert body["extensions"]["cost"]["actual"] == prepared.asked
