"""Searching a space as requests do, to see whether it answers."""

import random
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from domain import indexing, interactions, properties
from domain.filters import PropertyFilter
from domain.snapshots import ModelKey
from domain.vocabulary import PropertyType
from jobs.reindexing.writer import Writer
from ml.candidates import Source

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
    """Search a space as requests do."""
    space = writer.index.space(model)
    async with writer.database.work(tenant_id) as work:
        known = tuple(await properties.ids(work))
        drawn = random.sample(known, min(_SEARCHES, len(known)))
        found = await properties.snapshot(work, drawn)
    vectors = await writer.twin.embed(model, found)
    hits = [await space.query(vector, PropertyFilter(), (), 1) for vector in vectors]
    own = sum(bool(one) and one[0].cosine > _SAME for one in hits)
    filtered = True
    if len(found) and found.property_type[0] >= 0:
        kind = list(PropertyType)[found.property_type[0]]
        some = await space.query(vectors[0], PropertyFilter(property_types=(kind,)), (), _SEARCHES)
        async with writer.database.work(tenant_id) as work:
            listed = await properties.snapshot(work, [one.property_id for one in some])
            changing = await indexing.marks_of(work, listed.ids)
        moving = {one.subject_id for one in changing}
        filtered = all(
            code == found.property_type[0]
            for property_id, code in zip(listed.ids, listed.property_type, strict=True)
            if property_id not in moving
        )
    return Smoke(len(found), own, filtered, await _candidates(writer, tenant_id, model))


async def _candidates(writer: Writer, tenant_id: UUID, model: ModelKey) -> int | None:
    space = writer.index.space(model)
    async with writer.database.work(tenant_id) as work:
        investors = (await interactions.active_investors(work))[:_INVESTORS]
    for interests in (await space.interests(investors)).values():
        found = await space.candidates(interests, PropertyFilter(), (), [Source(_SEARCHES)])
        return len(found.ids)
    return None
