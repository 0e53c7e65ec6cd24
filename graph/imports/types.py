"""The type of a recorded import."""

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
    "Kind of objects that an import writes.",
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
    """What an import did. Counts are rows of the file unless they say otherwise."""

    read: int = strawberry.field(description="Rows in the file.")
    inserted: int = strawberry.field(description="Rows that were new.")
    updated: int = strawberry.field(description="Rows that changed what was there.")
    unchanged: int = strawberry.field(description="Rows that were there already.")
    skipped: int = strawberry.field(description="Rows that were skipped because of a bad value.")
    deleted: int = strawberry.field(
        description="Properties that were deleted because the file did not hold them."
    )
    deleted_interactions: int = strawberry.field(
        description="Interactions that were deleted with those properties."
    )
    users_created: int = strawberry.field(description="Users that were created.")


@strawberry.type
class Import(Node, rows=(record.Import,)):
    """An import of a file or a RESO feed."""

    row: strawberry.Private[record.Import]
    kind: Noun = strawberry.field(description="What the rows of the file are.")
    source: str = strawberry.field(description="Name of the file, or URL.")
    sha256: str | None = strawberry.field(
        description="SHA-256 of the file in hexadecimal; null for a RESO feed."
    )
    format: str | None = strawberry.field(
        description="Format whose columns were recognised, such as `redfin`."
    )
    mapping: JSON = strawberry.field(
        description="The file's column or columns for each field.",
        directives=[weight(1)],
    )
    options: JSON = strawberry.field(
        description="Options of the import that differ from their defaults.",
        directives=[weight(1)],
    )
    counts: ImportCounts = strawberry.field(description="Numbers of rows by outcome.")
    actor: str = strawberry.field(
        description="Who imported: `cli:` and a user of the operating system, `user:` and the UUID "
        "of a user of the tenant, `service`, `sample` or `system`."
    )
    created_at: datetime = strawberry.field(description="When it was imported.")
    undone_at: datetime | None = strawberry.field(
        description="When it was undone; null if it was not."
    )
    undone_by: str | None = strawberry.field(
        description="Who undid it, as in `actor`; null if nobody did."
    )
    undoable: bool = strawberry.field(
        description="Whether it can still be undone: it is not undone yet, and not too old."
    )

    @classmethod
    def of(cls, row: record.Import) -> Self:
        """Make the GraphQL object of a recorded import."""
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
