"""What every answer tells caches and browsers."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

from graph.server.http.standard_headers import StandardHeaders
from graph.server.request_log import RequestLog
from tests.graph.conftest import Session

HTML = {"Accept": "text/html"}
QUERY = {"query": "{ me { id } }"}


def names(response: httpx.Response, header: str) -> set[str]:
    return {name.strip() for name in response.headers.get(header, "").split(",")}


async def test_no_answer_of_the_endpoint_is_stored_or_guessed(
    client: httpx.AsyncClient, analyst: Session
) -> None:
    token = {"Authorization": f"Bearer {analyst.token}"}
    answers = {
        "POST": await client.post("/graphql", json=QUERY, headers=token),
        "GET": await client.get("/graphql", params=QUERY, headers=token),
        "HEAD": await client.head("/graphql", params=QUERY, headers=token),
        "no token": await client.post("/graphql", json=QUERY),
        "not valid": await client.post("/graphql", json={"query": "{ nonsense }"}),
        "not JSON": await client.post("/graphql", content=b"{"),
        "forged": await client.get("/graphql", params=QUERY, headers={"Origin": "https://a.b"}),
        "no method": await client.put("/graphql", json=QUERY),
        "options": await client.options("/graphql"),
        "page": await client.get("/graphql", headers=HTML),
    }
    for name, response in answers.items():
        assert response.headers.get_list("Cache-Control") == ["private, no-store"], name
        assert response.headers.get_list("X-Content-Type-Options") == ["nosniff"], name
        assert names(response, "Vary") >= {"Accept", "Accept-Encoding", "Authorization"}, name
    assert answers["POST"].json()["data"]["me"]["id"]
    assert "content-security-policy" in answers["page"].headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/nowhere"])
async def test_other_answers_are_not_stored_either(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.headers["Cache-Control"] == "private, no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_files_of_the_page_are_kept_for_an_hour(client: httpx.AsyncClient) -> None:
    response = await client.get("/graphql/assets/start.js")
    assert response.headers["Cache-Control"] == "max-age=3600"
    assert response.headers["ETag"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    missing = await client.get("/graphql/assets/nothing.js")
    assert missing.headers["Cache-Control"] == "private, no-store"


async def test_a_failure_is_not_stored() -> None:
    async def fail(_: Request) -> None:
        raise RuntimeError

    app = Starlette(
        routes=[Route("/graphql", fail)],
        middleware=[Middleware(StandardHeaders), Middleware(RequestLog)],
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
        response = await client.get("/graphql")
    assert (response.status_code, response.headers["Cache-Control"]) == (500, "private, no-store")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
