"""Searching a space as requests do, to see whether it answers."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import ModelKey
from domain.contract.vocabulary import PropertyType
from domain.interactions import interactions
from domain.properties import snapshots
from jobs.reindexing.comparison import marked
from jobs.reindexing.writer import Writer
from ml.catalogue.candidates import Source

_SEARCHES = 20
_INVESTORS = 100
_SAME = 0.999
"""A cosine from which a property found is the one looked for, or its twin sister."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """What some searches of a space found.

    Attributes:
        searches: properties that were looked for by their own vectors.
        found: how many of them, or one exactly alike, came first.
        filtered: whether a filter let nothing else through.
        candidates: how many properties an investor's interests brought; None without investors.
    """

    searches: int = 0
    found: int = 0
    filtered: bool = True
    candidates: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the space answers as it should; an approximate search may miss one in ten."""
        return (
            10 * self.found >= 9 * self.searches
            and self.filtered
            and (self.candidates != 0 or not self.searches)
        )

    def to_json(self) -> dict[str, Any]:
        """Its fields, and whether it passed."""
        return asdict(self) | {"passed": self.passed}


async def smoke(writer: Writer, tenant_id: UUID, model: ModelKey) -> Smoke:
    """Search a space as requests do. What is marked is not expected in it yet."""
    space = writer.index.space(model)
    async with writer.database.work(tenant_id) as work:
        known = tuple(await snapshots.ids(work))
        drawn = random.sample(known, min(_SEARCHES, len(known)))
        looked_for = await snapshots.snapshot(work, drawn)
    vectors = await writer.twin.embed(model, looked_for)
    hits = [await space.query(vector, PropertyFilter(), (), 1) for vector in vectors]
    lost = {
        property_id
        for property_id, one in zip(looked_for.ids, hits, strict=True)
        if not one or one[0].cosine < _SAME
    }
    filtered = True
    if len(looked_for) and looked_for.property_type[0] >= 0:
        kind = list(PropertyType)[looked_for.property_type[0]]
        some = await space.query(vectors[0], PropertyFilter(property_types=(kind,)), (), _SEARCHES)
        filtered = await _are_of_type(writer, tenant_id, [one.property_id for one in some], kind)
    async with writer.database.work(tenant_id) as work:
        excused = await marked(work, lost)
    return Smoke(
        searches=len(looked_for) - len(excused),
        found=len(looked_for) - len(lost),
        filtered=filtered,
        candidates=await _candidates(writer, tenant_id, model),
    )


async def _are_of_type(
    writer: Writer, tenant_id: UUID, ids: Sequence[UUID], kind: PropertyType
) -> bool:
    async with writer.database.work(tenant_id) as work:
        found = await snapshots.snapshot(work, ids)
        position = list(PropertyType).index(kind)
        others = {
            property_id
            for property_id, code in zip(found.ids, found.property_type, strict=True)
            if code != position
        }
        return others == await marked(work, others)


async def _candidates(writer: Writer, tenant_id: UUID, model: ModelKey) -> int | None:
    space = writer.index.space(model)
    async with writer.database.work(tenant_id) as work:
        investors = (await interactions.active_investors(work))[:_INVESTORS]
    for interests in (await space.interests(investors)).values():
        found = await space.candidates(interests, PropertyFilter(), (), [Source(_SEARCHES)])
        return len(found.ids)
    return None
