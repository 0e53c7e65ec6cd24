"""Fixtures on the real services, embedded in a folder of the test session's own."""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import runtime
from domain import tenants
from domain.database import Database
from domain.tenants import Tenant
from domain.work import Job
from settings import Settings
from tests import tracing
from tests.factories import Town, build_town, train


def pytest_configure() -> None:
    """Whatever services this shell points at, the tests start their own."""
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a data folder of its own."""
    data_dir: Path = tmp_path_factory.mktemp("data")
    return Settings(_env_file=None, data_dir=data_dir, device="cpu")


@pytest.fixture(scope="session")
def services(settings: Settings) -> runtime.Services:
    """Embedded PostgreSQL (migrated), Redis and Qdrant."""
    found = runtime.services(settings)
    runtime.migrate(found)
    return found


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
