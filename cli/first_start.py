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
from uuid import UUID, uuid4

from sqlalchemy import select

from cli.console import Update, progress
from cli.supervision import ServingError, start_twin
from domain import tenants
from domain.database import Database
from domain.imports import import_interactions, import_properties
from domain.tenants import Tenant
from domain.users import User
from domain.vocabulary import Role
from domain.work import Job, Work
from sample.export import DEFAULT_INVESTORS, build_sample, write_sample

SLUG = "king-county"
NAME = "King County (real houses, simulated investors)"
INVESTOR = "investor-001@simulated.example"
PROPERTY_FILES = ("properties-simulated.csv.gz", "properties-derived.csv.gz", "properties.csv.gz")
"""The records come last, so that a house as a whole has their source and confidence."""


QUICKLY = ("--epochs", "8")
"""Options of ``twin train`` that do for a first look; the sample learns little from more."""


def prepare_sample(
    database_url: str,
    *,
    investors: int = DEFAULT_INVESTORS,
    most_houses: int | None = None,
    training: Sequence[str] = QUICKLY,
) -> None:
    """Load the sample and train a twin on it, as far as that was not done before.

    Args:
        database_url: of the application's role.
        investors: how many to simulate.
        most_houses: how many houses to take at most, from all over the county; all if None.
        training: options of ``twin train``.

    Raises:
        ServingError: the training failed; what it wrote says why.
    """
    tenant = asyncio.run(_tenant(database_url))
    if tenant is None:
        with progress("Sample") as update:
            asyncio.run(_load(database_url, investors, most_houses, update))
    if tenant is None or tenant.active_model_version_id is None:
        # A process of its own: it leaves no threads and no used-up memory behind in this one.
        with start_twin(["train", f"--tenant={SLUG}", *training], detached=False) as child:
            failed = child.wait() != 0
        if failed:
            raise ServingError("the training on the sample failed; a new start retries it")


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
                await import_properties(work, folder / file, strict=True)
            await _add_users(work, folder / "users.csv.gz")
            update(0.8, "importing interactions.csv.gz")
            await import_interactions(work, folder / "interactions.csv.gz", strict=True)
            return work.tenant_id


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


async def _load(database_url: str, investors: int, most_houses: int | None, update: Update) -> None:
    async with _database(database_url) as database:
        await load_sample(database, update, investors, most_houses)


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
