"""The media type of an answer follows the Accept header, and the status follows the media type."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.core.errors import TransportError
from graph.server.http.negotiation import (
    ANSWERS,
    HTML_TYPE,
    JSON_TYPE,
    RESPONSE_TYPE,
    response_type,
)

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON_TYPE),
        ("*/*", JSON_TYPE),
        ("application/*", JSON_TYPE),
        ("*/*;q=0.1, application/*;q=0.5", JSON_TYPE),
        (JSON_TYPE, JSON_TYPE),
        ("APPLICATION/JSON; Charset=UTF-8", JSON_TYPE),
        (f'{JSON_TYPE}; charset="utf-8"', JSON_TYPE),
        (RESPONSE_TYPE, RESPONSE_TYPE),
        (f"{RESPONSE_TYPE}; charset=utf-8", RESPONSE_TYPE),
        (f"{JSON_TYPE}, {RESPONSE_TYPE}", RESPONSE_TYPE),
        (f"{RESPONSE_TYPE}, {JSON_TYPE};q=0.9", RESPONSE_TYPE),
        (f"{RESPONSE_TYPE};q=0.8, {JSON_TYPE}", JSON_TYPE),
        (f"{RESPONSE_TYPE};q=0.8, */*", JSON_TYPE),
        (f"{RESPONSE_TYPE}, */*", RESPONSE_TYPE),
        (f"{JSON_TYPE};q=0, */*", RESPONSE_TYPE),
        (f"{JSON_TYPE}, multipart/mixed", JSON_TYPE),
        ("multipart/mixed;deferSpec=20220824, application/json", JSON_TYPE),
        (f"{RESPONSE_TYPE}; charset=latin-1, {JSON_TYPE};q=0.1", JSON_TYPE),
        (f"{RESPONSE_TYPE};q=nan, {JSON_TYPE};q=0.1", JSON_TYPE),
        (f"{RESPONSE_TYPE};q=7, {JSON_TYPE};q=0.1", JSON_TYPE),
        (BROWSER, JSON_TYPE),
    ],
)
def test_the_best_of_both_is_chosen(accept: str, expected: str) -> None:
    assert response_type(accept) == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (BROWSER, HTML_TYPE),
        (HTML_TYPE, HTML_TYPE),
        ("*/*", JSON_TYPE),
        (f"{JSON_TYPE}, */*", JSON_TYPE),
        (f"{HTML_TYPE};q=0.5, {JSON_TYPE}", JSON_TYPE),
        (f"{HTML_TYPE};q=0, */*", JSON_TYPE),
    ],
)
def test_the_page_is_for_who_would_rather_have_it(accept: str, expected: str) -> None:
    assert response_type(accept, (*ANSWERS, HTML_TYPE)) == expected


@pytest.mark.parametrize(
    "accept", ["text/html", "image/*", f"{JSON_TYPE};q=0", f"{JSON_TYPE}; charset=latin-1", ",;,"]
)
async def test_who_accepts_nothing_of_this_is_told(client: httpx.AsyncClient, accept: str) -> None:
    query = {"query": "{ __typename }"}
    response = await client.post("/graphql", json=query, headers={"Accept": accept})
    assert response.status_code == 406
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "NOT_ACCEPTABLE"
    assert JSON_TYPE in error["message"]


RANGES = st.sampled_from([*ANSWERS, "*/*", "application/*", "text/html", "x/y", ""])
PARAMETERS = st.sampled_from(["", ";q=0", ";q=1", ";q=0.5", ";q=", ";charset=utf-8", ";a=b", ";"])


@given(st.lists(st.tuples(RANGES, PARAMETERS)).map(lambda parts: ",".join(map("".join, parts))))
def test_any_list_is_answered_with_one_that_it_accepts(accept: str) -> None:
    """As RFC 9110 has it: the most specific range counts, and a quality of 0 excludes."""

    def quality(kind: str) -> float:
        for wanted in (kind, "application/*", "*/*"):
            parts = [part for part in accept.split(",") if part.split(";")[0] == wanted]
            if parts:
                value = parts[-1].partition(";q=")[2]
                return (float(value) if value else 0.0) if ";q=" in parts[-1] else 1.0
        return 0.0

    best = max(map(quality, ANSWERS))
    if accept and best == 0:
        with pytest.raises(TransportError):
            response_type(accept)
    else:
        chosen = response_type(accept)
        assert not accept or quality(chosen) == best


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("query", ["{", "{ nothing }", "query ($a: Int!) { me { id } }"])
async def test_a_refused_document_has_status_400_where_the_type_allows(
    client: httpx.AsyncClient, method: str, query: str
) -> None:
    for accept, status in ((JSON_TYPE, 200), (RESPONSE_TYPE, 400)):
        asked = {"query": query}
        response = await client.request(
            method,
            "/graphql",
            headers={"Accept": accept},
            json=asked if method == "POST" else None,
            params=asked if method == "GET" else None,
        )
        assert response.status_code == status
        assert response.headers["content-type"] == f"{accept}; charset=utf-8"
        assert "data" not in response.json()
