from dataclasses import fields, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models

from domain.contract.filters import Box, Circle, PropertyFilter, Range
from domain.contract.snapshots import BuyBox, ModelKey, OutdatedIndexError, PropertyColumns
from domain.contract.vocabulary import ListingStatus, PropertyType
from ml.catalogue.candidates import Hit, Source
from ml.index.index import EmbeddingIndex
from ml.index.index_rows import ROW
from ml.index.points import PROPERTIES
from ml.index.space import Space
from ml.twin.buy_box import share_met
from ml.twin.items import Items

EVERYTHING = PropertyFilter()
EVERYWHERE = Circle(0, 0, 20_100)
BOX = BuyBox(zipcodes=("98101", "98103"), price=Range(max=5e5), bedrooms=Range(2, 3))


def unit(count: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(count, 16))
    unit: NDArray[np.float32] = (drawn / np.sqrt((drawn**2).sum(axis=1))[:, None]).astype("f4")
    return unit


def new_key() -> ModelKey:
    return ModelKey(uuid4(), uuid4())


def seen_as(items: Items, vectors: NDArray[np.float32]) -> Items:
    """As many of the items, with those embeddings."""
    rows = torch.arange(len(vectors)) % len(items.prior)
    return replace(items[rows], embedding=torch.from_numpy(vectors))


@pytest.fixture(scope="module")
async def filled(index: EmbeddingIndex, columns: PropertyColumns, items: Items) -> Space:
    """A space of its own with all of ``columns``."""
    space = index.space(new_key())
    await space.upsert_properties(columns, seen_as(items, unit(len(columns))))
    return space


def found(hits: list[Hit]) -> list[UUID]:
    return [hit.property_id for hit in hits]


async def test_returns_the_nearest_with_their_vectors(
    filled: Space, columns: PropertyColumns
) -> None:
    vectors, query = unit(len(columns)), unit(1, seed=9)[0]
    hits = await filled.query(query, EVERYTHING, (), 10, with_vectors=True)
    order = np.argsort(-(vectors @ query))[:10]
    assert found(hits) == [columns.ids[row] for row in order]
    np.testing.assert_allclose([hit.cosine for hit in hits], (vectors @ query)[order], atol=1e-6)
    np.testing.assert_allclose([hit.vector for hit in hits], vectors[order], atol=1e-6)


async def test_exclusions_hold_inside_the_search(filled: Space, columns: PropertyColumns) -> None:
    query = unit(1, seed=9)[0]
    ranking = found(await filled.query(query, EVERYTHING, (), 200))
    rest = found(await filled.query(query, EVERYTHING, [*ranking[:150], uuid4()], 30))
    assert rest == ranking[150:180]
    assert set(ranking) == set(columns.ids)


async def test_nothing_asked_nothing_found(filled: Space) -> None:
    assert await filled.query(unit(1)[0], EVERYTHING, (), 0) == []


async def test_ties_go_to_the_smallest_ids(
    index: EmbeddingIndex, columns: PropertyColumns, items: Items
) -> None:
    space = index.space(new_key())
    vectors = unit(len(columns))
    vectors[20:170] = vectors[20]
    await space.upsert_properties(columns, seen_as(items, vectors))
    hits = await space.query(vectors[20], EVERYTHING, (), 12)
    assert found(hits) == sorted(columns.ids[20:170])[:12]


async def test_no_direction_is_no_error(filled: Space, columns: PropertyColumns) -> None:
    """An investor whose history cancels out: all properties are equally near."""
    hits = await filled.query(np.zeros(16, dtype=np.float32), EVERYTHING, (), 5)
    assert found(hits) == sorted(columns.ids)[:5]
    assert [hit.cosine for hit in hits] == [0.0] * 5


async def test_upserting_again_replaces(
    index: EmbeddingIndex, columns: PropertyColumns, items: Items
) -> None:
    space = index.space(new_key())
    few = columns.take(range(5))
    await space.upsert_properties(few, seen_as(items, unit(5)))
    await space.upsert_properties(few, seen_as(items, unit(5, seed=2)))
    assert await space.count() == 5
    hits = await space.query(unit(5, seed=2)[0], EVERYTHING, (), 1)
    assert hits[0].cosine == pytest.approx(1)
    assert await space.property_ids() == set(few.ids)


async def test_vectors_must_fit(filled: Space, columns: PropertyColumns, items: Items) -> None:
    narrow = replace(items, embedding=items.embedding[:, :8])
    with pytest.raises(ValueError, match=r"200 points need vectors of shape \(200, 16\)"):
        await filled.upsert_properties(columns, narrow)
    with pytest.raises(ValueError, match=r"not \(3, 16\)"):
        await filled.upsert_properties(columns, seen_as(items, unit(3)))
    with pytest.raises(ValueError, match=r"2 points need vectors of shape \(2, 16\)"):
        await filled.upsert_users({uuid4(): unit(2)[:, :8]})
    assert await filled.count() == 200


async def test_tenants_and_versions_never_meet(
    index: EmbeddingIndex, columns: PropertyColumns, items: Items
) -> None:
    """The same properties in four spaces: no call on one sees or touches another's."""
    tenants, versions = (uuid4(), uuid4()), (uuid4(), uuid4())
    keys = [ModelKey(tenant, version) for tenant in tenants for version in versions]
    few, query = columns.take(range(10)), unit(1, seed=3)[0]
    for number, key in enumerate(keys):
        await index.space(key).upsert_properties(few, seen_as(items, unit(10, seed=number)))
    spaces = [index.space(key) for key in keys]

    for number, space in enumerate(spaces):
        assert await space.count() == 10
        hits = await space.query(query, EVERYTHING, (), 50)
        expected = np.sort(unit(10, seed=number) @ query)[::-1]
        np.testing.assert_allclose([hit.cosine for hit in hits], expected, atol=1e-6)

    await spaces[1].drop()
    assert [await space.count() for space in spaces] == [10, 0, 10, 10]
    await index.delete_properties_everywhere(tenants[1], few.ids[:3])
    assert [await space.count() for space in spaces] == [10, 0, 7, 7]
    await index.delete_properties_everywhere(tenants[1], few.ids)
    await index.delete_properties_everywhere(tenants[1], ())
    assert [await space.count() for space in spaces] == [10, 0, 0, 0]
    assert await spaces[2].property_ids() == set()
    assert await spaces[0].property_ids() == set(few.ids)


async def test_creating_the_collections_again_changes_nothing(
    index: EmbeddingIndex, filled: Space
) -> None:
    await index.ensure_collections()
    assert await filled.count() == 200


async def test_more_points_than_fit_in_one_call(
    index: EmbeddingIndex, columns: PropertyColumns, items: Items
) -> None:
    space = index.space(new_key())
    many = replace(columns.take([0] * 2500), ids=tuple(UUID(int=number) for number in range(2500)))
    await space.upsert_properties(many, seen_as(items, unit(2500)))
    assert await space.property_ids() == set(many.ids)


def interval(low: float, high: float) -> st.SearchStrategy[Range]:
    side = st.one_of(st.none(), st.floats(low, high))
    return st.builds(Range, side, side)


FILTERS = st.builds(
    PropertyFilter,
    property_types=st.lists(st.sampled_from(PropertyType), max_size=3, unique=True).map(tuple),
    zipcodes=st.lists(st.sampled_from(["98101", "98102", "x"]), max_size=2).map(tuple),
    cities=st.lists(st.sampled_from(["Seattle", "Renton"]), max_size=1).map(tuple),
    listing_statuses=st.lists(st.sampled_from(ListingStatus), max_size=3).map(tuple),
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
    filled: Space, columns: PropertyColumns, where: PropertyFilter, seed: int, limit: int
) -> None:
    keep = matches(columns, where)
    similarity = np.where(keep, unit(len(columns)) @ unit(1, seed=100 + seed)[0], -np.inf)
    order = np.argsort(-similarity)[: min(limit, int(keep.sum()))]
    hits = await filled.query(unit(1, seed=100 + seed)[0], where, (), limit)
    assert found(hits) == [columns.ids[row] for row in order]


async def test_bounds_belong_to_the_filter(
    index: EmbeddingIndex, columns: PropertyColumns, items: Items
) -> None:
    """Intervals and boxes are closed and dates are open, exactly."""
    space = index.space(new_key())
    complete = [row for row in range(200) if not np.isnan(columns.numeric[row]).any()]
    one = columns.take([row for row in complete if not np.isnan(columns.listed_at[row])][:1])
    north, east = float(one.column("latitude")[0]), float(one.column("longitude")[0])
    price = float(one.column("listing_price")[0])
    await space.upsert_properties(one, seen_as(items, unit(1)))
    for where in (
        PropertyFilter(price=Range(price, price)),
        PropertyFilter(box=Box(north, east, north, east)),
        PropertyFilter(circle=Circle(north, east, 0)),
        PropertyFilter(listed_after=datetime.fromtimestamp(one.listed_at[0] - 1, UTC)),
    ):
        assert len(await space.query(unit(1)[0], where, (), 5)) == 1
    for where in (
        PropertyFilter(price=Range(np.nextafter(price, 1e9), None)),
        PropertyFilter(box=Box(north + 1e-9, east, north + 1, east)),
        PropertyFilter(listed_after=datetime.fromtimestamp(one.listed_at[0], UTC)),
        PropertyFilter(listed_before=datetime.fromtimestamp(one.listed_at[0], UTC)),
    ):
        assert await space.query(unit(1)[0], where, (), 5) == []


@pytest.mark.integration
async def test_points_of_an_earlier_build_are_outdated(
    own_qdrant: AsyncQdrantClient, columns: PropertyColumns, items: Items
) -> None:
    index = EmbeddingIndex(own_qdrant)
    await index.ensure_collections()
    space = index.space(new_key())
    await space.upsert_properties(columns.take(range(3)), seen_as(items, unit(3)))
    assert not await index.outdated()
    # As an earlier build left it, which knew nothing of states, or wrote rows in another way.
    for unknown in ("state", f"written_as_{ROW}"):
        await own_qdrant.delete_payload_index(PROPERTIES, unknown)
        assert await index.outdated()
        await index.ensure_collections()
        assert not await index.outdated()


async def test_a_foreign_collection_is_refused() -> None:
    client = AsyncQdrantClient(":memory:")
    try:
        await client.create_collection(
            PROPERTIES, models.VectorParams(size=8, distance=models.Distance.DOT)
        )
        with pytest.raises(ValueError, match="not 16 dimensions with cosine"):
            await EmbeddingIndex(client).ensure_collections()
    finally:
        await client.close()


async def test_candidates_are_the_nearest_to_any_interest(
    filled: Space, columns: PropertyColumns, items: Items
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
    filled: Space,
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


async def test_no_candidate_is_no_error(filled: Space) -> None:
    nowhere = PropertyFilter(zipcodes=("nowhere",))
    found = await filled.candidates(unit(2), nowhere, (), [Source(5), Source(5)])
    assert not found.ids
    assert len(found.items.prior) == 0


async def test_candidates_never_come_from_another_space(
    index: EmbeddingIndex, columns: PropertyColumns, items: Items
) -> None:
    key = new_key()
    others = [ModelKey(key.tenant_id, uuid4()), ModelKey(uuid4(), key.version_id)]
    for place, one in enumerate([key, *others]):
        rows = range(10 * place, 10 * place + 10)
        await index.space(one).upsert_properties(
            columns.take(rows), seen_as(items, unit(10, seed=place))
        )
    sources = [Source(50), Source(50, unowned=True), Source(50, near=(EVERYWHERE,))]
    for place in range(3):  # also when asked with the vectors of the others
        found = await index.space(key).candidates(unit(10, seed=place), EVERYTHING, (), sources)
        assert set(found.ids) == set(columns.ids[:10])


async def test_points_of_another_program_are_named(
    index: EmbeddingIndex, columns: PropertyColumns, items: Items
) -> None:
    key = new_key()
    space = index.space(key)
    await space.upsert_properties(columns.take(range(3)), seen_as(items, unit(3)))
    await index._client.set_payload(
        PROPERTIES,
        {ROW: "AAAA"},
        models.Filter(
            must=[
                models.FieldCondition(
                    key="tenant_id", match=models.MatchValue(value=str(key.tenant_id))
                )
            ]
        ),
    )
    with pytest.raises(OutdatedIndexError, match="another version of this program; reindex"):
        await space.candidates(unit(1), EVERYTHING, (), [Source(5)])
