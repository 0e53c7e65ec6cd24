"""Imports: the type of their record."""

from datetime import datetime
from typing import Self
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from domain.changes.changes import Noun
from domain.imports import record
from graph.core.context import Context
from graph.core.directives import weight
from graph.core.enums import publish
from graph.core.loaders import Loaders, batched
from graph.core.nodes import Node

REFUSAL = "Only analysts and admins may see imports."

publish(
    Noun,
    "What an import writes.",
    {
        Noun.PROPERTY: "Properties.",
        Noun.INTERACTION: "What users did with properties.",
        Noun.USER: "Users.",
    },
    name="RecordKind",
)


class ImportLoaders(Loaders):
    """Loaders of imports."""

    @batched
    async def imports(self, wanted: list[UUID]) -> list[record.Import | None]:
        """An import by id, None if there is none."""
        async with self.context.work() as work:
            found = {row.id: row for row in await record.get_many(work, wanted)}
        return [found.get(import_id) for import_id in wanted]


@strawberry.type
class ImportCounts:
    """What an import did, in rows of the file unless said otherwise."""

    read: int = strawberry.field(description="Rows in the file.")
    inserted: int = strawberry.field(description="Rows that were new.")
    updated: int = strawberry.field(description="Rows that changed what was there.")
    unchanged: int = strawberry.field(description="Rows that were there already.")
    skipped: int = strawberry.field(description="Rows that broke a rule.")
    deleted: int = strawberry.field(description="Properties that the file no longer held.")
    deleted_interactions: int = strawberry.field(
        description="Interactions that were deleted with those properties."
    )
    users_created: int = strawberry.field(description="Users that were created.")


@strawberry.type
class Import(Node, rows=(record.Import,)):
    """An import of a file."""

    row: strawberry.Private[record.Import]
    kind: Noun = strawberry.field(description="What the rows of the file are.")
    source: str = strawberry.field(description="Name of the file, or URL.")
    sha256: str | None = strawberry.field(
        description="SHA-256 of the file in hexadecimal; null for what was read from a pipe."
    )
    format: str | None = strawberry.field(description="Format of the file, where it is known.")
    mapping: JSON = strawberry.field(
        description="The file's column of each field that has a column of another name.",
        directives=[weight(1)],
    )
    options: JSON = strawberry.field(
        description="What else was asked for, by the names of the command's options.",
        directives=[weight(1)],
    )
    counts: ImportCounts = strawberry.field(description="What it did.")
    actor: str = strawberry.field(
        description="Who imported: `cli:` and a user of the operating system, `user:` and the UUID "
        "of a user of the tenant, `service`, `sample` or `system`."
    )
    created_at: datetime = strawberry.field(description="When it was made.")
    undone_at: datetime | None = strawberry.field(
        description="When it was undone; null if it was not."
    )
    undone_by: str | None = strawberry.field(
        description="Who undid it, as in `actor`; null if nobody did."
    )
    undoable: bool = strawberry.field(
        description="Whether `undoImport` can undo it: it is not undone, and not too old."
    )

    @classmethod
    def of(cls, row: record.Import) -> Self:
        """An import as a client sees it."""
        return cls.made_of(
            row,
            kind=row.noun,
            mapping=JSON(row.mapping),
            options=JSON(row.options),
            counts=ImportCounts(**{name: row.counts.get(name, 0) for name in record.COUNTS}),
            undoable=row.undone_at is None and row.purged_at is None,
        )

    @classmethod
    async def read(cls, context: Context, row_id: UUID) -> record.Import | None:
        """See ``Node.read``."""
        return await context.loaders(ImportLoaders).imports.load(row_id)

    @classmethod
    def permit(cls, context: Context, row_id: UUID, *field: str) -> None:  # noqa: ARG003
        """Check that the caller may see imports. Raises DomainError FORBIDDEN."""
        context.require_privileged(REFUSAL)
