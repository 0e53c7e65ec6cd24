"""Fixtures on the real, embedded services, and the tiers of the tests.

All processes of a run share one PostgreSQL and one Qdrant. PostgreSQL is migrated once; each
process works in a clone of that database, and has a Redis of its own.
"""

import asyncio
import gc
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from uuid import UUID, uuid4

import asyncpg
import hypothesis
import pytest
from filelock import FileLock
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import make_url

import embedded
import runtime
from domain.core.database import Database
from domain.core.work import Job
from domain.tenants import tenants
from domain.tenants.tenants import Tenant
from settings import Settings
from tests import tracing
from tests.factories import Town, build_town, train

ENVIRONMENT = {
    # Data survives killed processes all the same; no test cuts the power.
    "TWIN_EMBEDDED_FSYNC": "off",
    # Several processes share the cores: threads that spin for one another cost more than they save.
    "OMP_NUM_THREADS": "1",
}
FOLDER = "twin-tests-"
"""What the folder of a run is called, before letters of its own."""

KEPT_FOR = 86_400.0
"""Seconds after which a later run removes the folder of one that failed."""

TEMPLATE = "twin"
"""The database that is migrated once and cloned."""

# How long an example takes says more about what else the machine does than about the code.
_ANY_TIME = hypothesis.settings(
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.register_profile("fixed", _ANY_TIME, derandomize=True, max_examples=50)
hypothesis.settings.register_profile("random", _ANY_TIME, derandomize=False, max_examples=300)
hypothesis.settings.load_profile("fixed")

_own_folder = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Whatever services this shell points at, the tests start their own, in a new folder.

    pytest closes its default folder to other users at every start, which would lock out the
    PostgreSQL of another run: started by root, it does not run as root.
    """
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
    os.environ.update(ENVIRONMENT)
    if config.option.basetemp is None:
        # Unix sockets lie below it; macOS's own temporary folder leaves no room for their paths.
        parent = "/tmp" if sys.platform == "darwin" else gettempdir()
        for folder in Path(parent).glob(f"{FOLDER}*"):
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > KEPT_FOR:
                    shutil.rmtree(folder, ignore_errors=True)
        folder = config.stash[_own_folder] = Path(mkdtemp(prefix=FOLDER, dir=parent))
        config.option.basetemp = folder / "run"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remove the folder, unless somebody may want to look at what failed."""
    folder = session.config.stash.get(_own_folder, None)
    if folder is None:
        return
    if exitstatus in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERNAL_ERROR):
        print(f"\nwhat the tests wrote is kept in {folder}")  # noqa: T201
        return
    deadline = time.monotonic() + 60
    while any(map(embedded.status, (folder / "run").glob("*/"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort every test into a tier, and the slow ones, which decide when a run ends, to the front.

    ``slow`` is marked by hand, and ``integration`` where a test starts services by itself.
    """
    for item in items:
        tiers = {mark.name for mark in item.iter_markers()} & {"integration", "slow"}
        if not tiers:
            uses_services = "settings" in getattr(item, "fixturenames", ())
            item.add_marker("integration" if uses_services else "unit")
    files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in files)


def pytest_collection_finish() -> None:
    """Have the collector pass over what was imported: most of the heap, and here to stay."""
    # Hypothesis warns if the collector does not see who refers to its random numbers, which from
    # Python 3.14 on it does not for a frozen heap: have it look before.
    hypothesis.find(hypothesis.strategies.none(), lambda _: True)
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all processes of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def settings(run_folder: Path) -> Iterator[Settings]:
    """Settings of this process: the shared services, and a data folder for what is its own."""
    process = os.environ.get("PYTEST_XDIST_WORKER", "main")
    shared, own = run_folder / "services", run_folder / f"data-{process}"
    database = f"twin_{process}"
    with FileLock(run_folder / "services.lock"):
        urls = embedded.ensure(shared, redis=False)
        template = Settings(
            _env_file=None,
            database_url=urls.database_url,
            migration_database_url=urls.migration_database_url,
            qdrant_url=urls.qdrant_url,
            redis_url="redis://unused",
            data_dir=shared,
        )
        runtime.migrate(runtime.services(template))
        asyncio.run(clone_database(str(urls.migration_database_url), database))
    yield template.model_copy(
        update={
            "database_url": in_database(str(urls.database_url), database),
            "migration_database_url": in_database(str(urls.migration_database_url), database),
            "redis_url": None,
            "data_dir": own,
            "device": "cpu",
        }
    )
    embedded.release(own)
    embedded.release(shared)


def in_database(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


async def clone_database(owner_url: str, name: str, template: str = TEMPLATE) -> None:
    """Create a database as the template is, of the same owner."""
    url = make_url(owner_url)
    connection = await asyncpg.connect(
        host=str(url.query["host"]), port=5432, user="postgres", database="postgres"
    )
    try:
        await connection.execute(
            f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER {url.username}'
        )
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def services(settings: Settings) -> runtime.Services:
    """PostgreSQL (migrated), Redis and Qdrant."""
    return runtime.services(settings)


@pytest.fixture(scope="session")
def service_environment(settings: Settings) -> dict[str, str]:
    """The environment variables by which a process of its own finds the tests' services."""
    names = ("data_dir", "database_url", "migration_database_url", "qdrant_url", "device")
    return {name.upper(): str(getattr(settings, name)) for name in names}


@pytest.fixture(scope="session")
async def rt(settings: Settings, services: runtime.Services) -> AsyncIterator[runtime.Runtime]:
    """The long-lived objects of a process, jobs going to the real queue."""
    async with runtime.connect(settings, services) as opened:
        yield opened


@pytest.fixture(scope="session")
def job_log() -> list[Job]:
    """What ``database`` enqueued over the whole session; use ``enqueued``."""
    return []


@pytest.fixture
def enqueued(job_log: list[Job]) -> list[Job]:
    """What ``database`` enqueued in this test."""
    job_log.clear()
    return job_log


@pytest.fixture(scope="session")
async def database(services: runtime.Services, job_log: list[Job]) -> AsyncIterator[Database]:
    """The application's database; its jobs are only noted down."""

    async def note(jobs: Sequence[Job]) -> None:
        job_log.extend(jobs)

    opened = Database(services.database_url, note)
    yield opened
    await opened.close()


@asynccontextmanager
async def without_jobs(url: str) -> AsyncIterator[Database]:
    """The application's database at a URL, for this event loop; its jobs are dropped."""

    async def drop(_: Sequence[Job]) -> None:
        pass

    opened = Database(url, drop)
    try:
        yield opened
    finally:
        await opened.close()


async def new_tenant(database: Database) -> Tenant:
    """A committed tenant with a slug of its own."""
    tenant_id: UUID = uuid4()
    async with database.work(tenant_id) as work:
        return await tenants.create(work, f"tenant-{tenant_id.hex[:12]}")


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    """A fresh tenant."""
    return await new_tenant(database)


@pytest.fixture
async def other_tenant(database: Database) -> Tenant:
    """A second fresh tenant."""
    return await new_tenant(database)


@pytest.fixture(scope="module")
async def trained(rt: runtime.Runtime, database: Database) -> Town:
    """A tenant of the module's own with two versions, of which the second answers."""
    built = await build_town(database, await new_tenant(database))
    for seed in (0, 1):
        await train(rt, built.tenant, seed=seed)
    return built


@pytest.fixture(scope="session")
async def town(rt: runtime.Runtime, database: Database) -> Town:
    """A trained tenant for tests that only read; see ``Town``."""
    built = await build_town(database, await new_tenant(database))
    await train(rt, built.tenant)
    return built


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Keeps the spans of this test."""
    with tracing.kept() as spans:
        yield spans
