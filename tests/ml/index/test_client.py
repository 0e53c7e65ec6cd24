"""Calls while Qdrant restarts."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError
from qdrant_client import AsyncQdrantClient, models

import embedded
from ml.index.client import connect

pytestmark = pytest.mark.integration


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def client(data_dir: Path) -> AsyncIterator[AsyncQdrantClient]:
    """On a Qdrant of the test's own."""
    urls = embedded.ensure(data_dir, postgres=False, redis=False)
    assert urls.qdrant_url is not None
    opened = connect(urls.qdrant_url)
    yield opened
    await opened.close()
    embedded.release(data_dir)


async def test_calls_outlast_a_restart_and_nothing_acknowledged_is_lost(
    client: AsyncQdrantClient, data_dir: Path
) -> None:
    size = models.VectorParams(size=2, distance=models.Distance.COSINE)
    await client.create_collection("some", vectors_config=size)
    killed = embedded.status(data_dir)["qdrant"].pid
    assert killed is not None
    for number in range(40):
        if number == 20:
            os.kill(killed, signal.SIGKILL)
        await client.upsert("some", models.Batch(ids=[number], vectors=[[1.0, number]]))

    assert (await client.count("some")).count == 40
    assert embedded.status(data_dir)["qdrant"].pid != killed


async def test_a_qdrant_that_is_gone_is_said_to_be(
    client: AsyncQdrantClient, data_dir: Path
) -> None:
    embedded.release(data_dir)
    async with asyncio.timeout(60):
        while embedded.status(data_dir):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
        with pytest.raises(AioRpcError) as caught:
            await client.get_collections()
    assert caught.value.code() is StatusCode.UNAVAILABLE
