"""One ZIP code in the forms that files have it in: filters, facets and search take them as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from domain.contract.filters import PropertyFilter, canonical_zipcode, words_of
from domain.contract.property_search import Facet
from domain.core.database import Database
from domain.properties import search
from domain.properties.facets import count_facets
from domain.properties.table import Property
from domain.tenants.tenants import Tenant

FORMS = [
    ("02139", None, "02139"), ("02139-1234", None, "02139"), ("02139 1234", None, "02139"),
    ("021391234", None, "02139"), ("2139", "MA", "02139"), ("2139", "Massachusetts", "02139"),
    ("2139.0", "ma", "02139"), ("2139-1234", "MA", "02139"), ("21391234", "MA", "02139"),
    ("501", "NY", "00501"), ("601", "PR", "00601"), ("98030.0", None, "98030"),
    ("98030-", None, "98030"), ("98030-0000", "WA", "98030"), ("2000", "NSW", "2000"),
    ("2480.0", "NSW", "2480"), ("6000", "WA", "6000"), ("1010", "Wien", "1010"),
    ("3000", "VIC", "3000"), ("K1A 0B1", "ON", "K1A 0B1"), ("SW1A 1AA", None, "SW1A 1AA"),
    ("2139", None, "2139"), ("12", "MA", "12"), ("123456", "MA", "123456"),
    ("02139 - 1234", None, "02139"), ("021391234.0", None, "02139"), ("02139.", None, "02139"),
    ("2139-", "MA", "02139"), ("2139 1234", "MA", "02139"), ("21391234.0", "MA", "02139"),
    ("6011234", "PR", "00601"), ("9171", "Armed Forces Europe", "09171"),
    ("802", "U.S. Virgin Islands", "00802"), ("k1a 0b1", None, "K1A 0B1"),
    ("K1A0B1", "ON", "K1A 0B1"), ("K1A-0B1", "ON", "K1A 0B1"), ("sw1a 1aa", None, "SW1A 1AA"),
    ("110 00", "Praha", "110 00"), ("01310100", "SP", "01310100"),
    ("1001-123", "Lisboa", "1001-123"),
]  # fmt: skip


@pytest.mark.unit
@pytest.mark.parametrize(("zipcode", "state", "canonical"), FORMS)
def test_the_canonical_form(zipcode: str, state: str | None, canonical: str) -> None:
    assert canonical_zipcode(zipcode, state) == canonical
    assert canonical_zipcode(canonical) == canonical


@pytest.mark.unit
def test_a_code_that_lost_its_zeros_gets_them_back() -> None:
    codes = ("2139", "2139.0", "21391234", "2139-1234", "21391234.0")
    assert {canonical_zipcode(code, cut=True) for code in codes} == {"02139"}


SHAPES = r"[0-9]{3,9}( ?-? ?[0-9]{0,4})?(\.0?)?|[a-zA-Z][0-9][a-zA-Z][ -]?[0-9][a-zA-Z][0-9]"
CODES = st.from_regex(SHAPES, fullmatch=True) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cn", "Cs"]),
    min_size=1,
    max_size=9,
)
STATES = st.none() | st.sampled_from(["MA", "ma", "New York", "WA", "NSW", "V\u0130", "\u212a"])


@given(rows=st.lists(st.tuples(CODES, STATES, st.booleans()), min_size=1, max_size=20))
async def test_the_database_computes_the_same(
    database: Database, tenant: Tenant, rows: list[tuple[str, str | None, bool]]
) -> None:
    async with database.work(tenant.id) as work:
        for place, (code, state, cut) in enumerate(rows):
            work.session.add(
                Property(
                    tenant_id=tenant.id, external_id=f"z{place}", zipcode=code, state=state,
                    zipcode_cut=cut,
                )
            )  # fmt: skip
        await work.session.flush()
        query = select(Property.external_id, Property.canonical_zipcode)
        rows_found = (await work.session.execute(query)).all()
        found = {row.external_id: row.canonical_zipcode for row in rows_found}
        await work.session.rollback()
    assert [found[f"z{place}"] for place in range(len(rows))] == [
        canonical_zipcode(code, state, cut=cut) for code, state, cut in rows
    ]


async def test_filters_facets_and_search_take_all_forms_as_one(
    database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        for place, (code, state, canonical) in enumerate(FORMS):
            if canonical == "02139":
                work.session.add(
                    Property(
                        tenant_id=tenant.id, external_id=f"z{place}", zipcode=code, state=state
                    )
                )
        await work.session.flush()
        everything = PropertyFilter()
        count = await search.count(work, everything)
        assert await search.count(work, PropertyFilter(zipcodes=("02139",))) == count == 15
        assert await search.count(work, PropertyFilter(words=words_of("02139"))) == count
        found = await count_facets(work, everything, [Facet("zipcodes")])
        assert found[Facet("zipcodes")].values == (("02139", count),)
