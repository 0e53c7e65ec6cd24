"""Where a server process spends its CPU: the server, with its functions timed.

``bench.stages:create_app`` is the server of ``graph.app`` whose functions of interest are wrapped:
at any moment one stage is current, entering a wrapped function makes its stage the current one, and
leaving it, or waiting within it, gives way to the one before. A stage's figure is thus the CPU of
the event loop's thread in that stage alone, without what it calls of other stages. What no
function claims is the event loop's own: reading sockets, waking tasks. What the process spends
beyond that thread is gRPC's and torch's threads.

The timers cost some tenths of a millisecond a request themselves; they are for shares, and the
total is measured on a server without them.
"""

import importlib
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from types import ModuleType
from typing import Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

TWIN = "twin"
"""Begins the names of the stages in which the twin computes, in the server and the floor alike."""

LOOP = "event loop"
THREADS = "other threads"

STAGES: dict[str, tuple[str, ...]] = {
    "HTTP": (
        "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.data_received",
        "uvicorn.protocols.http.httptools_impl:RequestResponseCycle.run_asgi",
    ),
    "auth": ("graph.identity:Authenticator.authenticate",),
    "GraphQL": (
        "graph.server.operations:Operations.prepare",
        "graph.server.operations:Operations.execute",
    ),
    "limits": ("graph.limits.meter:Meter.admit", "graph.limits.meter:Meter.settle"),
    "SQL": (
        "asyncpg.protocol:Protocol.data_received",
        "asyncpg.connection:Connection.execute",
        "asyncpg.connection:Connection.fetch",
        "asyncpg.pool:Pool._acquire",
        "asyncpg.pool:Pool.release",
        "domain.core.reading:Reading.fetch",
    ),
    "domain": (
        "domain.recommendations.recommender:Recommender.recommend",
        "domain.recommendations.recommender:Recommender.affinity",
        "domain.recommendations.likeness:Likeness.similar",
        "domain.interactions.histories:investors",
        "domain.properties.rows:get_many",
    ),
    "candidates": (
        "ml.catalogue.catalogue:Catalogue.candidates",
        "ml.catalogue.catalogue:Catalogue.query",
        "ml.index.space:Space.candidates",
        "ml.index.space:Space.query",
    ),
    TWIN: (
        "ml.serving.inference:TwinService.rank",
        "ml.serving.inference:TwinService.similar",
        "ml.serving.inference:TwinService.score",
    ),
    "twin: fold-in": ("ml.twin.scoring:LoadedTwin.investor",),
    "twin: re-rank": ("ml.twin.scoring:LoadedTwin.score",),
    "twin: encode": ("ml.twin.scoring:LoadedTwin.items", "ml.twin.scoring:LoadedTwin.embed"),
    "JSON": ("graph.server.http.view:from_body", "graph.server.http.view:_send"),
}
"""The functions of each stage, ``module:name``; what is renamed must be renamed here, too."""


class Clock:
    """Which stage the thread is in, and what each has taken so far."""

    def __init__(self) -> None:
        self.taken = dict.fromkeys((LOOP, *STAGES), 0.0)
        self._stage = LOOP
        self._since = time.thread_time()

    def enter(self, stage: str) -> str:
        """Make a stage the current one; returns the one before."""
        now = time.thread_time()
        self.taken[self._stage] += now - self._since
        before, self._stage, self._since = self._stage, stage, now
        return before

    @contextmanager
    def within(self, stage: str) -> Generator[None]:
        """Be in the stage for a while."""
        before = self.enter(stage)
        try:
            yield
        finally:
            self.enter(before)


class _Timed:
    """A coroutine that is in its stage whenever it runs."""

    def __init__(self, clock: Clock, stage: str, coroutine: Any) -> None:
        self._clock, self._stage, self._coroutine = clock, stage, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        enter, stage = self._clock.enter, self._stage
        steps = self._coroutine.__await__()
        value: Any = None
        error: BaseException | None = None
        while True:
            before = enter(stage)
            try:
                waited_for = steps.send(value) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            finally:
                enter(before)
            value, error = None, None
            try:
                value = yield waited_for
            except BaseException as thrown:
                error = thrown


def timed(clock: Clock, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, in its stage whenever it runs."""
    if iscoroutinefunction(function):

        @wraps(function)
        async def waiting(*args: Any, **kwargs: Any) -> Any:
            return await _Timed(clock, stage, function(*args, **kwargs))

        return waiting

    @wraps(function)
    def running(*args: Any, **kwargs: Any) -> Any:
        with clock.within(stage):
            return function(*args, **kwargs)

    return running


def _owner(path: str) -> tuple[ModuleType | type, str]:
    module, _, name = path.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, last = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    return owner, last


def create_app() -> ASGIApp:
    """The server with timers, and ``/stages``: what each took since it was last asked."""
    return _timed_app("graph.app")


def create_floor() -> ASGIApp:
    """The same of the floor."""
    return _timed_app("bench.floor")


def _timed_app(module: str) -> ASGIApp:
    clock = Clock()
    for stage, paths in STAGES.items():
        for path in paths:
            owner, name = _owner(path)
            setattr(owner, name, timed(clock, stage, getattr(owner, name)))
    app: ASGIApp = importlib.import_module(module).create_app()
    last = [time.process_time()]

    async def with_stages(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/stages":
            await app(scope, receive, send)
            return
        clock.enter(LOOP)
        now = time.process_time()
        taken = clock.taken | {THREADS: now - last[0] - sum(clock.taken.values())}
        last[0] = now
        clock.taken = dict.fromkeys(clock.taken, 0.0)
        body = orjson.dumps(taken)
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    return with_stages
