"""The soak, as short as can be: everything goes on while a version is trained and rolled back."""

from pathlib import Path

from endurance.data import Size
from endurance.soak import soak

SIZE = Size(houses=240, moving=40, watching=24, judging=8)


async def test_nothing_fails_is_mixed_or_lost_while_models_change(tmp_path: Path) -> None:
    verdict = await soak(
        tmp_path, 0.0, seed=1, size=SIZE, rounds=1, pause=0.5, epochs=3, batch_size=32
    )
    assert not verdict.wrong, verdict.table()
    figures = dict(verdict.rows)
    assert figures["firm: versions"] == "1 active, 2 retired"
    assert figures["witness: versions"] == "1 active"
    # That so many differ is part of the verdict; here it is seen to have been looked at.
    assert "scores by which two versions can be told apart" in figures
