"""Numbers that a higher noun knows of properties filter and order lists as columns do."""

from uuid import UUID

import pytest
from sqlalchemy import Numeric, cast, delete, func, select

from domain.contract.filters import PropertyFilter, Range
from domain.contract.property_search import Facet, Order
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.interactions.interactions import Interaction
from domain.properties import search
from domain.properties.facets import count_facets
from domain.properties.rows import get_many
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from graph.properties.ordering import parse_position, position_cursor
from tests.factories import add_interaction, add_property, add_user

VIEWS = "number_of_views"

search.add(
    VIEWS,
    select(func.nullif(cast(func.count(), Numeric), 0))
    .where(Interaction.property_id == Property.id, Interaction.kind == InteractionKind.VIEW)
    .correlate_except(Interaction)
    .scalar_subquery(),
)


def viewed(least: float | None = None, most: float | None = None) -> PropertyFilter:
    return PropertyFilter(added=((VIEWS, Range(least, most)),))


@pytest.fixture
async def houses(tenant: Tenant, other_tenant: Tenant, database: Database) -> list[UUID]:
    """Houses that three, one, two and no investors viewed; another firm's was viewed by three."""
    found = {}
    for firm, times in ((tenant, (3, 1, 2, 0)), (other_tenant, (3,))):
        async with database.work(firm.id) as work:
            people = [(await add_user(work)).id for _ in range(3)]
            found[firm.id] = [(await add_property(work)).id for _ in times]
            for house, views in zip(found[firm.id], times, strict=True):
                for person in people[:views]:
                    await add_interaction(work, person, house, InteractionKind.VIEW)
    return found[tenant.id]


async def test_lists_and_counts_are_filtered(
    database: Database, tenant: Tenant, houses: list[UUID]
) -> None:
    async with database.work(tenant.id) as work:
        for where, wanted in (
            (viewed(2), [houses[0], houses[2]]),
            (viewed(most=1), [houses[1]]),
            (viewed(2, 2), [houses[2]]),
            (viewed(9), []),
        ):
            rows = await search.page(work, where, Order(), 10)
            assert {row.id for row in rows} == set(wanted)
            assert await search.count(work, where) == len(wanted)
            assert (await get_many(work, houses, where)).keys() == set(wanted)
            facet = Facet("cities", 10)
            (counts,) = (await count_facets(work, where, [facet])).values()
            assert sum(count for _, count in counts.values) == len(wanted)


@pytest.mark.parametrize("descending", [False, True])
async def test_a_list_is_ordered_and_paged(
    database: Database, tenant: Tenant, houses: list[UUID], *, descending: bool
) -> None:
    three, one, two, none = houses
    order = Order(VIEWS, descending=descending)
    wanted = [three, two, one, none] if descending else [one, two, three, none]
    found: list[UUID] = []
    async with database.work(tenant.id) as work:
        after = None
        while rows := await search.page(work, PropertyFilter(), order, 1, after=after):
            found += [row.id for row in rows]
            cursor = position_cursor(order, search.position(rows[-1], order))
            after = parse_position(cursor, order, "after")
    assert found == wanted


async def test_an_index_gets_the_ids_instead(
    database: Database,
    tenant: Tenant,
    other_tenant: Tenant,
    houses: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = await search.resolved(database, tenant.id, viewed(2))
    assert set(found.ids) == {houses[0], houses[2]}

    nothing = await search.resolved(database, tenant.id, viewed(9))
    assert nothing.ids
    async with database.work(tenant.id) as work:
        assert await search.count(work, nothing) == 0

    others = await search.resolved(database, other_tenant.id, viewed(2))
    assert not set(others.ids) & set(houses)

    plain = PropertyFilter(cities=("Seattle",))
    assert await search.resolved(database, tenant.id, plain) is plain

    monkeypatch.setattr(search, "MOST_RESOLVED", 1)
    with pytest.raises(DomainError, match="numberOfViews leaves more than 1 properties") as refused:
        await search.resolved(database, tenant.id, viewed(2))
    assert refused.value.field == ("filter", "numberOfViews")

    async with database.work(tenant.id) as work:
        await work.session.execute(delete(Interaction).where(Interaction.property_id == houses[2]))
        # The database has the last word on what the index finds.
        assert (await get_many(work, found.ids, found)).keys() == {houses[0]}


@pytest.mark.parametrize("name", ["listing_price", "price", VIEWS])
def test_a_name_is_added_once(name: str) -> None:
    with pytest.raises(ValueError, match=f"properties have '{name}' already"):
        search.add(name, select(func.count()).scalar_subquery())
