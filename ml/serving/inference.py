"""Trained twins at work, in the process of the request.

Encoding one property takes about a tenth of a millisecond, less than handing it to a thread. So
small batches run on the event loop, and only large ones in a thread.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import numpy as np
import torch
from grpc import StatusCode
from grpc.aio import AioRpcError
from numpy.typing import NDArray

from domain.contract.filters import PropertyFilter
from domain.contract.property_search import ActiveVersion, PropertySearch
from domain.contract.ranked_lists import Kin, Ranked, RankedList
from domain.contract.snapshots import (
    Cause,
    IndexUnavailableError,
    InvestorHistory,
    ModelKey,
    ModelLoader,
    OutdatedIndexError,
    PropertyColumns,
    PropertyFeed,
)
from ml.catalogue import ranking
from ml.catalogue.candidates import NO_FLOOR, CandidateGenerator
from ml.catalogue.catalogue import Catalogue
from ml.catalogue.diversity import diversify
from ml.catalogue.property_ids import PropertyIds
from ml.catalogue.retrieval import DIVERSIFIED
from ml.index.index import EmbeddingIndex
from ml.index.space import Space
from ml.serving.audience import AUDIENCE, kinship
from ml.serving.catalogues import Catalogues
from ml.serving.loaded import LoadedTwins
from ml.twin.device import pick_device
from ml.twin.items import Items
from ml.twin.observing import CATALOGUE_ANSWERS, inference
from ml.twin.scoring import Investor, KnownItems, LoadedTwin

_LARGE_BATCH = 4096
"""Number of properties above which embedding takes milliseconds and moves to a thread."""

_MANY_ITEMS = 512
"""Number of properties above which computing what the index keeps of them moves to a thread."""

_MANY_INVESTORS = 16
"""Number of investors above which computing their states moves to a thread."""


_AWAY = (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED)
"""The status of a call to an index that does not answer."""

Answer = TypeVar("Answer")


class TwinService:
    """Implements the domain's ``Twin`` on catalogues, the index and a loader of stored versions.

    Attributes:
        loaded: the versions in memory.
    """

    def __init__(
        self,
        index: EmbeddingIndex,
        load: ModelLoader,
        device: str = "auto",
        capacity: int = 8,
        *,
        feed: PropertyFeed | None = None,
        memory: int = 2**30,
        limit: int = 1_000_000,
    ) -> None:
        """Loads nothing yet. On the CPU it sets torch to one thread for the whole process.

        Args:
            index: where the embeddings of every served version are.
            load: fetches a version; its errors reach the request.
            device: "auto", "cpu" or "cuda".
            capacity: number of versions kept loaded, at least 1; the least recently used one goes.
            feed: what catalogues are loaded from; None to answer from the index alone.
            memory: see ``Catalogues``.
            limit: see ``Catalogues``.

        Raises:
            ValueError: if the capacity is below 1, or CUDA is asked for and absent.
        """
        self._index = index
        self._device = pick_device(device)
        self.loaded = LoadedTwins(load, self._device, capacity)
        self._catalogues = (
            Catalogues(feed, self.loaded, memory=memory, limit=limit) if feed else None
        )
        if self._device.type == "cpu":
            torch.set_num_threads(1)

    def holds(self, model: ModelKey) -> bool:
        """See ``Twin.holds``."""
        return self._catalogues is not None and model in self._catalogues

    def properties(self, tenant_id: UUID, ids: Sequence[UUID]) -> PropertyColumns | None:
        """See ``Twin.properties``."""
        return self._catalogues.properties(tenant_id, ids) if self._catalogues else None

    async def current(self, tenant_id: UUID, active: ActiveVersion) -> PropertySearch | None:
        """See ``PropertyMemory``."""
        return await self._catalogues.current(tenant_id, active) if self._catalogues else None

    def tenants(self) -> set[UUID]:
        """The tenants with a version or properties in memory."""
        held = self._catalogues.tenants() if self._catalogues else set()
        return self.loaded.tenants() | held

    async def follow(self, active: Mapping[UUID, UUID | None]) -> None:
        """Load versions that became active ahead of requests, and drop those that they replaced.

        See ``LoadedTwins.follow`` and ``Catalogues.follow``.
        """
        await self.loaded.follow(active)
        if self._catalogues:
            await self._catalogues.follow(active)

    async def catch_up(self, tenant_id: UUID) -> None:
        """See ``Catalogues.catch_up``."""
        if self._catalogues:
            await self._catalogues.catch_up(tenant_id)

    async def close(self) -> None:
        """Stop loading."""
        if self._catalogues:
            await self._catalogues.close()

    @inference
    async def rank(
        self,
        model: ModelKey,
        investor: InvestorHistory,
        where: PropertyFilter,
        exclude: Collection[UUID],
        diversity: float = 0.0,
        floors: Sequence[float] = (),
    ) -> RankedList:
        """See ``Twin.rank``."""
        twin = await self.loaded.get(model)
        known = _with_approval(twin, investor, self._known(model))
        return await self._found(
            model,
            lambda generator: ranking.rank(
                twin, generator, known, where, exclude, diversity, floors
            ),
        )

    @inference
    async def similar(
        self,
        model: ModelKey,
        anchor: PropertyColumns,
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
        diversity: float = 0.0,
    ) -> Sequence[Ranked]:
        """See ``Twin.similar``. The anchor itself is never among them.

        A diversified list ends after ``DIVERSIFIED`` properties. Raises ValueError unless the
        anchor is one row.
        """
        if len(anchor) != 1:
            raise ValueError(f"similar needs one anchor property, not {len(anchor)}")
        vector = (await self.loaded.get(model)).embed(anchor, self._known(model))[0]
        return await self.nearest(model, vector, where, {*exclude, *anchor.ids}, limit, diversity)

    @inference
    async def nearest(
        self,
        model: ModelKey,
        vector: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
        diversity: float = 0.0,
    ) -> Sequence[Ranked]:
        """See ``Twin.nearest``."""
        wanted = DIVERSIFIED if diversity else limit
        hits = await self._found(
            model,
            lambda generator: generator.query(
                vector, where, exclude, wanted, with_vectors=diversity > 0
            ),
        )
        cosines = hits.cosines.astype(np.float64)
        scores = np.clip((1 + cosines) / 2, 0, 1)
        if not diversity:
            return ranking.listed(hits.ids, scores, -cosines)
        order = diversify(cosines, hits.vectors, diversity, limit)
        ids = PropertyIds(hits.ids.content[order])
        return ranking.listed(ids, scores[order], np.arange(1.0, len(order) + 1))

    @inference
    async def score(
        self, model: ModelKey, investors: Sequence[InvestorHistory], properties: PropertyColumns
    ) -> NDArray[np.float64]:
        """See ``Twin.score``."""
        twin = await self.loaded.get(model)
        known = self._known(model)

        def scores() -> list[NDArray[np.float64]]:
            # Computed once: they are nearly the same for every investor.
            items = twin.items(properties, known)
            return [
                twin.score_properties(_with_approval(twin, investor, known), properties, items)
                for investor in investors
            ]

        # Computing an investor's state takes most of a millisecond.
        many = len(investors) > _MANY_INVESTORS
        found = await asyncio.to_thread(scores) if many else scores()
        return twin.affinity(np.stack(found) if found else np.empty((0, len(properties))))

    @inference
    async def explain(
        self, model: ModelKey, investor: InvestorHistory, properties: PropertyColumns
    ) -> list[tuple[Cause, ...]]:
        """See ``Twin.explain``."""
        twin = await self.loaded.get(model)
        known = self._known(model)
        items = twin.items(properties, known)
        return twin.explain(_with_approval(twin, investor, known), properties, items)

    @inference
    async def audience(
        self,
        model: ModelKey,
        found: PropertyColumns,
        exclude: Sequence[Collection[UUID]],
        above: Sequence[float | None],
    ) -> list[tuple[list[UUID], float]]:
        """See ``Twin.audience``."""
        vectors = (await self.loaded.get(model)).embed(found, self._known(model))

        def near(space: Space) -> Awaitable[list[tuple[list[UUID], float]]]:
            return asyncio.gather(
                *(
                    space.investors(vector[None], unwanted, AUDIENCE, bound)
                    for vector, unwanted, bound in zip(vectors, exclude, above, strict=True)
                )
            )

        return await _asked(self._index.search(model, near))

    @inference
    async def kin(
        self, model: ModelKey, user_id: UUID, exclude: Collection[UUID], above: float | None
    ) -> Kin:
        """See ``Twin.kin``."""

        async def near(space: Space) -> Kin:
            own = (await space.interests([user_id])).get(user_id)
            if own is None:
                return Kin({}, b"", NO_FLOOR)
            # The index has its own order of an investor's points, which is always the same.
            near, bound = await space.investors(own, {user_id, *exclude}, AUDIENCE, above)
            others = await space.interests(near)
            likeness = kinship(own, list(others.values()))
            return Kin(dict(zip(others, likeness, strict=True)), own.tobytes(), bound)

        return await _asked(self._index.search(model, near))

    @inference
    async def embed(self, model: ModelKey, properties: PropertyColumns) -> NDArray[np.float32]:
        """See ``Twin.embed``."""
        twin = await self.loaded.get(model)
        if len(properties) > _LARGE_BATCH:
            return await asyncio.to_thread(twin.embed, properties)
        return twin.embed(properties)

    def _catalogue(self, model: ModelKey) -> Catalogue | None:
        return self._catalogues.get(model) if self._catalogues else None

    def _known(self, model: ModelKey) -> KnownItems | None:
        """What looks properties up in memory; None without a catalogue."""
        catalogue = self._catalogue(model)
        return None if catalogue is None else catalogue.items_of

    async def _found(
        self, model: ModelKey, search: Callable[[CandidateGenerator], Awaitable[Answer]]
    ) -> Answer:
        """What a search finds in the catalogue, or in the index if there is no catalogue."""
        if (catalogue := self._catalogue(model)) is not None:
            CATALOGUE_ANSWERS.labels("hit").inc()
            return await search(catalogue)
        CATALOGUE_ANSWERS.labels("miss").inc()
        try:
            return await _asked(self._index.search(model, search))
        except (IndexUnavailableError, OutdatedIndexError):
            # Calls of the index are retried for seconds: the catalogue may be loaded by now.
            if (catalogue := self._catalogue(model)) is not None:
                return await search(catalogue)
            raise

    async def items(self, model: ModelKey, properties: PropertyColumns) -> Items:
        """What the index keeps of properties."""
        twin = await self.loaded.get(model)
        if len(properties) > _MANY_ITEMS:
            return await asyncio.to_thread(twin.items, properties)
        return twin.items(properties)

    async def interests(
        self, model: ModelKey, investors: Sequence[InvestorHistory]
    ) -> dict[UUID, NDArray[np.float32]]:
        """What the index keeps of investors: the interests of each, unit vectors, float32 (k, 16).

        k is 0 for an investor without any interaction of positive weight.
        """
        twin = await self.loaded.get(model)

        many = len(investors) > _MANY_INVESTORS
        found = (
            await asyncio.to_thread(twin.interests, investors)
            if many
            else twin.interests(investors)
        )
        return {one.user_id: some for one, some in zip(investors, found, strict=True)}


def _with_approval(
    twin: LoadedTwin, history: InvestorHistory, known: KnownItems | None
) -> Investor:
    investor = twin.investor(history, known)
    if not len(investor.interests):
        raise ValueError(
            f"investor {history.user_id} has approved of nothing yet: "
            "there is nothing to rank or score by"
        )
    return investor


async def _asked(answer: Awaitable[Answer]) -> Answer:
    """The answer of the index. Raises IndexUnavailableError if it does not answer."""
    try:
        return await answer
    except AioRpcError as error:
        if error.code() not in _AWAY:
            raise
        raise IndexUnavailableError(f"the index: {error.code().name}") from error
