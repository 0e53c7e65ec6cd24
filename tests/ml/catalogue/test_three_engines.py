"""PostgreSQL, the catalogue and Qdrant find the same properties, on the borders of filters too."""

from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import asin, cos, inf, nextafter, radians, sin, sqrt
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient

import embedded
from domain.contract.filters import (
    EARTH_RADIUS_KM,
    RANGES,
    Box,
    Circle,
    Polygon,
    PropertyFilter,
    Range,
    words_of,
)
from domain.contract.property_search import Order
from domain.contract.snapshots import ModelKey
from domain.contract.vocabulary import InteractionKind, ListingStatus, PropertyType
from domain.core.database import Database
from domain.properties import search, snapshots
from ml.catalogue.columns import FilterColumns, FilterView
from ml.catalogue.filters import matching
from ml.index.filters import PAYLOAD_INDEXES
from ml.index.index import EmbeddingIndex
from ml.index.points import PROPERTIES
from ml.index.space import Space
from ml.twin.scoring import LoadedTwin
from tests.conftest import new_tenant
from tests.embedded.processes import client_of
from tests.factories import add_interaction, add_property, add_user

COUNT = 250
FILTERS_AN_EXAMPLE = 5
"""As ``make test`` draws them, fifty times: 62,500 pairs of a filter and a property."""
DIRECTION = np.full(16, 0.25, dtype=np.float32)
START = datetime(2024, 1, 1, tzinfo=UTC)
LATITUDES = (-90.0, -89.9999999, -45.0, 0.0, 47.25, 47.5, 47.6062095, 89.9999999, 90.0)
LONGITUDES = (-180.0, -179.9999999, -122.5, -122.0, -122.3320708, 0.0, 90.0, 179.9999999, 180.0)
BETWEEN = (-1.0, -0.01, 0.0, 0.05, 0.1, 0.3, 1.0)
VALUES: dict[str, tuple[float, ...]] = {
    "listing_price": (0.0, 1e5, 123_456.78, 5e5, 1e12),
    "estimated_value": (1e5, 2e5 / 3),
    "cap_rate": BETWEEN,
    "cash_on_cash_return": BETWEEN,
    "bedrooms": (0, 1, 2, 3),
    "bathrooms": (1, 1.5, 2.25),
    "square_feet": (0.5, 700, 1234, 3000, 1e4 / 3),
    "lot_square_feet": (0, 5000.5),
    "year_built": (1900, 1955, 2020),
    "days_on_market": (0, 30, 365),
    "condition_score": (0, 0.1, 0.3, 1),
}
WHOLE = {"bedrooms", "year_built", "days_on_market"}
TEXTS = (
    "Main St.",
    "O'Brien Ave",
    "Ñandú Straße",
    "12\u201314 Park Pl",
    "东京 Rd",
    "ŽIŽKA & Co_1%",
)


def beside(value: float) -> list[float]:
    """A number and the floats next to it; small numbers instead of those next to 0."""
    if value == 0:
        return [-1e-9, 0.0, 1e-9]
    return [nextafter(value, -inf), value, nextafter(value, inf)]


def degrees(values: Collection[float], limit: float) -> list[float]:
    return [one for value in values for one in beside(value) if abs(one) <= limit]


class Shelf:
    """The same properties in the three engines."""

    def __init__(
        self, database: Database, tenant_id: UUID, space: Space, view: FilterView, ids: list[UUID]
    ) -> None:
        self.database = database
        self.tenant_id = tenant_id
        self.space = space
        self.view = view
        self.ids = ids

    async def in_sql(self, where: PropertyFilter) -> set[UUID]:
        async with self.database.work(self.tenant_id) as work:
            return {item.id for item in await search.page(work, where, Order(), COUNT)}

    async def in_qdrant(self, where: PropertyFilter) -> set[UUID]:
        return {hit.property_id for hit in await self.space.query(DIRECTION, where, (), COUNT)}

    def in_catalogue(self, where: PropertyFilter) -> set[UUID]:
        mask = matching(where, self.view, self.rows_of)
        rows = range(COUNT) if mask is None else np.flatnonzero(mask)
        return {self.ids[row] for row in rows}

    def rows_of(self, ids: Collection[UUID]) -> NDArray[np.intp]:
        return np.array([self.ids.index(one) for one in ids if one in self.ids], dtype=np.intp)


@pytest.fixture(scope="module")
async def qdrant(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncQdrantClient]:
    """A Qdrant of the module's own, of which indexes are dropped."""
    folder = tmp_path_factory.mktemp("qdrant")
    client = client_of(str(embedded.ensure(folder, postgres=False, redis=False).qdrant_url))
    yield client
    await client.close()
    embedded.release(folder)


@pytest.fixture(scope="module")
async def shelf(database: Database, qdrant: AsyncQdrantClient, twin: LoadedTwin) -> Shelf:
    """Properties on borders, next to them, and with values missing."""
    tenant = await new_tenant(database)
    rng = np.random.default_rng(11)

    def one_of(values: Any) -> Any:
        return values[rng.integers(len(values))] if rng.random() < 0.93 else None

    def number(name: str) -> Any:
        value = one_of(VALUES[name])
        return value if value is None or name in WHOLE else abs(one_of(beside(value)) or value)

    async with database.work(tenant.id) as work:
        buyer = await add_user(work)
        for place in range(COUNT):
            found = await add_property(
                work,
                external_id=f"{'AB'[place % 2]}-{place}",
                address=one_of([f"{place} {text}" for text in TEXTS]),
                city=one_of(["Seattle", "RENTON", "Saint-Denis"]),
                state=one_of(["WA", "OR"]),
                zipcode=one_of(["98101", "98102", "98102-1234"]),
                property_type=one_of(list(PropertyType)),
                listing_status=one_of(list(ListingStatus)),
                latitude=one_of(degrees(LATITUDES, 90)) if place else 0.0,
                longitude=one_of(degrees(LONGITUDES, 180)) if place else 0.0,
                renovation_needed=one_of([True, False]),
                listed_at=one_of([START + timedelta(microseconds=micro) for micro in range(9)]),
                **{name: number(name) for name in VALUES},
            )
            if place % 3 == 0:
                await add_interaction(work, buyer.id, found.id, InteractionKind.DEAL)
                found.owners = 1
    async with database.work(tenant.id) as work:
        columns = await snapshots.snapshot_after(work, None, COUNT)
    index = EmbeddingIndex(qdrant)
    await index.ensure_collections()
    space = index.space(ModelKey(tenant.id, uuid4()))
    await space.upsert_properties(columns, twin.items(columns))
    # Indexes made anew are made of what Qdrant wrote to disk, as after a restart or a merge.
    for name in PAYLOAD_INDEXES:
        await qdrant.delete_payload_index(PROPERTIES, name)
    await index.ensure_collections()
    filters = FilterColumns()
    for row in range(0, COUNT, 150):
        filters.append(columns.take(range(row, min(row + 150, COUNT))))
    return Shelf(database, tenant.id, space, filters.view(), list(columns.ids))


def some(values: list[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3).map(tuple)


def interval(values: list[float]) -> st.SearchStrategy[Range]:
    """Bounds are mostly values of properties, and the floats next to them."""
    bound = st.sampled_from([one for value in values for one in beside(value)])
    pairs = st.tuples(bound, bound).map(sorted)
    return st.one_of(
        pairs.map(lambda pair: Range(*pair)), st.builds(Range, bound), st.builds(Range, max=bound)
    )


latitudes = st.sampled_from(degrees(LATITUDES, 90)) | st.floats(-90, 90)
longitudes = st.sampled_from(degrees(LONGITUDES, 180)) | st.floats(-180, 180)
moments = st.integers(-1, 10).map(lambda micro: START + timedelta(microseconds=micro))


@st.composite
def circles(draw: st.DrawFn) -> Circle:
    """Mostly near places, half of them with one on the border."""
    circle = Circle(draw(latitudes), draw(longitudes), draw(st.floats(0.001, 500)))
    if draw(st.booleans()):
        at = draw(latitudes), draw(longitudes)
        reach = great_circle_km(circle, *at)
        if 0 < reach < 500:
            circle = replace(circle, radius_km=draw(st.sampled_from(beside(reach))))
    return circle


def great_circle_km(circle: Circle, latitude: float, longitude: float) -> float:
    """How far a place is from the centre, as ``domain.properties.search`` computes it."""

    def angle(degrees: float) -> float:
        return radians(round(degrees * 1e7) / 1e7)

    across = sin(angle(latitude - circle.latitude) / 2) ** 2
    along = sin(angle(longitude - circle.longitude) / 2) ** 2
    chord = across + cos(angle(circle.latitude)) * cos(angle(latitude)) * along
    return 2 * EARTH_RADIUS_KM * asin(sqrt(min(1.0, chord)))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    south, north = sorted((draw(latitudes), draw(latitudes)))
    west, east = sorted(draw(st.lists(longitudes, min_size=2, max_size=2, unique=True)))
    return Box(south, west, north, east)


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """Any ring through places, or one along latitudes and longitudes.

    Never narrower than what Qdrant can tell apart, of which it would leave out the borders.
    """
    y, x = st.sampled_from(LATITUDES[::2]), st.sampled_from(LONGITUDES[::2])
    if draw(st.booleans()):
        south, north = sorted(draw(st.lists(y, min_size=2, max_size=2, unique=True)))
        west, east = sorted(draw(st.lists(x, min_size=2, max_size=2, unique=True)))
        ring = [(south, west), (north, west), (north, east), (south, east)]
        return Polygon(tuple(draw(st.sampled_from([ring, ring[::-1]]))))
    corner = st.tuples(y, x) | st.tuples(st.floats(-90, 90), st.floats(-180, 180))
    return Polygon(tuple(draw(st.lists(corner, min_size=3, max_size=7))))


SEARCHES = "1 12 sea RENT st o'brien ñandú STRASSE 12-14 东 ž a- wa %_ saint I a-7 9810"
texts = st.lists(st.sampled_from(SEARCHES.split()), min_size=1, max_size=3).map(" ".join)
QUOTIENTS = [1e5 / 700, 123_456.78 / 1234, 5e5 / 3000, 1e5 / (1e4 / 3)]
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "external_ids": some([f"{'AB'[place % 2]}-{place}" for place in range(9)] + ["a-0", "C-7"]),
    "property_types": some(list(PropertyType)),
    "zipcodes": some(["98101", "98102", "9810"]),
    "cities": some(["Seattle", "seattle", "RENTON"]),
    "states": some(["WA", "OR", "wa"]),
    "listing_statuses": some(list(ListingStatus)),
    "exclude_listing_statuses": some(list(ListingStatus)),
    "words": texts.map(words_of),
    "listed_after": moments,
    "listed_before": moments,
    "renovation_needed": st.booleans(),
    "owned": st.booleans(),
    "circle": circles(),
    "box": boxes(),
    "polygon": polygons(),
    **{part: interval(list(VALUES.get(name, QUOTIENTS))) for part, name in RANGES.items()},
}
AREAS = ["circle", "box", "polygon"]


@st.composite
def filters(draw: st.DrawFn) -> PropertyFilter:
    """One part, or a few."""
    names = draw(
        st.lists(st.sampled_from(AREAS), min_size=1, max_size=1)
        | st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=3, unique=True)
    )
    return PropertyFilter(**{name: draw(PARTS[name]) for name in names})


def wider(where: PropertyFilter) -> PropertyFilter:
    """The filter by as much wider as Qdrant may be; without a polygon."""
    parts: dict[str, Any] = {"polygon": None}
    for name in RANGES:
        if (wanted := getattr(where, name)) is not None:
            low, high = wanted.min, wanted.max
            parts[name] = Range(
                None if low is None else low - 2e-15 * abs(low) - 1e-300,
                None if high is None else high + 2e-15 * abs(high) + 1e-300,
            )
    if (box := where.box) is not None:
        parts["box"] = Box(box.south - 2e-9, box.west - 2e-9, box.north + 2e-9, box.east + 2e-9)
    if (circle := where.circle) is not None:
        parts["circle"] = replace(circle, radius_km=circle.radius_km * (1 + 2e-7) + 1e-4)
    return replace(where, **parts)


def near_ring(shelf: Shelf, polygon: Polygon, *, corners: bool = False) -> set[UUID]:
    """What lies within three billionths of a degree of a line, or of a corner, of the polygon."""
    columns = shelf.view.columns
    places = columns["latitude"] + 1j * columns["longitude"]
    starts = np.array([complex(*corner) for corner in polygon.corners])
    found = np.zeros(COUNT, dtype=np.bool_)
    for start, end in zip(starts, np.roll(starts, -1), strict=True):
        along, away = (0j if corners else end - start), places - start
        share = np.clip((away * along.conjugate()).real / max(abs(along) ** 2, 1e-300), 0, 1)
        found |= np.abs(away - share * along) < 3e-9
    return {shelf.ids[row] for row in np.flatnonzero(found)}


def at_the_edge(shelf: Shelf) -> set[UUID]:
    """What lies at a pole or on the 180th meridian."""
    columns = shelf.view.columns
    far = (np.abs(columns["latitude"]) > 90 - 1e-9) | (np.abs(columns["longitude"]) > 180 - 1e-9)
    return {shelf.ids[row] for row in np.flatnonzero(far)}


@given(asked=st.lists(filters(), min_size=FILTERS_AN_EXAMPLE, max_size=FILTERS_AN_EXAMPLE))
async def test_the_three_engines_agree(shelf: Shelf, asked: list[PropertyFilter]) -> None:
    """Qdrant may find what lies a hair beyond a border: PostgreSQL drops it from its answers."""
    for where in asked:
        in_sql, in_qdrant = await shelf.in_sql(where), await shelf.in_qdrant(where)
        assert shelf.in_catalogue(where) == in_sql, where
        missing, beyond = in_sql - in_qdrant, in_qdrant - in_sql
        if missing:
            # A coordinate that lost its last digit on the disk may leave a sharp corner, and at the
            # edge of the map, where Qdrant's grid ends, what lies on a slanted line may be left.
            assert where.polygon is not None, where
            tips = near_ring(shelf, where.polygon, corners=True)
            assert missing <= tips | near_ring(shelf, where.polygon) & at_the_edge(shelf), where
        if beyond:
            assert beyond <= shelf.in_catalogue(wider(where)), where
        if beyond and where.polygon is not None:
            inside = shelf.in_catalogue(replace(wider(where), polygon=where.polygon))
            assert beyond <= inside | near_ring(shelf, where.polygon), where


async def test_a_polygon_too_small_for_products_of_its_sides_has_nothing_inside(
    shelf: Shelf,
) -> None:
    side = 1e-200
    where = PropertyFilter(polygon=Polygon(((-side, -side), (side, 2 * side), (side, -side))))
    assert shelf.in_catalogue(where) == await shelf.in_sql(where) == set()


async def test_ids_agree(shelf: Shelf) -> None:
    unknown = uuid4()
    for where in (
        PropertyFilter(ids=(shelf.ids[3], unknown, shelf.ids[5])),
        PropertyFilter(ids=(unknown,)),
        PropertyFilter(ids=tuple(shelf.ids[:9]), exclude_ids=(shelf.ids[2], unknown)),
        PropertyFilter(exclude_ids=tuple(shelf.ids[:9]), owned=True),
        PropertyFilter(),
    ):
        in_sql = await shelf.in_sql(where)
        assert shelf.in_catalogue(where) == in_sql == await shelf.in_qdrant(where)


def test_every_part_of_the_filter_is_drawn() -> None:
    assert (
        PARTS.keys() | {"ids", "exclude_ids", "added"} == PropertyFilter.__dataclass_fields__.keys()
    )
