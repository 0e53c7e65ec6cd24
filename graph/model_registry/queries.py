"""Reading the versions of the twin."""

import strawberry

from domain.model_registry import model_versions
from graph.core.context import Info
from graph.core.directives import QUERY, weight
from graph.core.pagination import (
    PAGED,
    After,
    Before,
    Connection,
    First,
    Last,
    counted,
    decode,
    encode,
    keyset_page,
    not_ours,
    slice_of,
)
from graph.model_registry.types import REFUSAL, ModelVersion

_LIST = "modelVersions"


@strawberry.type
class ModelQueries:
    """Queries of the model registry."""

    @strawberry.field(directives=[weight(QUERY)])
    async def active_model(self, info: Info) -> ModelVersion | None:
        """The version of the twin that answers now, null while none does; for analysts and admins.

        Raises DomainError FORBIDDEN for a viewer.
        """
        info.context.require_privileged(REFUSAL)
        async with info.context.work() as work:
            row = await model_versions.active(work)
        return ModelVersion.of(row) if row else None

    @strawberry.field(directives=[weight(QUERY), PAGED])
    async def model_versions(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[ModelVersion]:
        """The versions of the twin, the newest first; for analysts and admins.

        Raises DomainError FORBIDDEN for a viewer.
        """
        info.context.require_privileged(REFUSAL)
        asked = slice_of(first, after, last, before)
        async with info.context.work() as work:
            rows = await model_versions.page(
                work,
                asked.size + 1,
                after=_number(after, "after"),
                before=_number(before, "before"),
                backward=asked.backward,
            )
        edges, page = keyset_page(
            rows, asked, lambda row: encode(_LIST, row.number), ModelVersion.of
        )
        return Connection(count=counted(model_versions.count), edges=edges, page_info=page)


def _number(cursor: str | None, field: str) -> int | None:
    """The number in a cursor, if any. Raises DomainError INVALID_INPUT for another list's."""
    if cursor is None:
        return None
    (number,) = decode(cursor, _LIST, 1, field)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
        raise not_ours(field)
    return number
