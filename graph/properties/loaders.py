"""What requests read of properties, in batches."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from domain.contract.filters import PropertyFilter
from domain.contract.property_search import Counts, Facet
from domain.core.errors import not_found
from domain.properties import rows
from domain.properties.rows import PropertyValues
from graph.core.context import Context
from graph.core.loaders import Loaders, batched


async def count_properties(
    context: Context, where: PropertyFilter, exclude: Collection[UUID] = ()
) -> int:
    """The number of properties that match, without those excluded."""
    lists, tenant_id = context.recommender.lists, context.principal.tenant_id
    return await lists.count(tenant_id, where, exclude)


class PropertyLoaders(Loaders):
    """Loaders of properties."""

    def remember(self, found: Iterable[PropertyValues]) -> None:
        """Note properties that were read elsewhere, so that they are not read again."""
        self.properties.prime_many({item.id: item for item in found})

    async def require(self, wanted: Sequence[UUID], field: str) -> list[PropertyValues]:
        """The properties of those ids, in order. Raises DomainError NOT_FOUND naming the place."""
        found = []
        for place, item in enumerate(await self.properties.load_many(wanted)):
            if item is None:
                raise not_found("property", (field, str(place)))
            found.append(item)
        return found

    @batched
    async def properties(self, wanted: list[UUID]) -> list[PropertyValues | None]:
        """A property by id, None if there is none."""
        async with self.context.read() as reading:
            found = await rows.get_many(reading, wanted)
        return [found.get(property_id) for property_id in wanted]

    @batched
    async def facets(self, wanted: list[tuple[PropertyFilter, Facet]]) -> list[Counts]:
        """How many of the properties that match a filter have each value."""
        # One query for each filter; a request has few.
        of_filter: dict[PropertyFilter, list[Facet]] = {}
        for where, facet in wanted:
            of_filter.setdefault(where, []).append(facet)
        lists, tenant_id = self.context.recommender.lists, self.context.principal.tenant_id
        found = {
            where: await lists.facets(tenant_id, where, facets)
            for where, facets in of_filter.items()
        }
        return [found[where][facet] for where, facet in wanted]
