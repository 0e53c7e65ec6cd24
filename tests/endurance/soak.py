"""Goes on while models change: ``python -m tests.endurance.soak [--minutes 10] [--seed 0]``.

Investors ask and judge, a firm imports, changes and deletes properties, and meanwhile two
trainings, two full reindexes and a rollback happen. No query may fail, no answer mix versions, no
feedback be lost, nothing of another tenant be seen, and in the end index and database must be the
same.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from domain.jobs.job_runs import JobStatus
from domain.model_registry import model_versions
from graph.core.nodes import global_id, split_id
from tests.endurance import api
from tests.endurance.clients import at_work
from tests.endurance.data import Size
from tests.endurance.ledger import Ledger
from tests.endurance.verdict import Verdict, examine, settled
from tests.endurance.world import World, open_world

SIZE = Size(houses=4000, moving=300, watching=40, judging=40)
SETTLES_WITHIN = 300.0
_RUN_LIMIT = 1200.0


async def soak(
    world: World,
    folder: Path,
    minutes: float,
    seed: int,
    *,
    rounds: int = 2,
    pause: float = 0.15,
    **training: Any,
) -> Verdict:
    """Run the soak in a world and judge it.

    Args:
        world: where.
        folder: for files to import.
        minutes: how long, at least; it lasts until all changes are done.
        seed: of what the clients do, and before those of the trainings.
        rounds: how many trainings and full reindexes there are.
        pause: seconds between two things that a client does.
        training: options of the trainings.
    """
    ledger, verdict = Ledger(), Verdict()
    began = time.monotonic()
    async with at_work(world, ledger, seed, folder, pause):
        for number in range(1, rounds + 1):
            await _change("training", verdict, _train(world, seed + number, training))
            await _change("full reindex", verdict, _reindex(world))
            if number == 1:
                await _change("rollback", verdict, _roll_back(world))
        await asyncio.sleep(max(0.0, 60 * minutes - (time.monotonic() - began)))
    lasted = time.monotonic() - began
    await settled(world, SETTLES_WITHIN)
    verdict.add("minutes", f"{lasted / 60:.1f}")
    for question, count in sorted(ledger.answered.items()):
        verdict.add(f"answers to {question}", f"{count:,}", wrong=not count)
    failed = Counter(f"{question}: {why}" for _, question, why in ledger.failed)
    verdict.add("questions without an answer", sum(failed.values()), wrong=bool(failed))
    verdict.wrong += [f"{count} times {what}" for what, count in failed.most_common(5)]
    await examine(world, ledger, verdict)
    return verdict


async def _change(what: str, verdict: Verdict, change: Any) -> None:
    start = time.monotonic()
    said = await change
    print(f"{what}: {said}", file=sys.stderr, flush=True)
    verdict.add(what, f"{said}, {time.monotonic() - start:.1f} s")


async def _train(world: World, seed: int, options: dict[str, Any]) -> str:
    run = await world.train(world.firm, _RUN_LIMIT, **(options | {"seed": seed}))
    return f"version {(run.result or {}).get('number')} in attempt {run.attempt}"


async def _reindex(world: World) -> str:
    data = await world.firm.admin.ask(api.REINDEX)
    _, run_id = split_id(data["startReindex"]["job"]["id"])
    run = await world.finished(world.firm, run_id, _RUN_LIMIT)
    if run.status is not JobStatus.SUCCEEDED:
        raise RuntimeError(f"the reindex {run.status}: {run.error}")
    return f"verified {(run.result or {}).get('verified')}"


async def _roll_back(world: World) -> str:
    """Go back to the version before, and see how long it takes until answers are of it."""
    async with world.rt.database.work(world.firm.tenant_id) as work:
        before = await model_versions.previous(work)
    assert before is not None
    start = time.monotonic()
    await world.firm.admin.ask(
        api.ACTIVATE, {"input": {"versionId": global_id("ModelVersion", before.id)}}
    )
    while await _answering(world) != before.id:
        await asyncio.sleep(0.01)
    return f"to version {before.number}, answering after {time.monotonic() - start:.2f} s"


async def _answering(world: World) -> UUID:
    user = global_id("User", world.firm.watching[0])
    data = await world.firm.admin.ask(api.RECOMMENDATIONS, {"user": user})
    return UUID(data["recommendations"]["edges"][0]["node"]["modelVersion"])


def main() -> None:
    """Run it from the command line; the exit code says whether anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long, at least")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    async def run(folder: Path) -> Verdict:
        async with open_world(folder, SIZE, given.seed, epochs=12) as world:
            return await soak(world, folder, given.minutes, given.seed, epochs=12)

    with TemporaryDirectory(prefix="twin-soak-") as folder:
        verdict = asyncio.run(run(Path(folder)))
    print(verdict.table())
    sys.exit(bool(verdict.wrong))


if __name__ == "__main__":
    main()
