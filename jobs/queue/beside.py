"""Long computations beside the event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(function: Callable[[], Result]) -> Result:
    """Call the function beside the event loop.

    In a daemon thread, unlike ``asyncio.to_thread``: who is interrupted need not wait for it.
    """
    outcome: Future[Result] = Future()
    outcome.set_running_or_notify_cancel()

    def call() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=call, daemon=True, name="computation").start()
    return await asyncio.wrap_future(outcome)
