"""Calls to a Qdrant that does not answer end."""

import asyncio
from uuid import uuid4

import grpc
import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import ModelKey
from ml.index import points
from ml.index.space import Space


async def test_a_search_that_nobody_answers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "TIMEOUT", 0.3)
    over = asyncio.Event()

    async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = AsyncQdrantClient(
        host="127.0.0.1", grpc_port=port, prefer_grpc=True, check_compatibility=False, https=False
    )
    space = Space(client, ModelKey(uuid4(), uuid4()))
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async with asyncio.timeout(60):
            await space.query(np.ones(16, dtype=np.float32), PropertyFilter(), (), 5)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await client.close()
    over.set()
    server.close()
