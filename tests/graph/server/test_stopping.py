"""Signals that wait until connections have ended."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from graph.server.http.stopping import before_stopping


@pytest.fixture
def passed_on() -> Iterator[list[int]]:
    """What a server's own handler of SIGTERM got."""
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
    yield got
    signal.signal(signal.SIGTERM, before)


async def until(passed_on: list[int], count: int) -> None:
    async with asyncio.timeout(60):
        while len(passed_on) < count:  # noqa: ASYNC110 - signals set no event
            await asyncio.sleep(0.01)


async def test_a_signal_waits_and_a_second_does_not(passed_on: list[int]) -> None:
    began, ended = asyncio.Event(), asyncio.Event()
    times = 0

    async def close() -> None:
        nonlocal times
        times += 1
        began.set()
        await ended.wait()

    theirs = signal.getsignal(signal.SIGTERM)
    with before_stopping(close):
        os.kill(os.getpid(), signal.SIGTERM)
        await began.wait()
        assert passed_on == []
        os.kill(os.getpid(), signal.SIGTERM)
        await until(passed_on, 1)
        ended.set()
        await until(passed_on, 2)
    assert times == 1
    assert signal.getsignal(signal.SIGTERM) is theirs


async def test_a_signal_is_passed_on_even_if_closing_fails(
    passed_on: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    async def close() -> None:
        raise ZeroDivisionError

    with before_stopping(close):
        os.kill(os.getpid(), signal.SIGTERM)
        await until(passed_on, 1)
    assert "ZeroDivisionError" in caplog.text
