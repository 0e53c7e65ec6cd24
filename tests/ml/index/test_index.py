from dataclasses import replace
from uuid import UUID, uuid4

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models

from domain.contract.filters import Circle, PropertyFilter, Range
from domain.contract.snapshots import BuyBox, ModelKey, OutdatedIndexError, PropertyColumns
from ml.catalogue.candidates import Source
from ml.index.index import EmbeddingIndex
from ml.index.index_rows import ROW
from ml.index.points import PROPERTIES, SPACE, USERS
from ml.index.space import Space
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


async def test_a_graph_is_linked_for_each_space_and_for_no_other_field(
    index: EmbeddingIndex,
) -> None:
    for name in (PROPERTIES, USERS):
        info = await index._client.get_collection(name)
        assert (info.config.hnsw_config.m, info.config.hnsw_config.payload_m) == (0, 16)
        linked = {
            field
            for field, schema in info.payload_schema.items()
            if schema.params is None or schema.params.enable_hnsw is not False
        }
        assert linked == {SPACE}


async def test_more_points_than_fit_in_one_call(
    index: EmbeddingIndex, columns: PropertyColumns, items: Items
) -> None:
    space = index.space(new_key())
    many = replace(columns.take([0] * 2500), ids=tuple(UUID(int=number) for number in range(2500)))
    await space.upsert_properties(many, seen_as(items, unit(2500)))
    assert await space.property_ids() == set(many.ids)


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
    await index._client.set_payload(PROPERTIES, {ROW: "AAAA"}, space._filter())
    with pytest.raises(OutdatedIndexError, match="another version of this program; reindex"):
        await space.candidates(unit(1), EVERYTHING, (), [Source(5)])
