"""Trying a version on some of a tenant's investors, from the command line."""

import asyncio
import json

import pytest

from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.model_registry import model_versions
from domain.model_registry.model_versions import SpaceState
from domain.tenants import policies
from domain.tenants.tenants import Tenant
from runtime import Runtime
from tests.cli.conftest import Twin
from tests.factories import Town, add_interaction, build_town, train

pytestmark = pytest.mark.slow


@pytest.fixture
async def town(rt: Runtime, database: Database, tenant: Tenant) -> Town:
    """With two versions, of which the first left the index again."""
    built = await build_town(database, tenant)
    async with database.work(tenant.id) as work:
        # One epoch makes no good version, but another one.
        await policies.change(work, {"least_f1": 0, "least_accuracy": 0, "ndcg_tolerance": 1})
    first = await train(rt, tenant, epochs=1, seed=1)
    await train(rt, tenant, epochs=1, seed=2)
    async with database.work(tenant.id) as work:
        await model_versions.forget_space(work, first.version_id)
    return built


async def test_an_experiment_from_its_beginning_to_its_end(
    twin: Twin, database: Database, town: Town
) -> None:
    async def run(*arguments: object) -> str:
        named = ("experiments", *arguments, "--tenant", town.tenant.slug)
        result = await asyncio.to_thread(twin, *named)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    assert await run("stop") == "No experiment runs.\n"
    started = await run("start", "--treatment", 1, "--share", 0.4)
    assert started == "40% of the investors get version 1 now, the others version 2.\n"
    async with database.work(town.tenant.id) as work:
        assert (await model_versions.by_number(work, 1)).space is SpaceState.COMPLETE
        for user_id in (*town.southerners, *town.northerners):
            for house, kind in zip(
                town.north,
                (InteractionKind.THUMBS_UP, InteractionKind.DEAL, InteractionKind.DISMISS),
                strict=False,
            ):
                await add_interaction(work, user_id, house, kind)

    lines = (await run("show")).splitlines()
    assert lines[0].endswith(
        "running: version 1 for 40% of the investors, version 2 for the others."
    )
    figures = {name: cells for name, *cells in (line.split("\t") for line in lines[1:-2])}
    assert sum(int(cell) for cell in figures["investors"][:2]) == 12
    assert sum(int(cell) for cell in figures["approvals"][:2]) == 24
    assert sum(int(cell) for cell in figures["deals"][:2]) == 12
    for arm in (0, 1):
        if figures["investors"][arm] != "0":
            assert figures["acceptance"][arm] == "0.667"
            assert figures["deals per investor"][arm] == "1.000"
    if "0" not in figures["investors"][:2]:
        assert figures["acceptance"][2:] == ["+0.000"] * 3

    shown = json.loads(await run("show", "--json"))
    assert (shown["treatment"], shown["control"], shown["share"]) == (1, 2, 0.4)
    assert (shown["ended_at"], shown["figures"][0]["figure"]) == (None, "investors")
    counts = {one["figure"]: (one["control"], one["treatment"]) for one in shown["figures"]}
    assert sum(counts["approvals"]) == 24
    assert set(counts) >= {"thumbs_up", "share_of_thumbs_up", "deals_per_investor"}

    assert await run("stop") == "The active version answers everybody again.\n"
    assert ", until " in (await run("show")).splitlines()[0]
    again = json.loads(await run("start", "--treatment", 1, "--json"))
    assert again == {"treatment": 1, "control": 2, "share": 0.5}
    assert json.loads(await run("stop", "--json")) == {"stopped": True}


async def test_what_is_wrong_is_said_before_anything_is_indexed(
    twin: Twin, database: Database, town: Town
) -> None:
    for problem, *options in (
        ("share 1: use a number above 0 and below 1", "--treatment", 1, "--share", 1),
        ("No such model version", "--treatment", 9),
        ("version 2 would be compared with itself", "--treatment", 2),
    ):
        named = ("experiments", "start", *options, "--tenant", town.tenant.slug)
        result = await asyncio.to_thread(twin, *named)
        assert result.exit_code != 0
        assert str(problem) in result.stderr
    async with database.work(town.tenant.id) as work:
        assert (await model_versions.by_number(work, 1)).space is SpaceState.NONE
    named = ("experiments", "show", "--tenant", town.tenant.slug)
    assert "No such experiment" in (await asyncio.to_thread(twin, *named)).stderr
