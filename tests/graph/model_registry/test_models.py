"""Model versions over the API: listing, judging by figures, activating and rolling back."""

from uuid import UUID, uuid4

import pytest

from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.jobs import job_runs
from domain.model_registry import drift, gates, model_versions
from domain.tenants import policies, tenants
from domain.tenants.tenants import Tenant
from graph.core.nodes import global_id
from tests.factories import Town, add_user
from tests.graph.conftest import Session, SignIn

VERSION = """id number status indexState refusal gates { name value bound passed } createdAt
    learnedUntil activatedAt retiredAt figures { ranker ndcgAt10 hitRateAt10 recallAt100 auc }
    parent { number } drift { measuredAt level score features { feature index } }"""
ACTIVE = f"{{ activeModel {{ {VERSION} }} }}"
LIST = f"""query ($first: Int, $after: String, $last: Int, $before: String) {{
    modelVersions(first: $first, after: $after, last: $last, before: $before) {{
        totalCount pageInfo {{ hasNextPage hasPreviousPage }}
        edges {{ cursor node {{ {VERSION} }} }} }} }}"""
ACTIVATE = """mutation ($id: ID!) { activateModel(input: {versionId: $id}) {
    modelVersion { number status }
    job { id function arguments status modelVersion { number } }
    errors { code message path } } }"""
NODE = "query ($id: ID!) { node(id: $id) { id ... on ModelVersion { number status } } }"


async def session_of(database: Database, tenant: Tenant, sign_in: SignIn, role: Role) -> Session:
    async with database.work(tenant.id) as work:
        user = await add_user(work, role=role)
    return sign_in(tenant, user.id, role)


async def add(database: Database, tenant: Tenant) -> UUID:
    """A version without weights that could be read, not judged."""
    async with database.work(tenant.id) as work:
        return (await model_versions.add(work, b"weights", {}, {})).id


async def add_judged(database: Database, tenant: Tenant, *, f1: float) -> UUID:
    """A version that was judged by the tenant's rules; but for its F1 it is good."""
    metrics = {"f1": f1, "accuracy": 0.9, "not_finite": 0, "best_baseline": "mix"}
    rest = {"hr@10": 0.5, "recall@100": 0.6, "auc": 0.7}
    metrics |= {"twin": {"ndcg@10": 0.4} | rest, "mix": {"ndcg@10": 0.3} | rest}
    async with database.work(tenant.id) as work:
        version = await model_versions.add(work, b"weights", {}, metrics)
        verdicts = gates.judge(metrics, await policies.get(work))
        told = [one.to_json() for one in verdicts]
        await model_versions.judge(work, version.id, told, gates.refusal(verdicts))
        return version.id


@pytest.fixture
async def admin(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    return await session_of(database, tenant, sign_in, Role.ADMIN)


async def test_the_active_version_is_shown_with_its_figures(
    trained: Town, database: Database, sign_in: SignIn
) -> None:
    analyst = await session_of(database, trained.tenant, sign_in, Role.ANALYST)
    found = (await analyst.data(ACTIVE))["activeModel"]
    assert (found["number"], found["status"], found["indexState"]) == (2, "ACTIVE", "COMPLETE")
    assert {"twin", "popularity"} <= {one["ranker"] for one in found["figures"]}
    assert all(0 <= one["ndcgAt10"] <= 1 for one in found["figures"])
    assert found["activatedAt"] is not None
    assert (found["refusal"], found["parent"], found["retiredAt"]) == (None, None, None)


async def test_a_tenant_without_a_version_has_none(admin: Session) -> None:
    assert (await admin.data(ACTIVE))["activeModel"] is None
    assert (await admin.data(LIST))["modelVersions"]["edges"] == []


async def test_a_refused_version_says_why_and_does_not_answer(
    admin: Session, database: Database, tenant: Tenant
) -> None:
    refused = await add_judged(database, tenant, f1=0.4)
    (edge,) = (await admin.data(LIST))["modelVersions"]["edges"]
    node = edge["node"]
    why = "f1: F1 on held-out pairs is 0.4, below 0.6"
    assert (node["id"], node["status"]) == (global_id("ModelVersion", refused), "REFUSED")
    assert node["refusal"] == why
    assert node["gates"][0] == {"name": "f1", "value": 0.4, "bound": 0.6, "passed": False}
    assert [gate["passed"] for gate in node["gates"][1:]] == [True, True, True]

    payload = (await admin.data(ACTIVATE, id=node["id"]))["activateModel"]
    assert payload["modelVersion"] is None
    assert payload["errors"] == [
        {
            "code": "INVALID_INPUT",
            "message": f"version 1 was refused: {why}",
            "path": ["versionId"],
        }
    ]


async def test_versions_are_listed_newest_first_and_page_by_page(
    admin: Session, database: Database, tenant: Tenant
) -> None:
    parent = await add(database, tenant)
    for _ in range(3):
        await add(database, tenant)
    async with database.work(tenant.id) as work:
        child = await model_versions.add(work, b"weights", {}, {}, parent_id=parent)
        await drift.record(work, child.id, {"bedrooms": 0.02, "listing_price": 0.3}, 0.01)
    everything = (await admin.data(LIST))["modelVersions"]
    assert [edge["node"]["number"] for edge in everything["edges"]] == [5, 4, 3, 2, 1]
    assert everything["totalCount"] == 5
    newest = everything["edges"][0]["node"]
    assert newest["parent"] == {"number": 1}
    assert newest["drift"]["level"] == "ALERT"
    assert newest["drift"]["features"][0] == {"feature": "listing_price", "index": 0.3}

    first = (await admin.data(LIST, first=2))["modelVersions"]
    rest = await admin.data(LIST, first=100, after=first["edges"][-1]["cursor"])
    assert first["edges"] + rest["modelVersions"]["edges"] == everything["edges"]
    assert first["pageInfo"] == {"hasNextPage": True, "hasPreviousPage": False}
    last = await admin.data(LIST, last=2, before=everything["edges"][-1]["cursor"])
    assert last["modelVersions"]["edges"] == everything["edges"][2:4]


async def test_an_indexed_version_answers_at_once_and_back(
    trained: Town, database: Database, sign_in: SignIn
) -> None:
    admin = await session_of(database, trained.tenant, sign_in, Role.ADMIN)
    edges = (await admin.data(LIST))["modelVersions"]["edges"]
    newer, older = edges[0]["node"], edges[1]["node"]
    for wanted, other in ((older, newer), (newer, older)):
        payload = (await admin.data(ACTIVATE, id=wanted["id"]))["activateModel"]
        assert payload == {
            "modelVersion": {"number": wanted["number"], "status": "ACTIVE"},
            "job": None,
            "errors": [],
        }
        assert (await admin.data(ACTIVE))["activeModel"]["number"] == wanted["number"]
        retired = (await admin.data(NODE, id=other["id"]))["node"]
        assert retired["status"] == "RETIRED"


async def test_a_version_that_is_not_in_the_index_gets_a_job(
    admin: Session, database: Database, tenant: Tenant
) -> None:
    wanted, other = [await add_judged(database, tenant, f1=0.9) for _ in range(2)]
    payload = (await admin.data(ACTIVATE, id=global_id("ModelVersion", wanted)))["activateModel"]
    assert payload["job"]["function"] == "activate_model"
    assert payload["job"]["arguments"] == {"version_id": str(wanted)}
    assert payload["job"]["modelVersion"] == {"number": 1}
    assert payload["modelVersion"]["status"] == "EVALUATED"
    async with database.work(tenant.id) as work:
        assert await tenants.active_version_id(work) is None

    again = (await admin.data(ACTIVATE, id=global_id("ModelVersion", wanted)))["activateModel"]
    assert again["job"] == payload["job"]
    refused = (await admin.data(ACTIVATE, id=global_id("ModelVersion", other)))["activateModel"]
    assert refused["errors"][0]["message"].startswith("another version is being activated by run")
    async with database.work(tenant.id) as work:
        assert len(await job_runs.unfinished(work)) == 1


async def test_a_refused_version_is_judged_again_by_the_rules_of_now(
    admin: Session, database: Database, tenant: Tenant
) -> None:
    refused = await add_judged(database, tenant, f1=0.4)
    async with database.work(tenant.id) as work:
        await policies.change(work, {"least_f1": 0.3})
    payload = (await admin.data(ACTIVATE, id=global_id("ModelVersion", refused)))["activateModel"]
    assert (payload["errors"], payload["modelVersion"]["status"]) == ([], "EVALUATED")
    assert payload["job"]["function"] == "activate_model"


async def test_a_version_that_nobody_judged_does_not_answer(
    admin: Session, database: Database, tenant: Tenant
) -> None:
    wanted = global_id("ModelVersion", await add(database, tenant))
    payload = (await admin.data(ACTIVATE, id=wanted))["activateModel"]
    assert payload["errors"][0]["message"] == "version 1 has not been judged yet: wait for it"


async def test_roles(
    trained: Town, database: Database, tenant: Tenant, sign_in: SignIn, admin: Session
) -> None:
    analyst = await session_of(database, tenant, sign_in, Role.ANALYST)
    viewer = await session_of(database, tenant, sign_in, Role.VIEWER)
    wanted = global_id("ModelVersion", await add(database, tenant))
    assert (await viewer.error(ACTIVE))["code"] == "FORBIDDEN"
    assert (await viewer.error(LIST))["code"] == "FORBIDDEN"
    assert (await viewer.error(NODE, id=wanted))["code"] == "FORBIDDEN"
    payload = (await analyst.data(ACTIVATE, id=wanted))["activateModel"]
    assert [error["code"] for error in payload["errors"]] == ["FORBIDDEN"]
    missing = global_id("ModelVersion", uuid4())
    assert (await admin.error(NODE, id=missing))["code"] == "NOT_FOUND"
    payload = (await admin.data(ACTIVATE, id=missing))["activateModel"]
    assert [error["code"] for error in payload["errors"]] == ["NOT_FOUND"]


async def test_a_cursor_of_another_list_is_refused(admin: Session) -> None:
    error = await admin.error(LIST, after="nonsense")
    assert error["message"].startswith("after: use a cursor of this list")
