"""``node`` and ``nodes``: objects asked for again by their global ids."""

import asyncio
from typing import Annotated, cast

import strawberry

from domain.core.errors import DomainError, invalid, not_found
from domain.jobs import job_runs
from graph.core.context import Info
from graph.core.nodes import Node, NodeId, split_id
from graph.jobs import types as jobs
from graph.model_registry import types as models
from graph.properties.types import Property
from graph.users.types import User

MAX_NODES = 100

NodeIds = Annotated[list[strawberry.ID], strawberry.argument(description="At most 100 global ids.")]


async def find_node(info: Info, node_id: NodeId) -> Node | None:
    """The object of that id, whatever its type.

    Raises:
        DomainError: NOT_FOUND; INVALID_INPUT for what is no id; FORBIDDEN for another user than
            the viewer who asks.
    """
    return await _find(info, node_id, "id")


async def find_nodes(info: Info, ids: NodeIds) -> list[Node | None]:
    """The objects of those ids in the order asked, in one query for each type.

    What ``node`` would refuse is null at its place, with that error at the place's path.

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
    kind, uuid = split_id(value, *field)
    if kind == "Property":
        house = await info.context.loaders.properties.load(uuid)
        if house is None:
            raise not_found("property", field)
        return Property.of(house)
    if kind == "User":
        person = await info.context.loaders.users.load(info.context.investor(value, *field))
        if person is None:
            raise not_found("user", field)
        return User.of(person)
    if kind == "ModelVersion":
        info.context.require_privileged(models.REFUSAL)
        version = await info.context.loaders.versions.load(uuid)
        if version is None:
            raise not_found("model version", field)
        return models.ModelVersion.of(version)
    if kind == "JobRun":
        info.context.require_privileged(jobs.REFUSAL)
        async with info.context.work() as work:
            return jobs.JobRun.of(await job_runs.get(work, uuid, *field))
    raise invalid(f"{'.'.join(field)}: no {kind!r} can be asked for by its id", *field)
