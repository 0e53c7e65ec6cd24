"""Kills processes at random points: ``python -m tests.endurance.chaos [--kills 30] [--seed 0]``.

While a version is trained, everything indexed or another version promoted, one process is killed
with SIGKILL: a worker, the training itself, a server process, what supervises them, or a service.
Nothing is repaired from here: each time all must come back by itself, until questions are answered,
the job has ended, and the index holds what the database does. The workers' lease, retries and sweep
are shortened, so that a proof takes minutes.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from uuid import UUID

from domain.jobs import index_outbox, job_runs
from domain.jobs.job_runs import UNFINISHED, JobRun
from domain.model_registry import model_versions
from graph.core.nodes import global_id
from jobs.reindexing.indexer import Indexer
from tests.endurance import api, victims
from tests.endurance.clients import at_work
from tests.endurance.data import Size
from tests.endurance.ledger import Ledger
from tests.endurance.verdict import Verdict, examine, settled
from tests.endurance.world import NotInTimeError, World, open_world

SIZE = Size(houses=600, moving=60, watching=30, judging=10)
PACE = {"JOB_LEASE": "5", "JOB_RETRY_DELAY": "1", "SWEEP_INTERVAL": "10"}
BACK_WITHIN = 600.0
"""Seconds within which all must have come back after a kill."""

TRAINING, REINDEXING, PROMOTION = "training", "reindexing", "promotion"
_VICTIMS = {
    TRAINING: (victims.TRAINING, victims.CHILD, "qdrant", victims.SERVER, "postgres", "redis"),
    REINDEXING: (victims.INDEXING, "qdrant", victims.SERVER, victims.API, "postgres", "redis"),
    PROMOTION: (victims.INDEXING, "qdrant", victims.SERVER, victims.KEEPER, "postgres", "redis"),
}
_OBSERVED_EVERY = 0.05
_STRIKES_WITHIN = 900.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Strike:
    """A kill, and what came of it.

    Attributes:
        stage: what was going on.
        at: how far its job was, and what it said that it did.
        victim: what was killed.
        answering: seconds until questions were answered; they may never have gone unanswered.
        converged: seconds until everything was as it should be.
        outcome: how the job ended.
    """

    stage: str
    at: str
    victim: str
    answering: float
    converged: float
    outcome: str

    def row(self, number: int) -> str:
        """As a row of the table."""
        return (
            f"| {number} | {self.stage} | {self.at} | {self.victim} | {self.answering:.1f} | "
            f"{self.converged:.1f} | {self.outcome} |"
        )


HEAD = (
    "| # | during | at | killed | answering after s | converged after s | the job |\n"
    "|---|---|---|---|---|---|---|"
)


async def chaos(
    world: World,
    folder: Path,
    kills: int,
    seed: int,
    only: Sequence[str] = (),
    **training: Any,
) -> tuple[list[Strike], Verdict]:
    """Kill so many processes of a world, and judge what is left.

    Args:
        world: where; opened at ``PACE``.
        folder: for files to import.
        kills: how many processes are killed.
        seed: of what is killed when, and of what the clients do.
        only: kinds of victims to choose from; all if none.
        training: options of the trainings.
    """
    ledger, verdict, strikes = Ledger(), Verdict(), list[Strike]()
    killer = Killer(world, Random(seed), only, training)
    async with at_work(world, ledger, seed, folder, pause=1.0):
        for number in range(kills):
            strikes.append(await killer.strike(number))
            print(strikes[-1].row(number + 1), file=sys.stderr, flush=True)
    await settled(world, BACK_WITHIN)
    failed = Counter(question for _, question, _ in ledger.failed)
    verdict.add("processes killed", len(strikes), wrong=len(strikes) < kills)
    verdict.add("questions without an answer meanwhile", dict(failed) or 0)
    await examine(world, ledger, verdict)
    return strikes, verdict


class Killer:
    """Has something go on, and kills a process in the midst of it."""

    def __init__(
        self, world: World, random: Random, only: Sequence[str], training: dict[str, Any]
    ) -> None:
        self._world = world
        self._random = random
        self._training = training
        self._decks: dict[str, list[str]] = {stage: [] for stage in _VICTIMS}
        self._only = only

    async def strike(self, number: int) -> Strike:
        """Kill one process at a random point, and wait until all is as it should be.

        Raises:
            NotInTimeError: it did not come to be.
        """
        stage = list(_VICTIMS)[number % len(_VICTIMS)]
        victim = self._draw(stage)
        run_id = await self._begin(stage, number)
        found, run = await self._await_moment(run_id, victim)
        killed_at, start = datetime.now(UTC), time.monotonic()
        victims.kill(found)
        at = f"{run.progress:.0%}, {run.message or run.status}"
        what = f"{victim} killed during {stage} at {at}"
        try:
            async with asyncio.timeout(BACK_WITHIN):
                await self._until(self._answers)
                answering = time.monotonic() - start
                await self._until(lambda: self._is_replaced(victim, found.pid))
                await self._until(lambda: self._has_ended(run_id))
                await self._until(lambda: self._is_followed(killed_at))
                await self._until(self._is_consistent)
        except TimeoutError:
            raise NotInTimeError(f"not back in {BACK_WITHIN:.0f} s: {what}") from None
        converged = time.monotonic() - start
        run = await self._world.run(self._world.firm, run_id)
        outcome = f"{run.status}, attempt {run.attempt}" + (f": {run.error}" if run.error else "")
        return Strike(stage, at, victim, answering, converged, outcome)

    def _draw(self, stage: str) -> str:
        """Every kind of victim of a stage in turn, each turn in another order."""
        if not self._decks[stage]:
            kinds = [one for one in _VICTIMS[stage] if not self._only or one in self._only]
            self._decks[stage] = self._random.sample(kinds, len(kinds))
        return self._decks[stage].pop()

    async def _begin(self, stage: str, number: int) -> UUID:
        """Have it go on; the run of its job."""
        firm = self._world.firm
        if stage == TRAINING:
            options = self._training | {"seed": number + 1}
            return await self._world.request(firm, job_runs.TRAIN, **options)
        if stage == REINDEXING:
            return await self._world.request(firm, job_runs.REINDEX, full=True)
        async with self._world.rt.database.work(firm.tenant_id) as work:
            before = await model_versions.previous(work)
            assert before is not None
            # As if its time of grace were over, so that it is indexed before it answers.
            await model_versions.forget_space(work, before.id)
        return await self._world.request(firm, job_runs.ACTIVATE, version_id=str(before.id))

    async def _await_moment(self, run_id: UUID, victim: str) -> tuple[Any, JobRun]:
        """Wait until the job is as far as a drawn share, or over, and there is a victim."""
        share = self._random.random()
        async with asyncio.timeout(_STRIKES_WITHIN):
            while True:
                run = await self._world.run(self._world.firm, run_id)
                over = run.status not in UNFINISHED
                if over and victim == victims.CHILD:
                    victim = victims.TRAINING
                found = victims.find(self._world, victim, self._random)
                if found is not None and (over or run.progress >= share):
                    return found, run
                await asyncio.sleep(_OBSERVED_EVERY)

    async def _until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for something; while services restart, asking for it may fail."""
        while True:
            try:
                if await condition():
                    return
            except Exception as error:
                print(f"    meanwhile: {error!r}"[:160], file=sys.stderr, flush=True)
            await asyncio.sleep(0.2)

    async def _answers(self) -> bool:
        """Whether every firm gets a list, of a version that it has."""
        for firm in self._world.firms:
            user = global_id("User", firm.watching[0])
            data = await firm.admin.ask(api.RECOMMENDATIONS, {"user": user})
            (version,) = {one["node"]["modelVersion"] for one in data["recommendations"]["edges"]}
            async with self._world.rt.database.work(firm.tenant_id) as work:
                await model_versions.get(work, UUID(version))
        return True

    async def _is_replaced(self, victim: str, pid: int) -> bool:
        """Whether there is another process of the kind; a training comes back with its job."""
        if victim == victims.CHILD:
            return True
        found = victims.find(self._world, victim, self._random)
        return found is not None and found.pid != pid and await self._world.is_ready()

    async def _has_ended(self, run_id: UUID) -> bool:
        return (await self._world.run(self._world.firm, run_id)).status not in UNFINISHED

    async def _is_followed(self, since: datetime) -> bool:
        """Whether the index has followed all changes from before then."""
        for firm in self._world.firms:
            async with self._world.rt.database.work(firm.tenant_id) as work:
                oldest = (await index_outbox.waiting(work)).oldest
            if oldest is not None and oldest < since:
                return False
        return True

    async def _is_consistent(self) -> bool:
        """Whether one version is active, and in the index as a whole as the database has it."""
        rt = self._world.rt
        indexer = await Indexer.open(rt.database, rt.index, rt.twin)
        for firm in self._world.firms:
            async with rt.database.work(firm.tenant_id) as work:
                active = await model_versions.active(work)
            if active is None or await indexer.differences(firm.tenant_id, active.id):
                return False
        return True


def main() -> None:
    """Run it from the command line; the exit code says whether anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    training: dict[str, Any] = {"epochs": 6, "batch_size": 64}

    async def run(folder: Path) -> tuple[list[Strike], Verdict]:
        async with open_world(folder, SIZE, given.seed, PACE, **training) as world:
            return await chaos(world, folder, given.kills, given.seed, **training)

    with TemporaryDirectory(prefix="twin-chaos-") as folder:
        strikes, verdict = asyncio.run(run(Path(folder)))
    print("\n".join([HEAD, *(one.row(place) for place, one in enumerate(strikes, 1)), ""]))
    print(verdict.table())
    sys.exit(bool(verdict.wrong))


if __name__ == "__main__":
    main()
