"""The embeddings in Qdrant: written after training, searched by every recommendation.

Here are the two collections; what is in them is reached through ``ml.index.space.Space``.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Literal, TypeVar
from uuid import UUID

from qdrant_client import AsyncQdrantClient, grpc, models

from domain.contract.snapshots import ModelKey
from ml.index.earlier import Earlier
from ml.index.filters import KEYWORD, PAYLOAD_INDEXES, among, begins
from ml.index.points import PROPERTIES, SPACE, USERS
from ml.index.space import Space
from ml.twin.towers import DIMENSIONS

# Up to so many kilobytes of vectors that match, 7,800 of 64 bytes, all are compared. Qdrant's own
# threshold is meant for vectors of a thousand dimensions.
_GRAPH_FROM_KB = 500
# Of many tenants, Qdrant advises: a graph for each space and none for all. So a search never walks
# through what other tenants have.
_GRAPHS = models.HnswConfigDiff(
    m=0,
    payload_m=16,
    full_scan_threshold=_GRAPH_FROM_KB,
)
_MOST_SPACES = 10_000
_INDEXES: dict[str, models.PayloadSchemaParams] = {
    SPACE: models.KeywordIndexParams(
        type=models.KeywordIndexType.KEYWORD, is_tenant=True, prefix=True
    )
}
_PROPERTY_INDEXES = _INDEXES | PAYLOAD_INDEXES
_USER_INDEXES = _INDEXES | {
    "user_id": KEYWORD,
    "interest": models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, enable_hnsw=False),
}


Answer = TypeVar("Answer")
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
        self._earlier = Earlier(client)
        self._quantization = _INT8 if quantization == "int8" else None

    async def ensure_collections(self) -> None:
        """Creates what is absent of the collections and their payload indexes.

        Collections that are quantized otherwise than they should be are changed; Qdrant does so in
        the background, and answers meanwhile.

        Raises:
            ValueError: a collection exists with other vectors than ours.
        """
        for name, indexes in ((PROPERTIES, _PROPERTY_INDEXES), (USERS, _USER_INDEXES)):
            await self._ensure_collection(name)
            for field, schema in indexes.items():
                await self._client.create_payload_index(name, field, field_schema=schema)

    async def outdated(self) -> bool:
        """Whether only an earlier build filled an index here.

        Have everything of every tenant written before ``ensure_collections``, which makes this
        False; see ``ml.index.earlier``.
        """
        return await self.has_earlier() and not await self._client.collection_exists(PROPERTIES)

    async def has_earlier(self) -> bool:
        """Whether what an earlier build wrote is still there."""
        return await self._earlier.exists()

    async def forget_earlier(self, tenant_id: UUID) -> None:
        """Deletes what an earlier build wrote of a tenant, all of whose spaces are complete."""
        await self._earlier.forget(tenant_id)

    async def ping(self) -> None:
        """Checks that Qdrant answers. Raises what its client raises if it does not."""
        await self._client.collection_exists(PROPERTIES)

    def space(self, model: ModelKey) -> Space:
        """The points of one tenant's one model version, to be written. Costs nothing."""
        return Space(self._client, model)

    async def search(self, model: ModelKey, ask: Callable[[Space], Awaitable[Answer]]) -> Answer:
        """What a search of the space finds.

        While the space is filled again after an update, the one that the earlier build wrote
        answers.
        """
        found = await self._earlier.search(model, ask)
        return await ask(self.space(model)) if found is None else found

    async def delete_properties_everywhere(self, tenant_id: UUID, ids: Collection[UUID]) -> None:
        """Deletes the tenant's properties from all of its versions; unknown ids are ignored."""
        if ids:
            spaces = await self._client.facet(
                PROPERTIES, SPACE, facet_filter=_of(tenant_id), limit=_MOST_SPACES
            )
            for one in spaces.hits:
                version_id = UUID(str(one.value).partition(":")[2])
                await self.space(ModelKey(tenant_id, version_id)).delete_properties(ids)

    async def delete_users_everywhere(self, tenant_id: UUID, ids: Collection[UUID]) -> None:
        """Deletes the tenant's investors from all of its versions; unknown ids are ignored."""
        if ids:
            await self._client.delete(USERS, _of(tenant_id, among("user_id", ids)))

    async def keep_versions(self, tenant_id: UUID, version_ids: Collection[UUID]) -> None:
        """Deletes all that the tenant has in other versions than these, all it has for none."""
        if not version_ids:
            await self.forget_earlier(tenant_id)
        unwanted = _of(tenant_id)
        if version_ids:
            unwanted.must_not.append(among(SPACE, [f"{tenant_id}:{one}" for one in version_ids]))
        for collection in (PROPERTIES, USERS):
            await self._client.delete(collection, unwanted)

    async def _ensure_collection(self, name: str) -> None:
        wanted = models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
        if not await self._client.collection_exists(name):
            try:
                await self._client.create_collection(
                    name,
                    vectors_config=wanted,
                    hnsw_config=_GRAPHS,
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


def _of(tenant_id: UUID, *conditions: grpc.Condition) -> grpc.Filter:
    """What meets the conditions of all that a tenant has."""
    return grpc.Filter(must=[begins(SPACE, f"{tenant_id}:"), *conditions])
