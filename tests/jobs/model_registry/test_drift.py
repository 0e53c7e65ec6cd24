"""Measuring drift: of the tenant's own data, against what its active version learned from."""

import time
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import update

from domain.core.database import Database
from domain.core.work import Work
from domain.jobs import job_runs
from domain.jobs.job_runs import JobStatus
from domain.model_registry import drift, model_versions
from domain.model_registry.drift import DriftLevel
from domain.model_registry.model_versions import ModelVersion
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from jobs.model_registry.drift import NO_REFERENCE, greatest, measure
from jobs.model_registry.training import load
from ml.measures.drift import Distribution, reference_of
from ml.twin.artifacts import unpack
from runtime import Runtime
from tests.conftest import new_tenant
from tests.factories import Town, add_property, build_town, train
from tests.jobs.conftest import Runs, WorkOff


@pytest.fixture
async def trained(rt: Runtime, database: Database) -> Town:
    """A town of the test's own, trained."""
    town = await build_town(database, await new_tenant(database))
    await train(rt, town.tenant, epochs=1)
    return town


async def prices_in_cents(work: Work) -> None:
    await work.session.execute(
        update(Property)
        .values(listing_price=Property.listing_price * 100)
        .execution_options(synchronize_session=False)
    )


async def active(work: Work) -> ModelVersion:
    version = await model_versions.active(work)
    assert version is not None
    return version


async def test_the_job_keeps_what_it_measured(
    queued: Database, trained: Town, work_off: WorkOff, runs: Runs
) -> None:
    async with queued.work(trained.tenant.id) as work:
        await job_runs.request(work, job_runs.DRIFT)
    await work_off()

    run = (await runs(trained.tenant.id))[0]
    assert (run.function, run.status, run.error) == ("measure_drift", JobStatus.SUCCEEDED, None)
    assert run.result is not None
    assert (run.result["version"], run.result["level"]) == (1, "stable")
    async with queued.work(trained.tenant.id) as work:
        version = await active(work)
        found = (await drift.latest(work, [version.id]))[version.id]
    assert found.features == dict.fromkeys(found.features, 0.0)
    assert {"listing_price", "latitude", "property_type"} < found.features.keys()
    assert (found.score, found.level) == (0.0, DriftLevel.STABLE)


async def test_prices_in_cents_are_told_and_held_against_a_training(
    rt: Runtime, database: Database, trained: Town
) -> None:
    tenant_id = trained.tenant.id
    async with database.work(tenant_id) as work:
        unmoved = await load(database, tenant_id)
        assert greatest(await active(work), None, *unmoved, time.time())["drift"] == 0
        await prices_in_cents(work)
    found = await measure(database, rt.twin, tenant_id)
    assert found["level"] == DriftLevel.BLOCKING
    data = await load(database, tenant_id)
    async with database.work(tenant_id) as work:
        version = await active(work)
        moved = greatest(version, None, *data, time.time())
        kept = (await drift.latest(work, [version.id]))[version.id]
    assert moved["drifted"] in {"listing_price", "price_per_sqft"}
    assert moved["drift"] > 0.4
    assert kept.features[moved["drifted"]] == moved["drift"]
    assert kept.features["bedrooms"] == 0


async def test_a_training_notes_how_far_its_data_is_from_the_active_versions(
    rt: Runtime, database: Database, trained: Town
) -> None:
    async with database.work(trained.tenant.id) as work:
        first = await active(work)
        assert "drift" not in first.metrics
        assert reference_of(first.details) is not None
    await train(rt, trained.tenant, epochs=1)
    async with database.work(trained.tenant.id) as work:
        second = await model_versions.by_number(work, 2)
    assert second.metrics["drift"] == 0
    assert second.metrics["drifted"] in second.details["drift"]["features"]


async def test_scores_that_moved_are_held_against_a_training_too(
    rt: Runtime, database: Database, trained: Town
) -> None:
    """Though no feature did: as if the active version had scored quite otherwise then."""
    async with database.work(trained.tenant.id) as work:
        version = await active(work)
        artifact = unpack(await model_versions.stored(work, version.id))
    known = reference_of(version.details)
    assert known is not None
    assert known.score is not None
    counts = np.zeros_like(known.score.counts)
    counts[-1] = 300
    moved = replace(known, score=Distribution(known.score.edges, counts))
    version.details = version.details | {"drift": moved.to_json()}
    data = await load(database, trained.tenant.id)
    found = greatest(version, artifact, *data, time.time())
    assert found["drifted"] == drift.AFFINITY
    assert found["drift"] > 0.4
    assert greatest(version, None, *data, time.time())["drift"] == 0


async def test_growth_alone_is_no_drift(rt: Runtime, database: Database, trained: Town) -> None:
    async with database.work(trained.tenant.id) as work:
        for n in range(90):
            southern = n % 2 == 0
            await add_property(
                work,
                latitude=(47.30 if southern else 47.70) + 0.001 * (n % 10),
                longitude=-122.30 + 0.001 * (n % 7),
                listing_price=(300_000.0 if southern else 900_000.0) + 5_000 * (n % 9),
                square_feet=1000.0 + 10 * (n % 11) if southern else 3000.0 + 10 * (n % 11),
            )
    found = await measure(database, rt.twin, trained.tenant.id)
    assert found["level"] == DriftLevel.STABLE


async def test_what_another_tenant_has_does_not_count(
    rt: Runtime, database: Database, trained: Town
) -> None:
    other = await build_town(database, await new_tenant(database))
    async with database.work(other.tenant.id) as work:
        await prices_in_cents(work)
        theirs, columns = await drift.sample(work, 1000)
    found = await measure(database, rt.twin, trained.tenant.id)
    assert found["level"] == DriftLevel.STABLE
    async with database.work(trained.tenant.id) as work:
        users, own = await drift.sample(work, 1000)
        version = await active(work)
    assert set(users) == {*trained.southerners, *trained.northerners}
    assert set(own.ids) == {*trained.south, *trained.north}
    assert not {*users, *own.ids} & {*theirs, *columns.ids}
    async with database.work(other.tenant.id) as work:
        assert await drift.latest(work, [version.id]) == {}


async def test_nothing_is_measured_without_something_to_compare_with(
    rt: Runtime, database: Database, tenant: Tenant
) -> None:
    assert await measure(database, rt.twin, tenant.id) == {"skipped": NO_REFERENCE}
    async with database.work(tenant.id) as work:
        # As a version of before references were kept.
        version = await model_versions.add(work, b"weights", {}, {})
        await model_versions.judge(work, version.id, [], None)
        await model_versions.complete(work, version.id)
        await model_versions.activate(work, version.id)
    assert await measure(database, rt.twin, tenant.id) == {"skipped": NO_REFERENCE}
    data = await load(database, tenant.id)
    async with database.work(tenant.id) as work:
        assert greatest(await active(work), None, *data, time.time()) == {}
    assert greatest(None, None, *data, time.time()) == {}
