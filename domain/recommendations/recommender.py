"""The recommender: what the rest of the house asks."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from domain.contract.filters import PropertyFilter
from domain.contract.ranked_lists import Ranked
from domain.contract.snapshots import InvestorHistory, ModelKey, Twin
from domain.core.database import Database
from domain.interactions import histories
from domain.properties import rows as property_rows
from domain.properties import search, snapshots
from domain.properties.lists import PropertyLists
from domain.properties.rows import PropertyValues
from domain.properties.table import Property
from domain.recommendations.audience import Audience
from domain.recommendations.cold_start import (
    ColdListing,
    cold_order,
    cold_score,
    wanted,
)
from domain.recommendations.concentration import Concentration, concentration
from domain.recommendations.counterfactuals import TOP, Counterfactual, repriced, smallest_change
from domain.recommendations.discovery import LEFT_OUT, RecommendationHistory, for_sale
from domain.recommendations.explanations import Explainer, named_in
from domain.recommendations.likeness import Likeness, hydrate
from domain.recommendations.paging import (
    Cursor,
    Page,
    all_of,
    check_cursor,
    page_of,
    page_of_items,
)
from domain.recommendations.ranking import (
    Judgement,
    Ranking,
    Recommendation,
    has_approvals,
    ranking_of,
)
from domain.recommendations.reasons import Reason, cold_reason, cold_reasons
from domain.recommendations.searching import OpenReader, Readers, searching
from domain.tenants import tenants


class Recommender:
    """Answers for all tenants; every call names its tenant.

    Attributes:
        audience: answers with investors instead of properties.
        likeness: answers with what is like a property or near a vector.
        lists: answers with properties in an order, and counts them.
    """

    def __init__(self, database: Database, twin: Twin) -> None:
        self._database = database
        self._twin = twin
        self.audience = Audience(database, twin)
        self.likeness = Likeness(database, twin)
        self.lists = PropertyLists(database, twin)

    async def recommend(
        self,
        tenant_id: UUID,
        user_id: UUID,
        where: PropertyFilter,
        first: int,
        after: Cursor | None = None,
        diversity: float = 0.0,
        before: Cursor | None = None,
        history: RecommendationHistory = RecommendationHistory.NEW,
    ) -> Page[Recommendation]:
        """The best ``first`` matching properties for an investor after a cursor of the list.

        With ``before`` it is the last ``first`` before that cursor instead. Where no model ranks,
        ``diversity`` changes nothing. Without statuses in the filter, what is not for sale is left
        out.

        Raises:
            DomainError: NOT_FOUND for the user; INVALID_INPUT for the diversity; CURSOR_EXPIRED
                when the list of the cursor cannot go on; NO_ACTIVE_MODEL after an update, until
                the tenant is reindexed.
        """
        where, cursor = for_sale(where), before or after
        async with Readers(self._database, self._twin, tenant_id) as readers:
            async with readers.reader() as reader:
                ranking = await ranking_of(
                    reader, user_id, where, cursor, self._twin.properties, LEFT_OUT[history]
                )
            check_cursor(ranking.snapshot(diversity), cursor)
            if ranking.model is not None:
                await readers.before_search(ranking.model, where)
                where = await search.resolved(self._database, tenant_id, where)
                ranking = replace(ranking, where=where)
                found: dict[UUID, PropertyValues] = {}
                page = await self._ranked(
                    ranking, first, after, before, diversity, found, readers.reader
                )
        if ranking.model is None:
            return await self._cold(ranking, first, after, before, diversity)
        items = [
            Recommendation(found[item.property_id], item.score, cursor.rank, cursor, ranking)
            for cursor, item in page.items
        ]
        return Page(items, page.has_next, page.has_previous)

    async def count(
        self, tenant_id: UUID, user_id: UUID, where: PropertyFilter, history: RecommendationHistory
    ) -> int:
        """The number of matching properties that may be recommended to an investor."""
        async with self._database.read(tenant_id) as reading:
            exclude = await histories.excluded(reading, user_id, LEFT_OUT[history])
        return await self.lists.count(tenant_id, for_sale(where), exclude)

    async def reasons(
        self, ranking: Ranking, found: Sequence[PropertyValues]
    ) -> list[tuple[Reason, ...]]:
        """Why each of some properties of an investor's list is on it; at most three reasons.

        One batch of the model and one query, however many properties.
        """
        history = ranking.history
        if ranking.model is None:
            return [
                cold_reasons(item, history.buy_box, model_active=ranking.model_active)
                for item in found
            ]
        causes = await self._twin.explain(ranking.model, history, snapshots.columns_of(found))
        rows: dict[UUID, PropertyValues] = {item.id: item for item in found}
        if unread := named_in(causes) - rows.keys():
            async with self._database.read(ranking.tenant_id) as reading:
                rows |= await property_rows.get_many(reading, unread)
        explainer = Explainer(history, rows)
        return [explainer.reasons(item, why) for item, why in zip(found, causes, strict=True)]

    async def concentration(
        self, ranking: Ranking, found: Sequence[PropertyValues]
    ) -> list[Concentration]:
        """What buying each of the properties would do to the investor's exposure; one query."""
        async with self._database.work(ranking.tenant_id) as work:
            return await concentration(work, ranking.user_id, found)

    async def counterfactuals(
        self, ranking: Ranking, found: Sequence[PropertyValues]
    ) -> list[Counterfactual | None]:
        """The smallest change of price that would bring each property among the best ten.

        The best are those of the list without diversity, and the price stays within the list's
        filter. None for a property that is among them, that no tried change lifts above the
        tenth, or that has no price, and where no model ranks. One ranking and one batch of the
        model, however many properties.
        """
        if ranking.model is None:
            return [None] * len(found)
        page = await self._ranked(
            ranking, TOP, None, None, 0.0, {}, partial(self._database.read, ranking.tenant_id)
        )
        best = page.items
        among = {item.property_id for _, item in best}
        asked = [item for item in found if item.listing_price and item.id not in among]
        if not asked or len(best) < TOP:
            return [None] * len(found)
        rows = repriced(asked)
        scores = await self._twin.score(ranking.model, [ranking.history], rows)
        changes = smallest_change(rows, scores[0], best[-1][1].score, ranking.where)
        by_id = {item.id: change for item, change in zip(asked, changes, strict=True)}
        return [by_id.get(item.id) for item in found]

    async def affinity(
        self, tenant_id: UUID, user_ids: Sequence[UUID], found: Sequence[PropertyValues]
    ) -> dict[tuple[UUID, UUID], Judgement]:
        """The affinity of each (user, property) pair: the recommended score, and what gave it.

        One query and one batch of each version that answers them, however many pairs. Unknown
        users are left out.
        """
        async with self._database.read(tenant_id) as reading:
            known = await histories.investors(reading, user_ids, known=self._twin.properties)
        judged: dict[tuple[UUID, UUID], Judgement] = {}
        ranked: dict[UUID, list[InvestorHistory]] = {}
        for user_id, history in known.histories.items():
            version_id = known.versions[user_id]
            if version_id is not None and has_approvals(history):
                ranked.setdefault(version_id, []).append(history)
            else:
                box, model_active = history.buy_box, version_id is not None
                reason = cold_reason("score", box, model_active=model_active)
                for item in found:
                    judged[user_id, item.id] = Judgement(cold_score(item, box), None, reason)
        columns = snapshots.columns_of(found)
        for version_id, some in ranked.items():
            matrix = await self._twin.score(ModelKey(tenant_id, version_id), some, columns)
            for history, row in zip(some, matrix.tolist(), strict=True):
                for property_id, score in zip(columns.ids, row, strict=True):
                    judged[history.user_id, property_id] = Judgement(score, version_id, None)
        return judged

    async def embeddings(
        self, tenant_id: UUID, found: Sequence[PropertyValues]
    ) -> dict[UUID, list[float]]:
        """The 16 floats of each property in the active version's space; empty if none is active."""
        async with self._database.read(tenant_id) as reading:
            version_id = await tenants.active_version_id(reading)
        if version_id is None:
            return {}
        columns = snapshots.columns_of(found)
        vectors = await self._twin.embed(ModelKey(tenant_id, version_id), columns)
        return dict(zip(columns.ids, vectors.tolist(), strict=True))

    async def _ranked(
        self,
        ranking: Ranking,
        first: int,
        after: Cursor | None,
        before: Cursor | None,
        diversity: float,
        found: dict[UUID, PropertyValues],
        open_reader: OpenReader,
    ) -> Page[tuple[Cursor, Ranked]]:
        """A page of a list that a model ranks; the rows of its properties go into ``found``."""
        model, cursor = ranking.model, before or after
        assert model is not None
        floors = cursor.snapshot.floors if cursor else ()
        with searching():
            items, floors = await self._twin.rank(
                model, ranking.history, ranking.where, ranking.exclude, diversity, floors
            )

        async def shown(ids: Collection[UUID]) -> set[UUID]:
            # What was excluded since the first page is hidden, and not left out of the search: a
            # diverse list would become another.
            wanted = set(ids) - ranking.excluded_since
            return await hydrate(open_reader, wanted, ranking.where, found)

        snapshot = ranking.snapshot(diversity)._replace(floors=floors)
        return await page_of_items(items, snapshot, shown, first, after, before)

    async def _cold(
        self,
        ranking: Ranking,
        first: int,
        after: Cursor | None,
        before: Cursor | None,
        diversity: float,
    ) -> Page[Recommendation]:
        box = ranking.history.buy_box
        exclude = ranking.exclude | ranking.excluded_since
        listing = ColdListing(
            lambda: self._database.work(ranking.tenant_id),
            Property, cold_order(box), wanted(ranking.where, exclude),
        )  # fmt: skip
        page = await page_of(listing, ranking.snapshot(diversity), all_of, first, after, before)
        items = [
            Recommendation(item.row, cold_score(item.row, box), cursor.rank, cursor, ranking)
            for cursor, item in page.items
        ]
        return Page(items, page.has_next, page.has_previous)
