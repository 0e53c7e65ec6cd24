"""The embeddings in Qdrant: written after training, searched by every recommendation.

Here are the two collections; what is in them is reached through ``ml.index.space.Space``.
"""

from collections.abc import Collection
from typing import Literal
from uuid import UUID

from qdrant_client import AsyncQdrantClient, grpc, models

from domain.contract.snapshots import ModelKey
from ml.index.filters import PAYLOAD_INDEXES, among, equals
from ml.index.index_rows import ROW
from ml.index.points import PROPERTIES, USERS
from ml.index.space import Space
from ml.twin.towers import DIMENSIONS

# Qdrant's own threshold is meant for vectors of a thousand dimensions; of ours, hundreds of
# thousands would stay without a graph.
_GRAPH_FROM_KB = 500
# An index of nothing, which stands for what the points carry without its being searched.
_WRITTEN_AS = f"written_as_{ROW}"
_TENANT = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
_PROPERTY_INDEXES = PAYLOAD_INDEXES | {_WRITTEN_AS: models.PayloadSchemaType.BOOL}
_USER_INDEXES = {
    "user_id": models.PayloadSchemaType.KEYWORD,
    "interest": models.PayloadSchemaType.INTEGER,
}


Quantization = Literal["off", "int8"]

_INT8 = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
)


class EmbeddingIndex:
    """The two collections, on a client that the caller opens and closes."""

    def __init__(self, client: AsyncQdrantClient, quantization: Quantization = "off") -> None:
        """Asks nothing yet.

        Args:
            client: speaks gRPC.
            quantization: whether searches look at vectors of one byte a number first. What they
                find is compared by the whole vectors, so that scores are the same.
        """
        self._client = client
        self._quantization = _INT8 if quantization == "int8" else None

    async def ensure_collections(self) -> None:
        """Creates what is absent of the collections and their payload indexes.

        Collections that are quantized otherwise than they should be are changed; Qdrant does so in
        the background, and answers meanwhile.

        Raises:
            ValueError: a collection exists with other vectors than ours.
        """
        own: dict[str, models.PayloadSchemaType | models.KeywordIndexParams] = {
            "tenant_id": _TENANT,
            "model_version": models.PayloadSchemaType.KEYWORD,
        }
        for name, indexes in (
            (PROPERTIES, own | _PROPERTY_INDEXES),
            (USERS, own | _USER_INDEXES),
        ):
            await self._ensure_collection(name)
            for field, schema in indexes.items():
                await self._client.create_payload_index(name, field, field_schema=schema)

    async def outdated(self) -> bool:
        """Whether the properties were written before their points carried all that they do now.

        Filters about what is missing would find too few of them, and lists cannot be ranked: have
        every tenant reindexed before ``ensure_collections``, which makes this False.
        """
        if not await self._client.collection_exists(PROPERTIES):
            return False
        info = await self._client.get_collection(PROPERTIES)
        return bool(info.points_count and _PROPERTY_INDEXES.keys() - info.payload_schema.keys())

    async def ping(self) -> None:
        """Checks that Qdrant answers. Raises what its client raises if it does not."""
        await self._client.collection_exists(PROPERTIES)

    def space(self, model: ModelKey) -> Space:
        """The points of one tenant's one model version. Costs nothing."""
        return Space(self._client, model)

    async def delete_properties_everywhere(self, tenant_id: UUID, ids: Collection[UUID]) -> None:
        """Deletes the tenant's properties from all of its versions; unknown ids are ignored."""
        await self._delete(PROPERTIES, tenant_id, "property_id", ids)

    async def delete_users_everywhere(self, tenant_id: UUID, ids: Collection[UUID]) -> None:
        """Deletes the tenant's investors from all of its versions; unknown ids are ignored."""
        await self._delete(USERS, tenant_id, "user_id", ids)

    async def keep_versions(self, tenant_id: UUID, version_ids: Collection[UUID]) -> None:
        """Deletes all that the tenant has in other versions than these, all it has for none."""
        owned = [equals("tenant_id", tenant_id)]
        kept = [among("model_version", version_ids)] if version_ids else None
        for collection in (PROPERTIES, USERS):
            await self._client.delete(collection, grpc.Filter(must=owned, must_not=kept))

    async def _delete(
        self, collection: str, tenant_id: UUID, field: str, ids: Collection[UUID]
    ) -> None:
        if ids:
            owned = [equals("tenant_id", tenant_id), among(field, ids)]
            await self._client.delete(collection, grpc.Filter(must=owned))

    async def _ensure_collection(self, name: str) -> None:
        wanted = models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
        if not await self._client.collection_exists(name):
            try:
                await self._client.create_collection(
                    name,
                    vectors_config=wanted,
                    hnsw_config=models.HnswConfigDiff(full_scan_threshold=_GRAPH_FROM_KB),
                    optimizers_config=models.OptimizersConfigDiff(
                        indexing_threshold=_GRAPH_FROM_KB
                    ),
                    quantization_config=self._quantization,
                )
            except Exception:
                # Another process may have created it in the meantime, which is as good.
                if not await self._client.collection_exists(name):
                    raise
        config = (await self._client.get_collection(name)).config
        found = config.params.vectors
        if not isinstance(found, models.VectorParams) or (found.size, found.distance) != (
            wanted.size,
            wanted.distance,
        ):
            raise ValueError(
                f"Qdrant collection {name!r} holds {found!r}, not {DIMENSIONS} dimensions with "
                "cosine distance: it belongs to something else; use another Qdrant"
            )
        if (config.quantization_config is None) != (self._quantization is None):
            await self._client.update_collection(
                name, quantization_config=self._quantization or models.Disabled.DISABLED
            )
