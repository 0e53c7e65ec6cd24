"""The reindex job: compare, write what lacks or everything, verify, search."""

import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.contract.snapshots import ModelKey
from domain.jobs.index_outbox import Marked
from domain.model_registry import model_versions
from domain.model_registry.model_versions import ModelStatus, ModelVersion, SpaceState
from jobs.queue.runs import JobError
from jobs.reindexing import comparison
from jobs.reindexing.comparison import Gaps
from jobs.reindexing.passes import Report, index_marked, write_everything, write_some
from jobs.reindexing.promotion import forget_unneeded
from jobs.reindexing.smoke import Smoke, smoke
from jobs.reindexing.writer import Counts, Writer

FULL_ABOVE = 0.1
"""Share of a tenant's properties missing from a space above which all of it is written."""

LEAST_VERIFIED = 0.95
"""Share of a tenant's properties that must be in a space after a reindex."""


class Mode(StrEnum):
    """How much of a space a reindex writes."""

    INCREMENTAL = "incremental"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class SpaceResult:
    """What a reindex did to one version's space.

    Attributes:
        version: the version's number.
        mode: whether all was written, or only what lacked.
        database: properties in the database, before.
        index: properties in the space, before.
        missing: of those in the database, how many the space lacked.
        extra: how many only the space had.
        written: properties written.
        users: investors written.
        removed: properties found to be gone.
        unwritable: properties and investors that cannot be written.
        index_after: properties in the space, after.
        verified: the share of the database's properties that are in the space as they are.
        smoke: what some searches found.
    """

    version: int
    mode: Mode
    database: int
    index: int
    missing: int
    extra: int
    written: int
    users: int
    removed: int
    unwritable: int
    index_after: int
    verified: float
    smoke: Smoke

    @property
    def problem(self) -> str | None:
        """What is wrong with the space, if anything."""
        if self.verified < LEAST_VERIFIED:
            return (
                f"version {self.version}: {self.verified:.2%} of {self.database:,} properties are "
                f"in the index, less than {LEAST_VERIFIED:.0%}"
            )
        if not self.smoke.passed:
            return f"version {self.version}: searches fail: {self.smoke.to_json()}"
        return None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"mode": str(self.mode), "smoke": self.smoke.to_json()}


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What a reindex did.

    Attributes:
        spaces: the spaces, that of the active version first; none without a twin.
        forgotten: versions whose vectors were deleted, since nobody needs them.
        seconds: how long it took.
    """

    spaces: list[SpaceResult] = field(default_factory=list)
    forgotten: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values; on top what matters of the active version."""
        spaces = [one.to_json() for one in self.spaces]
        first = spaces[0] if spaces else {}
        summary = {name: first.get(name) for name in ("mode", "verified")}
        return summary | {
            "forgotten": self.forgotten,
            "seconds": round(self.seconds, 2),
            "spaces": spaces,
        }


async def reindex(
    writer: Writer, tenant_id: UUID, report: Report, *, full: bool = False
) -> Reindexed:
    """Have the tenant's complete spaces hold what the database does.

    Of a space that lacks more than ``FULL_ABOVE``, or in which any that is compared is not as it is
    in the database, all is written; ``full`` does so anyway. Investors are always all written: what
    they want depends on how long ago they did what. Whoever searches meanwhile finds everything.

    Raises:
        JobError: after it less than ``LEAST_VERIFIED`` is there, or searches fail.
    """
    started = time.perf_counter()
    forgotten = await forget_unneeded(writer, tenant_id)
    await index_marked(writer, tenant_id)
    versions = await complete_versions(writer, tenant_id)
    spaces = []
    for place, version in enumerate(versions):

        async def part(share: float, message: str, place: int = place) -> None:
            await report((place + share) / len(versions), message)

        spaces.append(await _reindex_space(writer, tenant_id, version, part, full=full))
    # One that was forgotten meanwhile lacks everything, rightly.
    left = {one.number for one in await complete_versions(writer, tenant_id)}
    spaces = [one for one in spaces if one.version in left]
    if problems := [one.problem for one in spaces if one.problem]:
        raise JobError("; ".join(problems))
    return Reindexed(spaces, len(forgotten), time.perf_counter() - started)


async def complete_versions(writer: Writer, tenant_id: UUID) -> list[ModelVersion]:
    """Those with a complete space that this code can read, the active one first."""
    readable = [one.version_id for one in await writer.targets(tenant_id)]
    async with writer.database.work(tenant_id) as work:
        found = await model_versions.get_many(work, readable)
    found = [one for one in found if one.space is SpaceState.COMPLETE]
    return sorted(found, key=lambda one: (one.status is not ModelStatus.ACTIVE, one.number))


async def _reindex_space(
    writer: Writer, tenant_id: UUID, version: ModelVersion, report: Report, *, full: bool
) -> SpaceResult:
    model = ModelKey(tenant_id, version.id)
    before = await comparison.gaps(writer, model)
    if not full:
        full = 1 - before.found > FULL_ABOVE
    if not full:
        night = datetime.now(UTC).toordinal()
        full = await comparison.some_differ(writer, model, night, before.missing)
    if full:
        counts = await write_everything(writer, tenant_id, report, version.id)
    else:
        counts = await _write_gaps(writer, model, before, report)
    after = await comparison.gaps(writer, model)
    suspects = after.missing | counts.unwritable[Marked.PROPERTY]
    lacking = await comparison.wrong(writer, model, suspects)
    return SpaceResult(
        version=version.number,
        mode=Mode.FULL if full else Mode.INCREMENTAL,
        database=before.database,
        index=before.index,
        missing=len(before.missing),
        extra=len(before.extra),
        written=counts.properties,
        users=counts.users,
        removed=counts.removed,
        unwritable=sum(map(len, counts.unwritable.values())),
        index_after=after.index,
        verified=replace(after, missing=lacking).found,
        smoke=await smoke(writer, tenant_id, model),
    )


async def _write_gaps(writer: Writer, model: ModelKey, between: Gaps, report: Report) -> Counts:
    counts = Counts()
    lacking = between.missing | between.extra
    await report(0.1, f"indexing {len(lacking):,} of {between.database:,} properties")
    users = between.investors | between.extra_users
    await write_some(writer, model.tenant_id, lacking, users, model.version_id, counts)
    return counts
