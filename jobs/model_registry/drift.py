"""Measures how far a tenant's data has moved from what its active version learned from."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np

from domain.contract.snapshots import InteractionLog, ModelKey, PropertyColumns, StoredModel
from domain.core.database import Database
from domain.core.work import Work
from domain.interactions import histories
from domain.model_registry import drift, model_versions
from domain.model_registry.model_versions import ModelVersion
from domain.properties import snapshots
from domain.recommendations.ranking import has_approvals
from ml.measures.drift import SAMPLE, Counts, Reference, reference, reference_of, sampled_affinity
from ml.serving.inference import TwinService
from ml.training.training import TrainedTwin
from ml.twin.artifacts import Artifact, unpack

NO_REFERENCE = "no version is active, or the active one was trained before drift was kept"


async def measure(database: Database, twin: TwinService, tenant_id: UUID) -> dict[str, Any]:
    """Measure and keep the drift of the tenant's data; what was found, or why nothing was."""
    async with database.work(tenant_id) as work:
        version = await model_versions.active(work)
        known = reference_of(version.details) if version else None
        if version is None or known is None:
            return {"skipped": NO_REFERENCE}
        counts = await _count(work, known)
    if not counts:
        return {"skipped": "the tenant has no properties"}
    affinity = await _affinity(database, twin, ModelKey(tenant_id, version.id))
    async with database.work(tenant_id) as work:
        found = await drift.record(
            work, version.id, known.feature_drift(counts), known.score_drift(affinity)
        )
    return {"version": version.number, "level": found.level, "score": found.score}


def with_reference(
    trained: TrainedTwin, columns: PropertyColumns, log: InteractionLog, read_at: float
) -> TrainedTwin:
    """The same, with what it learned from in its metadata; at most some ten seconds of a core.

    ``read_at`` is when that was read, in seconds since 1970 UTC.
    """
    artifact = unpack(StoredModel(trained.weights, trained.metadata))
    learned_from = reference(artifact, columns, log, read_at)
    return replace(trained, metadata=trained.metadata | {"drift": learned_from.to_json()})


def greatest(
    version: ModelVersion | None,
    artifact: Artifact | None,
    columns: PropertyColumns,
    log: InteractionLog,
    read_at: float,
) -> dict[str, Any]:
    """For a training's metrics: how far its data is from what a version learned from.

    Args:
        version: the active version, if any.
        artifact: the same, to score with; None where it cannot be read, and no score is told.
        columns: the training's properties.
        log: the training's interactions.
        read_at: when those were read, in seconds since 1970 UTC.

    Returns:
        As "drift" and "drifted" how far what moved most did and what that is, see
        ``domain.model_registry.drift.worst``; nothing without a version, or one that keeps no
        reference.
    """
    known = reference_of(version.details) if version else None
    if known is None:
        return {}
    score = None
    if artifact is not None:
        score = known.score_drift(sampled_affinity(artifact, columns, log, read_at))
    name, index = drift.worst(known.feature_drift(known.count(columns)), score)
    return {"drift": index, "drifted": name}


async def _count(work: Work, known: Reference) -> dict[str, Counts]:
    """How all properties of the tenant fall into the bins; empty without any."""
    counts: dict[str, Counts] = {}
    async for batch in snapshots.snapshots(work):
        for name, some in known.count(batch).items():
            counts[name] = counts.get(name, 0.0) + some
    return counts


async def _affinity(
    database: Database, twin: TwinService, model: ModelKey
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Of samples of the investors and the properties, without what buy boxes say."""
    async with database.work(model.tenant_id) as work:
        users, columns = await drift.sample(work, SAMPLE)
        found = await histories.get_many(work, users)
    known = [replace(one, buy_box=None) for one in found.values() if has_approvals(one)]
    return await twin.score(model, known, columns)
