"""Two firms side by side: nothing that happens in one is told to who follows the other.

Each entry of ``FOLLOWED`` subscribes as firm B with everything that it could have learned of
firm A. The list of root fields is compared with the schema, so that a new one fails here until it
is covered.
"""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from graphql import build_schema
from redis.asyncio import Redis
from starlette.applications import Starlette

from domain.contract.snapshots import BuyBox
from domain.contract.vocabulary import InteractionKind
from domain.core.broker import PREFIX
from domain.core.events import Event, Topic
from domain.interactions import interactions
from domain.jobs import job_runs
from domain.members import members
from domain.members.members import MemberInput
from domain.model_registry import model_versions
from domain.properties import upsert
from domain.properties.input import PropertyInput
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes
from graph import subscriptions
from graph.core.nodes import global_id
from graph.schema import build_schema as build_own_schema
from runtime import Runtime
from tests.factories import add_property, add_user
from tests.graph.conftest import Session, SignIn, user_id
from tests.graph.live import open_socket, serving

FOLLOWED = {
    "recommendationsChanged": [
        """subscription { recommendationsChanged { causes user { id
            recommendations { edges { node { property { externalId } } } } } } }""",
        "subscription ($user: ID!) { recommendationsChanged(userId: $user) { user { id } } }",
    ],
    "jobProgress": [
        "subscription { jobProgress { id function message error } }",
        "subscription ($job: ID!) { jobProgress(jobId: $job) { id message error } }",
    ],
}
SECRET = "only firm A's"


def test_every_subscription_is_covered() -> None:
    schema = build_schema(build_own_schema().as_str())
    assert schema.subscription_type
    assert set(FOLLOWED) == set(schema.subscription_type.fields)


async def live_on(rt: Runtime, tenant: Tenant, investor: UUID, words: str) -> None:
    """Cause every event there is."""
    async with rt.database.work(tenant.id) as work:
        house = (await add_property(work, external_id=f"{words} {uuid4()}")).id
    async with rt.database.work(tenant.id) as work:
        thumb = InteractionKind.THUMBS_UP
        await interactions.submit_feedback(work, investor, house, thumb, words)
        await interactions.record(work, investor, house, InteractionKind.SAVE)
        await buy_boxes.state(work, investor, BuyBox(cities=(f"{words} {uuid4()}",)))
        await upsert.upsert(work, [PropertyInput(external_id=f"{words} {uuid4()}")])
        version = await model_versions.add(work, b"", {}, {})
        await model_versions.judge(work, version.id, [], None)
        await model_versions.begin_filling(work, version.id)
        await model_versions.complete(work, version.id)
        await model_versions.activate(work, version.id)
        for active in (True, False):
            await members.upsert(work, [MemberInput(external_id=words, active=active)])
        run = await job_runs.request(work, words)
        await job_runs.start(work, run.id)
        await job_runs.fail(work, run.id, words, words)
        await job_runs.request(work, words)
        # A version without weights cannot rank.
        tenant_row = await work.session.get(Tenant, tenant.id)
        assert tenant_row
        tenant_row.active_model_version_id = None
        published = {event.topic for event in work.events}
    assert published == set(Topic) - {Topic.MISSED}


async def test_who_follows_one_firm_is_told_nothing_of_another(
    app: Starlette,
    rt: Runtime,
    tenant: Tenant,
    other_tenant: Tenant,
    sign_in: SignIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriptions, "PACE", 0.0)
    people: list[UUID] = []
    for firm in (tenant, other_tenant):
        async with rt.database.work(firm.id) as work:
            people.append((await add_user(work)).id)
    async with rt.database.work(tenant.id) as work:
        run = await job_runs.request(work, SECRET)
    learned = {"user": user_id(people[0]), "job": global_id("JobRun", run.id)}
    queries = [query for field in FOLLOWED.values() for query in field]
    asks: Session = sign_in(other_tenant, people[1])

    async with serving(app) as address, open_socket(address) as socket:
        token = {"Authorization": f"Bearer {asks.token}"}
        await socket.send(json.dumps({"type": "connection_init", "payload": token}))
        for place, query in enumerate(queries):
            payload: dict[str, Any] = {"query": query, "variables": learned}
            asked = {"type": "subscribe", "id": str(place), "payload": payload}
            await socket.send(json.dumps(asked))
        heard: list[str] = []

        async def hear(*until: str) -> None:
            async with asyncio.timeout(60):
                while not all(any(mark in message for message in heard) for mark in until):
                    heard.append(str(await socket.recv()))

        await hear("SUBSCRIBED")
        await live_on(rt, tenant, people[0], SECRET)
        # Into B's own channel, by who can write to Redis: B is told of nothing that is not B's.
        await rt.broker.publish(other_tenant.id, [Event(Topic.JOB, run.id)])
        await live_on(rt, other_tenant, people[1], "of B")
        await hear('"function":"of B"', '"externalId":"of B')
    everything = "".join(heard)
    assert everything.count('"type":"error"') == 2
    assert everything.count("NOT_FOUND") == 2
    for secret in (SECRET, str(tenant.id), *learned.values()):
        assert secret not in everything


async def test_a_process_does_not_even_receive_events_of_others(
    rt: Runtime, tenant: Tenant, other_tenant: Tenant
) -> None:
    redis: Redis = Redis.from_url(rt.services.redis_url)
    async with rt.broker.listen(other_tenant.id, lambda _: True) as listener:
        assert await redis.publish(f"{PREFIX}{tenant.id}", Event(Topic.MODEL).encode()) == 0
        assert await redis.publish(f"{PREFIX}{other_tenant.id}", Event(Topic.MODEL).encode()) == 1
        assert await listener.take() == [Event(Topic.MODEL)]
    await redis.aclose()
