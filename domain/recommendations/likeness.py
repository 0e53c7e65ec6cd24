"""What is like a property, or near a vector, by the active model."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from uuid import UUID

from domain import properties, property_rows, tenants
from domain.database import Database
from domain.errors import DomainError, ErrorCode, invalid, not_found
from domain.filters import PropertyFilter
from domain.property_rows import PropertyValues
from domain.recommendations.listings import MAX_DEPTH, Growing, Whole, digest
from domain.recommendations.paging import (
    Origin,
    Page,
    Place,
    check_diversity,
    check_state,
    page_of,
    page_of_diverse,
    placed,
)
from domain.recommendations.ranking import SimilarProperty, state_of, version_of
from domain.recommendations.vectors import unit_vector
from domain.shortlists import Reach, Similar
from domain.snapshots import ModelKey, Twin


class Likeness:
    """Answers for all tenants; every call names its tenant."""

    def __init__(self, database: Database, twin: Twin) -> None:
        self._database = database
        self._twin = twin

    async def similar(
        self,
        tenant_id: UUID,
        property_id: UUID,
        where: PropertyFilter,
        first: int,
        after: Place | None = None,
        diversity: float = 0.0,
        before: Place | None = None,
    ) -> Page[SimilarProperty]:
        """The ``first`` matching properties most like one, after a place in the list.

        With ``before`` it is the last ``first`` before that place instead.

        Raises:
            DomainError: NOT_FOUND for the property; INVALID_INPUT for the diversity;
                NO_ACTIVE_MODEL; CURSOR_EXPIRED.
        """
        async with self._database.read(tenant_id) as reading:
            anchor = (await property_rows.get_many(reading, [property_id])).get(property_id)
            version_id = await tenants.active_version_id(reading)
        if anchor is None:
            raise not_found("property", ("propertyId",))
        model, columns = _answering(tenant_id, version_id), properties.columns_of([anchor])

        async def most_alike(limit: int) -> list[Similar]:
            return await self._twin.similar(model, columns, where, [property_id], limit, diversity)

        origin = Origin(str(version_id), 0.0, state_of(columns))
        return await self._page(model, most_alike, origin, where, first, after, before, diversity)

    async def similar_to(
        self,
        tenant_id: UUID,
        vector: Sequence[float],
        version: str | None,
        where: PropertyFilter,
        first: int,
        after: Place | None = None,
        diversity: float = 0.0,
        before: Place | None = None,
    ) -> Page[SimilarProperty]:
        """The ``first`` matching properties nearest to a vector, listed as ``similar`` lists them.

        Of the vector's 16 numbers only the direction counts. ``version`` is the id of the version
        that it is of, and is checked if given.

        Raises:
            DomainError: as ``similar``; INVALID_INPUT for the vector or the version.
        """
        unit = unit_vector(vector)
        async with self._database.read(tenant_id) as reading:
            version_id = await tenants.active_version_id(reading)
        model = _answering(tenant_id, version_id)
        if version is not None and version != str(version_id):
            raise invalid(
                f"modelVersion: {version_id} answers now, and vectors of two versions are not "
                "comparable; ask for the embedding again",
                "modelVersion",
            )

        async def most_alike(limit: int) -> list[Similar]:
            return await self._twin.nearest(model, unit, where, (), limit, diversity)

        origin = Origin(str(version_id), 0.0, digest(unit.tobytes()))
        return await self._page(model, most_alike, origin, where, first, after, before, diversity)

    async def _page(
        self,
        model: ModelKey,
        most_alike: Callable[[int], Awaitable[list[Similar]]],
        origin: Origin,
        where: PropertyFilter,
        first: int,
        after: Place | None,
        before: Place | None,
        diversity: float,
    ) -> Page[SimilarProperty]:
        """A page of a list by likeness."""
        place = before or after
        check_diversity(diversity, place)
        if place is not None:
            version_of(place, model.version_id)
        found: dict[UUID, PropertyValues] = {}

        async def shown(ids: Collection[UUID]) -> set[UUID]:
            return await hydrate(self._database, model.tenant_id, ids, where, found)

        if diversity:
            page = await page_of_diverse(
                Whole(await most_alike(MAX_DEPTH)), shown, first, after, before, origin, diversity
            )
        else:
            if place is not None:
                check_state(origin, place)
            listing = Growing(most_alike, place.rank if place else 0)
            page = placed(await page_of(listing, shown, first, after, before), origin, Reach())
        items = [
            SimilarProperty(found[item.property_id], item.similarity, at) for at, item in page.items
        ]
        return Page(items, page.has_next, page.has_previous)


def _answering(tenant_id: UUID, version_id: UUID | None) -> ModelKey:
    """The active version. Raises DomainError NO_ACTIVE_MODEL."""
    if version_id is None:
        raise DomainError(
            ErrorCode.NO_ACTIVE_MODEL,
            "No model is active yet; similar properties need one. Train it first.",
        )
    return ModelKey(tenant_id, version_id)


async def hydrate(
    database: Database,
    tenant_id: UUID,
    property_ids: Collection[UUID],
    where: PropertyFilter,
    found: dict[UUID, PropertyValues],
) -> set[UUID]:
    """Read the rows of those properties that exist and match into ``found``; their ids.

    The index may lag behind the database, which has the last word.
    """
    async with database.read(tenant_id) as reading:
        fresh = await property_rows.get_many(reading, property_ids, where)
    found |= fresh
    return set(fresh)
