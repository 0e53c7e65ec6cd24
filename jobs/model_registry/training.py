"""Trains a tenant's twin, judges the new version and puts it into service.

A version goes through stages, each of which is in the database before the next begins: trained,
evaluated or refused, indexed, active. A job that was killed and is taken up again goes on at the
stage that its version reached.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any
from uuid import UUID

import numpy as np

from domain.contract.snapshots import InteractionLog, ModelKey, PropertyColumns
from domain.core import clock
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.core.leases import Held, LockedError
from domain.core.work import Work
from domain.interactions import interactions
from domain.model_registry import gates, model_versions
from domain.model_registry.drift import hold as drift_hold
from domain.model_registry.model_versions import ModelStatus, ModelVersion
from domain.properties import snapshots
from domain.tenants import experiments, policies
from domain.tenants.policies import Policy
from jobs.model_registry import drift
from jobs.model_registry.reports import keep_report
from jobs.queue.beside import in_thread
from jobs.reindexing.indexer import Indexer
from jobs.reindexing.passes import FILLING, Report
from ml.training.config import TrainingConfig
from ml.training.tower_training import Progress
from ml.training.training import TrainedTwin, train
from ml.twin.artifacts import Artifact, ArtifactError, unpack
from ml.twin.dataset import KIND_WEIGHTS, recent
from ml.twin.device import pick_device

logger = logging.getLogger(__name__)

LOADED, EMBEDS, TRAINED, INDEXED = 0.05, 0.4, 0.7, 0.9
"""Shares of the work that are done once the data is loaded, the towers trained, the re-ranker
trained, and the index filled."""

EXPERIMENT = "an experiment is running: activate the version once that has ended"


@dataclass(frozen=True, slots=True)
class Training:
    """What became of a training.

    Attributes:
        version_id: the new version.
        number: its number.
        status: ACTIVE if it answers now, REFUSED if it failed a gate, INDEXED if it waits.
        refusal: why it was refused, else None.
        waits_for: why it does not answer though it passed, else None.
        gates: what it was judged by, see ``domain.model_registry.gates.Verdict``.
        metrics: see ``ml.training.training.TrainedTwin``; with "drift", see
        ``jobs.model_registry.drift.greatest``.
        properties: how many of it are in the index.
        users: of how many investors it is.
        no_report: why it has no report, else None.
    """

    version_id: UUID
    number: int
    status: ModelStatus
    refusal: str | None
    waits_for: str | None
    gates: list[dict[str, Any]]
    metrics: dict[str, Any]
    properties: int
    users: int
    no_report: str | None


async def train_tenant(
    indexer: Indexer,
    tenant_id: UUID,
    config: TrainingConfig,
    report: Report,
    *,
    run_id: UUID | None = None,
    warm: bool = False,
    with_report: bool = True,
    patient: bool = False,
) -> Training:
    """Train on the tenant's data, judge the new version by its gates, index it, activate it.

    The tenant's answers come from the version before until everything is in the index; if the new
    one is refused, they go on to. It waits while an experiment runs, and where the data has moved
    by more than the tenant's policy lets pass. Training sets torch's threads and seed: call this in
    a process of its own.

    Args:
        indexer: of the index.
        tenant_id: the tenant.
        config: how to train.
        report: is told of the progress.
        run_id: the job run that this is; what an earlier attempt of it did is not done again.
        warm: continue from the active version, see ``ml.training.warm``.
        with_report: whether to measure the version for its report, after it answers.
        patient: wait for the lease that a training holds on for a while after it was killed.

    Raises:
        DomainError: INVALID_INPUT if the tenant has less data than its policy asks for;
            NO_ACTIVE_MODEL if there is none to continue from.
        LockedError: a training of the tenant is going on in another process.
        LostLeaseError: another process may have begun one meanwhile, and this one is over.
        TrainingError: there is too little to learn from.
    """
    database = indexer.database
    wait = 1.5 * database.lease if patient else 0.0
    async with database.exclusive(tenant_id, "training", wait=wait) as lease:
        data = _Data(database, tenant_id)
        version = await _begun(database, tenant_id, run_id)
        await _give_up_others(indexer, lease, tenant_id, version)
        if version is None:
            version = await _trained(data, config, report, lease, run_id, warm=warm)
        if version.status is ModelStatus.TRAINED:
            version = await _judged(database, lease, tenant_id, version.id)
        waits_for = None
        if version.status in (ModelStatus.EVALUATED, ModelStatus.INDEXED):

            async def indexing(share: float, message: str) -> None:
                await report(TRAINED + (INDEXED - TRAINED) * share, message)

            hold = partial(_held, lease, version)
            waits_for = (await indexer.activate(tenant_id, version.id, indexing, hold)).held
            version = await _read(database, tenant_id, version.id)
        no_report = None
        if with_report:
            await report(INDEXED, f"measuring version {version.number} for its report")
            no_report = await keep_report(database, tenant_id, version.id, data.get, config.device)
    space = indexer.index.space(ModelKey(tenant_id, version.id))
    return Training(
        version_id=version.id,
        number=version.number,
        status=version.status,
        refusal=version.refusal,
        waits_for=waits_for,
        gates=version.gates,
        metrics=version.metrics,
        properties=await space.count(),
        users=await space.count_users(),
        no_report=no_report,
    )


async def _read(database: Database, tenant_id: UUID, version_id: UUID) -> ModelVersion:
    async with database.work(tenant_id) as work:
        return await model_versions.get(work, version_id)


async def _begun(database: Database, tenant_id: UUID, run_id: UUID | None) -> ModelVersion | None:
    """The version that an earlier attempt of the run made, unless it was given up since."""
    async with database.work(tenant_id) as work:
        return await model_versions.of_run(work, run_id) if run_id else None


async def _give_up_others(
    indexer: Indexer, lease: Held, tenant_id: UUID, mine: ModelVersion | None
) -> None:
    """Leave nothing of the trainings that died, whose lease this one holds now."""
    database = indexer.database
    try:
        # Not under somebody who fills a space: an activation may have taken one of them over. One
        # that died with its training may hold it for a while yet.
        async with (
            database.exclusive(tenant_id, FILLING, wait=database.lease),
            database.work(tenant_id) as work,
        ):
            await lease.confirm(work)
            await model_versions.give_up_unfinished(work, but=mine.id if mine else None)
    except LockedError:
        return
    # Their vectors, and what a crash left of others.
    await indexer.forget_unneeded(tenant_id)


async def _trained(
    data: "_Data",
    config: TrainingConfig,
    report: Report,
    lease: Held,
    run_id: UUID | None,
    *,
    warm: bool,
) -> ModelVersion:
    """A new version, as it comes from training."""
    await report(0.0, "reading properties and interactions")
    async with data.database.work(data.tenant_id) as work:
        read_at = await clock.now(work)
    columns, log = await data.get()
    async with data.database.work(data.tenant_id) as work:
        _require_enough(await policies.get(work), columns, recent(log, config.lookback_days))
        active = await model_versions.active(work)
        artifact, unreadable = await _readable(work, active, config, warm=warm)
    await report(LOADED, f"training on {len(columns):,} properties, {len(log):,} interactions")
    beside = {"active_version": active.number if active else None}
    seconds = read_at.timestamp()
    moved = await in_thread(partial(drift.greatest, active, artifact, columns, log, seconds))
    trained = await _train(columns, log, seconds, config, report, artifact, warm=warm)
    async with data.database.work(data.tenant_id) as work:
        await lease.confirm(work)
        return await model_versions.add(
            work,
            trained.weights,
            trained.metadata,
            trained.metrics | moved | unreadable | beside,
            run_id=run_id,
            parent_id=active.id if active and warm else None,
            read_at=read_at,
            learned_until=datetime.fromtimestamp(float(log.occurred_at.max()), UTC),
        )


async def _judged(
    database: Database, lease: Held, tenant_id: UUID, version_id: UUID
) -> ModelVersion:
    """The version, evaluated or refused."""
    async with database.work(tenant_id) as work:
        await lease.confirm(work)
        version = await model_versions.get(work, version_id)
        verdicts = gates.judge(version.metrics, await policies.get(work))
        found = [verdict.to_json() for verdict in verdicts]
        await model_versions.judge(work, version_id, found, gates.refusal(verdicts))
        return version


async def _held(lease: Held, version: ModelVersion, work: Work) -> str | None:
    """Why the version, which passed its gates, must wait for somebody to activate it."""
    await lease.confirm(work)
    if await experiments.running(work):
        return EXPERIMENT
    active = await model_versions.active(work)
    if (active.number if active else None) != version.metrics.get("active_version"):
        return "another version was activated since it was judged: activate it if it is wanted"
    return drift_hold(await policies.get(work), version.metrics)


def _require_enough(policy: Policy, columns: PropertyColumns, log: InteractionLog) -> None:
    approved = KIND_WEIGHTS[log.kind] > 0
    gates.require_enough(
        policy,
        approvals=int(approved.sum()),
        properties=len(columns),
        investors=len(np.unique(log.user[approved])),
    )


async def _readable(
    work: Work, active: ModelVersion | None, config: TrainingConfig, *, warm: bool
) -> tuple[Artifact | None, dict[str, str]]:
    """The active version, where there is one that this code can read.

    Beside it, for the metrics, why the new version is not compared with one that it cannot: that
    must not keep new versions out for good.
    """
    left_out: dict[str, str] = {}
    why = "no version is active that training could continue from"
    if active is not None:
        try:
            stored = await model_versions.stored(work, active.id)
            return unpack(stored, pick_device(config.device)), {}
        except ArtifactError as error:
            why = f"training cannot continue from version {active.number}: {error}"
            left_out["active_left_out"] = f"version {active.number} cannot be read: {error}"
            logger.warning("version %d is not compared with: %s", active.number, error)
    if warm:
        raise DomainError(ErrorCode.NO_ACTIVE_MODEL, f"{why}: train in full first")
    return None, left_out


async def load(database: Database, tenant_id: UUID) -> tuple[PropertyColumns, InteractionLog]:
    """All properties and interactions of the tenant, as training reads them."""
    async with database.work(tenant_id) as work:
        columns = _join([batch async for batch in snapshots.snapshots(work)])
        rows = {property_id: row for row, property_id in enumerate(columns.ids)}
        return columns, await interactions.log(work, rows)


@dataclass(slots=True)
class _Data:
    """A tenant's data, read once, and not at all where nobody asks."""

    database: Database
    tenant_id: UUID
    _read: tuple[PropertyColumns, InteractionLog] | None = None

    async def get(self) -> tuple[PropertyColumns, InteractionLog]:
        """All properties and interactions."""
        if self._read is None:
            self._read = await load(self.database, self.tenant_id)
        return self._read


def _join(batches: list[PropertyColumns]) -> PropertyColumns:
    """The batches as one."""
    batches = batches or [snapshots.columns([])]
    return PropertyColumns(
        ids=tuple(chain.from_iterable(batch.ids for batch in batches)),
        numeric=np.concatenate([batch.numeric for batch in batches]),
        property_type=np.concatenate([batch.property_type for batch in batches]),
        listing_status=np.concatenate([batch.listing_status for batch in batches]),
        zipcode=tuple(chain.from_iterable(batch.zipcode for batch in batches)),
        city=tuple(chain.from_iterable(batch.city for batch in batches)),
        listed_at=np.concatenate([batch.listed_at for batch in batches]),
        owners=np.concatenate([batch.owners for batch in batches]),
    )


async def _train(
    columns: PropertyColumns,
    log: InteractionLog,
    read_at: float,
    config: TrainingConfig,
    report: Report,
    active: Artifact | None,
    *,
    warm: bool,
) -> TrainedTwin:
    loop = asyncio.get_running_loop()

    def after_epoch(progress: Progress) -> None:
        done = progress.epoch / progress.epochs
        message = f"epoch {progress.epoch} of {progress.epochs}: loss {progress.loss:.3f}"
        if progress.metrics is None:
            share = EMBEDS + (TRAINED - EMBEDS) * done
            message = f"re-ranker, {message}"
        else:
            share = LOADED + (EMBEDS - LOADED) * done
            message = f"{message}, validation NDCG@10 {progress.metrics['ndcg@10']:.3f}"
        asyncio.run_coroutine_threadsafe(report(share, message), loop).result()

    def work() -> TrainedTwin:
        parent = active if warm else None
        trained = train(columns, log, config, after_epoch, warm=parent, active=active)
        if trained.metrics["not_finite"]:
            return trained
        return drift.with_reference(trained, columns, log, read_at)

    return await in_thread(work)
