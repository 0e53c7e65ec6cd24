"""The beginning of `make fuzz`, against a server process on the services of the tests."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from domain.core.database import Database
from domain.tenants.tenants import Tenant
from runtime import Runtime
from settings import Settings
from tests.conformance.fuzz.__main__ import CURSORS, WITNESS, alike, ask
from tests.conformance.fuzz.messages import World
from tests.conformance.fuzz.storm import KINDS, Tally, made, storm
from tests.conformance.fuzz.town import Towns, describe
from tests.conformance.servers import Server, own_server
from tests.factories import Town, build_town, train

pytestmark = pytest.mark.slow

REQUESTS = 600
SEED = 7


@pytest.fixture
async def towns(rt: Runtime, database: Database, tenant: Tenant, town: Town) -> Towns:
    """A town of its own to attack, beside the one that all tests read."""
    attacked = await build_town(database, tenant)
    await train(rt, tenant)
    return describe(rt.services.jwt_secret, attacked, town)


def attack(server: Server, towns: Towns) -> tuple[Tally, bool]:
    """What came back, and whether the other tenant noticed."""
    lists = ask(server, towns.world.tokens[0], CURSORS).values()
    cursors = tuple(edge["cursor"] for one in lists for edge in one["edges"])
    before = ask(server, towns.bystander, WITNESS)
    tally = Tally()
    storm(server.port, replace(towns.world, cursors=cursors), SEED, range(REQUESTS), tally)
    return tally, alike(ask(server, towns.bystander, WITNESS), before)


async def test_hostile_requests_get_proper_answers_and_leave_others_alone(
    settings: Settings, service_environment: dict[str, str], towns: Towns, tmp_path: Path
) -> None:
    log = tmp_path / "server.log"

    limits = service_environment | {"RATE_LIMIT_REFILL": "0"}

    def run() -> tuple[Tally, bool]:
        with own_server(settings.data_dir, log, settings=limits) as server:
            return attack(server, towns)

    tally, unnoticed = await asyncio.to_thread(run)
    assert tally.faults == []
    assert unnoticed
    assert sum(counts.total() for counts in tally.statuses.values()) == REQUESTS
    assert {kind.__name__ for kind in KINDS} == set(tally.statuses)
    assert [line for line in log.read_text().splitlines() if " ERROR " in line] == []


async def test_a_request_is_known_by_its_seed_and_number(towns: Towns) -> None:
    world: World = replace(towns.world, cursors=("a", "b"))
    for number in range(100):
        assert made(SEED, number, world) == made(SEED, number, world)
    assert made(SEED, 1, world) != made(SEED + 1, 1, world)
