"""What is read of an HTTP request: its method, its body up to a limit, and its parameters."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from graph.server.http.view import MAX_BODY
from tests.graph.conftest import Session

JSON = {"Content-Type": "application/json"}


def error_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert "data" not in body
    (error,) = body["errors"]
    found: dict[str, Any] = error["extensions"] | {"message": error["message"]}
    return found


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "batch"),
        (b"7", "JSON object"),
        (b"\xff\xfe\xfa", "not JSON"),
        (b'\xef\xbb\xbf{"query": "{ __typename }"}', "not JSON"),
        ('{"query": "{ __typename }"}'.encode("utf-16"), "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"query": "{ __typename }", "variables": {"x": NaN}}', "not JSON"),
        (b'{"query": "\\ud800"}', "not JSON"),
        (b"{}", "query"),
        (b'{"query": 7}', "query: expected a string, not a number"),
        (b'{"query": true}', "query: expected a string, not a boolean"),
        (b'{"query": ["{ __typename }"]}', "query: expected a string, not an array"),
        (b'{"query": "{ __typename }", "variables": []}', "variables: expected an object"),
        (b'{"query": "{ __typename }", "variables": "{}"}', "not a string"),
        (b'{"query": "{ __typename }", "extensions": 1.5}', "extensions: expected an object"),
        (b'{"query": "{ __typename }", "operationName": {}}', "operationName: expected a string"),
    ],
)
async def test_what_is_no_graphql_request_is_told_so(
    client: httpx.AsyncClient, content: bytes, says: str
) -> None:
    response = await client.post("/graphql", content=content, headers=JSON)
    assert response.status_code == 400
    error = error_of(response)
    assert error["code"] == "BAD_REQUEST"
    assert says in error["message"]


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON", 'application/json; charset="UTF-8"']
)
async def test_json_in_utf8_is_read(client: httpx.AsyncClient, kind: str) -> None:
    body = json.dumps({"query": '{ __type(name: "Réunion 🏃") { name } }'}, ensure_ascii=False)
    response = await client.post("/graphql", content=body, headers={"Content-Type": kind})
    assert response.json()["data"] == {"__type": None}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/xml"},
        {"Content-Type": "application/graphql"},
        JSON | {"Content-Encoding": "gzip"},
        JSON | {"Content-Encoding": "identity, br"},
    ],
)
async def test_other_encodings_are_refused(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    content = b'{"query": "{ __typename }"}'
    response = await client.post("/graphql", content=content, headers=headers)
    assert response.status_code == 415
    assert error_of(response)["code"] == "UNSUPPORTED_MEDIA_TYPE"


def body_of(size: int) -> bytes:
    head, tail = b'{"query": "{ __typename }", "variables": {"x": "', b'"}}'
    return head + b"y" * (size - len(head) - len(tail)) + tail


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 65_536):
        yield body[at : at + 65_536]


@pytest.mark.parametrize("in_chunks", [False, True])
async def test_a_body_is_read_up_to_the_limit(client: httpx.AsyncClient, in_chunks: bool) -> None:
    for size, status in ((MAX_BODY, 200), (MAX_BODY + 1, 413)):
        content = chunked(body_of(size)) if in_chunks else body_of(size)
        response = await client.post("/graphql", content=content, headers=JSON)
        assert response.status_code == status
    assert ("content-length" not in response.request.headers) is in_chunks
    error = error_of(response)
    assert error["code"] == "BODY_TOO_LARGE"
    assert f"{MAX_BODY:,}" in error["message"]


async def test_no_more_is_read_of_a_body_than_the_limit(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    response = await client.post("/graphql", content=endless(), headers=JSON)
    assert response.status_code == 413
    assert sent <= MAX_BODY + 65_536


async def test_a_length_beyond_all_numbers_is_too_large(client: httpx.AsyncClient) -> None:
    headers = JSON | {"Content-Length": "9" * 5000}
    response = await client.post("/graphql", content=b"{}", headers=headers)
    assert response.status_code == 413


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
async def test_other_methods_are_refused(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/graphql", json={"query": "{ __typename }"})
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert error_of(response)["code"] == "METHOD_NOT_ALLOWED"


async def test_options_names_the_methods(client: httpx.AsyncClient) -> None:
    response = await client.options("/graphql")
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


async def test_a_query_may_come_by_get(analyst: Session) -> None:
    headers = {"Authorization": f"Bearer {analyst.token}"}
    parameters = {
        "query": "query a($with: Boolean!) { me { id @include(if: $with) } } query b { nope: me }",
        "variables": '{"with": true}',
        "operationName": "a",
        "extensions": "{}",
    }
    response = await analyst.client.get("/graphql", params=parameters, headers=headers)
    assert "errors" in response.json()
    parameters["query"] = parameters["query"].partition(" query b")[0]
    for method in ("GET", "HEAD"):
        response = await analyst.client.request(
            method, "/graphql", params=parameters, headers=headers
        )
        assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"


MUTATION = "mutation { deleteProperty(input: {propertyId: 7}) { errors { code } } }"


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_mutation_may_not(analyst: Session, method: str, accept: str) -> None:
    headers = {"Authorization": f"Bearer {analyst.token}", "Accept": accept}
    response = await analyst.client.request(
        method, "/graphql", params={"query": MUTATION}, headers=headers
    )
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"
    if method == "GET":
        (error,) = response.json()["errors"]
        assert error["extensions"]["code"] == "METHOD_NOT_ALLOWED"
        assert "mutation" in error["message"]


async def test_a_get_of_a_subscription_is_told_what_it_must_accept(analyst: Session) -> None:
    parameters = {"query": "subscription { jobProgress { id } }"}
    headers = {"Authorization": f"Bearer {analyst.token}", "Accept": "application/json"}
    response = await analyst.client.get("/graphql", params=parameters, headers=headers)
    (error,) = response.json()["errors"]
    assert "text/event-stream" in error["message"]


URLS = [
    ("", "query"),
    ("query=%7B__typename%7D&variables=%7B", "variables: not JSON"),
    ("query=%7B__typename%7D&variables=[]", "variables: expected an object"),
    ("query=%7B__typename%7D&extensions=7", "extensions: expected an object"),
    ("query=%ff", "UTF-8"),
    ("query=%ed%a0%80", "UTF-8"),
    ("&".join(f"p{n}=1" for n in range(50)), "20"),
]


@pytest.mark.parametrize(("query_string", "says"), URLS)
async def test_a_url_that_is_no_graphql_request_is_told_so(
    client: httpx.AsyncClient, query_string: str, says: str
) -> None:
    response = await client.get(f"/graphql?{query_string}")
    assert response.status_code == 400
    error = error_of(response)
    assert error["code"] == "BAD_REQUEST"
    assert says in error["message"]


@pytest.mark.parametrize("path", ["/", "/graphql/", "/graphql/x", "/graphql/assets/..%2fapp.py"])
async def test_other_paths_are_told_in_json_that_there_is_nothing(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert error_of(response)["code"] == "NOT_FOUND"


async def test_other_methods_of_other_paths_are_refused_in_json(client: httpx.AsyncClient) -> None:
    response = await client.post("/healthz")
    assert response.status_code == 405
    assert error_of(response)["code"] == "METHOD_NOT_ALLOWED"
