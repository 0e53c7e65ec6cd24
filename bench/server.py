"""A trained sample in a folder, servers on it, and a client that costs little.

For the benchmarks that ask a server over HTTP. Each server is a process of its own, whose CPU can
be told from the client's.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil

import runtime
from cli.first_start import QUICKLY, SLUG, load_sample
from domain.contract.filters import PropertyFilter
from domain.contract.property_search import Order
from domain.core.errors import DomainError
from domain.properties import search
from domain.tenants import tenants
from domain.users import users
from graph.core.nodes import global_id
from graph.identity import mint
from jobs.model_registry.training import train_tenant
from jobs.reindexing.indexer import Indexer
from ml.training.config import TrainingConfig
from settings import Settings
from tests.conformance.servers import ROOT, own_server

OURS = "graph.app:create_app"
"""The factory of the server that is measured."""

INVESTORS = 16
"""How many investors ask in turn: no answer is that of the request before."""

_QUICK_INVESTORS = 60


@dataclass(frozen=True, slots=True)
class Sample:
    """King County, trained on, in a folder.

    Attributes:
        data_dir: the folder of the services; servers are started on it.
        tokens: of sixteen of its investors, the first of them ``cli.first_start.INVESTOR``.
        properties: global ids of twenty houses, the same ones each time.
    """

    data_dir: Path
    tokens: tuple[str, ...]
    properties: tuple[str, ...]


@asynccontextmanager
async def trained_sample(data_dir: Path, *, quick: bool = False) -> AsyncIterator[Sample]:
    """The sample in the folder, loaded and trained on if it was not; its services run meanwhile.

    Args:
        data_dir: the folder; what is in it is kept and used again.
        quick: fewer investors and epochs, if it is to be made.
    """
    settings = Settings(_env_file=None, data_dir=data_dir)
    found = await asyncio.to_thread(runtime.services, settings)
    await asyncio.to_thread(runtime.migrate, found)
    async with runtime.connect(settings, found) as rt:
        async with rt.database.work(None) as work:
            try:
                tenant = await tenants.by_slug(work, SLUG)
            except DomainError:
                tenant = None
        if tenant is not None:
            tenant_id = tenant.id
        elif quick:
            tenant_id = await load_sample(rt.database, investors=_QUICK_INVESTORS)
        else:
            tenant_id = await load_sample(rt.database)
        if tenant is None or tenant.active_model_version_id is None:
            indexer = await Indexer.open(rt.database, rt.index, rt.twin)
            config = TrainingConfig(**QUICKLY) if quick else TrainingConfig()
            await train_tenant(indexer, tenant_id, config, silent)
        async with rt.database.work(tenant_id) as work:
            investors = (await users.list_all(work))[:INVESTORS]
            some = await search.page(work, PropertyFilter(), Order(), 20)
        lifetime = timedelta(hours=6)
        yield Sample(
            data_dir,
            tuple(
                mint(found.jwt_secret, tenant_id, one.id, [one.role], lifetime) for one in investors
            ),
            tuple(global_id("Property", one.id) for one in some),
        )


async def silent(_share: float, _message: str) -> None:
    """Report no progress."""


@contextmanager
def server(
    data_dir: Path,
    factory: str = OURS,
    root: Path = ROOT,
    settings: Mapping[str, str] | None = None,
) -> Iterator["Server"]:
    """A server process, ended in the end; ``settings`` are variables of its environment."""
    with own_server(data_dir, factory=factory, root=root, settings=settings) as started:
        yield Server(started.port, psutil.Process(started.pid))


@dataclass(frozen=True, slots=True)
class Load:
    """What a number of requests took.

    Attributes:
        cpu: seconds of the server process, user and system, for each request.
        times: seconds of each request as the client saw it.
    """

    cpu: float
    times: list[float]


@dataclass(frozen=True, slots=True)
class Server:
    """A server process, and requests to it."""

    port: int
    process: psutil.Process

    async def ready(self) -> None:
        """Wait until it answers. Raises TimeoutError after five minutes."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as client:
            await ready(client)

    async def ask(self, request: bytes) -> dict[str, Any]:
        """Send a message once and return the data. Raises RuntimeError if there are errors."""
        async with Connection(self.port) as connection:
            body: dict[str, Any] = orjson.loads(await connection.send(request))
        if "errors" in body:
            raise RuntimeError(body["errors"])
        data: dict[str, Any] = body["data"]
        return data

    async def load(self, requests: Sequence[bytes], count: int, at_once: int) -> Load:
        """Send messages in turn, ``count`` in all, over ``at_once`` connections."""
        times: list[float] = []
        turn = cycle(requests)

        async def caller(calls: int) -> None:
            async with Connection(self.port) as connection:
                for _ in range(calls):
                    request = next(turn)
                    start = time.perf_counter()
                    await connection.send(request)
                    times.append(time.perf_counter() - start)

        before = self.process.cpu_times()
        await asyncio.gather(*(caller(count // at_once) for _ in range(at_once)))
        after = self.process.cpu_times()
        cpu = after.user + after.system - before.user - before.system
        return Load(cpu / len(times), times)


def message(token: str, query: str, variables: dict[str, Any]) -> bytes:
    """The bytes of a request over HTTP/1.1."""
    body = orjson.dumps({"query": query, "variables": variables})
    head = (
        "POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Accept: application/json\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """One connection that is kept alive; hardly parses, since the client shares the machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> "Connection":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def send(self, request: bytes) -> bytes:
        """Send a message and return the body of the answer. Raises RuntimeError unless 200."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line[:15].lower() == b"content-length:"
        )
        body = await self._reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head.decode()}{body.decode()}")
        return body


async def ready(client: httpx.AsyncClient) -> None:
    """Wait until the server answers. Raises TimeoutError after five minutes."""
    async with asyncio.timeout(300):
        while True:
            try:
                (await client.get("/readyz")).raise_for_status()
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
            else:
                return


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
