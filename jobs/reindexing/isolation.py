"""Telling a subject that cannot be written from a service that does not answer."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import grpc
from qdrant_client.http.exceptions import ApiException
from sqlalchemy.exc import SQLAlchemyError

from ml.twin.artifacts import ArtifactError

logger = logging.getLogger(__name__)

_OUTAGES = (ApiException, SQLAlchemyError, OSError, MemoryError, ArtifactError)


def is_outage(error: Exception) -> bool:
    """Whether the fault is that of a service or the model: whatever is written would meet it."""
    if isinstance(error, grpc.RpcError):
        code = error.code() if isinstance(error, grpc.Call | grpc.aio.AioRpcError) else None
        return code is not grpc.StatusCode.INVALID_ARGUMENT
    return isinstance(error, _OUTAGES)


async def isolate(
    ids: Sequence[UUID], attempt: Callable[[Sequence[UUID]], Awaitable[None]]
) -> set[UUID]:
    """Attempt all ids at once and, where that fails, halves of them, down to those at fault.

    Args:
        ids: the subjects.
        attempt: writes some of them; may be called again for the same ones.

    Returns:
        The ids for which it fails even alone; each is logged.

    Raises:
        Exception: what an attempt raised, if that is an outage.
    """
    if not ids:
        return set()
    try:
        await attempt(ids)
    except Exception as error:
        if is_outage(error):
            raise
        if len(ids) == 1:
            logger.exception("%s cannot be written into the index; it stays marked", ids[0])
            return set(ids)
        middle = len(ids) // 2
        return await isolate(ids[:middle], attempt) | await isolate(ids[middle:], attempt)
    return set()
