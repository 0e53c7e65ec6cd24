"""Chaos, as short as can be: one process of each of three kinds is killed."""

from pathlib import Path

import pytest

from endurance import victims
from endurance.chaos import chaos
from endurance.data import Size

SIZE = Size(houses=240, moving=40, watching=24, judging=8)


@pytest.mark.timeout(600)
async def test_what_is_killed_comes_back_by_itself(tmp_path: Path) -> None:
    only = [victims.CHILD, "qdrant", victims.SERVER]
    strikes, verdict = await chaos(
        tmp_path, 3, seed=3, size=SIZE, only=only, epochs=3, batch_size=32
    )
    assert not verdict.wrong, verdict.table()
    assert [one.stage for one in strikes] == ["training", "reindexing", "promotion"]
    assert {one.outcome.partition(",")[0] for one in strikes} == {"succeeded"}
