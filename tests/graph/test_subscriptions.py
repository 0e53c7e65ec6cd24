"""What subscriptions yield, to whom, and when they end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.contract.snapshots import BuyBox
from domain.contract.vocabulary import InteractionKind, Role
from domain.core.errors import invalid
from domain.core.work import Work
from domain.interactions import interactions
from domain.jobs import job_runs
from domain.model_registry import model_versions
from domain.properties import table, upsert
from domain.properties.input import PropertyInput
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes
from graph import subscriptions
from graph.core.context import Context
from graph.core.errors import RequestRefused, formatted
from graph.identity import Principal
from graph.limits.meter import Meter
from graph.schema import build_schema
from graph.server.documents import DocumentStore
from graph.server.operations import GraphQLRequest, Operations
from runtime import Runtime
from tests.factories import add_property, add_user, build_town, train
from tests.graph.conftest import user_id

LIST = "subscription ($user: ID) { recommendationsChanged(userId: $user) { causes user { id } } }"
JOBS = """subscription ($job: ID) { jobProgress(jobId: $job) {
    id function status progress message error attempt finishedAt } }"""
Answers = AsyncGenerator[dict[str, Any], None]
Follow = Callable[..., Any]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "PACE", 0.0)


@pytest.fixture(scope="module")
def operations() -> Operations:
    documents = DocumentStore(build_schema()._schema)
    return Operations(documents, Meter(10_000, 1_000_000, 0), 10.0)


@pytest.fixture
def follow(rt: Runtime, operations: Operations) -> Follow:
    """Subscribes as a user: ``async with follow(tenant, user, query, **variables) as answers``."""

    @asynccontextmanager
    async def begin(
        tenant: Tenant, user: UUID, query: str, role: Role = Role.ANALYST, /, **variables: Any
    ) -> AsyncIterator[Answers]:
        until = datetime.now(UTC) + timedelta(minutes=5)
        principal = Principal(tenant.id, user, role, until)
        context = Context(rt.database, rt.recommender, rt.broker, principal, "test")
        prepared = operations.prepare(GraphQLRequest(query, None, None, variables), context)
        async with aclosing(await operations.subscribe(prepared, context)) as answers:
            yield answers

    return begin


async def following(answers: Answers) -> Any:
    """The one field of the next answer, which has no errors."""
    async with asyncio.timeout(30):
        body = await anext(answers)
    assert "errors" not in body, body["errors"]
    (value,) = body["data"].values()
    return value


async def causes(answers: Answers) -> list[str]:
    found: list[str] = (await following(answers))["causes"]
    return found


async def refusal(follow: Follow, *args: Any, **variables: Any) -> dict[str, Any]:
    with pytest.raises(RequestRefused) as caught:
        async with follow(*args, **variables):
            pass
    (error,) = formatted(caught.value.errors, "test")
    return dict(error["extensions"])


async def act(rt: Runtime, tenant: Tenant, does: Callable[[Work], Any]) -> Any:
    async with rt.database.work(tenant.id) as work:
        return await does(work)


@pytest.fixture
async def investor(rt: Runtime, tenant: Tenant) -> UUID:
    found: UUID = (await act(rt, tenant, add_user)).id
    return found


@pytest.fixture
async def house(rt: Runtime, tenant: Tenant) -> UUID:
    found: UUID = (await act(rt, tenant, add_property)).id
    return found


async def test_whatever_changes_a_list_is_told_with_its_cause(
    rt: Runtime, tenant: Tenant, investor: UUID, house: UUID, follow: Follow
) -> None:
    up, save = InteractionKind.THUMBS_UP, InteractionKind.SAVE
    new = [PropertyInput(external_id="new", listing_price=1.0)]
    async with follow(tenant, investor, LIST) as answers:
        first = await following(answers)
        assert first == {"causes": ["SUBSCRIBED"], "user": {"id": user_id(investor)}}
        await act(rt, tenant, lambda w: interactions.submit_feedback(w, investor, house, up, None))
        assert await causes(answers) == ["FEEDBACK"]
        await act(rt, tenant, lambda w: interactions.retract_feedback(w, investor, house))
        assert await causes(answers) == ["FEEDBACK"]
        await act(rt, tenant, lambda w: interactions.record(w, investor, house, save))
        assert await causes(answers) == ["INTERACTION"]
        await act(rt, tenant, lambda w: buy_boxes.state(w, investor, BuyBox(cities=("Kent",))))
        assert await causes(answers) == ["BUY_BOX"]
        await act(rt, tenant, lambda w: upsert.upsert(w, new))
        assert await causes(answers) == ["PROPERTIES"]
        await act(rt, tenant, lambda w: table.remove(w, house))
        assert await causes(answers) == ["PROPERTIES"]


async def test_what_changes_nothing_and_what_is_others_is_not_told(
    rt: Runtime, tenant: Tenant, other_tenant: Tenant, investor: UUID, house: UUID, follow: Follow
) -> None:
    up = InteractionKind.THUMBS_UP
    other = (await act(rt, tenant, add_user)).id
    stranger = (await act(rt, other_tenant, add_user)).id
    theirs = (await act(rt, other_tenant, add_property)).id
    async with (
        follow(tenant, investor, LIST) as answers,
        follow(other_tenant, stranger, LIST) as others,
    ):
        assert await causes(answers) == await causes(others) == ["SUBSCRIBED"]
        await act(rt, tenant, lambda w: interactions.retract_feedback(w, investor, house))
        await act(rt, tenant, lambda w: interactions.submit_feedback(w, other, house, up, None))
        await act(
            rt, other_tenant, lambda w: interactions.submit_feedback(w, stranger, theirs, up, None)
        )
        assert await causes(others) == ["FEEDBACK"]
        await act(rt, tenant, lambda w: buy_boxes.state(w, investor, BuyBox(cities=("Kent",))))
        assert await causes(answers) == ["BUY_BOX"]


async def test_a_burst_is_one_event_and_the_list_in_it_is_the_newest(
    rt: Runtime, tenant: Tenant, investor: UUID, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = """subscription { recommendationsChanged {
        causes user { recommendations { edges { node { property { externalId } } } } } } }"""
    monkeypatch.setattr(subscriptions, "PACE", 0.5)
    async with follow(tenant, investor, query) as answers:
        first = await following(answers)
        assert first["user"]["recommendations"]["edges"] == []
        for number in range(20):
            async with rt.database.work(tenant.id) as work:
                await upsert.upsert(work, [PropertyInput(external_id=f"burst-{number}")])
        second = await following(answers)
        assert second["causes"] == ["PROPERTIES"]
        assert len(second["user"]["recommendations"]["edges"]) == 20
        await act(rt, tenant, lambda w: buy_boxes.state(w, investor, BuyBox(cities=("Kent",))))
        assert await causes(answers) == ["BUY_BOX"]


async def test_a_new_model_is_told(
    rt: Runtime, tenant: Tenant, investor: UUID, follow: Follow
) -> None:
    async with follow(tenant, investor, LIST) as answers:
        assert await causes(answers) == ["SUBSCRIBED"]

        async def answer(work: Work) -> None:
            version = await model_versions.add(work, b"", {}, {})
            await model_versions.judge(work, version.id, [], None)
            await model_versions.begin_filling(work, version.id)
            await model_versions.complete(work, version.id)
            await model_versions.activate(work, version.id)

        await act(rt, tenant, answer)
        assert await causes(answers) == ["MODEL"]


ANSWERS = """subscription ($user: ID) { recommendationsChanged(userId: $user) {
    causes user { recommendations(first: 1) { edges { node { modelVersion property {
        similarProperties { modelVersion reason { kind } edges { similarity } }
        interestedUsers { modelVersion reason { kind } edges { node { score } } } } } } } } } }"""


async def test_the_first_model_is_told_and_answers_from_then_on(
    rt: Runtime, tenant: Tenant, follow: Follow
) -> None:
    town = await build_town(rt.database, tenant)

    async def answer(answers: Answers) -> tuple[list[str], set[str | None], set[str]]:
        """The causes, which versions answered, and why none did."""
        found = await following(answers)
        (edge,) = found["user"]["recommendations"]["edges"]
        house = edge["node"]["property"]
        lists = [house["similarProperties"], house["interestedUsers"]]
        assert all(one["edges"] for one in lists)
        versions = {one["modelVersion"] for one in (edge["node"], *lists)}
        return found["causes"], versions, {one["reason"]["kind"] for one in lists if one["reason"]}

    async with follow(tenant, town.southerners[0], ANSWERS) as answers:
        first = await answer(answers)
        assert first == (["SUBSCRIBED"], {"engagement", None}, {"NO_ACTIVE_MODEL"})
        training = await train(rt, tenant, epochs=1)
        causes, *rest = await answer(answers)
        assert "MODEL" in causes
        assert rest == [{str(training.version_id)}, set()]


async def test_who_may_follow_a_list(
    rt: Runtime, tenant: Tenant, other_tenant: Tenant, investor: UUID, follow: Follow
) -> None:
    other = (await act(rt, tenant, add_user)).id
    stranger = (await act(rt, other_tenant, add_user)).id
    async with follow(tenant, investor, LIST, Role.VIEWER) as answers:
        assert await causes(answers) == ["SUBSCRIBED"]
    async with follow(tenant, investor, LIST, user=user_id(other)) as answers:
        assert (await following(answers))["user"] == {"id": user_id(other)}
    refused = await refusal(follow, tenant, investor, LIST, Role.VIEWER, user=user_id(other))
    assert refused == {"code": "FORBIDDEN", "field": ["userId"]}
    refused = await refusal(follow, tenant, investor, LIST, user=user_id(stranger))
    assert refused == {"code": "NOT_FOUND", "field": ["userId"]}
    refused = await refusal(follow, tenant, investor, LIST, user="nobody")
    assert refused == {"code": "INVALID_INPUT", "field": ["userId"]}


async def begin_job(rt: Runtime, tenant: Tenant, function: str = "reindex") -> UUID:
    async def begin(work: Work) -> UUID:
        run = await job_runs.request(work, function)
        await job_runs.start(work, run.id)
        return run.id

    found: UUID = await act(rt, tenant, begin)
    return found


async def test_all_jobs_are_followed_from_where_they_stand(
    rt: Runtime, tenant: Tenant, other_tenant: Tenant, investor: UUID, follow: Follow
) -> None:
    earlier = await begin_job(rt, tenant)
    ended = await begin_job(rt, tenant, "activate_model")
    await act(rt, tenant, lambda w: job_runs.succeed(w, ended, {}))
    await begin_job(rt, other_tenant)
    async with follow(tenant, investor, JOBS) as answers:
        seen = await following(answers)
        assert (seen["status"], seen["progress"], seen["message"]) == ("RUNNING", 0.0, None)
        await act(rt, other_tenant, lambda w: job_runs.progress(w, earlier, 0.9, "not theirs"))
        await begin_job(rt, other_tenant)
        await act(rt, tenant, lambda w: job_runs.progress(w, earlier, 0.5, "half-way"))
        seen = await following(answers)
        assert (seen["progress"], seen["message"], seen["finishedAt"]) == (0.5, "half-way", None)
        await begin_job(rt, tenant, "train_twin")
        assert (await following(answers))["function"] == "train_twin"
        await act(rt, tenant, lambda w: job_runs.succeed(w, earlier, {}))
        seen = await following(answers)
        assert (seen["status"], seen["progress"], seen["error"]) == ("SUCCEEDED", 1.0, None)
        assert seen["finishedAt"]


async def test_one_job_is_followed_until_it_ends(
    rt: Runtime, tenant: Tenant, other_tenant: Tenant, investor: UUID, follow: Follow
) -> None:
    run_id = await begin_job(rt, tenant)
    async with follow(tenant, investor, JOBS) as answers:
        job = (await following(answers))["id"]
    async with follow(tenant, investor, JOBS, job=job) as answers:
        assert (await following(answers))["id"] == job
        await begin_job(rt, tenant, "train_twin")
        await act(rt, tenant, lambda w: job_runs.fail(w, run_id, "SELECT secret", "too little"))
        seen = await following(answers)
        assert (seen["status"], seen["error"]) == ("FAILED", "too little")
        with pytest.raises(StopAsyncIteration):
            await following(answers)
    async with follow(tenant, investor, JOBS, job=job) as answers:
        assert (await following(answers))["status"] == "FAILED"
    stranger = (await act(rt, other_tenant, add_user)).id
    refused = await refusal(follow, other_tenant, stranger, JOBS, job=job)
    assert refused == {"code": "NOT_FOUND", "field": ["jobId"]}
    refused = await refusal(follow, tenant, investor, JOBS, Role.VIEWER, job=job)
    assert refused["code"] == "FORBIDDEN"


async def test_why_a_job_failed_is_not_told_unless_it_is_meant_to_be(
    rt: Runtime, tenant: Tenant, investor: UUID, follow: Follow
) -> None:
    async with follow(tenant, investor, JOBS) as answers:
        run_id = await begin_job(rt, tenant)
        assert (await following(answers))["status"] == "RUNNING"
        await act(rt, tenant, lambda w: job_runs.fail(w, run_id, "SELECT secret"))
        seen = await following(answers)
        assert seen["error"] == "Something went wrong on our side; quote the run's id to support."


async def test_after_missed_events_no_job_is_left_behind(
    rt: Runtime, tenant: Tenant, investor: UUID, follow: Follow
) -> None:
    ended = await begin_job(rt, tenant)
    async with follow(tenant, investor, JOBS) as answers:
        await following(answers)
        (channel,) = (one for key, one in rt.broker._channels.items() if key == tenant.id)
        # As if Redis had been away meanwhile.
        listeners, channel.listeners = channel.listeners, set()
        await act(rt, tenant, lambda w: job_runs.succeed(w, ended, {}))
        begun = await begin_job(rt, tenant)
        async with rt.broker.listen(tenant.id, lambda _: True) as witness:
            await act(rt, tenant, lambda w: job_runs.progress(w, begun, 0.1, "begun"))
            await witness.take()
        channel.listeners |= listeners
        channel.confirm()
        seen = [await following(answers), await following(answers)]
        assert [one["status"] for one in seen] == ["SUCCEEDED", "RUNNING"]


async def test_a_failure_of_the_source_is_masked_and_logged(
    tenant: Tenant,
    investor: UUID,
    follow: Follow,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with follow(tenant, investor, JOBS) as answers:
        monkeypatch.setattr(job_runs, "unfinished", None)
        with pytest.raises(RequestRefused) as caught:
            await following(answers)
    (error,) = formatted(caught.value.errors, "the-request")
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "the-request"}
    assert "NoneType" not in error["message"]
    assert "the-request" in caplog.text


async def test_a_refusal_of_the_source_is_told(
    tenant: Tenant, investor: UUID, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: Work) -> None:
        raise invalid("not today")

    async with follow(tenant, investor, JOBS) as answers:
        monkeypatch.setattr(job_runs, "unfinished", refuse)
        with pytest.raises(RequestRefused, match="not today") as caught:
            await following(answers)
    assert formatted(caught.value.errors, "test")[0]["extensions"] == {"code": "INVALID_INPUT"}


async def test_nobody_listens_any_more_once_a_subscription_is_closed(
    rt: Runtime, tenant: Tenant, investor: UUID, follow: Follow
) -> None:
    async with follow(tenant, investor, LIST) as answers, follow(tenant, investor, JOBS):
        await causes(answers)
        assert tenant.id in rt.broker._channels
    assert tenant.id not in rt.broker._channels
