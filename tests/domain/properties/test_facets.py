"""Facets, against a plain Python oracle."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.filters import PropertyFilter, Range
from domain.contract.property_search import PRICE, Counts, Facet, Order
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.database import Database
from domain.properties import search
from domain.properties.facets import PARTS, count_facets
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from tests.conftest import new_tenant
from tests.factories import add_property


@pytest.fixture(scope="module")
async def tenant(database: Database) -> Tenant:
    """A tenant with 60 properties full of ties and missing values, beside another like it."""
    for _ in range(2):
        made = await new_tenant(database)
        async with database.work(made.id) as work:
            for n in range(60):
                await add_property(
                    work,
                    listing_price=None if n % 7 == 0 else float(n % 5),
                    zipcode=None if n % 11 == 0 else f"9810{n % 4}",
                    city=["Seattle", "Renton", "éa", None][n % 4],
                    state=["WA", "OR", "OR"][n % 3],
                    bedrooms=[2, 10, None, 3, 3][n % 5],
                    property_type=[*PropertyType, None][n % 6],
                    listing_status=[*ListingStatus, None][n % 5],
                )
    return made


def some(values: Sequence[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.just(()) | st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


FILTERS = st.builds(
    PropertyFilter,
    property_types=some(list(PropertyType)),
    listing_statuses=some(list(ListingStatus)),
    exclude_listing_statuses=some(list(ListingStatus)),
    zipcodes=some(["98101", "98102", "none"]),
    cities=some(["Seattle", "éa"]),
    states=some(["WA", "OR"]),
    bedrooms=st.none() | st.just(Range(2, 3)),
    price=st.none() | st.builds(Range, st.integers(0, 2), st.integers(2, 4)),
)
BOUNDARIES = st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True)
FACETS = st.one_of(
    st.builds(Facet, st.sampled_from(sorted(PARTS)), st.integers(1, 4)),
    BOUNDARIES.map(lambda some: Facet(PRICE, boundaries=tuple(map(float, sorted(some))))),
)


def expected(found: Sequence[Property], facet: Facet) -> Counts:
    """The facet by its definition."""
    if facet.part == PRICE:
        prices = [item.listing_price for item in found if item.listing_price is not None]
        edges = (float("-inf"), *facet.boundaries, float("inf"))
        bands = [
            (str(band), sum(low <= price < high for price in prices))
            for band, (low, high) in enumerate(pairwise(edges))
        ]
        return Counts(tuple(bands), len(found) - len(prices), 0)
    values = [getattr(item, PARTS[facet.part].key) for item in found]
    counts = Counter(str(value) for value in values if value is not None)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    first = tuple(ranked[: facet.first])
    missing = values.count(None)
    return Counts(first, missing, len(found) - missing - sum(count for _, count in first))


@given(where=FILTERS, facets=st.lists(FACETS, min_size=1, max_size=9))
async def test_facets_leave_out_their_own_part_of_the_filter(
    database: Database, tenant: Tenant, where: PropertyFilter, facets: list[Facet]
) -> None:
    async with database.work(tenant.id) as work:
        counted = await count_facets(work, where, facets)
        assert counted.keys() == set(facets)
        for facet in facets:
            nothing: dict[str, Any] = {facet.part: getattr(PropertyFilter(), facet.part)}
            among = replace(where, **nothing)
            found = await search.page(work, among, Order(), 100)
            assert counted[facet] == expected(found, facet)


async def test_facets_of_nothing_are_empty(database: Database) -> None:
    empty = await new_tenant(database)
    asked = [Facet("zipcodes"), Facet(PRICE, boundaries=(1.0,))]
    async with database.work(empty.id) as work:
        counted = await count_facets(work, PropertyFilter(), asked)
    assert counted[asked[0]] == Counts((), 0, 0)
    assert counted[asked[1]] == Counts((("0", 0), ("1", 0)), 0, 0)
