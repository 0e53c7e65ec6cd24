"""What another site's page could have a browser send is not run."""

from urllib.parse import urlencode

import httpx
import pytest

from graph.server.http.csrf import PREFLIGHTED

QUERY = {"query": "{ __typename }"}

BROWSER = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Referer": "https://evil.example/page"},
    {"Cookie": "session=1"},
    {"User-Agent": "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/15.0 Safari/605.1.15"},
]
"""What tells of a browser; a page cannot keep its browser from sending all of it."""


@pytest.mark.parametrize("headers", BROWSER)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_get_of_another_site_is_refused(
    client: httpx.AsyncClient, method: str, headers: dict[str, str]
) -> None:
    response = await client.request(method, "/graphql", params=QUERY, headers=headers)
    assert response.status_code == 403
    if method == "GET":
        (error,) = response.json()["errors"]
        assert error["extensions"]["code"] == "PREFLIGHT_REQUIRED"
        assert PREFLIGHTED[0] in error["message"]


@pytest.mark.parametrize("headers", BROWSER)
@pytest.mark.parametrize(
    "proof", [*({name: "1"} for name in PREFLIGHTED), {"Authorization": "Bearer x.y.z"}]
)
async def test_a_header_that_needs_a_preflight_lets_it_pass(
    client: httpx.AsyncClient, headers: dict[str, str], proof: dict[str, str]
) -> None:
    response = await client.get("/graphql", params=QUERY, headers=headers | proof)
    assert response.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Basic dTpw"}, {PREFLIGHTED[0]: ""}, {"Authorization": "Bearer"}]
)
async def test_a_header_that_proves_nothing_does_not(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    forged = headers | {"Sec-Fetch-Site": "cross-site"}
    response = await client.get("/graphql", params=QUERY, headers=forged)
    assert response.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"User-Agent": "curl/8.5.0"},
        {"User-Agent": "node", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "same-origin", "Referer": "http://localhost/graphql"},
        {"Sec-Fetch-Site": "none", "User-Agent": "Mozilla/5.0"},
    ],
)
async def test_programs_the_same_site_and_people_pass(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    response = await client.get("/graphql", params=QUERY, headers=headers)
    assert response.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/x-www-form-urlencoded", urlencode(QUERY)),
        ("text/plain", '{"query": "{ __typename }"}'),
        ("text/plain; application/json", '{"query": "{ __typename }"}'),
        ("text/plain, application/json", '{"query": "{ __typename }"}'),
        (
            "multipart/form-data; boundary=x",
            '--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n'
            '{"query": "{ __typename }"}\r\n--x--\r\n',
        ),
        (None, '{"query": "{ __typename }"}'),
    ],
)
async def test_a_post_that_needs_no_preflight_is_refused(
    client: httpx.AsyncClient, kind: str | None, content: str
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = await client.post("/graphql", content=content, headers=headers)
    assert response.status_code == 415
    assert response.json()["errors"][0]["extensions"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_a_post_of_json_passes_wherever_it_comes_from(client: httpx.AsyncClient) -> None:
    for headers in BROWSER:
        response = await client.post("/graphql", json=QUERY, headers=headers)
        assert response.json()["data"] == {"__typename": "Query"}
