"""The setting that has searches look at quantized vectors first."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from qdrant_client import AsyncQdrantClient, models

import embedded
from domain.filters import PropertyFilter
from domain.snapshots import ModelKey, PropertyColumns
from ml.index import EmbeddingIndex
from ml.items import Items
from ml.points import PROPERTIES, USERS


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[AsyncQdrantClient]:
    """Of a Qdrant of its own: what is quantized once stays so."""
    url = embedded.ensure(tmp_path, postgres=False, redis=False).qdrant_url
    address = urlsplit(url or "")
    client = AsyncQdrantClient(
        host=address.hostname,
        grpc_port=address.port or 0,
        prefer_grpc=True,
        check_compatibility=False,
    )
    yield client
    await client.close()
    embedded.release(tmp_path)


async def test_collections_are_quantized_as_the_setting_says(
    client: AsyncQdrantClient, columns: PropertyColumns, items: Items
) -> None:
    async def quantized() -> list[bool]:
        return [
            isinstance(
                (await client.get_collection(name)).config.quantization_config,
                models.ScalarQuantization,
            )
            for name in (PROPERTIES, USERS)
        ]

    plain = EmbeddingIndex(client)
    await plain.ensure_collections()
    space = plain.space(ModelKey(uuid4(), uuid4()))
    await space.upsert_properties(columns, items)
    assert await quantized() == [False, False]
    vector = items.embedding[3].numpy()

    async def nearest() -> list[tuple[UUID, float]]:
        hits = await space.query(vector, PropertyFilter(), (), 10)
        return [(hit.property_id, hit.cosine) for hit in hits]

    before = await nearest()

    index = EmbeddingIndex(client, "int8")
    await index.ensure_collections()
    await index.ensure_collections()
    assert await quantized() == [True, True]
    assert await nearest() == before
    assert before[0][1] == pytest.approx(1.0, abs=1e-5)
