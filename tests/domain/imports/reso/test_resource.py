"""The address of a resource, its queries, and which links are followed."""

from datetime import UTC, datetime

import pytest

from domain.imports.reso.errors import ResoError
from domain.imports.reso.resource import Resource

URL = "https://api.example.com/odata/Property"
SINCE = datetime(2024, 5, 1, 12, 30, 15, 123_999, UTC)


def test_a_first_query_asks_for_everything_in_order() -> None:
    assert Resource(URL).query(None, 500, ordered=True) == (
        f"{URL}?$orderby=ModificationTimestamp,ListingKey&$top=500"
    )
    assert Resource(URL).query(None, 500, ordered=False) == f"{URL}?$top=500"


def test_a_later_query_asks_for_what_changed_since() -> None:
    assert Resource(URL).query(SINCE, 500, ordered=False) == (
        f"{URL}?$filter=ModificationTimestamp%20gt%202024-05-01T12:30:15.123Z&$top=500"
    )


@pytest.mark.parametrize(
    ("own", "whole"),
    [
        ("A eq 'b&c'", "A%20eq%20'b%26c'%20and%20ModificationTimestamp%20gt%20"),
        ("A eq 1 or B eq 2", "(A%20eq%201%20or%20B%20eq%202)%20and%20ModificationTimestamp%20gt"),
    ],
)
def test_a_filter_of_the_url_is_kept(own: str, whole: str) -> None:
    resource = Resource(f"{URL}?$filter={own.replace('&', '%26')}")
    assert f"?$filter={whole}" in resource.query(SINCE, 5, ordered=False)


def test_one_resource_has_one_name() -> None:
    names = (
        "https://API.example.com:443/odata/Property?$filter=A%20eq%20'b'#top",
        "https://api.example.com/odata/Property?$filter=A eq 'b'",
    )
    assert {Resource(name).url for name in names} == {f"{URL}?$filter=A%20eq%20'b'"}


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("api.example.com/odata", "https://"),
        ("ftp://example.com/Property", "https://"),
        ("http://example.com/Property", "localhost alone"),
        ("http://localhost.example.com/Property", "localhost alone"),
        ("https://me:hunter2@example.com/Property", "leave the user and password out"),
        ("https://exa mple.com:x/Property", "not a URL"),
        (f"{URL}?access_token=hunter2", "RESO_TOKEN"),
        (f"{URL}?$top=5", "'$top' cannot be used"),
        (f"{URL}?$filter=a&$filter=b", "repeats"),
        (f"{URL}?$select=ListingKey,ListPrice", "lacks ModificationTimestamp"),
        (f"{URL}?$select=ModificationTimestamp", "lacks ListingKey"),
        (URL + "x" * 2_000, "2,000"),
    ],
)
def test_urls_that_cannot_be_used_are_refused(url: str, problem: str) -> None:
    with pytest.raises(ResoError, match=problem.replace("$", r"\$")) as refused:
        Resource(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("link", "followed"),
    [
        (f"{URL}?$skiptoken=a%20b", f"{URL}?$skiptoken=a%20b"),
        ("Property?$skiptoken=x", f"{URL}?$skiptoken=x"),
        ("?$skip=5", f"{URL}?$skip=5"),
        ("https://API.example.com:443/other", "https://api.example.com/other"),
        (f"{URL}?access_token=the-token&$skip=5", f"{URL}?%24skip=5"),
    ],
)
def test_a_link_is_followed_on_its_own_server(link: str, followed: str) -> None:
    assert Resource(URL).follow(link, f"{URL}?$top=5", "the-token") == followed


@pytest.mark.parametrize(
    "link",
    [
        "https://example.com/odata/Property",
        "https://api.example.com:8443/odata/Property",
        "http://api.example.com/odata/Property",
        "//evil.example/odata/Property",
        "https://api.example.com@evil.example/",
        "https://user@api.example.com/odata/Property",
        "javascript:alert(1)",
        "https://[/",
        f"{URL}?a=x-the-token",
        f"{URL}?a=" + "x" * 8_000,
    ],
)
def test_a_link_elsewhere_is_refused(link: str) -> None:
    with pytest.raises(ResoError, match="the link to the next page"):
        Resource(URL).follow(link, URL, "the-token")
