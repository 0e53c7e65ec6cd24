"""Whether what clients were told is true, and database and index are one, in the end."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from sqlalchemy import select

from domain.contract.vocabulary import THUMBS
from domain.interactions.interactions import Interaction
from domain.jobs import index_outbox, job_runs
from domain.jobs.job_runs import UNFINISHED
from domain.model_registry import model_versions
from domain.model_registry.model_versions import ModelStatus, SpaceState
from domain.tenants import tenants
from jobs.reindexing.indexer import Indexer
from tests.endurance.figures import TOLERANCE, Figures
from tests.endurance.ledger import Ledger
from tests.endurance.world import Firm, NotInTimeError, World

LEAST_TELLING = 0.5
"""Share of the scores that must differ between versions for a comparison to mean anything."""

_MANY = 1000


@dataclass(slots=True)
class Verdict:
    """What was examined, and what was found to be wrong.

    Attributes:
        rows: what was examined, and the figure.
        wrong: what is wrong; empty if nothing is.
    """

    rows: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, what: str, figure: object, *, wrong: bool = False) -> None:
        """Note something, which is as it should be unless said otherwise."""
        self.rows.append((what, str(figure)))
        if wrong:
            self.wrong.append(f"{what}: {figure}")

    def table(self) -> str:
        """The rows in Markdown, and what is wrong."""
        lines = ["| what | figure |", "|---|---|"]
        lines += [f"| {what} | {figure} |" for what, figure in self.rows]
        lines += ["", *(f"WRONG: {one}" for one in self.wrong)]
        return "\n".join(lines) + "\n"


async def settled(world: World, within: float) -> None:
    """Wait until no job waits or runs and nothing is marked. Raises NotInTimeError."""
    state = "unknown"
    try:
        async with asyncio.timeout(within):
            while state := await _unsettled(world):
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise NotInTimeError(f"not settled in {within:.0f} s: {state}") from None


async def _unsettled(world: World) -> str:
    """What is not done yet; nothing if all is."""
    for firm in world.firms:
        async with world.rt.database.work(firm.tenant_id) as work:
            if runs := await job_runs.unfinished(work):
                return f"{firm.slug}: {runs[0].function} is {runs[0].status}, {runs[0].message}"
            if (waiting := await index_outbox.waiting(work)).marks:
                return f"{firm.slug}: {waiting.marks} marks"
    return ""


async def examine(world: World, ledger: Ledger, verdict: Verdict) -> None:
    """Examine everything that was told and acknowledged. Nobody may write meanwhile."""
    for finding in ledger.wrong[:10]:
        verdict.wrong.append(finding)
    verdict.add("answers", f"{sum(ledger.answered.values()):,}")
    verdict.add("lists that ended with CURSOR_EXPIRED, as documented", ledger.expired)
    await _examine_scores(world, ledger, verdict)
    await _examine_feedback(world, ledger, verdict)
    _examine_tenancy(world, ledger, verdict)
    for firm in world.firms:
        await _examine_versions(world, firm, verdict)
        await _examine_index(world, firm, verdict)


async def _examine_scores(world: World, ledger: Ledger, verdict: Verdict) -> None:
    """Compute anew what each version gives, and see that every answer is of one version alone."""
    figures = {firm.tenant_id: await Figures.of(world, firm) for firm in world.firms}
    told = mixed = 0
    apart: list[bool] = []
    for ((tenant_id, user_id), version), bounds in ledger.ranked.items():
        own = figures[tenant_id]
        rows, seen = own.rows(list(bounds)), np.array(list(bounds.values()))
        scores = (await own.affinities(UUID(version), user_id))[rows]
        told += len(rows)
        mixed += int((np.abs(seen - scores[:, None]) > TOLERANCE).any(axis=1).sum())
        for other in own.versions:
            if str(other) != version:
                others = (await own.affinities(other, user_id))[rows]
                apart += (np.abs(others - scores) > TOLERANCE).tolist()
    verdict.add("recommended scores compared with their version's", f"{told:,}", wrong=not told)
    verdict.add("of them not that version's", mixed, wrong=mixed > 0)
    for question, kept in (
        ("affinity", ledger.affinities),
        ("similarProperties", ledger.likenesses),
    ):
        answers = mixed = 0
        for (tenant_id, subject), some in kept.items():
            for numbers in some:
                answers += 1
                mixed += not await figures[tenant_id].is_of_one(question, subject, numbers)
        verdict.add(f"different answers to {question}", f"{answers:,}", wrong=not answers)
        verdict.add("of them not of one version", mixed, wrong=mixed > 0)
    # Versions that give the same would make all of the above mean nothing.
    several = any(len(own.versions) > 1 for own in figures.values())
    telling = float(np.mean(apart)) if apart else 0.0
    verdict.add(
        "scores by which two versions can be told apart",
        f"{telling:.1%}",
        wrong=several and telling < LEAST_TELLING,
    )


async def _examine_feedback(world: World, ledger: Ledger, verdict: Verdict) -> None:
    lost = acknowledged = 0
    for firm in world.firms:
        async with world.rt.database.work(firm.tenant_id) as work:
            rows = await work.session.execute(
                select(Interaction.user_id, Interaction.property_id, Interaction.kind).where(
                    Interaction.kind.in_(sorted(THUMBS))
                )
            )
            kept = {(user, found): kind for user, found, kind in rows}
        for ((tenant_id, user_id), judged), sentiment in ledger.feedback.items():
            # None: the last attempt got no answer, so that either opinion may stand.
            if tenant_id == firm.tenant_id and sentiment is not None:
                acknowledged += 1
                lost += kept.get((user_id, judged)) != sentiment
    verdict.add("opinions acknowledged", acknowledged, wrong=not acknowledged)
    verdict.add("of them lost", lost, wrong=lost > 0)


def _examine_tenancy(world: World, ledger: Ledger, verdict: Verdict) -> None:
    foreign = sum(
        len(ledger.seen.get(firm.tenant_id, set()) & other.ever)
        for firm, other in (world.firms, reversed(world.firms))
    )
    shown = sum(len(ids) for ids in ledger.seen.values())
    verdict.add("different properties shown", f"{shown:,}", wrong=not shown)
    verdict.add("of them another tenant's", foreign, wrong=foreign > 0)


async def _examine_versions(world: World, firm: Firm, verdict: Verdict) -> None:
    async with world.rt.database.work(firm.tenant_id) as work:
        found = await model_versions.page(work, _MANY)
        runs = await job_runs.recent(work, 1000)
        answering = (await tenants.get(work)).active_model_version_id
    active = [one.id for one in found if one.status is ModelStatus.ACTIVE]
    states = ", ".join(f"{one.number} {one.status}" for one in reversed(found))
    verdict.add(f"{firm.slug}: versions", states, wrong=active != [answering])
    ends: dict[str, int] = {}
    for run in runs:
        ends[f"{run.function} {run.status}"] = ends.get(f"{run.function} {run.status}", 0) + 1
    told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
    hanging = [run for run in runs if run.status in UNFINISHED]
    verdict.add(f"{firm.slug}: runs", told, wrong=bool(hanging))


async def _examine_index(world: World, firm: Firm, verdict: Verdict) -> None:
    """Compare every vector and payload of every complete space with the database."""
    indexer = await Indexer.open(world.rt.database, world.rt.index, world.rt.twin)
    async with world.rt.database.work(firm.tenant_id) as work:
        found = await model_versions.page(work, _MANY)
    for version in found:
        if version.space is not SpaceState.COMPLETE:
            continue
        wrong = await indexer.differences(firm.tenant_id, version.id)
        verdict.add(
            f"{firm.slug}: version {version.number} in the index",
            f"{wrong.compared:,} compared, {len(wrong.properties)} differ, "
            f"{len(wrong.extra)} too many, {len(wrong.users)} investors differ",
            wrong=bool(wrong),
        )
