"""Per request: what many fields ask for one by one is read in one batch, once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from domain.contract.filters import PropertyFilter
from domain.core.errors import DomainError, invalid, not_found
from domain.core.reading import Reading
from domain.core.work import Work
from domain.interactions import interactions
from domain.interactions.interactions import Interaction
from domain.model_registry import drift, model_versions
from domain.model_registry.drift import DriftMeasurement
from domain.model_registry.model_versions import ModelVersion
from domain.properties import rows as property_rows
from domain.properties.facets import Counts, Facet, count_facets
from domain.properties.rows import PropertyValues
from domain.recommendations import (
    AudienceAsk,
    Concentration,
    Counterfactual,
    FoundUser,
    JudgedPage,
    Judgement,
    Page,
    Place,
    Ranking,
    Recommendation,
    Recommender,
    SimilarProperty,
)
from domain.recommendations.reasons import Reason
from domain.users import users
from domain.users.users import UserRow
from graph.core.metrics import batch
from graph.identity import Principal

K = TypeVar("K")
T = TypeVar("T")

MAX_LISTS = 100
"""How many ranked lists one request may ask for; each is a search of the index."""

MAX_COUNTERFACTUALS = 100
"""How many counterfactuals one request may ask for; each is a batch of the model."""

MAX_AUDIENCES = 20
"""Of how many properties one request may ask whom they would suit; each is hundreds of scores."""

LISTS_AT_ONCE = 4


class Pair(NamedTuple):
    """An investor and a property."""

    user_id: UUID
    property_id: UUID


class RankedList(NamedTuple):
    """A page of a ranked list: of an investor's, or of what is like a property."""

    of: UUID
    where: PropertyFilter
    first: int
    after: Place | None
    diversity: float
    before: Place | None


class KinAsk(NamedTuple):
    """A page of the investors who buy like one."""

    user_id: UUID
    size: int
    after: Place | None
    before: Place | None


class NearList(NamedTuple):
    """A page of what is nearest to a vector; see ``Recommender.similar_to``."""

    vector: tuple[float, ...]
    version: str | None
    where: PropertyFilter
    first: int
    after: Place | None
    diversity: float
    before: Place | None


class Loaders:
    """The loaders of one request; each batch opens its own unit of work.

    Attributes:
        properties: a property by id, None if there is none.
        users: a user by id, None if there is none.
        feedback: the caller's own opinion of a property, None if it has none.
        embeddings: a property's 16 floats in the active version's space, None without one.
        judgements: the affinity of an investor and a property, and what gave it.
        affinity: the affinity of an investor and a property.
        reasons: why a recommendation is on its list.
        concentration: what buying it would do to the investor's exposure.
        counterfactuals: the price that would bring it among the best.
        recommendations: a page of an investor's recommendations.
        similar: a page of what is like a property.
        near: a page of what is nearest to a vector.
        interested: a page of the investors whom a property would suit.
        kin: a page of the investors who buy like one.
        facets: how many of the properties that match have each value.
        versions: a version of the twin by id, None if there is none.
        drift: the last measurement of drift against a version, None if there is none.
    """

    def __init__(
        self,
        work: Callable[[], AbstractAsyncContextManager[Work]],
        read: Callable[[], AbstractAsyncContextManager[Reading]],
        recommender: Recommender,
        principal: Principal,
    ) -> None:
        self._work = work
        self._read = read
        self._recommender = recommender
        self._principal = principal
        self._affinities: dict[Pair, float] = {}
        self._lists = 0
        self._audiences = 0
        self._counterfactuals_asked = 0
        self._turns = asyncio.Semaphore(LISTS_AT_ONCE)
        self.properties = DataLoader(self._properties)
        self.users = DataLoader(self._users)
        self.feedback = DataLoader(self._feedback)
        self.embeddings = DataLoader(self._embeddings)
        self.judgements = DataLoader(self._judgements)
        self.affinity = DataLoader(self._affinity)
        self.reasons = DataLoader(self._reasons)
        self.concentration = DataLoader(self._concentration)
        self.counterfactuals = DataLoader(self._counterfactuals)
        self.recommendations = DataLoader(self._recommendations)
        self.similar = DataLoader(self._similar)
        self.near = DataLoader(self._near)
        self.interested = DataLoader(self._interested)
        self.kin = DataLoader(self._kin)
        self.facets = DataLoader(self._facets)
        self.versions = DataLoader(self._versions)
        self.drift = DataLoader(self._drift)

    def remember(self, found: Iterable[PropertyValues]) -> None:
        """Note properties that were read elsewhere, so that they are not read again."""
        self.properties.prime_many({item.id: item for item in found})

    def affinity_of(self, pair: Pair) -> float | Awaitable[float]:
        """The affinity of a pair: at once where a list told it, else what is to be awaited."""
        known = self._affinities.get(pair)
        return self.affinity.load(pair) if known is None else known

    async def require_properties(self, wanted: Sequence[UUID], field: str) -> list[PropertyValues]:
        """The properties of those ids, in order. Raises DomainError NOT_FOUND naming the place."""
        found = []
        for place, item in enumerate(await self.properties.load_many(wanted)):
            if item is None:
                raise not_found("property", (field, str(place)))
            found.append(item)
        return found

    @batch
    async def _properties(self, wanted: list[UUID]) -> list[PropertyValues | None]:
        async with self._read() as reading:
            found = await property_rows.get_many(reading, wanted)
        return [found.get(property_id) for property_id in wanted]

    @batch
    async def _users(self, wanted: list[UUID]) -> list[UserRow | None]:
        async with self._read() as reading:
            found = await users.read_many(reading, wanted)
        return [found.get(user_id) for user_id in wanted]

    @batch
    async def _feedback(self, wanted: list[UUID]) -> list[Interaction | None]:
        caller = self._principal.user
        if caller is None:
            # A service has no opinions.
            return [None] * len(wanted)
        async with self._work() as work:
            found = await interactions.feedback(work, caller, wanted)
        return [found.get(property_id) for property_id in wanted]

    @batch
    async def _versions(self, wanted: list[UUID]) -> list[ModelVersion | None]:
        async with self._work() as work:
            found = {row.id: row for row in await model_versions.get_many(work, wanted)}
        return [found.get(version_id) for version_id in wanted]

    @batch
    async def _drift(self, wanted: list[UUID]) -> list[DriftMeasurement | None]:
        async with self._work() as work:
            found = await drift.latest(work, wanted)
        return [found.get(version_id) for version_id in wanted]

    @batch
    async def _embeddings(self, wanted: list[UUID]) -> list[list[float] | None]:
        rows = [item for item in await self.properties.load_many(wanted) if item is not None]
        found = await self._recommender.embeddings(self._principal.tenant_id, rows)
        return [found.get(property_id) for property_id in wanted]

    @batch
    async def _judgements(self, wanted: list[Pair]) -> list[Judgement | DomainError]:
        ids = dict.fromkeys(pair.property_id for pair in wanted)
        rows = [item for item in await self.properties.load_many(ids) if item is not None]
        investors = list(dict.fromkeys(pair.user_id for pair in wanted))
        judged = await self._recommender.affinity(self._principal.tenant_id, investors, rows)
        missing = not_found("user", ("userId",))
        return [judged.get(pair, missing) for pair in wanted]

    @batch
    async def _affinity(self, wanted: list[Pair]) -> list[float | BaseException]:
        judged = await asyncio.gather(*map(self.judgements.load, wanted), return_exceptions=True)
        return [one.score if isinstance(one, Judgement) else one for one in judged]

    @batch
    async def _facets(self, wanted: list[tuple[PropertyFilter, Facet]]) -> list[Counts]:
        # One query for each filter; a request has few.
        of_filter: dict[PropertyFilter, list[Facet]] = {}
        for where, facet in wanted:
            of_filter.setdefault(where, []).append(facet)
        async with self._work() as work:
            found = {
                where: await count_facets(work, where, facets)
                for where, facets in of_filter.items()
            }
        return [found[where][facet] for where, facet in wanted]

    @batch
    async def _reasons(self, wanted: list[Recommendation]) -> list[tuple[Reason, ...]]:
        return await self._list_by_list(wanted, self._recommender.reasons)

    @batch
    async def _concentration(self, wanted: list[Recommendation]) -> list[Concentration]:
        return await self._list_by_list(wanted, self._recommender.concentration)

    @batch
    async def _counterfactuals(self, wanted: list[Recommendation]) -> list[Counterfactual | None]:
        self._counterfactuals_asked += len(wanted)
        if self._counterfactuals_asked > MAX_COUNTERFACTUALS:
            raise invalid(
                f"{self._counterfactuals_asked} counterfactuals in one request; ask for at most "
                f"{MAX_COUNTERFACTUALS}, under shorter lists",
                "first",
            )
        return await self._list_by_list(wanted, self._recommender.counterfactuals)

    async def _list_by_list(
        self,
        wanted: list[Recommendation],
        answer: Callable[[Ranking, Sequence[PropertyValues]], Awaitable[list[T]]],
    ) -> list[T]:
        """What is asked of recommendations, in one call for all those of a list."""
        lists: dict[Ranking, list[Recommendation]] = {}
        for item in wanted:
            lists.setdefault(item.ranking, []).append(item)

        async def in_turn(ranking: Ranking, items: list[Recommendation]) -> list[T]:
            async with self._turns:
                return await answer(ranking, [item.property for item in items])

        answers = await asyncio.gather(*(in_turn(*one) for one in lists.items()))
        found = {
            item: given
            for items, given_all in zip(lists.values(), answers, strict=True)
            for item, given in zip(items, given_all, strict=True)
        }
        return [found[item] for item in wanted]

    @batch
    async def _recommendations(
        self, wanted: list[RankedList]
    ) -> list[Page[Recommendation] | BaseException]:
        async def answer(asked: RankedList) -> Page[Recommendation]:
            page = await self._recommender.recommend(self._principal.tenant_id, *asked)
            self.remember(item.property for item in page.items)
            if asked.after is None and asked.before is None:
                # The same number, unless the list is one of an earlier moment.
                self._affinities.update(
                    {
                        Pair(item.ranking.user_id, item.property.id): item.score
                        for item in page.items
                    }
                )
            return page

        return await self._ranked(wanted, answer)

    @batch
    async def _similar(
        self, wanted: list[RankedList]
    ) -> list[JudgedPage[SimilarProperty] | BaseException]:
        async def answer(asked: RankedList) -> JudgedPage[SimilarProperty]:
            page = await self._recommender.likeness.similar(self._principal.tenant_id, *asked)
            self.remember(item.property for item in page.items)
            return page

        return await self._ranked(wanted, answer)

    @batch
    async def _near(
        self, wanted: list[NearList]
    ) -> list[JudgedPage[SimilarProperty] | BaseException]:
        async def answer(asked: NearList) -> JudgedPage[SimilarProperty]:
            page = await self._recommender.likeness.similar_to(self._principal.tenant_id, *asked)
            self.remember(item.property for item in page.items)
            return page

        return await self._ranked(wanted, answer)

    @batch
    async def _interested(
        self, wanted: list[AudienceAsk]
    ) -> list[JudgedPage[FoundUser] | DomainError]:
        self._audiences += len(wanted)
        if self._audiences > MAX_AUDIENCES:
            raise invalid(
                f"interestedUsers of {self._audiences} properties in one request; ask for at most "
                f"{MAX_AUDIENCES}, under shorter lists",
                "first",
            )
        return await self._recommender.audience.interested(self._principal.tenant_id, wanted)

    @batch
    async def _kin(self, wanted: list[KinAsk]) -> list[Page[FoundUser] | BaseException]:
        async def answer(asked: KinAsk) -> Page[FoundUser]:
            return await self._recommender.audience.similar(self._principal.tenant_id, *asked)

        return await self._ranked(wanted, answer)

    async def _ranked(
        self, wanted: list[K], answer: Callable[[K], Awaitable[T]]
    ) -> list[T | BaseException]:
        self._lists += len(wanted)
        if self._lists > MAX_LISTS:
            raise invalid(
                f"{self._lists} ranked lists in one request; ask for at most {MAX_LISTS}: "
                "nest recommendations and similarProperties under shorter lists",
                "first",
            )

        async def in_turn(asked: K) -> T:
            async with self._turns:
                return await answer(asked)

        return await asyncio.gather(*map(in_turn, wanted), return_exceptions=True)
