"""What every engine of candidate generation does: the catalogue and Qdrant pass the same tests."""

from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from domain.contract.filters import Box, Circle, Labels, Polygon, PropertyFilter, Range
from domain.contract.snapshots import BuyBox, ModelKey, PropertyColumns
from domain.contract.vocabulary import ListingStatus, PropertyType
from ml.catalogue.candidates import NO_FLOOR, CandidateGenerator, Hits, Source
from ml.catalogue.catalogue import Catalogue
from ml.index.index import EmbeddingIndex
from ml.twin.buy_box import share_met
from ml.twin.items import Items
from tests.ml.worlds import make_columns, with_values

EVERYTHING = PropertyFilter()
BOX = BuyBox(zipcodes=("98101", "98103"), price=Range(max=5e5), bedrooms=Range(2, 3))
Fill = Callable[[PropertyColumns, Items], Awaitable[CandidateGenerator]]


def unit(count: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(count, 16))
    unit: NDArray[np.float32] = (drawn / np.sqrt((drawn**2).sum(axis=1))[:, None]).astype("f4")
    return unit


def seen_as(items: Items, vectors: NDArray[np.float32]) -> Items:
    """As many of the items, with those embeddings."""
    rows = torch.arange(len(vectors)) % len(items.prior)
    return replace(items[rows], embedding=torch.from_numpy(vectors))


def labelled(columns: PropertyColumns) -> PropertyColumns:
    """The properties with labels: each its number, two words, and a state of every second."""
    labels = [
        Labels(f"house {row}", "WA" if row % 2 else None, ("house", f"{row}"))
        for row in range(len(columns))
    ]
    return replace(columns, labels=tuple(labels))


@pytest.fixture(scope="module", params=["catalogue", "qdrant"])
def fill(request: pytest.FixtureRequest, index: EmbeddingIndex) -> Fill:
    """Makes an engine that holds some properties."""

    async def in_memory(columns: PropertyColumns, items: Items) -> CandidateGenerator:
        catalogue = Catalogue()
        catalogue.write(labelled(columns), items)
        catalogue.settle()
        return catalogue

    async def in_qdrant(columns: PropertyColumns, items: Items) -> CandidateGenerator:
        space = index.space(ModelKey(uuid4(), uuid4()))
        await space.upsert_properties(labelled(columns), items)
        return space

    return in_memory if request.param == "catalogue" else in_qdrant


@pytest.fixture(scope="module")
async def filled(fill: Fill, columns: PropertyColumns, items: Items) -> CandidateGenerator:
    """An engine that holds ``columns``."""
    return await fill(columns, seen_as(items, unit(len(columns))))


def found(hits: Hits) -> list[UUID]:
    return [hit.property_id for hit in hits]


async def test_returns_the_nearest_with_their_vectors(
    filled: CandidateGenerator, columns: PropertyColumns
) -> None:
    vectors, query = unit(len(columns)), unit(1, seed=9)[0]
    hits = await filled.query(query, EVERYTHING, (), 10, with_vectors=True)
    order = np.argsort(-(vectors @ query))[:10]
    assert found(hits) == [columns.ids[row] for row in order]
    np.testing.assert_allclose(hits.cosines, (vectors @ query)[order], atol=1e-6)
    np.testing.assert_allclose(hits.vectors, vectors[order], atol=1e-6)


async def test_exclusions_hold_inside_the_search(
    filled: CandidateGenerator, columns: PropertyColumns
) -> None:
    query = unit(1, seed=9)[0]
    ranking = found(await filled.query(query, EVERYTHING, (), 200))
    rest = found(await filled.query(query, EVERYTHING, [*ranking[:150], uuid4()], 30))
    assert rest == ranking[150:180]
    assert set(ranking) == set(columns.ids)


async def test_ties_go_to_the_smallest_ids(
    fill: Fill, columns: PropertyColumns, items: Items
) -> None:
    vectors = unit(len(columns))
    vectors[20:170] = vectors[20]
    engine = await fill(columns, seen_as(items, vectors))
    hits = await engine.query(vectors[20], EVERYTHING, (), 12)
    assert found(hits) == sorted(columns.ids[20:170])[:12]


async def test_no_direction_is_no_error(
    filled: CandidateGenerator, columns: PropertyColumns
) -> None:
    """An investor whose history cancels out: all properties are equally near."""
    hits = await filled.query(np.zeros(16, dtype=np.float32), EVERYTHING, (), 5)
    assert found(hits) == sorted(columns.ids)[:5]
    assert [hit.cosine for hit in hits] == [0.0] * 5


def interval(low: float, high: float) -> st.SearchStrategy[Range]:
    side = st.one_of(st.none(), st.floats(low, high))
    return st.builds(Range, side, side)


FILTERS = st.builds(
    PropertyFilter,
    property_types=st.lists(st.sampled_from(PropertyType), max_size=3, unique=True).map(tuple),
    zipcodes=st.lists(st.sampled_from(["98101", "98102", "x"]), max_size=2).map(tuple),
    cities=st.lists(st.sampled_from(["Seattle", "Renton"]), max_size=1).map(tuple),
    listing_statuses=st.lists(st.sampled_from(ListingStatus), max_size=3).map(tuple),
    exclude_listing_statuses=st.lists(st.sampled_from(ListingStatus), max_size=2).map(tuple),
    listed_after=st.none() | st.integers(0, 10**9).map(lambda s: datetime.fromtimestamp(s, UTC)),
    price=st.none() | interval(2e5, 1e6),
    bedrooms=st.none() | st.builds(Range, st.integers(1, 3), st.none() | st.integers(3, 5)),
    bathrooms=st.none() | interval(1, 4),
    square_feet=st.none() | interval(800, 4000),
    year_built=st.none() | interval(1900, 2020),
    circle=st.none()
    | st.builds(Circle, st.floats(47.2, 47.8), st.floats(-122.5, -121.5), st.floats(0, 60)),
    box=st.none()
    | st.builds(
        Box,
        st.floats(47, 47.5),
        st.floats(-122.5, -122),
        st.floats(47.5, 48),
        st.floats(-122, -121),
    ),
)


def matches(columns: PropertyColumns, where: PropertyFilter) -> NDArray[np.bool_]:
    """The filter by its definition, with NumPy."""
    keep = np.ones(len(columns), dtype=bool)
    if where.property_types:
        codes = [list(PropertyType).index(value) for value in where.property_types]
        keep &= np.isin(columns.property_type, codes)
    if where.exclude_listing_statuses:
        codes = [list(ListingStatus).index(value) for value in where.exclude_listing_statuses]
        keep &= ~np.isin(columns.listing_status, codes)
    if where.listing_statuses:
        codes = [list(ListingStatus).index(value) for value in where.listing_statuses]
        keep &= np.isin(columns.listing_status, codes)
    if where.zipcodes:
        keep &= np.array([value in where.zipcodes for value in columns.zipcode])
    if where.cities:
        keep &= np.array([value in where.cities for value in columns.city])
    if where.listed_after:
        keep &= columns.listed_at > where.listed_after.timestamp()
    for name, bounds in {
        "listing_price": where.price,
        "bedrooms": where.bedrooms,
        "bathrooms": where.bathrooms,
        "square_feet": where.square_feet,
        "year_built": where.year_built,
    }.items():
        if bounds is not None and bounds.min is not None:
            keep &= columns.column(name) >= bounds.min
        if bounds is not None and bounds.max is not None:
            keep &= columns.column(name) <= bounds.max
    north, east = columns.column("latitude"), columns.column("longitude")
    if where.circle:
        a, b = np.radians(where.circle.latitude), np.radians(north)
        turn = np.radians(east - where.circle.longitude)
        half = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(turn / 2) ** 2
        keep &= 2 * 6371.0088 * np.arcsin(np.sqrt(half)) <= where.circle.radius_km
    if where.box:
        keep &= (north >= where.box.south) & (north <= where.box.north)
        keep &= (east >= where.box.west) & (east <= where.box.east)
    return keep


@given(where=FILTERS, seed=st.integers(0, 5), limit=st.integers(1, 60))
async def test_filters_agree_with_their_definition(
    filled: CandidateGenerator,
    columns: PropertyColumns,
    where: PropertyFilter,
    seed: int,
    limit: int,
) -> None:
    keep = matches(columns, where)
    similarity = np.where(keep, unit(len(columns)) @ unit(1, seed=100 + seed)[0], -np.inf)
    order = np.argsort(-similarity)[: min(limit, int(keep.sum()))]
    hits = await filled.query(unit(1, seed=100 + seed)[0], where, (), limit)
    assert found(hits) == [columns.ids[row] for row in order]


async def test_bounds_belong_to_the_filter(
    fill: Fill, columns: PropertyColumns, items: Items
) -> None:
    """Intervals and boxes are closed and dates are open; PostgreSQL decides the last digits."""
    complete = [row for row in range(200) if not np.isnan(columns.numeric[row]).any()]
    one = columns.take([row for row in complete if not np.isnan(columns.listed_at[row])][:1])
    north, east = float(one.column("latitude")[0]), float(one.column("longitude")[0])
    price = float(one.column("listing_price")[0])
    engine = await fill(one, seen_as(items, unit(1)))
    for where in (
        PropertyFilter(price=Range(price, price)),
        PropertyFilter(box=Box(north, east, north, east)),
        PropertyFilter(circle=Circle(north, east, 0)),
        PropertyFilter(listed_after=datetime.fromtimestamp(one.listed_at[0] - 1, UTC)),
    ):
        assert len(await engine.query(unit(1)[0], where, (), 5)) == 1
    for where in (
        PropertyFilter(price=Range(price + 0.01, None)),
        PropertyFilter(box=Box(north + 1e-6, east, north + 1, east)),
        PropertyFilter(listed_after=datetime.fromtimestamp(one.listed_at[0], UTC)),
        PropertyFilter(listed_before=datetime.fromtimestamp(one.listed_at[0], UTC)),
    ):
        assert not await engine.query(unit(1)[0], where, (), 5)


async def test_candidates_are_the_nearest_to_any_interest(
    filled: CandidateGenerator, columns: PropertyColumns, items: Items
) -> None:
    interests = unit(3, seed=8)
    found = await filled.candidates(interests, EVERYTHING, (), [Source(25)])
    nearest = (unit(len(columns)) @ interests.T).max(axis=1)
    assert set(found.ids) == {columns.ids[row] for row in np.argsort(-nearest)[:25]}
    rows = torch.tensor([columns.ids.index(one) for one in found.ids])
    expected = seen_as(items, unit(len(columns)))[rows]
    for field in fields(Items):
        torch.testing.assert_close(
            getattr(found.items, field.name),
            getattr(expected, field.name),
            rtol=0,
            atol=1e-6 if field.name == "embedding" else 0,
            equal_nan=True,
        )


@given(
    where=FILTERS,
    seed=st.integers(0, 5),
    limits=st.tuples(st.integers(1, 80), st.integers(1, 80), st.integers(1, 80)),
    excluded=st.integers(0, 60),
)
async def test_candidates_are_what_the_sources_ask_for(
    filled: CandidateGenerator,
    columns: PropertyColumns,
    where: PropertyFilter,
    seed: int,
    limits: tuple[int, int, int],
    excluded: int,
) -> None:
    """The best of what matches; of that, what nobody owns; and of that, what lies near."""
    # Other vectors than the catalogue's own, where two properties would tie.
    interests, exclude = unit(2, seed=100 + seed), columns.ids[:excluded]
    circle = Circle(47.4, -122.0, 25.0)
    found = await filled.candidates(
        interests,
        where,
        [*exclude, uuid4()],
        [
            Source(limits[0]),
            Source(limits[1], unowned=True),
            Source(limits[2], near=(circle, Circle(47.7, -122.4, 5.0))),
        ],
        BOX,
    )
    keep = matches(columns, where) & ~np.isin(np.arange(len(columns)), np.arange(excluded))
    near = np.zeros(len(columns), dtype=bool)
    for one in (circle, Circle(47.7, -122.4, 5.0)):
        near |= matches(columns, PropertyFilter(circle=one))
    likeness = (unit(len(columns)) @ interests.T).max(axis=1)
    expected: set[UUID] = set()
    for source, limit in zip(
        (keep, keep & (columns.owners == 0), keep & near), limits, strict=True
    ):
        order = np.argsort(-np.where(source, likeness, -np.inf))[: min(limit, int(source.sum()))]
        expected |= {columns.ids[row] for row in order}
    assert len(set(found.ids)) == len(found.ids)
    assert set(found.ids) == expected
    rows = [columns.ids.index(one) for one in found.ids]
    np.testing.assert_array_equal(found.met, share_met(BOX, columns)[rows])


async def test_no_candidate_is_no_error(filled: CandidateGenerator) -> None:
    nowhere = PropertyFilter(zipcodes=("nowhere",))
    found = await filled.candidates(unit(2), nowhere, (), [Source(5), Source(5)])
    assert not found.ids
    assert len(found.items.prior) == 0


async def test_one_property_is_a_list(fill: Fill, columns: PropertyColumns, items: Items) -> None:
    engine = await fill(columns.take([7]), seen_as(items, unit(1)))
    assert found(await engine.query(unit(1, seed=3)[0], EVERYTHING, (), 10)) == [columns.ids[7]]
    brought = await engine.candidates(unit(2, seed=3), EVERYTHING, (), [Source(10)])
    assert list(brought.ids) == [columns.ids[7]]
    assert brought.floors == (NO_FLOOR,)


async def test_nothing_is_found_in_nothing(
    fill: Fill, columns: PropertyColumns, items: Items
) -> None:
    engine = await fill(columns.take([]), items[:0])
    assert not await engine.query(unit(1)[0], EVERYTHING, (), 10)
    assert not (await engine.candidates(unit(2), EVERYTHING, (), [Source(10)])).ids


async def test_a_floor_brings_the_same_again(
    filled: CandidateGenerator, columns: PropertyColumns
) -> None:
    """A floor is a cosine, so that either engine can go on where the other began."""
    interests = unit(3, seed=5)
    likeness = np.sort((unit(len(columns)) @ interests.T).max(axis=1))[::-1]
    first = await filled.candidates(interests, EVERYTHING, (), [Source(30)])
    assert first.floors[0] == pytest.approx(likeness[29], abs=1e-5)
    again = await filled.candidates(
        interests, EVERYTHING, (), [Source(20, floor=first.floors[0]), Source(10)]
    )
    assert list(again.ids) == list(first.ids)


async def test_equals_are_brought_together(
    fill: Fill, columns: PropertyColumns, items: Items
) -> None:
    vectors = unit(len(columns))
    vectors[20:40] = vectors[20]
    engine = await fill(columns, seen_as(items, vectors))
    brought = await engine.candidates(vectors[20:21], EVERYTHING, (), [Source(30)])
    assert len(brought.ids) == 30
    # Of twenty equals no twelve are better than the others.
    brought = await engine.candidates(vectors[20:21], EVERYTHING, (), [Source(12)])
    assert set(brought.ids) == set(columns.ids[20:40])


PLACES = {
    "nowhere": (np.nan, np.nan),
    "half": (10.0, np.nan),
    "east": (10.0, 180.0),
    "west": (10.0, -180.0),
    "pole": (90.0, 20.0),
    "inside": (5.0, 5.0),
    "corner": (0.0, 0.0),
    "edge": (0.0, 5.0),
}
AREAS = [
    (PropertyFilter(box=Box(0, 170, 20, 180)), {"east"}),
    (PropertyFilter(box=Box(0, -180, 20, -170)), {"west"}),
    (PropertyFilter(box=Box(80, 0, 90, 30)), {"pole"}),
    (PropertyFilter(box=Box(0, 0, 10, 10)), {"inside", "corner", "edge"}),
    (PropertyFilter(circle=Circle(10, 179.9, 50)), {"east", "west"}),
    (PropertyFilter(circle=Circle(90, -60, 10)), {"pole"}),
    (PropertyFilter(polygon=Polygon(((0, 170), (20, 170), (20, 180), (0, 180)))), {"east"}),
    (PropertyFilter(polygon=Polygon(((1, 1), (9, 1), (9, 9), (1, 9)))), {"inside"}),
    (PropertyFilter(box=Box(-90, -180, 90, 180)), set(PLACES)),
]


@pytest.mark.parametrize(("where", "expected"), AREAS)
async def test_areas_hold_at_the_edges_of_the_map(
    fill: Fill, items: Items, where: PropertyFilter, expected: set[str]
) -> None:
    latitude, longitude = np.array(list(PLACES.values())).T
    columns = with_values(make_columns(len(PLACES)), latitude=latitude, longitude=longitude)
    engine = await fill(columns, seen_as(items, unit(len(PLACES))))
    hits = await engine.query(unit(1)[0], where, (), 20)
    names = dict(zip(columns.ids, PLACES, strict=True))
    assert {names[one] for one in found(hits)} == expected


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        (PropertyFilter(external_ids=("house 3", "house 5", "house")), {3, 5}),
        (PropertyFilter(words=("19",)), {19, *range(190, 200)}),
        (PropertyFilter(words=("hou", "7")), {7, *range(70, 80)}),
        (PropertyFilter(words=("ouse",)), set()),
        (PropertyFilter(states=("WA",), words=("19",)), {19, *range(191, 200, 2)}),
    ],
)
async def test_labels_are_filtered_by(
    filled: CandidateGenerator, columns: PropertyColumns, where: PropertyFilter, rows: set[int]
) -> None:
    hits = await filled.query(unit(1)[0], where, (), 200)
    assert set(found(hits)) == {columns.ids[row] for row in rows}


async def test_ids_are_filtered_by(filled: CandidateGenerator, columns: PropertyColumns) -> None:
    where = PropertyFilter(ids=(*columns.ids[:9], uuid4()), exclude_ids=columns.ids[5:7])
    hits = await filled.query(unit(1)[0], where, [columns.ids[0]], 200)
    assert set(found(hits)) == {*columns.ids[1:5], *columns.ids[7:9]}
