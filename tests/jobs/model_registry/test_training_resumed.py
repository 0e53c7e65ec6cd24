"""Trainings that died between two stages, and what the next one makes of them."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.contract.snapshots import ModelKey
from domain.core.database import Database
from domain.model_registry import model_versions
from domain.model_registry.model_versions import ModelStatus, SpaceState
from domain.tenants import tenants
from domain.tenants.tenants import Tenant
from jobs.model_registry import training as training_module
from jobs.reindexing.indexer import Indexer
from jobs.reindexing.passes import Report
from ml.training.config import TrainingConfig
from runtime import Runtime
from tests.factories import build_town, train
from tests.jobs.reindexing.streets import train_streets

pytestmark = pytest.mark.slow

SMALL = TrainingConfig(epochs=1, batch_size=32, rerank_epochs=1, device="cpu")


class KilledError(BaseException):
    """Stands for a SIGKILL: nothing in the code under test may catch it."""


async def killed(*_: object, **__: object) -> None:
    raise KilledError


async def die_filling(indexer: Indexer, tenant_id: UUID, version_id: UUID, *_: object) -> None:
    """Once the space has something in it."""
    async with indexer.database.work(tenant_id) as work:
        await model_versions.begin_filling(work, version_id)

    async def report(share: float, message: str) -> None:
        if "investors" in message:
            raise KilledError

    await indexer.write_everything(tenant_id, report, version_id)
    raise AssertionError("not reached")


async def die_held(
    indexer: Indexer, tenant_id: UUID, version_id: UUID, report: Report, _: object
) -> None:
    """Once all is in the space, of a version that was held back from answering."""
    await indexer.fill(tenant_id, version_id, report)
    raise KilledError


# What is replaced by a death, and where the version stands then.
DEATHS: list[tuple[object, str, Callable[..., Awaitable[None]], ModelStatus, SpaceState]] = [
    (training_module, "_judged", killed, ModelStatus.TRAINED, SpaceState.NONE),
    (Indexer, "activate", die_filling, ModelStatus.EVALUATED, SpaceState.FILLING),
    (Indexer, "activate", die_held, ModelStatus.INDEXED, SpaceState.COMPLETE),
    (training_module, "keep_report", killed, ModelStatus.ACTIVE, SpaceState.COMPLETE),
]


def never(*_: object, **__: object) -> Any:
    raise AssertionError("trained again")


@pytest.mark.parametrize(("owner", "name", "death", "status", "space"), DEATHS)
async def test_a_run_taken_up_again_goes_on_where_it_was(
    rt: Runtime, database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch,
    owner: object, name: str, death: Callable[..., Awaitable[None]],
    status: ModelStatus, space: SpaceState,
) -> None:  # fmt: skip
    await build_town(database, tenant)
    run_id = uuid4()
    with monkeypatch.context() as dying:
        dying.setattr(owner, name, death)
        with pytest.raises(KilledError):
            await train_streets(rt, tenant, SMALL, run_id)
    async with database.work(tenant.id) as work:
        (left,) = await model_versions.page(work, 100)
        assert (left.status, left.space, left.run_id) == (status, space, run_id)

    monkeypatch.setattr(training_module, "train", never)
    done = await train_streets(rt, tenant, SMALL, run_id)
    assert (done.version_id, done.status) == (left.id, ModelStatus.ACTIVE)
    assert (done.properties, done.users) == (60, 12)
    assert all(gate["passed"] for gate in done.gates)
    async with database.work(tenant.id) as work:
        assert await model_versions.count(work) == 1
        assert await tenants.active_version_id(work) == left.id
    # And once more, as when the worker dies before it notes the end.
    assert await train_streets(rt, tenant, SMALL, run_id) == done


@pytest.mark.parametrize(("owner", "name", "death", "status", "space"), DEATHS[:2])
async def test_another_training_gives_up_what_a_dead_one_left(
    rt: Runtime, database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch,
    owner: object, name: str, death: Callable[..., Awaitable[None]],
    status: ModelStatus, space: SpaceState,
) -> None:  # fmt: skip
    await build_town(database, tenant)
    run_id = uuid4()
    with monkeypatch.context() as dying:
        dying.setattr(owner, name, death)
        with pytest.raises(KilledError):
            await train_streets(rt, tenant, SMALL, run_id)
    done = await train(rt, tenant, epochs=1)
    assert (done.number, done.status) == (2, ModelStatus.ACTIVE)

    async with database.work(tenant.id) as work:
        _, left = await model_versions.page(work, 100)
        assert left.space is SpaceState.NONE
        if status is ModelStatus.TRAINED:
            assert left.status is ModelStatus.REFUSED
            assert left.refusal == "its training ended before it was judged"
        else:
            assert (left.status, left.refusal) == (ModelStatus.RETIRED, None)
        assert await model_versions.indexed(work) == [done.version_id]
    assert await rt.index.space(ModelKey(tenant.id, left.id)).count() == 0
    # Whose run is taken up after all begins anew.
    again = await train_streets(rt, tenant, SMALL, run_id)
    assert (again.number, again.status) == (3, ModelStatus.ACTIVE)


async def test_what_waits_in_the_index_is_not_given_up(
    rt: Runtime, database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It passed its gates: it may have been kept back by an experiment."""
    await build_town(database, tenant)
    with monkeypatch.context() as dying:
        dying.setattr(Indexer, "activate", die_held)
        with pytest.raises(KilledError):
            await train_streets(rt, tenant, SMALL)
    await train(rt, tenant, epochs=1)
    async with database.work(tenant.id) as work:
        active, waiting = await model_versions.page(work, 100)
        assert (active.status, waiting.status) == (ModelStatus.ACTIVE, ModelStatus.INDEXED)


async def test_a_run_of_another_tenant_is_nobodys(
    rt: Runtime, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    run_id = uuid4()
    await build_town(database, tenant)
    await build_town(database, other_tenant)
    mine = await train_streets(rt, tenant, SMALL, run_id)
    theirs = await train_streets(rt, other_tenant, SMALL, run_id)
    assert theirs.version_id != mine.version_id
    assert (mine.number, theirs.number) == (1, 1)
