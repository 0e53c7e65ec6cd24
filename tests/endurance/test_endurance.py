"""Soak and chaos, as short as can be, one after the other in one world."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.endurance import victims
from tests.endurance.chaos import PACE, chaos
from tests.endurance.data import Size
from tests.endurance.soak import soak
from tests.endurance.world import World, open_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = Size(houses=240, moving=40, watching=24, judging=8)
TRAINING: dict[str, Any] = {"epochs": 3, "batch_size": 32}


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Two firms of a version each, served by processes of their own."""
    folder = tmp_path_factory.mktemp("world")
    async with open_world(folder, SIZE, 1, PACE, **TRAINING) as opened:
        yield opened


async def test_nothing_fails_is_mixed_or_lost_while_models_change(world: World) -> None:
    verdict = await soak(world, world.log.parent, 0.0, seed=1, rounds=1, pause=0.5, **TRAINING)
    assert not verdict.wrong, verdict.table()
    figures = dict(verdict.rows)
    assert figures["firm: versions"] == "1 active, 2 retired"
    assert figures["witness: versions"] == "1 active"
    # That so many differ is part of the verdict; here it is seen to have been looked at.
    assert "scores by which two versions can be told apart" in figures


async def test_what_is_killed_comes_back_by_itself(world: World) -> None:
    # What becomes of a training whose process is killed is tried in tests/jobs.
    only = ["qdrant", victims.SERVER]
    strikes, verdict = await chaos(world, world.log.parent, 3, seed=3, only=only, **TRAINING)
    assert not verdict.wrong, verdict.table()
    assert [one.stage for one in strikes] == ["training", "reindexing", "promotion"]
    assert {one.outcome.partition(",")[0] for one in strikes} == {"succeeded"}
