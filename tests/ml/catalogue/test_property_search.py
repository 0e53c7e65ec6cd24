"""PostgreSQL and the catalogue count, order and page the same properties in the same way."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.filters import PropertyFilter, Range, words_of
from domain.contract.property_search import (
    IN_MEMORY,
    PRICE,
    VALUE_FACETS,
    Facet,
    Order,
    Position,
)
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.database import Database
from domain.properties import search, snapshots
from domain.properties.facets import count_facets
from ml.catalogue.catalogue import Catalogue
from ml.twin.scoring import LoadedTwin
from tests.conftest import new_tenant
from tests.factories import add_property
from tests.ml.catalogue.test_three_engines import START, filters

COUNT = 120


class Engines:
    """The same properties in PostgreSQL and in a catalogue."""

    def __init__(
        self, database: Database, tenant_id: UUID, catalogue: Catalogue, ids: list[UUID]
    ) -> None:
        self.database = database
        self.tenant_id = tenant_id
        self.catalogue = catalogue
        self.ids = ids

    async def count(self, where: PropertyFilter, exclude: Sequence[UUID]) -> int:
        """What both count."""
        async with self.database.work(self.tenant_id) as work:
            in_sql = await search.count(work, where, exclude)
        assert await self.catalogue.count(where, exclude) == in_sql, where
        return in_sql

    async def facets(self, where: PropertyFilter, facets: Sequence[Facet]) -> None:
        async with self.database.work(self.tenant_id) as work:
            in_sql = await count_facets(work, where, facets)
        assert await self.catalogue.facets(where, facets) == in_sql, where

    async def page(
        self, where: PropertyFilter, order: Order, limit: int, **between: Any
    ) -> list[Position]:
        """What both list."""
        async with self.database.work(self.tenant_id) as work:
            rows = await search.page(work, where, order, limit, **between)
        in_sql = [search.position(row, order) for row in rows]
        assert await self.catalogue.page(where, order, limit, **between) == in_sql, (where, between)
        return in_sql


@pytest.fixture(scope="module")
async def engines(database: Database, twin: LoadedTwin) -> Engines:
    """Properties full of ties and missing values, of which the catalogue took in some later."""
    tenant = await new_tenant(database)
    rng = np.random.default_rng(5)

    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))] if rng.random() < 0.85 else None

    async with database.work(tenant.id) as work:
        for number in range(COUNT):
            await add_property(
                work,
                external_id=f"house-{number}",
                address=one_of("1 Main St.", "12 O'Brien Ave", "3 Ñandú Straße"),
                city=one_of("Seattle", "Renton", "éa"),
                state=one_of("WA", "OR"),
                zipcode=one_of("98101", "98102", "98102-1234"),
                property_type=one_of(*PropertyType),
                listing_status=one_of(*ListingStatus),
                listing_price=one_of(0.0, 1e5, 1e5, 123_456.78, 5e5),
                estimated_value=one_of(2e5 / 3, 1e5),
                cap_rate=one_of(-0.01, 0.0, 0.3),
                cash_on_cash_return=one_of(0.05, 0.1),
                bedrooms=one_of(0, 2, 2, 10),
                bathrooms=one_of(1.0, 2.25),
                square_feet=one_of(0.5, 1e4 / 3),
                lot_square_feet=one_of(0.0, 5000.5),
                year_built=one_of(1900, 2020),
                days_on_market=one_of(0, 30),
                condition_score=one_of(0.1, 1.0),
                renovation_needed=one_of(True, False),
                listed_at=one_of(*(START + timedelta(microseconds=micro) for micro in range(4))),
            )
    async with database.work(tenant.id) as work:
        columns = await snapshots.snapshot_after(work, None, COUNT)
    stale = replace(columns, listed_at=columns.listed_at + 1e6)
    catalogue = Catalogue()
    for some, rows in ((stale, range(40)), (columns, range(40, 90))):
        part = some.take(rows)
        catalogue.load(part, twin.items(part))
    catalogue.settle()
    # The first forty changed since, and the last thirty are new.
    for row in rng.permutation([*range(40), *range(90, COUNT)]).tolist():
        part = columns.take([row])
        catalogue.write(part, twin.items(part))
    return Engines(database, tenant.id, catalogue, list(columns.ids))


orders = st.builds(Order, st.sampled_from([None, *IN_MEMORY]), st.booleans())
facets = st.one_of(
    st.builds(Facet, st.sampled_from(VALUE_FACETS), st.integers(1, 4)),
    st.lists(st.sampled_from([0.0, 1e5, 123_456.78, 5e5, 6e5]), min_size=1, unique=True).map(
        lambda some: Facet(PRICE, boundaries=tuple(sorted(some)))
    ),
)
wheres = st.just(PropertyFilter()) | filters()
by_facets = st.builds(
    PropertyFilter,
    property_types=st.lists(st.sampled_from(list(PropertyType)), max_size=2).map(tuple),
    cities=st.sampled_from([(), ("Seattle",), ("éa", "nowhere")]),
    bedrooms=st.sampled_from([None, Range(2, 2)]),
    price=st.sampled_from([None, Range(1e5, 2e5)]),
    words=st.sampled_from([(), words_of("STRASSE"), words_of("o'b 12")]),
)


@given(st.data())
async def test_counts_agree(engines: Engines, data: st.DataObject) -> None:
    exclude = data.draw(st.lists(st.sampled_from([*engines.ids, uuid4()]), max_size=9))
    await engines.count(data.draw(wheres), exclude)


@given(where=wheres | by_facets, some=st.lists(facets, min_size=1, max_size=9))
async def test_facets_agree(engines: Engines, where: PropertyFilter, some: list[Facet]) -> None:
    await engines.facets(where, some)


@given(st.data())
async def test_pages_agree(engines: Engines, data: st.DataObject) -> None:
    where, order = data.draw(wheres | by_facets), data.draw(orders)
    between: dict[str, Any] = {"backward": data.draw(st.booleans())}
    rows = await engines.page(PropertyFilter(), order, COUNT)
    for name in ("after", "before"):
        if data.draw(st.booleans()):
            # Places of properties, and places where no property is.
            place = data.draw(st.sampled_from(rows))
            between[name] = replace(place, id=data.draw(st.sampled_from([place.id, UUID(int=0)])))
    await engines.page(where, order, data.draw(st.integers(1, COUNT + 1)), **between)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("column", [None, "listing_price", "bedrooms", "listed_at"])
async def test_pages_join_up_to_the_whole_list(
    engines: Engines, column: str | None, backward: bool
) -> None:
    order, edge, joined = Order(column, descending=True), "before" if backward else "after", []
    between: dict[str, Any] = {}
    while page := await engines.page(PropertyFilter(), order, 17, backward=backward, **between):
        joined += page[::-1] if backward else page
        between = {edge: joined[-1]}
    assert Counter(place.id for place in joined) == Counter(engines.ids)
