"""Ends operations whose client left, for nobody waits for them any more.

The task that runs the operation is cancelled, and with it all that it awaits: a loader's batch
once nobody awaits its keys, and a database query, whose backend the driver tells to stop.
"""

import asyncio
from types import TracebackType

from starlette.requests import ClientDisconnect
from starlette.types import Receive

PATIENCE = 0.05
"""Seconds before the connection is looked at: most operations end sooner, without its cost."""


class WhileConnected:
    """Runs its body as long as the client is there.

    Args:
        receive: of ASGI, after the body of the request.

    Raises:
        ClientDisconnect: the client left, and the body was cancelled.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        # Whoever else cancelled the task wants it to end.
        if self._left and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise ClientDisconnect from None

    def _start(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        # Once something else ends the task, it is left to its clearing up.
        if not self._task.cancelling():
            self._left = True
            self._task.cancel()
