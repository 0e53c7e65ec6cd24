"""What a training may put into service, and what it keeps of what it may not."""

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from domain.contract.snapshots import ModelKey
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.interactions import histories, interactions
from domain.model_registry import evaluations, model_versions
from domain.model_registry.model_versions import ModelStatus, SpaceState
from domain.tenants import experiments, policies, tenants
from domain.tenants.experiments import Experiment
from domain.tenants.tenants import Tenant
from jobs.model_registry import training as training_module
from jobs.model_registry.training import EXPERIMENT, Training
from ml.training.config import TrainingConfig
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import build_town, train
from tests.jobs.reindexing.streets import build_streets, shuffle_labels, train_streets

pytestmark = pytest.mark.slow

SMALL = TrainingConfig(epochs=1, batch_size=32, rerank_epochs=1, device="cpu")


def failed(training: Training) -> set[str]:
    return {gate["gate"] for gate in training.gates if not gate["passed"]}


async def answer(rt: Runtime, database: Database, tenant: Tenant) -> np.ndarray:
    """What the tenant's active version says of what somebody acted on."""
    async with database.work(tenant.id) as work:
        version_id = await tenants.active_version_id(work)
        assert version_id is not None
        (user_id, *_) = await interactions.active_investors(work)
        history = (await histories.get_many(work, [user_id]))[user_id]
    return await rt.twin.score(ModelKey(tenant.id, version_id), [history], history.properties)


@pytest.fixture(scope="module")
async def refused(rt: Runtime, database: Database) -> tuple[Tenant, Training, Training, np.ndarray]:
    """A tenant whose second training saw shuffled labels, and what was answered before that."""
    tenant = await new_tenant(database)
    await build_streets(database, tenant)
    good = await train_streets(rt, tenant)
    await shuffle_labels(database, tenant)
    then = await answer(rt, database, tenant)
    bad = await train_streets(rt, tenant)
    return tenant, good, bad, then


Refused = tuple[Tenant, Training, Training, np.ndarray]


async def test_a_good_twin_passes(refused: Refused) -> None:
    _, good, *_ = refused
    assert (good.status, good.refusal, good.waits_for) == (ModelStatus.ACTIVE, None, None)
    gates = {gate["gate"]: gate for gate in good.gates}
    # There was nothing active to compare with.
    assert gates.keys() == {"f1", "accuracy", "finite", "ndcg_baseline"}
    assert all(gate["passed"] for gate in good.gates)
    assert gates["f1"]["value"] == good.metrics["f1"] > 0.9
    assert (gates["f1"]["bound"], gates["accuracy"]["bound"]) == (0.6, 0.7)
    assert (good.properties, good.users) == (240, 48)


async def test_a_twin_of_shuffled_labels_is_refused_with_its_reason(
    rt: Runtime, database: Database, refused: Refused
) -> None:
    tenant, _, bad, *_ = refused
    assert (bad.status, bad.number, bad.properties, bad.users) == (ModelStatus.REFUSED, 2, 0, 0)
    assert "accuracy" in failed(bad)
    for gate in bad.gates:
        assert (f"{gate['gate']}: " in (bad.refusal or "")) == (not gate["passed"])
    assert "ndcg_active" in {gate["gate"] for gate in bad.gates}

    async with database.work(tenant.id) as work:
        version = await model_versions.get(work, bad.version_id)
        assert (version.status, version.space) == (ModelStatus.REFUSED, SpaceState.NONE)
        assert (version.gates, version.refusal) == (bad.gates, bad.refusal)
        assert version.metrics["accuracy"] == bad.metrics["accuracy"] < 0.7
        assert await evaluations.kept(work, bad.version_id) is not None
        with pytest.raises(DomainError, match=r"was refused: .*accuracy"):
            await model_versions.activate(work, bad.version_id)
    assert await rt.index.space(ModelKey(tenant.id, bad.version_id)).count() == 0


async def test_the_active_version_goes_on_answering(
    rt: Runtime, database: Database, refused: Refused
) -> None:
    tenant, good, _, then = refused
    async with database.work(tenant.id) as work:
        assert await tenants.active_version_id(work) == good.version_id
        assert await model_versions.indexed(work) == [good.version_id]
    assert await rt.index.space(ModelKey(tenant.id, good.version_id)).count() == 240
    # A little later, by when all is a little older.
    assert await answer(rt, database, tenant) == pytest.approx(then, abs=1e-4)


async def test_a_training_that_diverged_is_refused(
    rt: Runtime, database: Database, tenant: Tenant
) -> None:
    await build_town(database, tenant)
    active = await train(rt, tenant, epochs=1)
    bad = await train_streets(rt, tenant, replace(SMALL, learning_rate=1e30))
    assert bad.status is ModelStatus.REFUSED
    assert failed(bad) == {"f1", "accuracy", "finite", "ndcg_baseline"}
    assert "finite: " in (bad.refusal or "")
    assert bad.metrics["not_finite"] >= 60
    async with database.work(tenant.id) as work:
        assert await tenants.active_version_id(work) == active.version_id


async def test_one_that_ranks_worse_than_the_active_is_refused(
    rt: Runtime, database: Database, tenant: Tenant
) -> None:
    """Judged by what training measured of both on the same queries."""
    await build_town(database, tenant)
    active = await train(rt, tenant, epochs=1)
    same = await train(rt, tenant, epochs=1)
    assert same.metrics["active"] == same.metrics["twin"] == active.metrics["twin"]
    assert same.status is ModelStatus.ACTIVE

    async with database.work(tenant.id) as work:
        await policies.change(work, {"ndcg_tolerance": 0.1})
        ndcg = same.metrics["twin"]["ndcg@10"]
        metrics = same.metrics | {
            "active": {"ndcg@10": 1.2 * ndcg}, "best_baseline": "twin",
            "sure_loss": {"active": 0.15},
        }  # fmt: skip
        run_id = UUID(int=work.tenant_id.int ^ 1)
        await model_versions.add(work, b"weights", {}, metrics, run_id=run_id)
    worse = await train_streets(rt, tenant, SMALL, run_id)
    assert worse.status is ModelStatus.REFUSED
    assert failed(worse) == {"ndcg_active"}
    assert f"below the active version's bound of {0.9 * 1.2 * ndcg:.3g}" in (worse.refusal or "")


async def test_too_little_data_is_named_and_nothing_trained(
    rt: Runtime, database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await build_town(database, tenant)
    async with database.work(tenant.id) as work:
        await policies.change(work, {"least_approvals": 121, "least_investors": 13})

    def never(*_: object, **__: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(training_module, "train", never)
    with pytest.raises(DomainError, match=r"there are 120 positive .* 121; 12 investors .* 13$"):
        await train(rt, tenant)
    # Older interactions than training reads do not count.
    async with database.work(tenant.id) as work:
        await policies.change(work, {"least_approvals": None, "least_investors": None})
    with pytest.raises(DomainError, match=r"there are 25 positive interactions of at least 100$"):
        await train_streets(rt, tenant, replace(SMALL, lookback_days=2))
    async with database.work(tenant.id) as work:
        assert await model_versions.count(work) == 0


async def test_while_an_experiment_runs_a_new_version_waits(
    rt: Runtime, database: Database, tenant: Tenant
) -> None:
    await build_town(database, tenant)
    first, second = [await train(rt, tenant, epochs=1) for _ in range(2)]
    async with database.work(tenant.id) as work:
        work.session.add(
            Experiment(
                tenant_id=tenant.id,
                control_id=second.version_id,
                treatment_id=first.version_id,
                share=0.5,
            )
        )
    waiting = await train(rt, tenant, epochs=1)
    assert (waiting.status, waiting.waits_for) == (ModelStatus.INDEXED, EXPERIMENT)
    assert (waiting.properties, waiting.users) == (60, 12)
    async with database.work(tenant.id) as work:
        assert await tenants.active_version_id(work) == second.version_id
        assert await experiments.running(work) is not None
        await experiments.stop(work)
        await model_versions.activate(work, waiting.version_id)
