"""What requests ask the twin for, in batches."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar
from uuid import UUID

from domain.contract.filters import PropertyFilter
from domain.core.errors import DomainError, invalid, not_found
from domain.properties.rows import PropertyValues
from domain.recommendations.audience import AudienceAsk, FoundUser
from domain.recommendations.concentration import Concentration
from domain.recommendations.counterfactuals import Counterfactual
from domain.recommendations.discovery import RecommendationHistory
from domain.recommendations.paging import Cursor, JudgedPage, Page
from domain.recommendations.ranking import Judgement, Ranking, Recommendation, SimilarProperty
from domain.recommendations.reasons import Reason
from graph.core.context import Context
from graph.core.loaders import Loaders, batched
from graph.properties.loaders import PropertyLoaders

K = TypeVar("K")
T = TypeVar("T")

MAX_LISTS = 100
"""How many ranked lists one request may ask for; each is a search for candidates."""

MAX_COUNTERFACTUALS = 100
"""How many counterfactuals one request may ask for; each is a batch of the model."""

MAX_AUDIENCES = 20
"""Of how many properties one request may ask whom they would suit; each is hundreds of scores."""

LISTS_AT_ONCE = 4


class Pair(NamedTuple):
    """An investor and a property."""

    user_id: UUID
    property_id: UUID


class RecommendationList(NamedTuple):
    """A page of an investor's list; see ``Recommender.recommend``."""

    user_id: UUID
    where: PropertyFilter
    first: int
    after: Cursor | None
    diversity: float
    before: Cursor | None
    history: RecommendationHistory


class SimilarList(NamedTuple):
    """A page of what is like a property; see ``Recommender.likeness``."""

    property_id: UUID
    where: PropertyFilter
    first: int
    after: Cursor | None
    diversity: float
    before: Cursor | None


class KinAsk(NamedTuple):
    """A page of the investors who buy like one."""

    user_id: UUID
    size: int
    after: Cursor | None
    before: Cursor | None


class NearList(NamedTuple):
    """A page of what is nearest to a vector; see ``Recommender.similar_to``."""

    vector: tuple[float, ...]
    version: str | None
    where: PropertyFilter
    first: int
    after: Cursor | None
    diversity: float
    before: Cursor | None


class RecommendationLoaders(Loaders):
    """Loaders of what the twin answers."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tenant_id = context.principal.tenant_id
        self._properties = context.loaders(PropertyLoaders)
        self._affinities: dict[Pair, float] = {}
        self._lists = 0
        self._audiences = 0
        self._counterfactuals = 0
        self._turns = asyncio.Semaphore(LISTS_AT_ONCE)

    def affinity_of(self, pair: Pair) -> float | Awaitable[float]:
        """The affinity of a pair: at once where a list told it, else what is to be awaited."""
        known = self._affinities.get(pair)
        return self.affinity.load(pair) if known is None else known

    @batched
    async def embeddings(self, wanted: list[UUID]) -> list[list[float] | None]:
        """A property's 16 floats in the active version's space, None without one."""
        rows = [
            item for item in await self._properties.properties.load_many(wanted) if item is not None
        ]
        found = await self.context.recommender.embeddings(self._tenant_id, rows)
        return [found.get(property_id) for property_id in wanted]

    @batched
    async def judgements(self, wanted: list[Pair]) -> list[Judgement | DomainError]:
        """The affinity of an investor and a property, and what gave it."""
        ids = dict.fromkeys(pair.property_id for pair in wanted)
        rows = [
            item for item in await self._properties.properties.load_many(ids) if item is not None
        ]
        investors = list(dict.fromkeys(pair.user_id for pair in wanted))
        judged = await self.context.recommender.affinity(self._tenant_id, investors, rows)
        missing = not_found("user", ("userId",))
        return [judged.get(pair, missing) for pair in wanted]

    @batched
    async def affinity(self, wanted: list[Pair]) -> list[float | BaseException]:
        """The affinity of an investor and a property."""
        judged = await asyncio.gather(*map(self.judgements.load, wanted), return_exceptions=True)
        return [one.score if isinstance(one, Judgement) else one for one in judged]

    @batched
    async def reasons(self, wanted: list[Recommendation]) -> list[tuple[Reason, ...]]:
        """Why a recommendation is on its list."""
        return await self._list_by_list(wanted, self.context.recommender.reasons)

    @batched
    async def concentration(self, wanted: list[Recommendation]) -> list[Concentration]:
        """What buying it would do to the investor's exposure."""
        return await self._list_by_list(wanted, self.context.recommender.concentration)

    @batched
    async def counterfactuals(self, wanted: list[Recommendation]) -> list[Counterfactual | None]:
        """The price that would bring it among the best."""
        self._counterfactuals += len(wanted)
        if self._counterfactuals > MAX_COUNTERFACTUALS:
            raise invalid(
                f"{self._counterfactuals} counterfactuals in one request; ask for at most "
                f"{MAX_COUNTERFACTUALS}, under shorter lists",
                "first",
            )
        return await self._list_by_list(wanted, self.context.recommender.counterfactuals)

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

    @batched
    async def recommendations(
        self, wanted: list[RecommendationList]
    ) -> list[Page[Recommendation] | BaseException]:
        """A page of an investor's recommendations."""

        async def answer(asked: RecommendationList) -> Page[Recommendation]:
            page = await self.context.recommender.recommend(self._tenant_id, *asked)
            self._properties.remember(item.property for item in page.items)
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

    @batched
    async def similar(
        self, wanted: list[SimilarList]
    ) -> list[JudgedPage[SimilarProperty] | BaseException]:
        """A page of what is like a property."""

        async def answer(asked: SimilarList) -> JudgedPage[SimilarProperty]:
            page = await self.context.recommender.likeness.similar(self._tenant_id, *asked)
            self._properties.remember(item.property for item in page.items)
            return page

        return await self._ranked(wanted, answer)

    @batched
    async def near(
        self, wanted: list[NearList]
    ) -> list[JudgedPage[SimilarProperty] | BaseException]:
        """A page of what is nearest to a vector."""

        async def answer(asked: NearList) -> JudgedPage[SimilarProperty]:
            page = await self.context.recommender.likeness.similar_to(self._tenant_id, *asked)
            self._properties.remember(item.property for item in page.items)
            return page

        return await self._ranked(wanted, answer)

    @batched
    async def interested(
        self, wanted: list[AudienceAsk]
    ) -> list[JudgedPage[FoundUser] | DomainError]:
        """A page of the investors whom a property would suit."""
        self._audiences += len(wanted)
        if self._audiences > MAX_AUDIENCES:
            raise invalid(
                f"interestedUsers of {self._audiences} properties in one request; ask for at most "
                f"{MAX_AUDIENCES}, under shorter lists",
                "first",
            )
        return await self.context.recommender.audience.interested(self._tenant_id, wanted)

    @batched
    async def kin(self, wanted: list[KinAsk]) -> list[Page[FoundUser] | BaseException]:
        """A page of the investors who buy like one."""

        async def answer(asked: KinAsk) -> Page[FoundUser]:
            return await self.context.recommender.audience.similar(self._tenant_id, *asked)

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
