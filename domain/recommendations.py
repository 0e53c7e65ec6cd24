"""Recommendations, similar properties and affinity: the rules between the twin and its users.

With an active version and a positive history the twin ranks. Without either, the tenant's
engagement does, and every recommendation says so.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar
from uuid import UUID

import numpy as np
from sqlalchemy import and_, select, true

from domain import interactions, properties, tenants, users
from domain.database import Database
from domain.errors import DomainError, ErrorCode
from domain.properties import Order, Position, Property
from domain.reasons import Reason, engagement_reasons, history_reasons
from domain.snapshots import (
    InvestorHistory,
    ModelKey,
    PropertyFilter,
    Ranked,
    Similar,
    Twin,
)
from domain.vocabulary import INTERACTION_WEIGHTS, InteractionKind
from domain.work import Work

Item = TypeVar("Item")
Scored = TypeVar("Scored", Ranked, Similar)

ENGAGEMENT = "engagement"
"""What ``model_version`` says where no model ranked."""

MAX_DEPTH = 1000
"""How far down a ranked list can be paged."""

HALF_ENGAGEMENT = 25.0
"""The engagement, in views, that scores one half."""

_BY_ENGAGEMENT = Order("engagement", descending=True)
_WEIGHTS = np.array([INTERACTION_WEIGHTS[kind] for kind in InteractionKind])


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a ranked list: where a page ended, and the list that it was a page of.

    Attributes:
        version: the model version's id in text, or ``ENGAGEMENT``.
        as_of: seconds since 1970 UTC; the list is that of the history known then, so that
            feedback given between two pages neither repeats nor skips a property.
        score: the last property's score, similarity or engagement.
        id: the last property.
        rank: the last property's rank, from 1.
    """

    version: str
    as_of: float
    score: float
    id: UUID
    rank: int


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A property for an investor, with its calibrated score in [0, 1], rank from 1 and reasons."""

    property: Property
    user_id: UUID
    score: float
    rank: int
    reasons: tuple[Reason, ...]
    model_version: str
    place: Place


@dataclass(frozen=True, slots=True)
class SimilarProperty:
    """A property like another; ``similarity`` is the cosine mapped to [0, 1]."""

    property: Property
    similarity: float
    place: Place


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A page of a ranked list, and whether the list goes on after it."""

    items: list[Item]
    has_next: bool


@dataclass(frozen=True, slots=True)
class _Investor:
    """What the rules need to know of an investor: one transaction's worth."""

    history: InvestorHistory
    version_id: UUID | None

    @property
    def model(self) -> UUID | None:
        """The version that ranks for the investor; None if the tenant's engagement does."""
        liked = _WEIGHTS[self.history.kind] > 0
        return self.version_id if liked.any() else None


class Recommender:
    """Answers for all tenants; every call names its tenant."""

    def __init__(self, database: Database, twin: Twin) -> None:
        self._database = database
        self._twin = twin

    async def recommend(
        self,
        tenant_id: UUID,
        user_id: UUID,
        where: PropertyFilter,
        first: int,
        after: Place | None = None,
    ) -> Page[Recommendation]:
        """The best ``first`` matching properties for an investor after a place in the list.

        Raises:
            DomainError: NOT_FOUND for the user; CURSOR_EXPIRED when another version answers now.
        """
        as_of = datetime.fromtimestamp(after.as_of, UTC) if after else datetime.now(UTC)
        async with self._database.work(tenant_id) as work:
            await users.get(work, user_id, "userId")
            investor = (await self._investors(work, [user_id], as_of))[user_id]
            exclude = await interactions.excluded(work, user_id)
        version_id = _version_of(after, investor.version_id) if after else investor.model
        if version_id is None:
            return await self._by_engagement(tenant_id, investor, where, exclude, first, after)

        model, history = ModelKey(tenant_id, version_id), investor.history
        found: dict[UUID, Property] = {}

        async def rank(limit: int) -> list[Ranked]:
            return await self._twin.rank(model, history, where, exclude, limit)

        async def matching(ranked: Sequence[Ranked]) -> set[UUID]:
            named = {item.property_id for item in ranked}
            named |= {item.nearest for item in ranked if item.nearest is not None}
            return await self._hydrate(tenant_id, named, where, found)

        ranked, has_next = await _page_of_ranking(rank, matching, first, after)
        deeds = _strongest_deeds(history)
        items = []
        for rank_number, item in enumerate(ranked, 1 + (after.rank if after else 0)):
            recommended = found[item.property_id]
            nearest = found.get(item.nearest) if item.nearest is not None else None
            place = Place(str(version_id), history.as_of, item.score, recommended.id, rank_number)
            reasons = history_reasons(recommended, nearest, deeds[nearest.id]) if nearest else ()
            items.append(
                Recommendation(
                    recommended, user_id, item.score, rank_number, reasons, str(version_id), place
                )
            )
        return Page(items, has_next)

    async def similar(
        self,
        tenant_id: UUID,
        property_id: UUID,
        where: PropertyFilter,
        first: int,
        after: Place | None = None,
    ) -> Page[SimilarProperty]:
        """The ``first`` matching properties most like one, after a place in the list.

        Raises:
            DomainError: NOT_FOUND for the property; NO_ACTIVE_MODEL; CURSOR_EXPIRED.
        """
        async with self._database.work(tenant_id) as work:
            anchor = await properties.get(work, property_id, "propertyId")
            version_id = await tenants.active_version_id(work)
        if version_id is None:
            raise DomainError(
                ErrorCode.NO_ACTIVE_MODEL,
                "No model is active yet; similar properties need one. Train it first.",
            )
        if after is not None:
            _version_of(after, version_id)
        model, columns = ModelKey(tenant_id, version_id), properties.columns_of([anchor])
        found: dict[UUID, Property] = {}

        async def rank(limit: int) -> list[Similar]:
            return await self._twin.similar(model, columns, where, [property_id], limit)

        async def matching(ranked: Sequence[Similar]) -> set[UUID]:
            return await self._hydrate(
                tenant_id, {item.property_id for item in ranked}, where, found
            )

        ranked, has_next = await _page_of_ranking(rank, matching, first, after)
        items = [
            SimilarProperty(
                found[item.property_id],
                item.similarity,
                Place(str(version_id), 0.0, item.similarity, item.property_id, rank_number),
            )
            for rank_number, item in enumerate(ranked, 1 + (after.rank if after else 0))
        ]
        return Page(items, has_next)

    async def affinity(
        self, tenant_id: UUID, user_ids: Sequence[UUID], found: Sequence[Property]
    ) -> dict[tuple[UUID, UUID], float]:
        """Calibrated affinity in [0, 1] of each (user, property) pair: the recommended score.

        One query and one batch of the model, however many pairs. Unknown users are left out.
        """
        async with self._database.work(tenant_id) as work:
            known = list(await users.get_many(work, list(user_ids)))
            investors = await self._investors(work, known, datetime.now(UTC))
        columns = properties.columns_of(found)
        ranked = {user_id: item for user_id, item in investors.items() if item.model is not None}
        scores: dict[tuple[UUID, UUID], float] = {
            (user_id, item.id): _engagement_score(item.engagement)
            for user_id in investors.keys() - ranked.keys()
            for item in found
        }
        if ranked:
            version_id = next(iter(ranked.values())).version_id
            assert version_id is not None
            matrix = await self._twin.score(
                ModelKey(tenant_id, version_id),
                [item.history for item in ranked.values()],
                columns,
            )
            for user_id, row in zip(ranked, matrix.tolist(), strict=True):
                scores |= {
                    (user_id, property_id): score
                    for property_id, score in zip(columns.ids, row, strict=True)
                }
        return scores

    async def embeddings(
        self, tenant_id: UUID, found: Sequence[Property]
    ) -> dict[UUID, list[float]]:
        """The 16 floats of each property in the active version's space; empty if none is active."""
        async with self._database.work(tenant_id) as work:
            version_id = await tenants.active_version_id(work)
        if version_id is None:
            return {}
        columns = properties.columns_of(found)
        vectors = await self._twin.embed(ModelKey(tenant_id, version_id), columns)
        return dict(zip(columns.ids, vectors.tolist(), strict=True))

    async def _investors(
        self, work: Work, user_ids: Sequence[UUID], as_of: datetime
    ) -> dict[UUID, _Investor]:
        version_id = await tenants.active_version_id(work)
        histories = await interactions.histories(work, user_ids, as_of)
        return {user_id: _Investor(history, version_id) for user_id, history in histories.items()}

    async def _hydrate(
        self,
        tenant_id: UUID,
        property_ids: Collection[UUID],
        where: PropertyFilter,
        found: dict[UUID, Property],
    ) -> set[UUID]:
        # The index may lag behind the database, which has the last word on what matches.
        matches = and_(true(), *properties.matching(where))
        async with self._database.work(tenant_id) as work:
            rows = await work.session.execute(
                select(Property, matches).where(Property.id.in_(property_ids))
            )
            matching = set()
            for item, holds in rows:
                found[item.id] = item
                if holds:
                    matching.add(item.id)
        return matching

    async def _by_engagement(
        self,
        tenant_id: UUID,
        investor: _Investor,
        where: PropertyFilter,
        exclude: Collection[UUID],
        first: int,
        after: Place | None,
    ) -> Page[Recommendation]:
        position = Position(after.score, after.id) if after else None
        async with self._database.work(tenant_id) as work:
            rows = await properties.page(
                work, where, _BY_ENGAGEMENT, first + 1, exclude=exclude, after=position
            )
        user_id, as_of = investor.history.user_id, investor.history.as_of
        items = [
            Recommendation(
                item,
                user_id,
                _engagement_score(item.engagement),
                rank_number,
                engagement_reasons(item, model_active=investor.version_id is not None),
                ENGAGEMENT,
                Place(ENGAGEMENT, as_of, item.engagement, item.id, rank_number),
            )
            for rank_number, item in enumerate(rows[:first], 1 + (after.rank if after else 0))
        ]
        return Page(items, has_next=len(rows) > first)


def _version_of(after: Place, active: UUID | None) -> UUID | None:
    if after.version == ENGAGEMENT:
        return None
    if active is None or after.version != str(active):
        raise DomainError(
            ErrorCode.CURSOR_EXPIRED,
            "A newer model ranks now; ask for the first page again.",
            ("after",),
        )
    return active


async def _page_of_ranking(
    rank: Callable[[int], Awaitable[list[Scored]]],
    matching: Callable[[Sequence[Scored]], Awaitable[set[UUID]]],
    first: int,
    after: Place | None,
) -> tuple[list[Scored], bool]:
    """Ask the ranking for ever more until the page is full, one more is seen, or it ends."""
    limit = (after.rank if after else 0) + first + 1
    while True:
        limit = min(limit, MAX_DEPTH)
        ranked = await rank(limit)
        rest = ranked
        if after is not None:
            last = (-after.score, after.id)
            rest = [item for item in ranked if (-_score(item), item.property_id) > last]
        real = await matching(rest)
        page = [item for item in rest if item.property_id in real]
        if len(page) > first or len(ranked) < limit or limit == MAX_DEPTH:
            return page[:first], len(page) > first
        limit *= 2


def _score(item: Ranked | Similar) -> float:
    return item.score if isinstance(item, Ranked) else item.similarity


def _strongest_deeds(history: InvestorHistory) -> dict[UUID, InteractionKind]:
    """The weightiest thing the investor did with each property of its history."""
    kinds = list(InteractionKind)
    deeds: dict[UUID, InteractionKind] = {}
    for property_id, position in zip(history.properties.ids, history.kind.tolist(), strict=True):
        kind = kinds[position]
        known = deeds.get(property_id)
        if known is None or INTERACTION_WEIGHTS[kind] > INTERACTION_WEIGHTS[known]:
            deeds[property_id] = kind
    return deeds


def _engagement_score(engagement: float) -> float:
    return engagement / (engagement + HALF_ENGAGEMENT)
