"""``node`` and ``nodes``: objects asked for again by their global ids."""

import asyncio
from typing import Annotated, cast

import strawberry

from domain.core.errors import DomainError, invalid
from graph.core.context import Info
from graph.core.directives import QUERY, as_many_as, weight
from graph.core.nodes import Node, NodeId, node_type, split_id

MAX_NODES = 100

NodeIds = Annotated[list[strawberry.ID], strawberry.argument(description="At most 100 global ids.")]


@strawberry.type
class NodeQueries:
    """Queries of any node."""

    @strawberry.field(directives=[weight(QUERY)])
    async def node(self, info: Info, node_id: NodeId) -> Node | None:
        """The object of a global id.

        Raises:
            DomainError: NOT_FOUND; INVALID_INPUT for what is no id; FORBIDDEN for what the caller
                may not see.
        """
        return await _find(info, node_id, "id")

    @strawberry.field(directives=[weight(QUERY), as_many_as("ids")])
    async def nodes(self, info: Info, ids: NodeIds) -> list[Node | None]:
        """The objects of global ids, in the order asked.

        What is not found, or not the caller's to see, is null, and the error at its place says why.

        Raises:
            DomainError: INVALID_INPUT for more than ``MAX_NODES`` ids.
        """
        if len(ids) > MAX_NODES:
            raise invalid(f"ids: {len(ids)} ids; use at most {MAX_NODES}", "ids")
        found = await asyncio.gather(
            *(_find(info, value, "ids", str(place)) for place, value in enumerate(ids)),
            return_exceptions=True,
        )
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, DomainError):
                raise one
        # An executor takes an error in a list for the error of its place.
        return cast(list[Node | None], found)


async def _find(info: Info, value: str, *field: str) -> Node:
    name, row_id = split_id(value, *field)
    kind = node_type(name)
    if kind is None:
        raise invalid(f"{'.'.join(field)}: no {name!r} can be asked for by its id", *field)
    kind.permit(info.context, row_id, *field)
    return await kind.get(info.context, row_id, *field)
