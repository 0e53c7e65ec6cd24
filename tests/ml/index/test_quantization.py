"""The setting that has searches look at quantized vectors first."""

from uuid import UUID, uuid4

import pytest
from qdrant_client import AsyncQdrantClient, models

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import ModelKey, PropertyColumns
from ml.index.index import EmbeddingIndex
from ml.index.points import PROPERTIES, USERS
from ml.twin.items import Items

pytestmark = pytest.mark.integration


async def test_collections_are_quantized_as_the_setting_says(
    own_qdrant: AsyncQdrantClient, columns: PropertyColumns, items: Items
) -> None:
    async def quantized() -> list[bool]:
        return [
            isinstance(
                (await own_qdrant.get_collection(name)).config.quantization_config,
                models.ScalarQuantization,
            )
            for name in (PROPERTIES, USERS)
        ]

    plain = EmbeddingIndex(own_qdrant)
    await plain.ensure_collections()
    space = plain.space(ModelKey(uuid4(), uuid4()))
    await space.upsert_properties(columns, items)
    assert await quantized() == [False, False]
    vector = items.embedding[3].numpy()

    async def nearest() -> list[tuple[UUID, float]]:
        hits = await space.query(vector, PropertyFilter(), (), 10)
        return [(hit.property_id, hit.cosine) for hit in hits]

    before = await nearest()

    index = EmbeddingIndex(own_qdrant, "int8")
    await index.ensure_collections()
    await index.ensure_collections()
    assert await quantized() == [True, True]
    assert await nearest() == before
    assert before[0][1] == pytest.approx(1.0, abs=1e-5)
