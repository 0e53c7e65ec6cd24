"""Collections of the embedded Qdrant: what is told about them, durability, optimisation."""

import asyncio
from contextlib import suppress
from pathlib import Path

import grpc
import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, models

import embedded
from tests.embedded.processes import client_of, kill, wait_until

pytestmark = pytest.mark.integration

NAME = "collection"
TENANT = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)


async def test_a_collection_tells_how_it_was_made(remote: AsyncQdrantClient) -> None:
    await remote.create_collection(
        NAME,
        vectors_config=models.VectorParams(size=16, distance=models.Distance.DOT, on_disk=True),
        hnsw_config=models.HnswConfigDiff(m=0, payload_m=24),
        quantization_config=models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        ),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1000),
        metadata={"made by": "a test"},
    )
    await remote.create_payload_index(NAME, "tenant", TENANT)
    await remote.create_payload_index(NAME, "price", models.PayloadSchemaType.FLOAT)
    without_graph: list[models.PayloadSchemaParams] = [
        models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, enable_hnsw=False),
        models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, enable_hnsw=False),
        models.FloatIndexParams(type=models.FloatIndexType.FLOAT, enable_hnsw=False),
        models.BoolIndexParams(type=models.BoolIndexType.BOOL, enable_hnsw=False),
        models.GeoIndexParams(type=models.GeoIndexType.GEO, enable_hnsw=False),
    ]
    for number, params in enumerate(without_graph):
        await remote.create_payload_index(NAME, f"field_{number}", params)
    assert await remote.collection_exists(NAME)
    info = await remote.get_collection(NAME)
    config = info.config
    assert isinstance(config.params.vectors, models.VectorParams)
    assert (config.params.vectors.size, config.params.vectors.distance) == (16, "Dot")
    assert (config.hnsw_config.m, config.hnsw_config.payload_m) == (0, 24)
    assert config.optimizer_config.indexing_threshold == 1000
    assert isinstance(config.quantization_config, models.ScalarQuantization)
    assert config.metadata == {"made by": "a test"}
    assert info.payload_schema["tenant"].params == TENANT
    assert info.payload_schema["price"].data_type is models.PayloadSchemaType.FLOAT
    for number, params in enumerate(without_graph):
        told = info.payload_schema[f"field_{number}"].params
        assert told is not None
        assert told.enable_hnsw is False
        assert type(told) is type(params)
        await remote.delete_payload_index(NAME, f"field_{number}")
    await remote.delete_payload_index(NAME, "price")
    assert set((await remote.get_collection(NAME)).payload_schema) == {"tenant"}
    assert await remote.delete_collection(NAME)
    assert not await remote.collection_exists(NAME)


async def test_acknowledged_writes_survive_a_kill(data_dir: Path) -> None:
    url = embedded.ensure(data_dir, postgres=False, redis=False).qdrant_url
    assert url is not None
    client = client_of(url)
    vectors = models.VectorParams(size=2, distance=models.Distance.COSINE)
    await client.create_collection(NAME, vectors_config=vectors)
    await client.create_payload_index(NAME, "tenant", TENANT)
    for number in range(50):
        point = models.PointStruct(id=number, vector=[1.0, number], payload={"tenant": "a"})
        await client.upsert(NAME, [point])
    await client.delete(NAME, [3])
    before = embedded.status(data_dir)["qdrant"]
    kill(before.pid)

    wait_until(lambda: embedded.status(data_dir)["qdrant"].restarts == 1)
    # The same address: the client that was there before goes on.
    assert embedded.ensure(data_dir, postgres=False, redis=False).qdrant_url == url
    for _ in range(100):
        try:
            await client.count(NAME)
            break
        except grpc.aio.AioRpcError:  # the channel has not reconnected yet
            await asyncio.sleep(0.1)
    of_a = models.Filter(
        must=[models.FieldCondition(key="tenant", match=models.MatchValue(value="a"))]
    )
    assert (await client.count(NAME, of_a)).count == 49
    assert (await client.get_collection(NAME)).payload_schema["tenant"].params == TENANT
    await client.close()


@pytest.fixture(scope="module")
def vectors() -> list[list[float]]:
    rows: list[list[float]] = np.random.default_rng(5).normal(size=(12_000, 8)).tolist()
    return rows


async def test_many_changes_are_optimized_while_calls_go_on(
    remote: AsyncQdrantClient, vectors: list[list[float]]
) -> None:
    """An index appears, and what changed while it was built is in it."""
    await remote.create_collection(
        NAME,
        vectors_config=models.VectorParams(size=8, distance=models.Distance.COSINE),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=100),
        hnsw_config=models.HnswConfigDiff(full_scan_threshold=10),
    )
    await remote.create_payload_index(NAME, "tenant", TENANT)
    points = [
        models.PointStruct(id=number, vector=vector, payload={"tenant": "ab"[number % 2]})
        for number, vector in enumerate(vectors)
    ]
    for start in range(0, len(points), 1000):
        await remote.upsert(NAME, points[start : start + 1000])
    changed = 0
    while not (info := await remote.get_collection(NAME)).indexed_vectors_count:
        # Every point written here moves to the far side of a vector that nothing else is near.
        point = points[changed].model_copy(update={"payload": {"tenant": "moved"}})
        await remote.upsert(NAME, [point])
        changed += 1
        await asyncio.sleep(0.02)
    assert info.indexed_vectors_count >= 10_000
    assert info.points_count == len(points)
    moved = models.Filter(
        must=[models.FieldCondition(key="tenant", match=models.MatchValue(value="moved"))]
    )
    assert (await remote.count(NAME, moved)).count == changed > 1
    hits = 0
    for vector in vectors[-50:]:
        found = await remote.query_points(NAME, query=vector, limit=1)
        hits += found.points[0].score > 0.9999
    assert hits >= 48  # an approximate index finds nearly every point itself
    assert await remote.delete_collection(NAME)


async def test_vectors_are_quantized_where_they_were_not(
    data_dir: Path, vectors: list[list[float]]
) -> None:
    url = embedded.ensure(data_dir, postgres=False, redis=False).qdrant_url
    assert url is not None
    remote = client_of(url)
    await remote.create_collection(
        NAME,
        vectors_config=models.VectorParams(size=8, distance=models.Distance.COSINE),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10),
    )
    points = [models.PointStruct(id=number, vector=one) for number, one in enumerate(vectors[:500])]
    await remote.upsert(NAME, points)
    int8 = models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    )
    assert await remote.update_collection(NAME, quantization_config=int8)
    assert (await remote.get_collection(NAME)).config.quantization_config == int8

    def quantized() -> bool:
        # Beside the vectors of a segment; while they are made they lie elsewhere, and folders
        # that are looked through may vanish.
        with suppress(FileNotFoundError):
            return bool(list(data_dir.glob("qdrant/*/*/segments/**/quantized.data")))
        return False

    await asyncio.to_thread(wait_until, quantized)
    await remote.upsert(NAME, [models.PointStruct(id=500, vector=vectors[500])])
    rescored = models.SearchParams(
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=2.0)
    )
    for number in range(490, 501):
        found = await remote.query_points(
            NAME, query=vectors[number], limit=1, search_params=rescored
        )
        assert found.points[0].id == number
        assert found.points[0].score == pytest.approx(1.0, abs=1e-5)
    await remote.close()
