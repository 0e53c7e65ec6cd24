"""The evaluation that training keeps with a version."""

import logging
from uuid import uuid4

import pytest

from domain.contract.snapshots import InteractionLog, PropertyColumns
from domain.core.database import Database
from domain.jobs.job_runs import UNEXPLAINED
from domain.model_registry import evaluations, model_versions
from domain.model_registry.model_versions import ModelStatus
from domain.tenants.tenants import Tenant
from jobs.model_registry import reports
from jobs.model_registry.reports import keep_report
from jobs.model_registry.training import load
from ml.evaluation.kept import restore
from ml.evaluation.protocols import EvaluationError, Protocol
from runtime import Runtime
from tests.factories import build_town, train

pytestmark = pytest.mark.slow


async def test_a_training_keeps_the_evaluation_of_its_version(
    rt: Runtime, database: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    await build_town(database, tenant)
    trained = await train(rt, tenant, epochs=1, with_report=True)
    async with database.work(tenant.id) as work:
        kept = await evaluations.kept(work, trained.version_id)
        version = await model_versions.get(work, trained.version_id)
    assert kept is not None
    found = restore(kept)
    assert found.properties == 60
    assert found.config == version.details["config"]
    assert found.training[0]["epochs"] == version.metrics["epochs"]
    assert found.result(Protocol.ALL, "twin").investors > 0

    async with database.work(other_tenant.id) as work:
        assert await evaluations.kept(work, trained.version_id) is None
        await evaluations.keep(work, trained.version_id, {"of": "somebody else"})
    async with database.work(tenant.id) as work:
        assert await evaluations.kept(work, trained.version_id) == kept


async def test_a_version_is_evaluated_once(
    rt: Runtime, database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await build_town(database, tenant)
    trained = await train(rt, tenant, epochs=1, with_report=True)

    async def data() -> tuple[PropertyColumns, InteractionLog]:
        raise AssertionError("it has a report already")

    monkeypatch.setattr(reports, "logger", None)
    assert await keep_report(database, tenant.id, trained.version_id, data, "cpu") is None


async def test_a_failure_is_logged_and_no_more(
    rt: Runtime,
    database: Database,
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr(reports, "report_of", fail)
    await build_town(database, tenant)
    with caplog.at_level(logging.WARNING, "jobs.model_registry.reports"):
        trained = await train(rt, tenant, with_report=True)
    assert f"version {trained.version_id} has no report" in caplog.text
    assert "too large" in caplog.text
    assert (trained.status, trained.no_report) == (ModelStatus.ACTIVE, UNEXPLAINED)
    async with database.work(tenant.id) as work:
        assert await evaluations.kept(work, trained.version_id) is None


async def test_too_little_to_measure_on_is_told(
    rt: Runtime, database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise EvaluationError("nobody approved of anything later")

    monkeypatch.setattr(reports, "report_of", refuse)
    await build_town(database, tenant)
    assert (
        await train(rt, tenant, with_report=True)
    ).no_report == "nobody approved of anything later"


async def test_a_later_attempt_makes_up_for_it(
    rt: Runtime, database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await build_town(database, tenant)
    with monkeypatch.context() as patched:
        patched.setattr(reports, "report_of", lambda *_, **__: 1 / 0)
        trained = await train(rt, tenant, epochs=1, with_report=True)
    await keep_report(
        database, tenant.id, trained.version_id, lambda: load(database, tenant.id), "cpu"
    )
    async with database.work(tenant.id) as work:
        assert await evaluations.kept(work, trained.version_id) is not None
        assert await evaluations.kept(work, uuid4()) is None
