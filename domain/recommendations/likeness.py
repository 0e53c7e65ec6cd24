"""What is like a property, by the active model or else by attributes, or near a vector."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from uuid import UUID

from domain.contract.filters import PropertyFilter
from domain.contract.ranked_lists import Ranked
from domain.contract.snapshots import ModelKey, Twin
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode, invalid, not_found
from domain.properties import rows, search, snapshots
from domain.properties.rows import PropertyValues
from domain.properties.table import Property
from domain.recommendations.cold_start import (
    ATTRIBUTES,
    ColdListing,
    is_comparable,
    likeness,
    wanted,
)
from domain.recommendations.listings import MAX_DEPTH, digest
from domain.recommendations.paging import (
    Cursor,
    JudgedPage,
    ListSnapshot,
    all_of,
    check_cursor,
    page_of,
    page_of_items,
)
from domain.recommendations.ranking import SimilarProperty, state_of
from domain.recommendations.reasons import no_active_model
from domain.recommendations.searching import OpenReader, Readers, searching
from domain.recommendations.vectors import unit_vector
from domain.tenants import tenants


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
        after: Cursor | None = None,
        diversity: float = 0.0,
        before: Cursor | None = None,
    ) -> JudgedPage[SimilarProperty]:
        """The ``first`` matching properties most like one, after a cursor of the list.

        With ``before`` it is the last ``first`` before that cursor instead. Without an active model
        the list follows ``cold_start.likeness``, and ``diversity`` changes nothing.

        Raises:
            DomainError: NOT_FOUND for the property; INVALID_INPUT for the diversity;
                CURSOR_EXPIRED.
        """
        async with Readers(self._database, self._twin, tenant_id) as readers:
            async with readers.reader() as reader:
                found = await rows.get_with_version(reader, property_id)
            if found is None:
                raise not_found("property", ("propertyId",))
            anchor, version_id = found
            columns = snapshots.columns_of([anchor])
            state = state_of(columns)
            if version_id is not None:
                model = ModelKey(tenant_id, version_id)
                await readers.before_search(model, where)
                where = await search.resolved(self._database, tenant_id, where)
                most_alike = partial(
                    self._twin.similar, model, columns, where, [property_id], MAX_DEPTH, diversity
                )
                snapshot = ListSnapshot(str(version_id), 0.0, state, (), diversity)
                return await self._page(
                    model, most_alike, snapshot, where, first, after, before, readers.reader
                )
        snapshot = ListSnapshot(ATTRIBUTES, 0.0, state, (), diversity)
        return await self._cold(tenant_id, anchor, snapshot, where, first, after, before)

    async def similar_to(
        self,
        tenant_id: UUID,
        vector: Sequence[float],
        version: str | None,
        where: PropertyFilter,
        first: int,
        after: Cursor | None = None,
        diversity: float = 0.0,
        before: Cursor | None = None,
    ) -> JudgedPage[SimilarProperty]:
        """The ``first`` matching properties nearest to a vector, listed as ``similar`` lists them.

        Of the vector's 16 numbers only the direction counts. ``version`` is the id of the version
        that it is of, and is checked if given.

        Raises:
            DomainError: as ``similar``; INVALID_INPUT for the vector or the version;
                NO_ACTIVE_MODEL.
        """
        unit = unit_vector(vector)
        async with self._database.read(tenant_id) as reading:
            version_id = await tenants.active_version_id(reading)
        if version_id is None:
            raise DomainError(
                ErrorCode.NO_ACTIVE_MODEL,
                "No model is active yet, and a vector means nothing without the model that it is "
                "of; ask again once `activeModel` is not null.",
            )
        model = ModelKey(tenant_id, version_id)
        if version is not None and version != str(version_id):
            raise invalid(
                f"modelVersion: {version_id} answers now, and vectors of two versions are not "
                "comparable; ask for the embedding again",
                "modelVersion",
            )
        where = await search.resolved(self._database, tenant_id, where)
        most_alike = partial(self._twin.nearest, model, unit, where, (), MAX_DEPTH, diversity)
        snapshot = ListSnapshot(str(version_id), 0.0, digest(unit.tobytes()), (), diversity)
        return await self._page(
            model, most_alike, snapshot, where, first, after, before,
            partial(self._database.read, tenant_id),
        )  # fmt: skip

    async def _page(
        self,
        model: ModelKey,
        most_alike: Callable[[], Awaitable[Sequence[Ranked]]],
        snapshot: ListSnapshot,
        where: PropertyFilter,
        first: int,
        after: Cursor | None,
        before: Cursor | None,
        open_reader: OpenReader,
    ) -> JudgedPage[SimilarProperty]:
        """A page of a list by likeness."""
        check_cursor(snapshot, before or after)
        with searching():
            items = await most_alike()
        found: dict[UUID, PropertyValues] = {}

        async def shown(ids: Collection[UUID]) -> set[UUID]:
            return await hydrate(open_reader, ids, where, found)

        page = await page_of_items(items, snapshot, shown, first, after, before)
        similar = [
            SimilarProperty(found[item.property_id], item.score, cursor)
            for cursor, item in page.items
        ]
        return JudgedPage(similar, page.has_next, page.has_previous, model.version_id, None)

    async def _cold(
        self,
        tenant_id: UUID,
        anchor: PropertyValues,
        snapshot: ListSnapshot,
        where: PropertyFilter,
        first: int,
        after: Cursor | None,
        before: Cursor | None,
    ) -> JudgedPage[SimilarProperty]:
        """A page of what is like a property, without a model."""
        check_cursor(snapshot, before or after)
        listing = ColdListing(
            lambda: self._database.work(tenant_id),
            Property, likeness(anchor), wanted(where, [anchor.id]),
        )  # fmt: skip
        page = await page_of(listing, snapshot, all_of, first, after, before)
        items = [SimilarProperty(item.row, item.score, cursor) for cursor, item in page.items]
        follows = (
            "attributes and location"
            if is_comparable(anchor)
            else "no order: nothing is known of the property that could be compared"
        )
        reason = no_active_model("list", follows)
        return JudgedPage(items, page.has_next, page.has_previous, None, reason)


async def hydrate(
    open_reader: OpenReader,
    property_ids: Collection[UUID],
    where: PropertyFilter,
    found: dict[UUID, PropertyValues],
) -> set[UUID]:
    """Read the rows of those properties that exist and match into ``found``; their ids.

    The index may lag behind the database, which has the last word.
    """
    async with open_reader() as reader:
        fresh = await rows.get_many(reader, property_ids, where)
    found |= fresh
    return set(fresh)
