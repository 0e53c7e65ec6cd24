"""Model versions: which there are, how they were judged, and which one answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import strawberry

from domain.core.base import parse_uuid
from domain.model_registry import drift, model_versions
from domain.model_registry.drift import DriftLevel
from domain.model_registry.model_versions import ModelStatus, SpaceState
from graph.core.context import Context, Info
from graph.core.directives import QUERY, at_most, weight
from graph.core.enums import publish
from graph.core.extension import extend
from graph.core.loaders import Loaders, batched
from graph.core.nodes import Node
from graph.jobs.types import JobRun

REFUSAL = "Only analysts and admins may see models."

_VERSION = "version_id"
"""Where runs name a version."""

publish(
    ModelStatus,
    "Where a version of the twin stands.",
    {
        ModelStatus.TRAINED: "It has learned and is not judged yet.",
        ModelStatus.EVALUATED: "It passed its gates.",
        ModelStatus.INDEXED: "Its vectors are in the index too.",
        ModelStatus.ACTIVE: "It answers, but for investors on whom an experiment tries another.",
        ModelStatus.RETIRED: "It answered once, or was given up.",
        ModelStatus.REFUSED: "It failed a gate and will not answer.",
    },
)
publish(
    SpaceState,
    "How much of a version is in the index.",
    {
        SpaceState.NONE: "Nothing: to activate it takes a reindex.",
        SpaceState.FILLING: "It is being written.",
        SpaceState.COMPLETE: "Everything, kept in step with every change: it can answer at once.",
    },
    name="IndexState",
)
publish(
    DriftLevel,
    "How grave a drift is, by the bounds of the tenant's policy.",
    {
        DriftLevel.STABLE: "As what the version learned from.",
        DriftLevel.WARNING: "Worth a look.",
        DriftLevel.ALERT: "Worth a training.",
        DriftLevel.BLOCKING: "So far off that a version trained on it waits until it is activated.",
    },
)


@strawberry.type
class Gate:
    """A gate: a figure that a version must reach to answer."""

    name: str = strawberry.field(description="What is measured.")
    value: float | None = strawberry.field(description="What was reached; null if nothing was.")
    bound: float | None = strawberry.field(description="What it was held against.")
    passed: bool = strawberry.field(description="Whether it suffices.")


@strawberry.type
class RankingFigures:
    """How well something ranks what investors approved of later in time.

    It is the twin, or what the twin is compared with. Each figure is a mean over investors.
    """

    ranker: str = strawberry.field(description="What ranks.")
    ndcg_at10: float = strawberry.field(
        name="ndcgAt10", description="Normalised discounted cumulative gain of the first 10."
    )
    hit_rate_at10: float = strawberry.field(
        name="hitRateAt10", description="The share of investors with a hit among the first 10."
    )
    recall_at100: float = strawberry.field(
        name="recallAt100", description="The share of hits among the first 100."
    )
    auc: float = strawberry.field(
        description="The chance that a hit is ranked above another property."
    )


@strawberry.type
class FeatureDrift:
    """A feature's drift."""

    feature: str = strawberry.field(description="The feature's name.")
    index: float = strawberry.field(
        description="Its population stability index, corrected for chance: 0 for what chance could "
        "bring in all but one of 10,000 draws, which of few properties is much; else less the mean "
        "that chance brings."
    )


@strawberry.type
class Drift:
    """How far a tenant's data has moved from what a version learned from."""

    measured_at: datetime = strawberry.field(description="When it was measured.")
    level: DriftLevel = strawberry.field(
        description="How grave the gravest is; days on market, which grow by themselves, count "
        "for nothing."
    )
    score: float | None = strawberry.field(
        description="Population stability index of the distribution of affinity, corrected for "
        "chance like that of a feature; null if unknown."
    )
    features: list[FeatureDrift] = strawberry.field(
        description="Of each feature, largest first.", directives=[at_most(25)]
    )

    @staticmethod
    def of(row: drift.DriftMeasurement) -> "Drift":
        """A measurement as a client sees it."""
        found = sorted(row.features.items(), key=lambda item: -item[1])
        return Drift(
            measured_at=row.created_at,
            level=row.level,
            score=row.score,
            features=[FeatureDrift(feature=name, index=value) for name, value in found],
        )


class ModelLoaders(Loaders):
    """Loaders of model versions."""

    @batched
    async def versions(self, wanted: list[UUID]) -> list[model_versions.ModelVersion | None]:
        """A version of the twin by id, None if there is none."""
        async with self.context.work() as work:
            found = {row.id: row for row in await model_versions.get_many(work, wanted)}
        return [found.get(version_id) for version_id in wanted]

    @batched
    async def drift(self, wanted: list[UUID]) -> list[drift.DriftMeasurement | None]:
        """The last measurement of drift against a version, None if there is none."""
        async with self.context.work() as work:
            found = await drift.latest(work, wanted)
        return [found.get(version_id) for version_id in wanted]


@strawberry.type
class ModelVersion(Node, rows=(model_versions.ModelVersion,)):
    """A trained version of the tenant's twin."""

    row: strawberry.Private[model_versions.ModelVersion]
    number: int = strawberry.field(description="Counts the tenant's versions from 1.")
    status: ModelStatus = strawberry.field(description="Where it stands.")
    index_state: SpaceState = strawberry.field(description="How much of it is in the index.")
    refusal: str | None = strawberry.field(
        description="Which gates it failed, for people; null unless it was refused."
    )
    gates: list[Gate] = strawberry.field(
        description="What it was judged by; empty before.", directives=[at_most(10)]
    )
    created_at: datetime = strawberry.field(description="When it was trained.")
    learned_until: datetime | None = strawberry.field(
        description="The time of the newest interaction that its training was given, to learn from "
        "or to be tested on, if that is known."
    )
    activated_at: datetime | None = strawberry.field(
        description="When it last began to answer; null if it never did."
    )
    retired_at: datetime | None = strawberry.field(
        description="When another took its place; null unless it is retired."
    )

    @classmethod
    def of(cls, row: model_versions.ModelVersion) -> Self:
        """A version as a client sees it."""
        return cls.made_of(row, index_state=row.space, gates=[_gate(one) for one in row.gates])

    @classmethod
    async def read(cls, context: Context, row_id: UUID) -> model_versions.ModelVersion | None:
        """See ``Node.read``."""
        return await context.loaders(ModelLoaders).versions.load(row_id)

    @classmethod
    def permit(cls, context: Context, row_id: UUID, *field: str) -> None:  # noqa: ARG003
        """Check that the caller may see models. Raises DomainError FORBIDDEN."""
        context.require_privileged(REFUSAL)

    @strawberry.field(directives=[at_most(10)])
    def figures(self) -> list[RankingFigures]:
        """How it and what it is compared with rank what came after it learned.

        Empty if nothing was measured.
        """
        return [
            _figures(name, found)
            for name, found in self.row.metrics.items()
            if isinstance(found, dict) and "ndcg@10" in found
        ]

    @strawberry.field(directives=[weight(QUERY)])
    async def parent(self, info: Info) -> "ModelVersion | None":
        """The version whose training this one went on from; null if it began anew."""
        return await ModelVersion.find(info.context, self.row.parent_id)

    @strawberry.field(directives=[weight(QUERY)])
    async def drift(self, info: Info) -> Drift | None:
        """The last measurement of drift against what it learned from; null before."""
        row = await info.context.loaders(ModelLoaders).drift.load(self.row.id)
        return Drift.of(row) if row else None


def _gate(found: Mapping[str, Any]) -> Gate:
    return Gate(
        name=found["gate"], value=found["value"], bound=found["bound"], passed=found["passed"]
    )


def _figures(ranker: str, found: Mapping[str, float]) -> RankingFigures:
    return RankingFigures(
        ranker=ranker,
        ndcg_at10=found["ndcg@10"],
        hit_rate_at10=found["hr@10"],
        recall_at100=found["recall@100"],
        auc=found["auc"],
    )


@extend(JobRun, "model_version", directives=[weight(QUERY)])
async def version_of(parent: strawberry.Parent[JobRun], info: Info) -> ModelVersion | None:
    """The version that the run made or has answer.

    Null if it is about none, and of a training until it ended well.
    """
    # Either may hold null, or what is no id at all.
    named = (parent.row.result or {}).get(_VERSION) or parent.row.arguments.get(_VERSION)
    version_id = parse_uuid(named) if isinstance(named, str) else None
    return await ModelVersion.find(info.context, version_id)
