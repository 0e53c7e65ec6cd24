"""Large answers are compressed for clients that accept it."""

import gzip

import httpx
import pytest

from graph.server.http.compression import SMALLEST
from graph.server.http.negotiation import accepts_gzip
from tests.graph.conftest import Session

LARGE = {"query": "{ __schema { types { name description fields { name description } } } }"}


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        ("gzip", True),
        ("GZip", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("gzip;q=0.001", True),
        ("gzip; q=0.5, identity; q=0.5", True),
        ("gzip;q=0.5, identity;q=0", True),
        ("", False),
        ("identity", False),
        ("br, zstd", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, deflate", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=nonsense", False),
        ("notgzip", False),
    ],
)
def test_gzip_is_for_who_accepts_it(accept: str, compressed: bool) -> None:
    assert accepts_gzip(accept) is compressed


async def raw(client: httpx.AsyncClient, method: str, accept: str) -> tuple[httpx.Headers, bytes]:
    """The headers of the large answer, and its content as it was sent."""
    content, url = (LARGE, None) if method == "POST" else (None, LARGE)
    headers = {"Accept-Encoding": accept}
    async with client.stream(
        method, "/graphql", headers=headers, json=content, params=url
    ) as response:
        return response.headers, b"".join([chunk async for chunk in response.aiter_raw()])


async def test_a_large_answer_is_compressed(client: httpx.AsyncClient) -> None:
    plain, body = await raw(client, "POST", "gzip;q=0")
    assert "Content-Encoding" not in plain
    assert int(plain["Content-Length"]) == len(body) > 40_000
    for method in ("POST", "GET"):
        headers, compressed = await raw(client, method, "gzip, br")
        assert headers.get_list("Content-Encoding") == ["gzip"]
        assert int(headers["Content-Length"]) == len(compressed) < len(body) / 4
        assert headers["Vary"] == plain["Vary"]
        assert gzip.decompress(compressed) == body


async def test_head_tells_of_the_answer_to_get(client: httpx.AsyncClient) -> None:
    for accept in ("gzip", "identity"):
        got, _ = await raw(client, "GET", accept)
        told, _ = await raw(client, "HEAD", accept)
        for name in ("Content-Length", "Content-Type", "Vary"):
            assert told[name] == got[name], name
        assert told.get("Content-Encoding") == got.get("Content-Encoding")


async def test_a_small_answer_is_sent_as_it_is(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", json={"query": "{ __typename }"})
    assert "gzip" in response.request.headers["Accept-Encoding"]
    assert int(response.headers["Content-Length"]) < SMALLEST
    assert "Content-Encoding" not in response.headers
    assert "Accept-Encoding" in response.headers["Vary"]


async def test_a_stream_of_events_is_never_compressed(
    client: httpx.AsyncClient, analyst: Session
) -> None:
    headers = {
        "Authorization": f"Bearer {analyst.token}",
        "Accept": "text/event-stream",
        "Accept-Encoding": "gzip",
    }
    response = await client.post("/graphql", json=LARGE, headers=headers)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert len(response.content) > SMALLEST
    assert "Content-Encoding" not in response.headers
    assert response.headers["Cache-Control"] == "private, no-store"


async def test_the_metrics_are_compressed(client: httpx.AsyncClient) -> None:
    response = await client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in response.headers["Vary"]
