"""When a source is read, told by a clock of the test's own."""

import asyncio

import pytest
from prometheus_client import Metric

from graph.server import figures
from graph.server.figures import Source

SCRAPE = 15.0
"""Seconds between two scrapes."""


class Clock:
    """Stands still unless it is set forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """In seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(figures, "time", made)
    return made


@pytest.mark.parametrize("seconds", [0.1, 2.0, 12.0, 59.0])
async def test_there_always_are_figures_however_long_reading_takes(
    clock: Clock, seconds: float
) -> None:
    readings = 0

    async def read() -> list[Metric]:
        nonlocal readings
        readings += 1
        clock.now += seconds
        return []

    source, found, scrapes = Source("slow", read), [], 60
    for _ in range(scrapes):
        found.append(await source.collect())
        clock.now += SCRAPE
    assert None not in found
    # What takes long is not read for every scrape.
    assert (readings < scrapes) == (seconds > 1)


async def test_what_failed_after_long_is_read_again_soon(clock: Clock) -> None:
    down = True

    async def read() -> list[Metric]:
        if down:
            clock.now += 60
            raise TimeoutError
        return []

    source = Source("down", read)
    assert await source.collect() is None
    down = False
    clock.now += SCRAPE
    assert await source.collect() == []


async def test_what_hangs_is_given_up_and_read_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "READ_WITHIN", 0.01)
    hanging = True

    async def read() -> list[Metric]:
        if hanging:
            await asyncio.Event().wait()
        return []

    source = Source("hanging", read)
    assert await source.collect() is None
    hanging = False
    clock.now += SCRAPE
    assert await source.collect() == []
