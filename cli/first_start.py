"""The first start on a machine of one's own: a sample to look at, loaded and then trained on.

The import is one transaction and the training is a job like any other, so that a first start which
was interrupted at any point is finished by the next one.
"""

import asyncio
import csv
import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

import runtime
from cli.console import Update, progress, say
from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.core.work import Work
from domain.imports.interactions import import_interactions
from domain.imports.options import STRICT
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.jobs import job_runs
from domain.jobs.job_runs import JobRun
from domain.model_registry import model_versions
from domain.model_registry.model_versions import ModelVersion
from domain.tenants import tenants
from domain.tenants.tenants import Tenant
from domain.users.users import User
from sample.export import DEFAULT_INVESTORS, build_sample, write_sample

SLUG = "king-county"
NAME = "King County (real houses, simulated investors)"
INVESTOR = "investor-001"
SAMPLE = "sample"
"""The actor of its imports."""

PROPERTY_FILES = ("properties-simulated.csv.gz", "properties-derived.csv.gz", "properties.csv.gz")
"""The records come last, so that a house as a whole has their source and confidence."""


QUICKLY: dict[str, Any] = {"epochs": 8}
"""Options of a training that do for a first look; the sample learns little from more."""

LOOK_EVERY = 0.5
"""Seconds between two looks at how far the training got."""

LEFT_WITHIN = 5.0
"""Seconds that the last look may take when the server is stopped."""

_UNREACHABLE = (asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError, OSError)
"""What is raised where PostgreSQL is down, by its driver and by SQLAlchemy."""


async def prepare_sample(
    database: Database,
    *,
    investors: int = DEFAULT_INVESTORS,
    most_houses: int | None = None,
    training: Mapping[str, object] = QUICKLY,
) -> None:
    """Load the sample and request a training on it, as far as that was not done before.

    Args:
        database: where to.
        investors: how many to simulate.
        most_houses: how many houses to take at most, from all over the county; all if None.
        training: options of the training job.
    """
    tenant = await _tenant(database)
    if tenant is None:
        with progress("Loading the sample", transient=True) as update:
            tenant_id = await load_sample(database, update, investors, most_houses)
    else:
        tenant_id = tenant.id
    if tenant is None or tenant.active_model_version_id is None:
        async with database.work(tenant_id) as work:
            await job_runs.request(work, job_runs.TRAIN, training)


@contextmanager
def training_shown(found: runtime.Services) -> Iterator[None]:
    """Show how far the sample's training got while the block runs, if one is under way."""
    over = threading.Event()
    shows = threading.Thread(target=_follow, args=(found, over), daemon=True, name="training-shown")
    shows.start()
    try:
        yield
    finally:
        over.set()
        # Not for longer, where PostgreSQL does not answer.
        shows.join(LEFT_WITHIN)


def _follow(found: runtime.Services, over: threading.Event) -> None:
    try:
        asyncio.run(_show(found, over))
    except (DomainError, *_UNREACHABLE) as error:
        # The server goes on, and so does the training.
        why = " ".join(str(error).split()) or type(error).__name__
        say(f"Training: not shown any further: {why}", err=True)


async def _show(found: runtime.Services, over: threading.Event) -> None:
    async with runtime.connect_reader(found) as database:
        tenant = await _tenant(database)
        if tenant is None or tenant.active_model_version_id is not None:
            return
        async with database.work(tenant.id) as work:
            under_way = await job_runs.unfinished(work)
        run = next((one for one in under_way if one.function == job_runs.TRAIN), None)
        if run is None:
            return
        active: ModelVersion | None = None
        with progress("Training", every=30.0, transient=True) as update:
            while active is None and run.status in job_runs.UNFINISHED and not over.is_set():
                update(run.progress, run.message or "waiting for the training worker")
                await asyncio.sleep(LOOK_EVERY)
                # PostgreSQL may be starting again: then the next look tells.
                with suppress(*_UNREACHABLE):
                    async with database.work(run.tenant_id) as work:
                        run = await job_runs.get(work, run.id)
                        active = await model_versions.active(work)
        say(f"Training: {_outcome(active, run)}", err=True)


def _outcome(active: ModelVersion | None, run: JobRun) -> str:
    if active is not None:
        return f"version {active.number} of the twin answers now"
    if run.status in job_runs.UNFINISHED:
        return "interrupted; the next start continues it"
    result = run.result or {}
    why = result.get("refusal") or result.get("waits_for") or run.message
    return f"{run.status.value}, but no version answers: {why}"


async def load_sample(
    database: Database,
    update: Update = lambda _share, _message: None,
    investors: int = DEFAULT_INVESTORS,
    most_houses: int | None = None,
) -> UUID:
    """Simulate the sample and import it, in one transaction, into a tenant of its own.

    Args:
        database: where to.
        update: is told how far it got.
        investors: how many to simulate.
        most_houses: how many houses to take at most; all if None.

    Returns:
        The tenant's id.
    """
    with TemporaryDirectory(prefix="king-county-") as name:
        folder = Path(name)
        update(0.0, "simulating investors")
        write_sample(build_sample(investors=investors, most_houses=most_houses), folder)
        async with database.work(uuid4()) as work:
            await tenants.create(work, SLUG, NAME)
            for number, file in enumerate(PROPERTY_FILES):
                update(0.2 + 0.2 * number, f"importing {file}")
                await import_properties(work, FileSource(folder / file), STRICT, actor=SAMPLE)
            await _add_users(work, folder / "users.csv.gz")
            update(0.8, "importing interactions.csv.gz")
            acts = FileSource(folder / "interactions.csv.gz")
            await import_interactions(work, acts, STRICT, actor=SAMPLE)
            return work.tenant_id


async def _tenant(database: Database) -> Tenant | None:
    async with database.work(None) as work:
        found: Tenant | None = await work.session.scalar(select(Tenant).where(Tenant.slug == SLUG))
        return found


async def _add_users(work: Work, path: Path) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        people = list(csv.DictReader(file))
    for person in people:
        work.session.add(
            User(
                tenant_id=work.tenant_id,
                external_id=person["external_id"],
                email=person["email"],
                name=person["name"],
                role=Role.ANALYST,
                simulated=True,
            )
        )
    await work.session.flush()
