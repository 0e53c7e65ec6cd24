"""Two firms, the services and the server's processes, in a folder of their own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
from sqlalchemy import select

import embedded
import runtime
from domain.contract.vocabulary import Role
from domain.imports.interactions import import_interactions
from domain.imports.options import STRICT
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.jobs import job_runs
from domain.jobs.job_runs import UNFINISHED, JobRun, JobStatus
from domain.members import members
from domain.members.members import MemberInput
from domain.model_registry.model_versions import ModelStatus
from domain.properties.table import Property
from domain.tenants import policies, tenants
from domain.users import users
from graph.identity import mint
from jobs.model_registry.training import train_tenant
from jobs.reindexing.indexer import Indexer
from ml.training.config import TrainingConfig
from settings import Settings
from tests.conformance.servers import ROOT, free_port
from tests.endurance.api import Caller
from tests.endurance.data import Size, write_firm

SERVER_PROCESSES = 2
READY_WITHIN = 240.0
STOP_WITHIN = 60.0

# What the proof is not about: the gates have proofs of their own, and a made-up firm is no proof
# of how good a twin is.
_POLICY = {
    "least_f1": 0.0,
    "least_accuracy": 0.0,
    "ndcg_tolerance": 1.0,
    "drift_block": 1000.0,
}


class NotInTimeError(RuntimeError):
    """Something that was waited for did not happen; the message says what."""


@dataclass(slots=True)
class Firm:
    """A tenant and its people.

    Attributes:
        tenant_id: the tenant.
        slug: its slug.
        admin: asks for it.
        watching: investors who only ask.
        judging: investors who give feedback as well.
        houses: properties that stay as they are.
        moving: properties that change, by their external ids.
        ever: all properties that it ever had.
    """

    tenant_id: UUID
    slug: str
    admin: Caller
    watching: list[UUID]
    judging: list[UUID]
    houses: list[UUID]
    moving: dict[str, UUID]
    ever: set[UUID] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that runs, and this process's own way to it."""

    rt: runtime.Runtime
    data_dir: Path
    log: Path
    supervisor: psutil.Popen
    client: httpx.AsyncClient
    firm: Firm
    witness: Firm

    @property
    def firms(self) -> tuple[Firm, Firm]:
        """The one that everything happens to, and the one that must not notice."""
        return self.firm, self.witness

    async def is_ready(self) -> bool:
        """Whether a server process says that it can answer."""
        try:
            return (await self.client.get("/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    async def run(self, firm: Firm, run_id: UUID) -> JobRun:
        """A run as it stands."""
        async with self.rt.database.work(firm.tenant_id) as work:
            return await job_runs.get(work, run_id)

    async def request(self, firm: Firm, function: str, **arguments: Any) -> UUID:
        """Ask for a job; the run's id."""
        async with self.rt.database.work(firm.tenant_id) as work:
            return (await job_runs.request(work, function, arguments)).id

    async def finished(self, firm: Firm, run_id: UUID, within: float) -> JobRun:
        """Wait until a run has ended. Raises NotInTimeError."""
        run: JobRun | None = None
        try:
            async with asyncio.timeout(within):
                while (run := await self.run(firm, run_id)).status in UNFINISHED:
                    await asyncio.sleep(0.3)
        except TimeoutError:
            state = f"{run.status} at {run.progress:.0%}, {run.message}" if run else "unknown"
            raise NotInTimeError(
                f"a run of {run.function if run else run_id} did not end in {within:.0f} s: {state}"
            ) from None
        assert run is not None
        return run

    async def train(self, firm: Firm, within: float = 600.0, **options: Any) -> JobRun:
        """Train a version and have it answer. Raises RuntimeError if the run ends otherwise."""
        run = await self.finished(firm, await self.request(firm, job_runs.TRAIN, **options), within)
        if run.status is not JobStatus.SUCCEEDED:
            raise RuntimeError(f"the training of {firm.slug} {run.status}: {run.error}")
        return run


@asynccontextmanager
async def open_world(
    folder: Path,
    size: Size,
    seed: int,
    environment: Mapping[str, str] | None = None,
    **training: Any,
) -> AsyncIterator[World]:
    """Make two trained firms and serve them by ``twin serve``; all of it is stopped in the end.

    Args:
        folder: an empty folder.
        size: of each firm.
        seed: of the firms' data.
        environment: further settings of the processes.
        training: options of the first training.

    Raises:
        NotInTimeError: the server or a training did not come about.
    """
    data_dir = folder / "data"
    settings = Settings(_env_file=None, data_dir=data_dir, device="cpu")
    found = await asyncio.to_thread(runtime.services, settings)
    await asyncio.to_thread(runtime.migrate, found)
    log, port = folder / "server.log", free_port()
    url = f"http://127.0.0.1:{port}"
    # The server closes what is idle for five seconds: a question must not cross with that.
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=1.0)
    try:
        async with (
            runtime.connect(settings, found) as rt,
            httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client,
        ):
            firms = [
                await _found_firm(rt, client, folder, slug, size, seed + place)
                for place, slug in enumerate(("firm", "witness"))
            ]
            for one in firms:
                await _train_first(rt, one, training)
            supervisor = _serve(data_dir, log, port, environment or {})
            try:
                world = World(rt, data_dir, log, supervisor, client, firms[0], firms[1])
                await _until_ready(world)
                yield world
            finally:
                await asyncio.to_thread(_stop, supervisor)
    finally:
        embedded.release(data_dir)


async def _found_firm(
    rt: runtime.Runtime,
    client: httpx.AsyncClient,
    folder: Path,
    slug: str,
    size: Size,
    seed: int,
) -> Firm:
    properties, acts = await asyncio.to_thread(write_firm, folder, size, seed)
    tenant_id = uuid4()
    async with rt.database.work(tenant_id) as work:
        await tenants.create(work, slug)
        await import_properties(work, FileSource(properties), STRICT)
        await import_interactions(work, FileSource(acts), STRICT, create_users=True)
        await policies.change(work, _POLICY)
        await members.upsert(work, [MemberInput(external_id="judging-0", role=Role.ADMIN)])
        people = {one.external_id: one.id for one in await users.list_all(work)}
        rows = await work.session.execute(select(Property.external_id, Property.id))
        houses = dict(rows.all())
    admin = mint(
        rt.services.jwt_secret, tenant_id, people["judging-0"], [Role.ADMIN], timedelta(days=1)
    )
    return Firm(
        tenant_id,
        slug,
        Caller(client, admin),
        watching=[one for name, one in people.items() if name.startswith("watching")],
        judging=[one for name, one in people.items() if name.startswith("judging")],
        houses=[one for name, one in houses.items() if name.startswith("house")],
        moving={name: one for name, one in houses.items() if name.startswith("moving")},
        ever=set(houses.values()),
    )


async def _train_first(rt: runtime.Runtime, firm: Firm, options: dict[str, Any]) -> None:
    """Train in this process, which takes seconds less."""

    async def unheard(_share: float, _message: str) -> None:
        """Nobody waits for it."""

    indexer = await Indexer.open(rt.database, rt.index, rt.twin)
    config = TrainingConfig(device="cpu", **options)
    done = await train_tenant(indexer, firm.tenant_id, config, unheard)
    if done.status is not ModelStatus.ACTIVE:
        raise RuntimeError(f"the first version of {firm.slug} does not answer: {done.refusal}")


def _serve(data_dir: Path, log: Path, port: int, environment: Mapping[str, str]) -> psutil.Popen:
    with log.open("ab") as output:
        return psutil.Popen(
            [
                *(sys.executable, "-m", "cli", "serve", "--no-sample"),
                f"--workers={SERVER_PROCESSES}",
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ
            | {
                "DATA_DIR": str(data_dir),
                "PORT": str(port),
                "DEVICE": "cpu",
                "LOG_LEVEL": "warning",
                "RATE_LIMIT_CAPACITY": "1000000000",
                "RATE_LIMIT_REFILL": "1000000000",
            }
            | dict(environment),
            start_new_session=True,
        )


async def _until_ready(world: World) -> None:
    try:
        async with asyncio.timeout(READY_WITHIN):
            while not await world.is_ready():
                if world.supervisor.poll() is not None:
                    raise NotInTimeError(
                        f"the server ended; its log: {world.log.read_text()[-2000:]}"
                    )
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise NotInTimeError(f"the server was not ready in {READY_WITHIN:.0f} s") from None


def _stop(supervisor: psutil.Popen) -> None:
    """Stop the server in order, and whatever of it is left by force."""
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        family = supervisor.children(recursive=True)
        supervisor.terminate()
    try:
        supervisor.wait(STOP_WITHIN)
    except psutil.TimeoutExpired:
        supervisor.kill()
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
