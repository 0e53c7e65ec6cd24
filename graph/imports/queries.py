"""Listing the imports of a tenant."""

from typing import Annotated

import strawberry

from domain.imports import record
from graph.core.context import Info
from graph.core.directives import QUERY, weight
from graph.core.pagination import (
    PAGED,
    After,
    Before,
    Connection,
    First,
    Last,
    list_by_age,
    slice_of,
)
from graph.imports.types import REFUSAL, Import


@strawberry.input
class ImportFilter:
    """Which imports; all conditions that are given must hold."""

    undone: bool | None = strawberry.field(
        default=None, description="True for imports that were undone, false for the others."
    )


Which = Annotated[
    ImportFilter | None, strawberry.argument(name="filter", description="Which imports.")
]


@strawberry.type
class ImportQueries:
    """Queries of imports."""

    @strawberry.field(directives=[weight(QUERY), PAGED])
    async def imports(
        self,
        info: Info,
        where: Which = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Import]:
        """The recorded imports, newest first; for analysts and admins.

        Raises DomainError FORBIDDEN for a viewer.
        """
        info.context.require_privileged(REFUSAL)
        matching = record.EVERY if where is None else record.ImportFilter(where.undone)
        asked = slice_of(first, after, last, before)
        return await list_by_age(
            info.context, "imports", asked, matching, record.page, record.count, Import.of
        )
