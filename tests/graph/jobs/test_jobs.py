"""Job runs over the API: who may see and start them, and how they are listed."""

from typing import Any
from uuid import uuid4

import pytest

from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.jobs import job_runs
from domain.jobs.job_runs import JobRun
from domain.model_registry import model_versions
from domain.tenants.tenants import Tenant
from graph.core.nodes import global_id
from tests.factories import add_user
from tests.graph.conftest import Session, SignIn

RUNS = """query ($filter: JobRunFilter, $first: Int, $after: String, $last: Int, $before: String) {
    jobRuns(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
        totalCount pageInfo { hasNextPage hasPreviousPage }
        edges { cursor node {
            id function arguments status progress message error result attempt
            createdAt startedAt finishedAt } } } }"""
TRAIN = """mutation ($warm: Boolean) { startTraining(input: {warm: $warm}) {
    job { id function arguments status } errors { code message } } }"""
REINDEX = """mutation { startReindex(input: {full: true}) {
    job { id function arguments status } errors { code message } } }"""
NODE = "query ($id: ID!) { node(id: $id) { id ... on JobRun { status error message } } }"


async def session_of(database: Database, tenant: Tenant, sign_in: SignIn, role: Role) -> Session:
    async with database.work(tenant.id) as work:
        user = await add_user(work, role=role)
    return sign_in(tenant, user.id, role)


@pytest.fixture
async def admin(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    return await session_of(database, tenant, sign_in, Role.ADMIN)


async def listed(session: Session, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await session.data(RUNS, **variables))["jobRuns"]
    return found


async def add_runs(database: Database, tenant: Tenant, count: int) -> list[JobRun]:
    """Ended runs, the oldest first; every second failed."""
    made = []
    for number in range(count):
        async with database.work(tenant.id) as work:
            run = await job_runs.request(work, job_runs.REINDEX, {"number": number})
            await job_runs.start(work, run.id)
            if number % 2:
                await job_runs.fail(work, run.id, "password of the database", "no such version")
            else:
                await job_runs.succeed(work, run.id, {"properties": number})
        made.append(run)
    return made


async def test_a_started_training_waits_and_a_second_one_is_the_same(
    admin: Session, database: Database, tenant: Tenant
) -> None:
    first = (await admin.data(TRAIN, warm=True))["startTraining"]
    assert first["errors"] == []
    assert first["job"] | {"id": ""} == {
        "id": "", "function": "train_twin", "arguments": {"warm": True}, "status": "QUEUED"
    }  # fmt: skip
    second = (await admin.data(TRAIN, warm=False))["startTraining"]
    assert second["job"] == first["job"]

    other = (await admin.data(REINDEX))["startReindex"]["job"]
    assert (other["function"], other["arguments"]) == ("reindex", {"full": True})
    async with database.work(tenant.id) as work:
        assert {run.function for run in await job_runs.unfinished(work)} == {
            "train_twin",
            "reindex",
        }


@pytest.mark.parametrize("role", [Role.ANALYST, Role.VIEWER])
@pytest.mark.parametrize("mutation", [TRAIN, REINDEX])
async def test_only_admins_start_jobs(
    database: Database, tenant: Tenant, sign_in: SignIn, role: Role, mutation: str
) -> None:
    session = await session_of(database, tenant, sign_in, role)
    (payload,) = (await session.data(mutation)).values()
    assert (payload["job"], [error["code"] for error in payload["errors"]]) == (None, ["FORBIDDEN"])
    async with database.work(tenant.id) as work:
        assert await job_runs.unfinished(work) == []


async def test_a_viewer_sees_no_jobs(
    database: Database, tenant: Tenant, sign_in: SignIn, admin: Session
) -> None:
    viewer = await session_of(database, tenant, sign_in, Role.VIEWER)
    assert (await viewer.error(RUNS))["code"] == "FORBIDDEN"
    run = (await admin.data(REINDEX))["startReindex"]["job"]
    assert (await viewer.error(NODE, id=run["id"]))["code"] == "FORBIDDEN"


async def test_runs_are_listed_newest_first_and_page_by_page(
    admin: Session, database: Database, tenant: Tenant
) -> None:
    made = await add_runs(database, tenant, 5)
    everything = await listed(admin)
    numbers = [edge["node"]["arguments"]["number"] for edge in everything["edges"]]
    assert (numbers, everything["totalCount"]) == ([4, 3, 2, 1, 0], len(made))

    paged, after = [], None
    while True:
        page = await listed(admin, first=2, after=after)
        paged += page["edges"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["edges"][-1]["cursor"]
    assert paged == everything["edges"]
    last = await listed(admin, last=2)
    assert last["edges"] == everything["edges"][-2:]
    before = await listed(admin, last=2, before=last["edges"][0]["cursor"])
    assert before["edges"] == everything["edges"][1:3]


async def test_a_filter_picks_runs_and_clients_read_no_internal_error(
    admin: Session, database: Database, tenant: Tenant
) -> None:
    await add_runs(database, tenant, 4)
    failed = await listed(admin, filter={"statuses": ["FAILED"], "functions": ["reindex"]})
    assert failed["totalCount"] == 2
    for edge in failed["edges"]:
        assert edge["node"]["error"] == "no such version"
        assert "password" not in str(edge)
        assert (await admin.data(NODE, id=edge["node"]["id"]))["node"]["error"] == "no such version"
    succeeded = await listed(admin, filter={"statuses": ["SUCCEEDED"]})
    assert [edge["node"]["result"] for edge in succeeded["edges"]] == [
        {"properties": 2},
        {"properties": 0},
    ]
    assert (await listed(admin, filter={"functions": ["train_twin"]}))["edges"] == []


async def test_many_runs_are_read_by_their_ids_in_one_query(
    database: Database, tenant: Tenant, admin: Session, statements: list[str]
) -> None:
    runs = [global_id("JobRun", run.id) for run in await add_runs(database, tenant, 3)]
    wanted = [*runs, global_id("JobRun", uuid4())]
    statements.clear()
    body = await admin.post("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=wanted)
    assert body["data"]["nodes"] == [*({"id": one} for one in runs), None]
    (error,) = body["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["nodes", 3], "NOT_FOUND")
    assert sum("FROM job_runs" in one for one in statements) == 1


async def test_a_run_leads_to_its_version_and_to_nobody_else_s(
    admin: Session, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    versions = []
    for one in (other_tenant, tenant):
        async with database.work(one.id) as work:
            versions.append((await model_versions.add(work, b"", {}, {})).id)
    theirs, ours = ({"version_id": str(one)} for one in versions)
    about: list[tuple[dict[str, Any], dict[str, Any] | None]]
    none: dict[str, Any] = {"version_id": None}
    about = [({}, theirs), ({}, ours), (ours, {}), (ours, none), ({}, {"spaces": []})]
    about += [({}, none), (none, {}), ({"version_id": 1}, {}), (none, None)]
    for arguments, result in about:
        async with database.work(tenant.id) as work:
            run = await job_runs.request(work, job_runs.ACTIVATE, arguments)
            await job_runs.start(work, run.id)
            if result is not None:
                await job_runs.succeed(work, run.id, result)

    query = "{ jobRuns { edges { node { modelVersion { number } } } } }"
    edges = (await admin.data(query))["jobRuns"]["edges"]
    found = [edge["node"]["modelVersion"] for edge in reversed(edges)]
    assert found == [None, *[{"number": 1}] * 3, *[None] * 5]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"first": -1}, "first -1: use 0 to 100"),
        ({"after": "nonsense"}, "after: use a cursor of this list"),
        ({"filter": {"functions": ["\x00"]}}, "functions: use names without zero bytes"),
    ],
)
async def test_what_cannot_be_listed_is_refused(
    admin: Session, variables: dict[str, Any], message: str
) -> None:
    error = await admin.error(RUNS, **variables)
    assert error["code"] == "INVALID_INPUT"
    assert error["message"].startswith(message)
