"""The first start on a machine of one's own: a sample to look at, loaded and trained on.

The import is one transaction and the training activates its version in the end, so that an
interrupted first start is finished by the next one.
"""

import asyncio
import csv
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from sqlalchemy import select

from cli import serving
from cli.console import Update, progress
from domain import tenants
from domain.database import Database
from domain.imports import import_interactions, import_properties
from domain.tenants import Tenant
from domain.users import User
from domain.vocabulary import Role
from domain.work import Job, Work

SLUG = "king-county"
NAME = "King County (real houses, simulated investors)"
INVESTOR = "investor-001@simulated.example"
PROPERTY_FILES = ("properties.csv.gz", "properties-derived.csv.gz", "properties-simulated.csv.gz")


def prepare_sample(database_url: str) -> None:
    """Load the sample and train a twin on it, as far as that was not done before.

    Raises:
        ServingError: the training failed; what it wrote says why.
    """
    tenant = asyncio.run(_tenant(database_url))
    if tenant is None:
        _load(database_url)
    if tenant is None or tenant.active_model_version_id is None:
        # A process of its own: it leaves no threads and no used-up memory behind in this one.
        training = serving.start_twin(["train", f"--tenant={SLUG}"], detached=False)
        if training.wait():
            raise serving.ServingError("the training on the sample failed; a new start retries it")


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[Database]:
    async def drop(_: Sequence[Job]) -> None:
        """The training puts everything into the index anyway."""

    database = Database(url, drop)
    try:
        yield database
    finally:
        await database.close()


async def _tenant(database_url: str) -> Tenant | None:
    async with _database(database_url) as database, database.work(None) as work:
        found: Tenant | None = await work.session.scalar(select(Tenant).where(Tenant.slug == SLUG))
        return found


def _load(database_url: str) -> None:
    from sample.export import build_sample, write_sample

    with TemporaryDirectory(prefix="king-county-") as folder, progress("Sample") as update:
        update(0.0, "simulating investors")
        write_sample(build_sample(), Path(folder))
        with gzip.open(Path(folder, "users.csv.gz"), "rt", encoding="utf-8") as file:
            people = list(csv.DictReader(file))
        asyncio.run(_import(database_url, Path(folder), people, update))


async def _import(
    database_url: str, folder: Path, people: list[dict[str, str]], update: Update
) -> None:
    async with _database(database_url) as database, database.work(uuid4()) as work:
        await tenants.create(work, SLUG, NAME)
        for number, name in enumerate(PROPERTY_FILES):
            update(0.2 + 0.2 * number, f"importing {name}")
            await import_properties(work, folder / name, strict=True)
        await _add_users(work, people)
        update(0.8, "importing interactions.csv.gz")
        await import_interactions(work, folder / "interactions.csv.gz", strict=True)


async def _add_users(work: Work, people: list[dict[str, str]]) -> None:
    for person in people:
        work.session.add(
            User(
                tenant_id=work.tenant_id,
                external_id=person["external_id"],
                email=person["email"],
                name=person["name"],
                role=Role.VIEWER,
                simulated=True,
            )
        )
    await work.session.flush()
