"""The verdict finds what it looks for: each kind of fault, made on purpose, is told."""

import time
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from domain.contract.snapshots import ModelKey
from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.interactions import histories
from domain.jobs import job_runs
from domain.model_registry import model_versions
from domain.properties import snapshots
from runtime import Runtime
from tests.conftest import new_tenant
from tests.endurance.ledger import Ledger, Scores
from tests.endurance.verdict import Verdict, examine
from tests.endurance.world import Firm, World
from tests.factories import Town, add_interaction, build_town, train

pytestmark = pytest.mark.slow

NOTHING = cast(Any, None)


def firm_of(town: Town) -> Firm:
    return Firm(
        town.tenant.id,
        town.tenant.slug,
        NOTHING,
        watching=town.southerners,
        judging=town.northerners,
        houses=town.south + town.north,
        moving={},
        ever={*town.south, *town.north},
    )


@pytest.fixture(scope="module")
async def world(rt: Runtime, database: Database) -> World:
    """Two firms without processes; the first has had two versions."""
    towns = [await build_town(database, await new_tenant(database)) for _ in range(2)]
    judge, judged = towns[0].northerners[0], towns[0].south[0]
    async with database.work(towns[0].tenant.id) as work:
        await add_interaction(work, judge, judged, InteractionKind.THUMBS_UP)
    for town, seed in ((towns[0], 0), (towns[0], 1), (towns[1], 0)):
        await train(rt, town.tenant, seed=seed)
    firms = [firm_of(town) for town in towns]
    return World(rt, Path(), Path(), NOTHING, NOTHING, firms[0], firms[1])


async def versions(world: World) -> list[UUID]:
    async with world.rt.database.work(world.firm.tenant_id) as work:
        return [one.id for one in await model_versions.page(work, 10)]


async def scores(world: World, version: UUID) -> Scores:
    tenant_id, user_id = world.firm.tenant_id, world.firm.watching[0]
    async with world.rt.database.work(tenant_id) as work:
        history = (await histories.get_many(work, [user_id]))[user_id]
        found = await snapshots.snapshot(work, world.firm.houses[:10])
    values = await world.rt.twin.score(ModelKey(tenant_id, version), [history], found)
    return tuple(zip(found.ids, values[0].tolist(), strict=True))


@pytest.fixture
async def ledger(world: World) -> Ledger:
    """What clients would have learned of an honest server."""
    kept = Ledger()
    tenant_id, user_id = world.firm.tenant_id, world.firm.watching[0]
    for version in await versions(world):
        told = await scores(world, version)
        kept.rank((tenant_id, user_id), str(version), told)
        kept.note(kept.affinities, (tenant_id, user_id), told)
    kept.note(kept.likenesses, (tenant_id, world.firm.houses[0]), ((world.firm.houses[0], 1.0),))
    key = ((tenant_id, world.firm.judging[0]), world.firm.houses[0])
    kept.feedback[key] = "THUMBS_UP"
    kept.show(tenant_id, world.firm.houses[:5], time.monotonic())
    return kept


async def told(world: World, ledger: Ledger) -> str:
    verdict = Verdict()
    await examine(world, ledger, verdict)
    return "; ".join(verdict.wrong)


async def test_an_honest_server_has_nothing_wrong(world: World, ledger: Ledger) -> None:
    assert await told(world, ledger) == ""


async def test_a_score_of_another_version_is_told(world: World, ledger: Ledger) -> None:
    first, second = await versions(world)
    investor = (world.firm.tenant_id, world.firm.watching[0])
    ledger.rank(investor, str(first), await scores(world, second))
    assert "of them not that version's: " in await told(world, ledger)


async def test_an_answer_of_two_versions_is_told(world: World, ledger: Ledger) -> None:
    first, second = [await scores(world, version) for version in await versions(world)]
    investor = (world.firm.tenant_id, world.firm.watching[0])
    ledger.note(ledger.affinities, investor, (*first[:5], *second[5:]))
    assert await told(world, ledger) == "of them not of one version: 1"


async def test_a_lost_opinion_is_told(world: World, ledger: Ledger) -> None:
    investor = (world.firm.tenant_id, world.firm.judging[0])
    ledger.feedback[investor, world.firm.houses[2]] = "THUMBS_DOWN"
    ledger.feedback[investor, world.firm.houses[3]] = None  # nobody promised anything
    assert await told(world, ledger) == "of them lost: 1"


async def test_a_property_of_another_tenant_is_told(world: World, ledger: Ledger) -> None:
    ledger.show(world.firm.tenant_id, [world.witness.houses[0]], time.monotonic())
    assert await told(world, ledger) == "of them another tenant's: 1"


def test_a_property_shown_twice_or_after_its_deletion_is_told() -> None:
    ledger, house = Ledger(), uuid4()
    ledger.show(uuid4(), [house], time.monotonic())
    ledger.deleted[house] = time.monotonic()
    ledger.show(uuid4(), [house], ledger.deleted[house] - 1)  # asked before
    assert ledger.wrong == []
    ledger.show(uuid4(), [house, house], ledger.deleted[house] + 1)
    assert len(ledger.wrong) == 3


async def test_a_gap_in_the_index_and_a_run_that_hangs_are_told(
    world: World, ledger: Ledger
) -> None:
    tenant_id = world.firm.tenant_id
    await world.rt.index.delete_properties_everywhere(tenant_id, world.firm.houses[:2])
    async with world.rt.database.work(tenant_id) as work:
        run = await job_runs.request(work, job_runs.DRIFT)
        work.jobs.clear()
    wrong = await told(world, ledger)
    assert "1 measure_drift queued" in wrong
    assert wrong.count("2 differ") == 2  # in each version
    async with world.rt.database.work(tenant_id) as work:
        await job_runs.cancel(work, run.id)
