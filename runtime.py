"""What every process is made of: the services, embedded or by URL, and the objects on them.

Used by the composition roots alone: ``graph/app.py``, ``jobs/worker.py``, ``cli`` and
``migrations/env.py``. PyTorch and Qdrant's client take seconds to import, and SQLAlchemy, arq and
Alembic tenths of one: each function imports what it needs, so that a quick command stays quick.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from domain.core import driver
from settings import Settings, SettingsError

if TYPE_CHECKING:
    from domain.contract.snapshots import ModelKey, StoredModel
    from domain.core.broker import Broker
    from domain.core.database import Database
    from domain.recommendations.recommender import Recommender
    from jobs.queue.queue import JobQueue
    from ml.index.index import EmbeddingIndex
    from ml.serving.inference import TwinService

ALEMBIC_INI = Path(__file__).with_name("alembic.ini")
MIGRATIONS = Path(__file__).with_name("migrations") / "versions"


@dataclass(frozen=True, slots=True)
class Services:
    """Where the services are, and the secret that signs development tokens.

    Attributes:
        embedded: whether any of them is a local child process of this project.
        database_direct_url: past the pooler in transaction mode that ``database_url`` leads to;
            None without one.
    """

    database_url: str
    migration_database_url: str | None
    redis_url: str
    qdrant_url: str
    jwt_secret: str
    embedded: bool
    database_direct_url: str | None = None


@dataclass(frozen=True, slots=True)
class Runtime:
    """The long-lived objects of one process."""

    services: Services
    database: "Database"
    queue: "JobQueue"
    broker: "Broker"
    index: "EmbeddingIndex"
    twin: "TwinService"
    recommender: "Recommender"


def services(settings: Settings) -> Services:
    """Find the services that have a URL and start the others embedded (never in production).

    Raises:
        embedded.EmbeddedError: a service cannot start; the message says which and why.
    """
    if settings.production:
        # Settings refuse to load without these in production.
        return Services(
            database_url=settings.database_url or "",
            migration_database_url=settings.migration_database_url,
            redis_url=settings.redis_url or "",
            qdrant_url=settings.qdrant_url or "",
            jwt_secret=settings.jwt_secret.get_secret_value() if settings.jwt_secret else "",
            embedded=False,
            database_direct_url=settings.database_direct_url,
        )
    # Not installed in production.
    import embedded

    local = embedded.ensure(
        settings.data_dir,
        postgres=settings.database_url is None,
        redis=settings.redis_url is None,
        qdrant=settings.qdrant_url is None,
    )
    secret = settings.jwt_secret
    return Services(
        database_url=settings.database_url or local.database_url or "",
        migration_database_url=settings.migration_database_url or local.migration_database_url,
        redis_url=settings.redis_url or local.redis_url or "",
        qdrant_url=settings.qdrant_url or local.qdrant_url or "",
        jwt_secret=secret.get_secret_value() if secret else _development_secret(settings.data_dir),
        embedded=any((local.database_url, local.redis_url, local.qdrant_url)),
        database_direct_url=settings.database_direct_url,
    )


def _development_secret(data_dir: Path) -> str:
    """The folder's own secret, made once, readable by its owner alone."""
    path = data_dir / "jwt_secret"
    if not path.exists():
        # Written elsewhere and linked: processes that start together agree, and none reads half.
        with NamedTemporaryFile("w", dir=data_dir) as draft:
            draft.write(secrets.token_urlsafe(48))
            draft.flush()
            with suppress(FileExistsError):
                os.link(draft.name, path)
    return path.read_text()


def migrate(found: Services, revision: str = "head") -> None:
    """Bring the database to a revision as the owner of the tables. Not within an event loop.

    Raises:
        SettingsError: no URL names the owner's role.
    """
    if found.migration_database_url is None:
        raise SettingsError("MIGRATION_DATABASE_URL: migrations need the role that owns the tables")
    if revision == "head" and asyncio.run(_is_migrated(found.migration_database_url)):
        return
    from alembic import command
    from alembic.config import Config

    config = Config(ALEMBIC_INI)
    config.attributes["services"] = found
    if revision == "base":
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


async def _is_migrated(database_url: str) -> bool:
    async with driver.connect(database_url) as connection:
        return await driver.revision(connection) == latest_revision()


def latest_revision() -> str:
    """The newest migration that this code knows: their files begin with their revisions."""
    return max(path.name.partition("_")[0] for path in MIGRATIONS.glob("[0-9]*_*.py"))


@asynccontextmanager
async def connect_database(
    found: Services, *, statement_timeout: float | None = None, lease: float | None = None
) -> "AsyncIterator[tuple[Database, JobQueue, Broker]]":
    """Open the database, and where its jobs and events go to, and close them in the end.

    Args:
        found: where they are.
        statement_timeout: see ``Database``.
        lease: see ``Database``.

    Raises:
        domain.core.driver.UnsafeRoleError: the database role could read across tenants.
        domain.core.database.PoolerError: a pooler keeps the process from hearing notifications.
    """
    from domain.core.broker import Broker
    from domain.core.database import Database
    from domain.core.leases import LIFETIME
    from jobs.queue.queue import JobQueue

    queue = await JobQueue.connect(found.redis_url)
    broker = Broker(found.redis_url)
    database = Database(
        found.database_url,
        queue.enqueue,
        broker.publish,
        direct_url=found.database_direct_url,
        statement_timeout=statement_timeout,
        lease=LIFETIME if lease is None else lease,
    )
    try:
        await database.refuse_pooler()
        await database.refuse_unsafe_role()
        yield database, queue, broker
    finally:
        await database.close()
        await broker.close()
        await queue.close()


@asynccontextmanager
async def connect_reader(found: Services) -> "AsyncIterator[Database]":
    """Open the database for one who reads: what such a one enqueued or published would be lost.

    Raises:
        domain.core.driver.UnsafeRoleError: the database role could read across tenants.
    """
    from domain.core.database import Database

    async def drop(_: object) -> None:
        """There is no queue."""

    # Nothing is listened to: the URL only has statements go unnamed, through whatever pooler.
    direct_url = found.database_direct_url or found.database_url
    database = Database(found.database_url, drop, direct_url=direct_url)
    try:
        await database.refuse_unsafe_role()
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def connect(
    settings: Settings,
    found: Services,
    *,
    statement_timeout: float | None = None,
    catalogues: bool = False,
) -> AsyncIterator[Runtime]:
    """Open everything on the services, and close it in the end.

    Args:
        settings: how.
        found: where the services are.
        statement_timeout: see ``Database``.
        catalogues: whether properties are held in memory: for a process that answers many requests
            and follows what changes. For others the index answers.

    Raises:
        domain.core.driver.UnsafeRoleError: the database role could read across tenants.
        domain.core.database.PoolerError: a pooler keeps the process from hearing notifications.
    """
    from domain.model_registry import model_versions
    from domain.properties.feed import DatabaseFeed
    from domain.recommendations.recommender import Recommender
    from ml.index import client as qdrant
    from ml.index.index import EmbeddingIndex
    from ml.serving.inference import TwinService

    opened = connect_database(found, statement_timeout=statement_timeout, lease=settings.job_lease)
    async with opened as (database, queue, broker):
        api_key = settings.qdrant_api_key
        client = qdrant.connect(found.qdrant_url, api_key.get_secret_value() if api_key else None)
        index = EmbeddingIndex(client, settings.qdrant_quantization)

        async def load(key: "ModelKey") -> "StoredModel":
            async with database.work(key.tenant_id) as work:
                return await model_versions.stored(work, key.version_id)

        twin = TwinService(
            index,
            load,
            device=settings.device,
            capacity=settings.twin_cache_size,
            feed=DatabaseFeed(database) if catalogues else None,
            memory=settings.catalogue_memory,
            limit=settings.catalogue_limit,
        )
        try:
            recommender = Recommender(database, twin)
            yield Runtime(found, database, queue, broker, index, twin, recommender)
        finally:
            await twin.close()
            await client.close()
