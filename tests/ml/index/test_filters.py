"""The filter in SQL and in the index: both find the same properties, whatever is asked."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import product
from typing import Any
from unicodedata import normalize
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import select

from domain.contract.filters import RANGES, Box, Circle, Polygon, PropertyFilter, Range, words_of
from domain.contract.property_search import Order
from domain.contract.snapshots import ModelKey
from domain.contract.vocabulary import InteractionKind, ListingStatus, PropertyType
from domain.core.database import Database
from domain.properties import rows as property_rows
from domain.properties import search, snapshots, table
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from ml.index.index import EmbeddingIndex
from ml.index.space import Space
from ml.twin.scoring import LoadedTwin
from tests.conftest import new_tenant
from tests.factories import add_interaction, add_property, add_user

COUNT = 150
START = datetime(2024, 1, 1, tzinfo=UTC)
DIRECTION = np.full(16, 0.25, dtype=np.float32)
STREETS = (
    "Main St.",
    "O'Brien Ave",
    "Ñandú Straße",
    "12\u201314 Park Pl",
    "东京 Rd",
    "ŽIŽKA & Co_1%",
)
VALUES: dict[str, list[float]] = {
    "listing_price": [1e5, 123_456.78, 5e5, 1e6],
    "estimated_value": [1e5, 2e5],
    "cap_rate": [-0.01, 0.05, 0.0625, 0.1],
    "cash_on_cash_return": [-0.5, 0.0, 0.07],
    "bedrooms": [0, 1, 2, 3],
    "bathrooms": [1, 1.5, 2.25],
    "square_feet": [0.5, 700, 1234, 3000],
    "lot_square_feet": [0, 5000.5],
    "year_built": [1900, 1955, 2020],
    "days_on_market": [0, 30, 365],
    "condition_score": [0, 0.1, 0.5, 1],
}


async def fill(database: Database, tenant: Tenant) -> list[UUID]:
    """Properties full of ties, borders and missing values."""
    rng = np.random.default_rng(5)

    def one_of(values: Any) -> Any:
        return values[rng.integers(len(values))] if rng.random() < 0.85 else None

    ids = []
    async with database.work(tenant.id) as work:
        buyer = await add_user(work)
        for number in range(COUNT):
            found = await add_property(
                work,
                external_id=f"{'AB'[number % 2]}-{number}",
                address=one_of([f"{number} {street}" for street in STREETS]),
                city=one_of(["Seattle", "RENTON", "Saint-Denis"]),
                state=one_of(["WA", "OR"]),
                zipcode=one_of(["98101", "98102", "98102-1234"]),
                property_type=one_of(list(PropertyType)),
                listing_status=one_of(list(ListingStatus)),
                latitude=one_of([47.25, 47.5, 47.5 + rng.normal() / 5]),
                longitude=one_of([-122.5, -122.0, -122.0 + rng.normal() / 5]),
                renovation_needed=one_of([True, False]),
                listed_at=one_of([START, START + timedelta(microseconds=int(rng.integers(9)))]),
                **{name: one_of(values) for name, values in VALUES.items()},
            )
            ids.append(found.id)
            if number % 3 == 0:
                await add_interaction(work, buyer.id, found.id, InteractionKind.DEAL)
                found.owners = 1
    return ids


@pytest.fixture(scope="module")
async def shelf(
    database: Database, index: EmbeddingIndex, twin: LoadedTwin
) -> tuple[Tenant, Space, list[UUID]]:
    """A tenant's properties, indexed as the database has them."""
    tenant = await new_tenant(database)
    ids = await fill(database, tenant)
    space = index.space(ModelKey(tenant.id, uuid4()))
    async with database.work(tenant.id) as work:
        columns = await snapshots.snapshot(work, ids)
    await space.upsert_properties(columns, twin.items(columns))
    return tenant, space, ids


def some(values: list[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.just(()) | st.lists(st.sampled_from(values), max_size=3).map(tuple)


def interval(values: list[float]) -> st.SearchStrategy[Range | None]:
    """Mostly open; borders are often the values themselves."""
    bound = st.sampled_from(values) | st.floats(min(values), max(values))
    pairs = st.tuples(bound, bound).map(sorted)
    return st.none() | st.one_of(
        pairs.map(lambda pair: Range(*pair)), st.builds(Range, bound), st.builds(Range, max=bound)
    )


corners = st.tuples(st.floats(46.8, 48.2), st.floats(-122.7, -121.3))
moments = st.integers(-1, 10).map(lambda micro: START + timedelta(microseconds=micro))
SEARCHES = "1 12 sea RENT st o'brien OBRIEN ñandú STRASSE straße 12-14 东 ž a- wa %_ \\ saint ' , I"
texts = st.lists(st.sampled_from(SEARCHES.split()), max_size=3).map(" ".join)
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "external_ids": some(["A-0", "B-1", "A-2", "a-0", "C-7"]),
    "property_types": some(list(PropertyType)),
    "zipcodes": some(["98101", "98102", "9810"]),
    "cities": some(["Seattle", "seattle", "RENTON"]),
    "states": some(["WA", "OR", "wa"]),
    "listing_statuses": some(list(ListingStatus)),
    "exclude_listing_statuses": some(list(ListingStatus)),
    "words": texts.map(words_of),
    "listed_after": st.none() | moments,
    "listed_before": st.none() | moments,
    "renovation_needed": st.none() | st.booleans(),
    "owned": st.none() | st.booleans(),
    "circle": st.none()
    | st.builds(
        Circle, st.floats(47.2, 47.8), st.floats(-122.5, -121.5), st.floats(0.001, 60)
    ),
    "box": st.none()
    | st.builds(
        Box, st.sampled_from([47.0, 47.25]), st.sampled_from([-122.5, -122.2]),
        st.sampled_from([47.5, 48.0]), st.sampled_from([-122.0, -121.0]),
    ),
    "polygon": st.none() | st.lists(corners, min_size=3, max_size=9).map(tuple).map(Polygon),
    **{part: interval(VALUES.get(name, [50, 100, 405.19, 1000])) for part, name in RANGES.items()},
}  # fmt: skip


@st.composite
def filters(draw: st.DrawFn) -> tuple[PropertyFilter, list[int], list[int]]:
    """A filter of a few parts, with the rows that ``ids`` and ``exclude_ids`` are to name."""
    names = draw(st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=4, unique=True))
    rows = st.lists(st.integers(0, COUNT - 1), max_size=40)
    only = draw(st.just([]) | rows)
    return PropertyFilter(**{name: draw(PARTS[name]) for name in names}), only, draw(rows)


def test_every_part_of_the_filter_is_drawn() -> None:
    assert (
        PARTS.keys() | {"ids", "exclude_ids", "added"} == PropertyFilter.__dataclass_fields__.keys()
    )


def on_a_line(place: tuple[float | None, float | None], polygon: Polygon) -> bool:
    """Whether a place is exactly on the ring: on which side it then is, nobody says."""
    if None in place:
        return False
    y, x = (Fraction(one or 0) for one in place)
    corners = [(Fraction(latitude), Fraction(longitude)) for latitude, longitude in polygon.corners]
    for (south, west), (north, east) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (east - west) * (y - south) != (x - west) * (north - south):
            continue
        if min(south, north) <= y <= max(south, north) and min(west, east) <= x <= max(west, east):
            return True
    return False


# Houses lie on its western line.
@example(
    asked=(
        PropertyFilter(polygon=Polygon(((47.0, -122.0), (48.0, -122.0), (47.5, -121.5)))),
        [],
        [],
    )
)
@given(asked=filters())
async def test_sql_and_the_index_agree(
    database: Database,
    shelf: tuple[Tenant, Space, list[UUID]],
    asked: tuple[PropertyFilter, list[int], list[int]],
) -> None:
    tenant, space, ids = shelf
    drawn, only, excluded = asked
    where = PropertyFilter(
        **{name: getattr(drawn, name) for name in PARTS},
        ids=tuple(ids[row] for row in only),
        exclude_ids=tuple(ids[row] for row in excluded),
    )
    async with database.work(tenant.id) as work:
        in_sql = {item.id for item in await search.page(work, where, Order(), COUNT)}
    in_index = {hit.property_id for hit in await space.query(DIRECTION, where, (), COUNT)}
    if in_index != in_sql:
        async with database.work(tenant.id) as work:
            apart = await property_rows.get_many(work, list(in_index ^ in_sql))
        assert where.polygon is not None
        for house in apart.values():
            assert on_a_line((house.latitude, house.longitude), where.polygon)


async def test_sql_and_the_index_agree_where_a_ring_crosses_itself(
    database: Database, shelf: tuple[Tenant, Space, list[UUID]]
) -> None:
    """What it winds around is inside: once or twice, this way or that."""
    tenant, space, _ = shelf

    async def inside(*corners: tuple[float, float]) -> set[tuple[float, float]]:
        where = PropertyFilter(polygon=Polygon(corners))
        async with database.work(tenant.id) as work:
            items = await search.page(work, where, Order(), COUNT)
        hits = await space.query(DIRECTION, where, (), COUNT)
        assert {hit.property_id for hit in hits} == {item.id for item in items}
        return {(item.latitude or 0, item.longitude or 0) for item in items}

    house = (47.5, -122.0)
    star = [(0.3, 0.0), (-0.3, 0.2), (0.1, -0.3), (0.1, 0.3), (-0.3, -0.2)]
    for corners in (star, star[::-1]):
        assert house in await inside(*((47.5 + x, -122.0 + y) for x, y in corners))
    # Its wings are to the north and to the south of where it crosses itself.
    bow_tie = [(-0.4, -0.4), (0.4, 0.4), (0.4, -0.4), (-0.4, 0.4)]
    for latitude, longitude, wing in (
        (47.2, -122.0, True), (47.8, -122.0, True), (47.51, -122.3, False), (47.49, -121.7, False),
    ):  # fmt: skip
        found = await inside(*((latitude + x, longitude + y) for x, y in bow_tie))
        assert (house in found) is wing


Place = tuple[float | None, float | None]
LATITUDES, LONGITUDES = (-90.0, -89.9999999, -45.0, 0.0, 89.9999999, 90.0), (
    -180.0, -179.9999999, -90.0, 0.0, 179.9999999, 180.0,
)  # fmt: skip


@pytest.fixture(scope="module")
async def globe(
    database: Database, index: EmbeddingIndex, twin: LoadedTwin
) -> tuple[Tenant, Space, dict[UUID, Place]]:
    """Properties at the poles, on both sides of the 180th meridian, within, and nowhere."""
    tenant = await new_tenant(database)
    places: list[Place] = [*product(LATITUDES, LONGITUDES), (None, None), (10.0, None), (None, 9.0)]
    async with database.work(tenant.id) as work:
        placed = {
            (await add_property(work, latitude=latitude, longitude=longitude)).id: (
                latitude, longitude,
            )
            for latitude, longitude in places
        }  # fmt: skip
    space = index.space(ModelKey(tenant.id, uuid4()))
    async with database.work(tenant.id) as work:
        columns = await snapshots.snapshot(work, list(placed))
    await space.upsert_properties(columns, twin.items(columns))
    return tenant, space, placed


Find = Callable[[PropertyFilter], Awaitable[set[Place]]]


@pytest.fixture
def find(database: Database, globe: tuple[Tenant, Space, dict[UUID, Place]]) -> Find:
    """Finds the places that match on the globe, which are the same in SQL and in the index."""
    tenant, space, placed = globe

    async def found(where: PropertyFilter) -> set[Place]:
        async with database.work(tenant.id) as work:
            in_sql = {item.id for item in await search.page(work, where, Order(), COUNT)}
        in_index = {hit.property_id for hit in await space.query(DIRECTION, where, (), COUNT)}
        assert in_index == in_sql, where
        return {placed[one] for one in in_sql}

    return found


@pytest.mark.parametrize(
    "sides", [(-90.0, -46.0), (-46.0, 46.0), (46.0, 90.0), (-90.0, 90.0), (90.0, 90.0), (0.0, 0.0)]
)
async def test_a_side_of_a_box_at_the_edge_of_the_map_does_not_restrict(
    find: Find, globe: tuple[Tenant, Space, dict[UUID, Place]], sides: tuple[float, float]
) -> None:
    south, north = sides
    for west, east in ((-180, -91), (-91, 91), (91, 180), (-180, 180), (-180, 91), (-91, 180)):
        where = PropertyFilter(box=Box(south, west, north, east))
        inside = {
            (latitude, longitude)
            for latitude, longitude in globe[2].values()
            if latitude is not None and south <= latitude <= north
            if longitude is not None and west <= longitude <= east
        }
        whole = (south, west, north, east) == (-90, -180, 90, 180)
        assert await find(where) == (set(globe[2].values()) if whole else inside)


@pytest.mark.parametrize("latitude", [-90, 90, 89.9])
async def test_a_circle_over_a_pole_reaches_all_longitudes(find: Find, latitude: float) -> None:
    found = await find(PropertyFilter(circle=Circle(latitude, 10, 50)))
    poles = LATITUDES[:2] if latitude < 0 else LATITUDES[-2:]
    assert found == set(product(poles, LONGITUDES))


@pytest.mark.parametrize("longitude", [-180, -179.99, 179.99, 180])
async def test_a_circle_reaches_across_the_180th_meridian(find: Find, longitude: float) -> None:
    found = await find(PropertyFilter(circle=Circle(-45, longitude, 50)))
    assert found == {(-45, one) for one in LONGITUDES if abs(one) > 179}


async def test_a_line_of_a_polygon_along_the_edge_of_the_map_does_not_restrict(find: Find) -> None:
    for south, west, north, east in (
        (-90, -180, 90, 180), (-46, -180, 46, 91), (-46, -91, 90, 91), (-90, -91, 46, 180),
    ):  # fmt: skip
        ring = ((south, west), (north, west), (north, east), (south, east))
        inside = {
            (latitude, longitude)
            for latitude, longitude in product(LATITUDES, LONGITUDES)
            if south <= latitude <= north and west <= longitude <= east
        }
        for corners in (ring, ring[::-1]):
            assert await find(PropertyFilter(polygon=Polygon(corners))) == inside


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("12-14 O'Brien St.", ("12", "14", "obrien", "st")),
        ("  ", ()),
        ("%_\\'\u2019", ()),
        ("ÉCOLE Straße İZMİR ЖИЗНЬ", ("ecole", "strasse", "izmir", "жизнь")),
        ("San Jose\u0301 SAN JOSÉ", ("san", "jose")),
        (
            "Łódź Ørsted ÞÓR Ærø Đà Nẵng \u212bs",
            ("lodz", "orsted", "thor", "aero", "da", "nang", "as"),
        ),
        ("ΟΔΟΣ οδός", ("οδοσ",)),
        ("서울 \uff11\uff12\uff13 o\ufb03ce", (normalize("NFD", "서울"), "123", "office")),
        ("12\u00bd Rd \u21165", ("12", "1", "2", "rd", "5")),
        ("K\u0101ne\u02bbohe O\u2018ahu D\u00b4Angelo", ("kaneohe", "oahu", "dangelo")),
        ("a A a", ("a",)),
        ("x" * 10_000, ("x" * 10_000,)),
    ],
)
def test_a_text_is_split_into_words(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


# Without letters that only a newer Unicode than this Python's knows.
@given(
    address=st.text(
        st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=["Cn", "Cs"]),
        max_size=40,
    )
)
async def test_the_database_splits_words_alike(
    database: Database, shelf: tuple[Tenant, Space, list[UUID]], address: str
) -> None:
    tenant, _, ids = shelf
    async with database.work(tenant.id) as work:
        house = await table.get(work, ids[0])
        house.address = address
        await work.session.flush()
        kept = await work.session.scalar(select(Property.search).where(Property.id == house.id))
        given = (house.external_id, address, house.city, house.state, house.zipcode)
        house.address = None
    assert kept is not None
    assert set(kept.split(" ")) - {""} == set(words_of(" ".join(one or "" for one in given)))
