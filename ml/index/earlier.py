"""What the build before this one wrote into Qdrant answers until everything is written anew.

Its collections have other names. The first process that finds them alone has everything of every
tenant written into the new ones. Until a tenant's spaces are complete there, searches go to the
earlier ones; then the tenant's points are deleted from them, and an empty collection goes as a
whole. Once nobody updates from that build, this module goes, and so do its few callers.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar
from uuid import UUID

from grpc import StatusCode
from grpc.aio import AioRpcError
from qdrant_client import AsyncQdrantClient, grpc

from domain.contract.snapshots import ModelKey
from ml.index.filters import among, equals
from ml.index.space import Space

PROPERTIES = "property_embeddings"
USERS = "user_embeddings"

Answer = TypeVar("Answer")


class EarlierSpace(Space):
    """A space as the earlier build wrote it. It is searched, and never written."""

    _properties = PROPERTIES
    _users = USERS
    _told = ("property_id",)

    def __init__(self, client: AsyncQdrantClient, model: ModelKey) -> None:
        super().__init__(client, model)
        self._own = {"tenant_id": str(model.tenant_id), "model_version": str(model.version_id)}

    def _named(self, ids: Iterable[UUID]) -> grpc.Condition:
        return among("property_id", ids)

    def _property_of(self, point: grpc.ScoredPoint) -> UUID:
        return UUID(point.payload["property_id"].string_value)


class Earlier:
    """The collections of the earlier build."""

    def __init__(self, client: AsyncQdrantClient) -> None:
        self._client = client
        self._gone = False

    async def exists(self) -> bool:
        """Whether any of them is still there."""
        if not self._gone:
            self._gone = not await self._names()
        return not self._gone

    async def search(
        self, model: ModelKey, ask: Callable[[Space], Awaitable[Answer]]
    ) -> Answer | None:
        """What a search of the space finds; None if it holds nothing, or does so no longer."""
        if self._gone:
            return None
        space = EarlierSpace(self._client, model)
        try:
            held = await space.count()
            answer = await ask(space) if held else None
            # The answer is whole unless the space was deleted meanwhile.
            return answer if held and await space.count() == held else None
        except AioRpcError as error:
            if error.code() is not StatusCode.NOT_FOUND:
                raise
            self._gone = not await self._names()
            return None

    async def forget(self, tenant_id: UUID) -> None:
        """Delete what they hold of a tenant, and each that holds nothing any more."""
        # Properties first: searches look whether they are still there.
        for name in await self._names() if not self._gone else ():
            owned = grpc.Filter(must=[equals("tenant_id", tenant_id)])
            await self._client.delete(name, owned)
            if not (await self._client.count(name, exact=True)).count:
                await self._client.delete_collection(name)

    async def _names(self) -> list[str]:
        return [one for one in (PROPERTIES, USERS) if await self._client.collection_exists(one)]
