"""Having another version of the twin answer."""

from typing import Annotated

import strawberry

from domain.model_registry import model_versions
from domain.model_registry.promotion import promote
from graph.core.context import INPUT, Info
from graph.core.errors import Payload, mutation
from graph.core.nodes import parse_id
from graph.jobs.mutations import REFUSAL
from graph.jobs.types import JobRun
from graph.model_registry.types import ModelVersion


@strawberry.input
class ActivateModelInput:
    """The version that is to answer."""

    version_id: strawberry.ID = strawberry.field(
        description="An earlier one rolls back. One that was refused cannot answer."
    )


@strawberry.type
class ActivateModelPayload(Payload):
    """The version, or why it will not answer."""

    model_version: ModelVersion | None = strawberry.field(
        default=None, description="The version; it is active unless there is a `job`."
    )
    job: JobRun | None = strawberry.field(
        default=None,
        description="Where the version is not in the index: the job that puts it there first.",
    )


@strawberry.type
class ModelMutations:
    """Mutations of the model registry."""

    @mutation()
    async def activate_model(
        self, info: Info, given: Annotated[ActivateModelInput, INPUT]
    ) -> ActivateModelPayload:
        """Have another version answer: at once where its vectors are there. For admins."""
        info.context.require_admin(REFUSAL)
        wanted = parse_id(given.version_id, "ModelVersion", "versionId")
        async with info.context.changes() as work:
            run = await promote(work, wanted, "versionId")
            version = await model_versions.get(work, wanted)
            await work.session.flush()
            await work.session.refresh(version)
        return ActivateModelPayload(
            model_version=ModelVersion.of(version), job=JobRun.of(run) if run else None
        )
