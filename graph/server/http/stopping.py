"""What is done first when the process is told to stop."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def before_stopping(close: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Have SIGINT and SIGTERM wait for ``close``, and only then do what they did before.

    A server that gets a signal cuts off connections that stay open, in its own way, before it tells
    the application. A second signal does at once what it did before. Within an event loop; outside
    of the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    closing: asyncio.Task[None] | None = None

    async def close_all() -> None:
        try:
            await close()
        except Exception:
            logger.exception("could not close before stopping")

    def handle(number: int, _frame: FrameType | None) -> None:
        # Of the loop's thread, but anywhere in it.
        loop.call_soon_threadsafe(begin, number)

    def begin(number: int) -> None:
        nonlocal closing
        if closing is None:
            closing = loop.create_task(close_all())
            closing.add_done_callback(lambda _: pass_on(number))
        else:
            pass_on(number)

    def pass_on(number: int) -> None:
        earlier = before[number]
        if callable(earlier):
            earlier(number, None)
        else:
            signal.signal(number, earlier)
            os.kill(os.getpid(), number)

    before: dict[int, Any] = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, earlier)
