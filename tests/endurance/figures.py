"""What each version gives, computed anew from the database for the houses that stay as they are."""

from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from domain.contract.snapshots import ModelKey
from domain.interactions import histories
from domain.model_registry import model_versions
from domain.properties import snapshots
from tests.endurance.ledger import Scores
from tests.endurance.world import Firm, World

TOLERANCE = 1e-3
"""How far a score may be from what its version gives now: it is rounded, and time passes."""

_MANY = 1000


class Figures:
    """A firm's affinities and likenesses by every version that ever answered; each computed once.

    Attributes:
        versions: those versions.
    """

    def __init__(self, world: World, firm: Firm, versions: list[UUID]) -> None:
        self._world = world
        self._firm = firm
        self.versions = versions
        self._row = {one: row for row, one in enumerate(firm.houses)}
        self._affinities: dict[tuple[UUID, UUID], NDArray[np.float64]] = {}
        self._vectors: dict[UUID, NDArray[np.float32]] = {}

    @classmethod
    async def of(cls, world: World, firm: Firm) -> "Figures":
        """The figures of a firm."""
        async with world.rt.database.work(firm.tenant_id) as work:
            found = await model_versions.page(work, _MANY)
        return cls(world, firm, [one.id for one in found if one.activated_at is not None])

    async def affinities(self, version: UUID, user_id: UUID) -> NDArray[np.float64]:
        """How well each house suits the investor, in the order of ``Firm.houses``."""
        if (version, user_id) not in self._affinities:
            tenant_id = self._firm.tenant_id
            async with self._world.rt.database.work(tenant_id) as work:
                history = (await histories.get_many(work, [user_id]))[user_id]
                houses = await snapshots.snapshot(work, self._firm.houses)
            model = ModelKey(tenant_id, version)
            scores = await self._world.rt.twin.score(model, [history], houses)
            self._affinities[version, user_id] = scores[0][self._order(houses.ids)]
        return self._affinities[version, user_id]

    async def likenesses(self, version: UUID, anchor: UUID) -> NDArray[np.float64]:
        """How like the house each house is, in the order of ``Firm.houses``."""
        if version not in self._vectors:
            tenant_id = self._firm.tenant_id
            async with self._world.rt.database.work(tenant_id) as work:
                houses = await snapshots.snapshot(work, self._firm.houses)
            vectors = await self._world.rt.twin.embed(ModelKey(tenant_id, version), houses)
            self._vectors[version] = vectors[self._order(houses.ids)]
        vectors = self._vectors[version].astype(np.float64)
        likenesses: NDArray[np.float64] = (1 + vectors @ vectors[self._row[anchor]]) / 2
        return likenesses

    def rows(self, houses: list[UUID]) -> list[int]:
        """The houses' places in ``Firm.houses``."""
        return [self._row[one] for one in houses]

    async def is_of_one(self, question: str, subject: UUID, scores: Scores) -> bool:
        """Whether some version gives all of an answer's numbers.

        Args:
            question: "affinity" or "similarProperties".
            subject: the investor, or the house.
            scores: the answer.
        """
        compute = self.affinities if question == "affinity" else self.likenesses
        rows, seen = self.rows([one for one, _ in scores]), np.array([one for _, one in scores])
        for version in self.versions:
            if (np.abs((await compute(version, subject))[rows] - seen) <= TOLERANCE).all():
                return True
        return False

    def _order(self, ids: tuple[UUID, ...]) -> list[int]:
        place = {one: row for row, one in enumerate(ids)}
        return [place[one] for one in self._firm.houses]
