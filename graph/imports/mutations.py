"""Undoing an import through the API."""

from typing import Annotated

import strawberry

from domain.changes.changes import Noun
from domain.imports import undo as undoing
from domain.imports.report import PROBLEM_LIMIT
from domain.imports.undo import UndoReport
from graph.core.context import INPUT, Context, Info
from graph.core.directives import at_most
from graph.core.errors import Payload, mutation
from graph.core.nodes import parse_id
from graph.imports.types import Import

REFUSAL = "Only admins may undo imports."
UNDO_LIMIT = 5000
"""Rows that an import may have written for one request to undo it."""


@strawberry.input
class UndoImportInput:
    """An import to undo."""

    import_id: strawberry.ID = strawberry.field(description="Id of the import.")


@strawberry.type
class LeftAsIs:
    """An object that the undo left as it is, because it changed since the import."""

    kind: Noun = strawberry.field(description="Kind of the object.")
    name: str = strawberry.field(
        description="External id of the property or user; of an interaction, that of its property. "
        "The UUID if it no longer exists."
    )
    reason: str = strawberry.field(description="Why it was left.")
    fields: list[str] = strawberry.field(
        description="Columns that were left; empty if the whole object was.",
        directives=[at_most(30)],
    )


@strawberry.type
class UndoImportPayload(Payload):
    """What was undone, or why nothing was."""

    undone: Import | None = strawberry.field(
        name="import", default=None, description="The import that was undone."
    )
    properties_restored: int = strawberry.field(
        default=0, description="Deleted properties that were restored, under their ids."
    )
    properties_reverted: int = strawberry.field(
        default=0, description="Properties whose previous values were restored."
    )
    properties_removed: int = strawberry.field(
        default=0, description="Properties that the import had added and that were deleted."
    )
    interactions_restored: int = strawberry.field(
        default=0, description="Interactions that were restored with their properties."
    )
    interactions_reverted: int = strawberry.field(
        default=0, description="Thumbs that were set back to what they were before the import."
    )
    interactions_removed: int = strawberry.field(
        default=0, description="Interactions that the import had added and that were deleted."
    )
    users_removed: int = strawberry.field(
        default=0, description="Users whom the import had created and who were deleted."
    )
    left: list[LeftAsIs] = strawberry.field(
        default_factory=list,
        description="Objects that were left as they are; the first 50.",
        directives=[at_most(PROBLEM_LIMIT)],
    )
    left_count: int = strawberry.field(
        default=0, description="Number of all objects that were left."
    )


@strawberry.type
class ImportMutations:
    """Mutations of imports."""

    @mutation()
    async def undo_import(
        self, info: Info, given: Annotated[UndoImportInput, INPUT]
    ) -> UndoImportPayload:
        """Take back what an import wrote, except what changed since; for admins.

        An import that wrote more than 5,000 rows is undone by `twin import undo`.
        """
        context = info.context
        context.require_admin(REFUSAL)
        wanted = parse_id(given.import_id, "Import", "importId")
        async with context.changes() as work:
            report = await undoing.undo(work, wanted, _actor(context), at_most=UNDO_LIMIT)
        return _payload(report, await Import.get(context, wanted, "importId"))


def _actor(context: Context) -> str:
    user = context.principal.user
    return "service" if user is None else f"user:{user}"


def _payload(report: UndoReport, undone: Import) -> UndoImportPayload:
    return UndoImportPayload(
        undone=undone,
        properties_restored=report.properties_restored,
        properties_reverted=report.properties_reverted,
        properties_removed=report.properties_removed,
        interactions_restored=report.interactions_restored,
        interactions_reverted=report.interactions_reverted,
        interactions_removed=report.interactions_removed,
        users_removed=report.users_removed,
        left=[
            LeftAsIs(kind=one.noun, name=one.name, reason=one.reason, fields=list(one.fields))
            for one in report.left
        ],
        left_count=report.left_by_reason.total(),
    )
