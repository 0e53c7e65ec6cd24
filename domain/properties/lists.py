"""Lists, counts and facets of properties: from memory where they are loaded, else in SQL.

An answer from memory is no older than one of PostgreSQL would be: what was committed before the
question is in it. The rows of a page are read under row-level security, with the filter.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from domain.contract.filters import PropertyFilter
from domain.contract.property_search import (
    IN_MEMORY,
    Counts,
    Facet,
    Order,
    Position,
    PropertyMemory,
    PropertySearch,
)
from domain.core.database import Database
from domain.properties import rows, search
from domain.properties.facets import count_facets
from domain.properties.rows import PropertyValues
from domain.tenants import tenants


class PropertyLists:
    """Answers for all tenants; every call names its tenant."""

    def __init__(self, database: Database, memory: PropertyMemory) -> None:
        self._database = database
        self._memory = memory

    async def count(
        self, tenant_id: UUID, where: PropertyFilter, exclude: Collection[UUID] = ()
    ) -> int:
        """The number of properties that match, without those excluded."""
        if (memory := await self._in_memory(tenant_id, where)) is not None:
            return await memory.count(where, exclude)
        async with self._database.work(tenant_id) as work:
            return await search.count(work, where, exclude)

    async def facets(
        self, tenant_id: UUID, where: PropertyFilter, facets: Sequence[Facet]
    ) -> dict[Facet, Counts]:
        """See ``PropertySearch.facets``."""
        if (memory := await self._in_memory(tenant_id, where)) is not None:
            return await memory.facets(where, facets)
        async with self._database.work(tenant_id) as work:
            return await count_facets(work, where, facets)

    async def page(
        self,
        tenant_id: UUID,
        where: PropertyFilter,
        order: Order,
        limit: int,
        *,
        after: Position | None = None,
        before: Position | None = None,
        backward: bool = False,
    ) -> Sequence[PropertyValues]:
        """Up to ``limit`` matching properties after and before the given places, in order.

        ``backward`` takes those nearest the end instead of the start.
        """
        if order.column is None or order.column in IN_MEMORY:
            memory = await self._in_memory(tenant_id, where)
            if memory is not None:
                places = await memory.page(
                    where, order, limit, after=after, before=before, backward=backward
                )
                if (found := await self._read(tenant_id, where, order, places)) is not None:
                    return found
        async with self._database.work(tenant_id) as work:
            return await search.page(
                work, where, order, limit, after=after, before=before, backward=backward
            )

    async def _in_memory(self, tenant_id: UUID, where: PropertyFilter) -> PropertySearch | None:
        if where.added:
            return None

        async def active() -> UUID | None:
            async with self._database.read(tenant_id) as reading:
                return await tenants.active_version_id(reading)

        return await self._memory.current(tenant_id, active)

    async def _read(
        self, tenant_id: UUID, where: PropertyFilter, order: Order, places: Sequence[Position]
    ) -> list[PropertyValues] | None:
        """The properties at those places; None if one of them changed meanwhile."""
        if not places:
            return []
        async with self._database.read(tenant_id) as reading:
            found = await rows.get_many(reading, [place.id for place in places], where)
        if any(
            place.id not in found or search.position(found[place.id], order) != place
            for place in places
        ):
            return None
        return [found[place.id] for place in places]
