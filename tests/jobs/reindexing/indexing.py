"""Tenants with an index, and what the tests of indexing ask of both."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import update

from domain.contract.snapshots import ModelKey
from domain.core.database import Database
from domain.jobs import index_outbox, job_runs
from domain.jobs.index_outbox import Marked
from domain.model_registry import model_versions
from domain.properties import snapshots
from domain.properties.table import Property
from domain.tenants import tenants
from domain.tenants.tenants import Tenant
from jobs.reindexing.indexer import Indexer
from ml.index.space import Space
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import Town, add_property, build_town


async def unheard(_share: float, _message: str) -> None:
    """Report to nobody."""


async def add_version(database: Database, trained: ModelKey, tenant_id: UUID) -> ModelKey:
    """A copy of a trained version as a tenant's newest, which is not in the index."""
    async with database.work(trained.tenant_id) as work:
        stored = await model_versions.stored(work, trained.version_id)
    async with database.work(tenant_id) as work:
        version = await model_versions.add(work, stored.weights, stored.metadata, {})
        await model_versions.judge(work, version.id, [], None)
    return ModelKey(tenant_id, version.id)


async def active(database: Database, tenant_id: UUID) -> ModelKey:
    """The tenant's active version."""
    async with database.work(tenant_id) as work:
        version_id = await tenants.active_version_id(work)
    assert version_id is not None
    return ModelKey(tenant_id, version_id)


class Place:
    """A town of the test's own, answered for by the twin of another, and its indexer."""

    def __init__(self, town: Town, indexer: Indexer, model: ModelKey) -> None:
        self.town = town
        self.indexer = indexer
        self.database = indexer.database
        self.model = model
        self.tenant: Tenant = town.tenant
        self.id = town.tenant.id

    @classmethod
    async def found(
        cls, rt: Runtime, database: Database, trained: Town, houses: int = 60
    ) -> "Place":
        """A place whose first version is active."""
        town = await build_town(database, await new_tenant(database), houses)
        indexer = Indexer(database, rt.index, rt.twin)
        async with database.work(trained.tenant.id) as work:
            source = await model_versions.by_number(work, 1)
        model = await add_version(database, ModelKey(trained.tenant.id, source.id), town.tenant.id)
        await indexer.activate(town.tenant.id, model.version_id, unheard)
        return cls(town, indexer, model)

    def space(self, model: ModelKey | None = None) -> Space:
        """The space of a version; of the first if none is named."""
        return self.indexer.index.space(model or self.model)

    async def new_version(self) -> ModelKey:
        """A further version, evaluated."""
        return await add_version(self.database, self.model, self.id)

    async def version(self, model: ModelKey) -> model_versions.ModelVersion:
        """A version's row."""
        async with self.database.work(self.id) as work:
            return await model_versions.get(work, model.version_id)

    async def active(self) -> ModelKey:
        """The version that answers."""
        return await active(self.database, self.id)

    async def property_ids(self) -> set[UUID]:
        """The properties in the database."""
        async with self.database.work(self.id) as work:
            return await snapshots.ids(work)

    async def set_price(self, property_id: UUID, price: float, *, marked: bool = True) -> None:
        """Change a property; unmarked, past the domain, as nobody may."""
        async with self.database.work(self.id) as work:
            await work.session.execute(
                update(Property).where(Property.id == property_id).values(listing_price=price)
            )
            if marked:
                await index_outbox.follow(work, Marked.PROPERTY, [property_id])

    async def add_properties(self, count: int) -> list[UUID]:
        """Create properties, marked as the domain does."""
        async with self.database.work(self.id) as work:
            new = [(await add_property(work)).id for _ in range(count)]
            await index_outbox.mark(work, Marked.PROPERTY, new)
        return new

    async def mark(self, kind: Marked, ids: Sequence[UUID]) -> None:
        """Mark subjects that did not change."""
        async with self.database.work(self.id) as work:
            await index_outbox.mark(work, kind, ids)

    async def marks(self) -> int:
        """How many marks wait."""
        async with self.database.work(self.id) as work:
            return (await index_outbox.waiting(work)).marks

    async def index_marked(self) -> None:
        """Follow the marks, all of them."""
        assert not await self.indexer.index_marked(self.id)

    async def is_in_step(self, *models: ModelKey) -> bool:
        """Whether spaces hold what the database does, to the number; of the first if none."""
        for model in models or (self.model,):
            found = await self.indexer.differences(self.id, model.version_id)
            assert found.compared
            if found:
                return False
        return True

    async def asked(self, function: str) -> list[job_runs.JobRun]:
        """The runs of a function, newest first."""
        async with self.database.work(self.id) as work:
            return [run for run in await job_runs.recent(work) if run.function == function]
