"""What requests leave in the metrics, and that strangers cannot name series."""

import json
from contextlib import nullcontext

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from domain.contract.vocabulary import Role
from domain.core.errors import ErrorCode
from domain.tenants.tenants import Tenant
from graph.app import build
from graph.core.errors import RequestErrorCode
from graph.core.metrics import SEVERAL
from graph.schema import build_schema
from graph.server import documents
from graph.server.documents import DocumentStore
from runtime import Runtime
from settings import Settings
from tests.drawing import few
from tests.factories import Town, add_property, add_user
from tests.graph.conftest import Session, SignIn
from tests.graph.live import open_socket, serving
from tests.graph.server.page import Counted, scrape

SCHEMA = build_schema()._schema
ROOTS = {
    name
    for kind in (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type)
    for name in (kind.fields if kind else ())
} | {"__schema", "__type", "__typename", SEVERAL}


@pytest.fixture
async def analyst(rt: Runtime, tenant: Tenant, sign_in: SignIn) -> Session:
    async with rt.database.work(tenant.id) as work:
        for _ in range(3):
            await add_property(work)
        return sign_in(tenant, (await add_user(work)).id, Role.ADMIN)


async def test_a_request_is_counted_once_by_status_and_its_operation_by_root_field(
    analyst: Session,
) -> None:
    answered = Counted("twin_requests_total", transport="http", status="200")
    timed = Counted("twin_operation_seconds_count", operation="me", kind="query")
    await analyst.data("query Mine { mine: me { id } }")
    await analyst.data("query { me { id } __typename }")
    assert (answered.more, timed.more) == (2, 2)
    several = Counted("twin_operation_seconds_count", operation=SEVERAL, kind="query")
    await analyst.data("{ me { id } properties { edges { node { id } } } }")
    assert several.more == 1
    lost = Counted("twin_requests_total", transport="http", status="404")
    assert (await analyst.client.get("/no/such/path")).status_code == 404
    assert lost.more == 1


async def test_paths_that_are_asked_for_all_the_time_do_not_count(
    client: httpx.AsyncClient,
) -> None:
    answered = Counted("twin_requests_total", transport="http", status="200")
    await client.get("/healthz")
    await client.get("/metrics")
    assert answered.more == 0


async def test_sockets_and_streams_count_and_are_open_while_they_are(
    app: Starlette, analyst: Session
) -> None:
    sockets = Counted("twin_requests_total", transport="websocket", status="101")
    denied = Counted("twin_requests_total", transport="websocket", status="403")
    streams = Counted("twin_requests_total", transport="sse", status="200")
    opened = Counted("twin_open_connections")
    timed = Counted("twin_operation_seconds_count", operation="me", kind="query")
    headers = {"Authorization": f"Bearer {analyst.token}", "Accept": "text/event-stream"}
    async with serving(app) as address:
        async with open_socket(address) as socket:
            await socket.send(
                json.dumps({"type": "connection_init", "payload": headers}),
            )
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            assert opened.more == 1
        with pytest.raises(Exception, match="403"):
            async with open_socket(address, origin="https://elsewhere.example"):
                pass
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            answer = await client.post("/graphql", json={"query": "{ me { id } }"}, headers=headers)
            assert "event: complete" in answer.text
    assert (sockets.more, denied.more, streams.more, opened.more, timed.more) == (1, 1, 1, 0, 1)


async def test_errors_count_by_code(analyst: Session, client: httpx.AsyncClient) -> None:
    def errors(code: str, place: str = "errors") -> Counted:
        return Counted("twin_graphql_errors_total", code=code, place=place)

    unparsed = errors(RequestErrorCode.GRAPHQL_PARSE_FAILED)
    missing = errors(ErrorCode.UNAUTHENTICATED)
    refused = errors(ErrorCode.INVALID_INPUT, "payload")
    await analyst.post("{ me { id }")
    await client.post("/graphql", json={"query": "{ me { id } }"})
    await analyst.data('mutation { deleteProperty(input: {propertyId: "?"}) { errors { code } } }')
    assert (unparsed.more, missing.more, refused.more) == (1, 1, 1)


async def test_batches_count_their_keys(analyst: Session) -> None:
    batches = Counted("twin_loader_batch_size_count", loader="feedback")
    keys = Counted("twin_loader_batch_size_sum", loader="feedback")
    await analyst.data("{ properties { edges { node { feedback { __typename } } } } }")
    assert (batches.more, keys.more) == (1, 3)


async def test_the_twin_and_its_searches_are_timed(
    town: Town, sign_in: SignIn, client: httpx.AsyncClient
) -> None:
    ranked = Counted("twin_inference_seconds_count", method="rank", device="cpu")
    explained = Counted("twin_inference_seconds_count", method="explain", device="cpu")
    searched = Counted("twin_index_search_seconds_count", search="candidates")
    session = sign_in(town.tenant, town.southerners[0])
    await session.data(
        "{ recommendations(first: 3) { edges { node { reasons { __typename } } } } }"
    )
    assert (ranked.more, explained.more) == (1, 1)
    assert searched.more >= 1
    page = await scrape(client)
    assert (page("twin_models_loaded") or 0) >= 1
    assert (page("twin_model_loads_total") or 0) >= 1


async def test_refusals_for_spent_points_count(
    rt: Runtime, config: Settings, analyst: Session
) -> None:
    limits = {"cost_limit": 20, "rate_limit_capacity": 20, "rate_limit_refill": 1}
    server = build(lambda: nullcontext(rt), config.model_copy(update=limits))
    refused = Counted("twin_rate_limit_refusals_total")
    headers = {"Authorization": f"Bearer {analyst.token}"}
    body = {"query": "{ properties(first: 2) { edges { node { id } } } }"}
    async with server.router.lifespan_context(server):
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for _ in range(3):
                await client.post("/graphql", json=body, headers=headers)
    assert refused.more >= 1


@pytest.fixture
def config(request: pytest.FixtureRequest) -> Settings:
    found: Settings = request.getfixturevalue("settings")
    return found


NAMES = st.from_regex(r"[_A-Za-z][_0-9A-Za-z]{0,200}", fullmatch=True)


@few(30)
@given(st.lists(NAMES, min_size=2, max_size=8, unique=True), st.sampled_from(["me", "__typename"]))
async def test_no_name_of_a_stranger_becomes_a_label(
    client: httpx.AsyncClient, names: list[str], field: str
) -> None:
    inner = " { id }" if field == "me" else ""
    fields = " ".join(f"{name}: {field}{inner}" for name in names[1:])
    body = {"query": f"query {names[0]} {{ {fields} }}", "operationName": names[0]}
    await client.post("/graphql", json=body, headers={"X-Request-ID": names[0]})
    await client.request(names[0], f"/{names[0]}")
    await client.post("/graphql", json={"query": f"{{ {names[0]} }}"})
    page = await scrape(client)
    timed = page.labels("twin_operation_seconds_count")
    assert {one["operation"] for one in timed} <= ROOTS
    assert {one["kind"] for one in timed} <= {"query", "mutation", "subscription"}
    codes = {one["code"] for one in page.labels("twin_graphql_errors_total")}
    assert codes <= {str(code) for kind in (ErrorCode, RequestErrorCode) for code in kind}
    assert {one["status"] for one in page.labels("twin_requests_total")} <= {
        str(status) for status in range(100, 600)
    }


def test_an_operation_goes_by_its_name_where_its_document_is_trusted() -> None:
    store = DocumentStore(SCHEMA)
    store.trust({"1": "query Mine { me { id } }", "2": "{ me { email } }"})
    assert store.by_id("1").operation(None).label == "Mine"
    assert store.by_id("2").operation(None).label == "me"
    assert store.by_text("query Mine { me { name } }").operation(None).label == "me"


def test_so_many_names_and_no_more_are_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_COUNTED_NAMES", 2)
    store = DocumentStore(SCHEMA)
    store.trust({name: f"query {name} {{ me {{ id }} }}" for name in ("A", "B", "C")})
    store.trust({"again": "query A { me { email } }"})
    labels = [store.by_id(name).operation(None).label for name in ("A", "B", "C", "again")]
    assert labels == ["A", "B", "me", "A"]
