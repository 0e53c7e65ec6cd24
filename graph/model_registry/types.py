"""Model versions: which there are, how they were judged, and which one answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import strawberry

from domain.model_registry import drift, model_versions
from domain.model_registry.drift import DriftLevel
from domain.model_registry.model_versions import ModelStatus, SpaceState
from domain.model_registry.promotion import promote
from graph.core.context import INPUT, Info
from graph.core.directives import at_most, weight
from graph.core.enums import publish
from graph.core.errors import UserError, refusals_into
from graph.core.nodes import Node, global_id, parse_id
from graph.core.pagination import (
    After,
    Before,
    First,
    Last,
    PageInfo,
    decode,
    encode,
    keyset_page,
    not_ours,
    page_size,
)
from graph.core.weights import QUERY
from graph.jobs.types import JobRun, require_admin

REFUSAL = "Only analysts and admins may see models."
_LIST = "modelVersions"

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


@strawberry.type(description="A gate: a figure that a version must reach to answer.")
class Gate:
    """A figure that a version must reach to answer."""

    name: str = strawberry.field(description="What is measured.")
    value: float | None = strawberry.field(description="What was reached; null if nothing was.")
    bound: float | None = strawberry.field(description="What it was held against.")
    passed: bool = strawberry.field(description="Whether it suffices.")


@strawberry.type(
    description="How well something ranks what investors approved of later in time: the twin, or "
    "what it is compared with. Each is a mean over investors."
)
class RankingFigures:
    """How well something ranks what investors approved of later."""

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


@strawberry.type(description="A feature's drift.")
class FeatureDrift:
    """A feature's drift."""

    feature: str = strawberry.field(description="The feature's name.")
    index: float = strawberry.field(
        description="Its population stability index, corrected for chance: 0 for what chance could "
        "bring in all but one of 10,000 draws, which of few properties is much; else less the mean "
        "that chance brings."
    )


@strawberry.type(description="How far a tenant's data has moved from what a version learned from.")
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


@strawberry.type(description="A trained version of the tenant's twin.")
class ModelVersion(Node):
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

    @staticmethod
    def of(row: model_versions.ModelVersion) -> "ModelVersion":
        """A version as a client sees it."""
        return ModelVersion(
            id=global_id("ModelVersion", row.id),
            row=row,
            number=row.number,
            status=row.status,
            index_state=row.space,
            refusal=row.refusal,
            gates=[_gate(one) for one in row.gates],
            created_at=row.created_at,
            learned_until=row.learned_until,
            activated_at=row.activated_at,
            retired_at=row.retired_at,
        )

    @strawberry.field(
        description="How it and what it is compared with rank what came after it learned; empty if "
        "nothing was measured.",
        directives=[at_most(10)],
    )
    def figures(self) -> list[RankingFigures]:
        """The rankings among the metrics."""
        return [
            _figures(name, found)
            for name, found in self.row.metrics.items()
            if isinstance(found, dict) and "ndcg@10" in found
        ]

    @strawberry.field(
        description="The version whose training this one went on from; null if it began anew.",
        directives=[weight(QUERY)],
    )
    async def parent(self, info: Info) -> "ModelVersion | None":
        """Read with those of the other versions in the answer."""
        if self.row.parent_id is None:
            return None
        row = await info.context.loaders.versions.load(self.row.parent_id)
        return ModelVersion.of(row) if row else None

    @strawberry.field(
        description="The last measurement of drift against what it learned from; null before.",
        directives=[weight(QUERY)],
    )
    async def drift(self, info: Info) -> Drift | None:
        """Read with those of the other versions in the answer."""
        row = await info.context.loaders.drift.load(self.row.id)
        return Drift.of(row) if row else None


@strawberry.type(description="A version in a list.")
class ModelVersionEdge:
    """A version in a list."""

    cursor: str = strawberry.field(description="Its place, for `after` and `before`.")
    node: ModelVersion = strawberry.field(description="The version.")


@strawberry.type(description="A page of versions, the newest first.")
class ModelVersionConnection:
    """A page of versions."""

    edges: list[ModelVersionEdge] = strawberry.field(description="The page's versions, in order.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")

    @strawberry.field(
        description="How many versions there are in all; counted only if asked for.",
        directives=[weight(QUERY)],
    )
    async def total_count(self, info: Info) -> int:
        """One more query."""
        async with info.context.work() as work:
            return await model_versions.count(work)


@strawberry.input(description="The version that is to answer.")
class ActivateModelInput:
    """The version that is to answer."""

    version_id: strawberry.ID = strawberry.field(
        description="An earlier one rolls back. One that was refused cannot answer."
    )


@strawberry.type(description="The version, or why it will not answer.")
class ActivateModelPayload:
    """The version, or why it will not answer."""

    model_version: ModelVersion | None = strawberry.field(
        default=None, description="The version; it is active unless there is a `job`."
    )
    job: JobRun | None = strawberry.field(
        default=None,
        description="Where the version is not in the index: the job that puts it there first.",
    )
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why nothing was done; empty if it was."
    )


async def active_model(info: Info) -> ModelVersion | None:
    """The version that answers now. Raises DomainError FORBIDDEN for a viewer."""
    info.context.require_privileged(REFUSAL)
    async with info.context.work() as work:
        row = await model_versions.active(work)
    return ModelVersion.of(row) if row else None


async def list_model_versions(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> ModelVersionConnection:
    """A page of the tenant's versions. Raises DomainError FORBIDDEN for a viewer."""
    info.context.require_privileged(REFUSAL)
    size, backward = page_size(first, last), last is not None
    async with info.context.work() as work:
        rows = await model_versions.page(
            work,
            size + 1,
            after=_number(after, "after"),
            before=_number(before, "before"),
            backward=backward,
        )

    def edge(row: model_versions.ModelVersion) -> ModelVersionEdge:
        return ModelVersionEdge(cursor=encode(_LIST, row.number), node=ModelVersion.of(row))

    edges, page = keyset_page(rows, size, edge, after=after, before=before, backward=backward)
    return ModelVersionConnection(edges=edges, page_info=page)


@refusals_into(ActivateModelPayload)
async def activate_model(
    info: Info, given: Annotated[ActivateModelInput, INPUT]
) -> ActivateModelPayload:
    """Have a version answer."""
    require_admin(info.context)
    wanted = parse_id(given.version_id, "ModelVersion", "versionId")
    async with info.context.changes() as work:
        run = await promote(work, wanted, "versionId")
        version = await model_versions.get(work, wanted)
        await work.session.flush()
        await work.session.refresh(version)
    return ActivateModelPayload(
        model_version=ModelVersion.of(version), job=JobRun.of(run) if run else None
    )


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


def _number(cursor: str | None, field: str) -> int | None:
    """The number in a cursor, if any. Raises DomainError INVALID_INPUT for another list's."""
    if cursor is None:
        return None
    (number,) = decode(cursor, _LIST, 1, field)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
        raise not_ours(field)
    return number
