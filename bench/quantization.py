"""What quantized vectors save and cost: ``python -m bench.quantization [--properties N]``.

Embeddings of made-up properties by a twin of one short training, in an embedded Qdrant of its own
for either setting: memory of the process after a restart, what the files hold, how many of the 10
and 100 nearest are found, compared with a search of all by NumPy, and how long a search takes.
"""

import argparse
import asyncio
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import get_args
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models
from rich.console import Console
from rich.table import Table

import embedded
from bench.twin import invent
from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import ModelKey
from ml.index.index import EmbeddingIndex, Quantization
from ml.index.points import PROPERTIES
from ml.index.space import Space
from ml.training.config import TrainingConfig
from ml.training.training import fit
from ml.twin.scoring import LoadedTwin
from tests.embedded.processes import wait_until

_TRAINED_ON = 5000
_QUERIES = 200
_NEAREST = 100
_MIB = 1 << 20


def embeddings(count: int) -> tuple[tuple[UUID, ...], NDArray[np.float32]]:
    """Ids and unit vectors (n, 16) of that many properties."""
    some, log = invent(_TRAINED_ON, 10_000)
    config = TrainingConfig(device="cpu", epochs=3, rerank_epochs=1, test_share=0.0)
    twin = LoadedTwin(fit(some, log, config, lambda _: None).artifact, torch.device("cpu"))
    many, _ = invent(count, 1000, seed=1)
    return many.ids, twin.embed(many)


class Filled(Space):
    """A space that takes vectors without properties."""

    async def fill(self, ids: tuple[UUID, ...], vectors: NDArray[np.float32]) -> None:
        """Write the vectors."""
        points = [self._point_id(one) for one in ids]
        await self._upsert(PROPERTIES, points, vectors, [{}] * len(ids))


def connect(data_dir: Path) -> AsyncQdrantClient:
    """A client of the folder's Qdrant, which is started."""
    url = embedded.ensure(data_dir, postgres=False, redis=False).qdrant_url
    address = urlsplit(url or "")
    return AsyncQdrantClient(
        host=address.hostname,
        grpc_port=address.port or 6334,
        prefer_grpc=True,
        check_compatibility=False,
        timeout=120,
    )


def release(data_dir: Path) -> None:
    """Stop the folder's Qdrant, and wait until nothing writes to the folder any more."""
    embedded.release(data_dir)
    wait_until(lambda: not embedded.status(data_dir))


async def measure(
    data_dir: Path,
    quantization: Quantization,
    ids: tuple[UUID, ...],
    vectors: NDArray[np.float32],
) -> list[str]:
    """Fill an index and search it; the figures of a row."""
    client = connect(data_dir)
    model = ModelKey(uuid4(), uuid4())
    await EmbeddingIndex(client, quantization).ensure_collections()
    await Filled(client, model).fill(ids, vectors)
    await indexed(client, len(ids))
    await client.close()
    # What the building of graphs left behind is not what a server needs.
    await asyncio.to_thread(release, data_dir)
    client = connect(data_dir)
    space = Space(client, model)
    chosen = np.random.default_rng(2).choice(len(ids), _QUERIES, replace=False)
    took, found_10, found_100 = [], [], []
    place = {one: row for row, one in enumerate(ids)}
    for vector in vectors[chosen]:
        start = time.perf_counter()
        hits = await space.query(vector, PropertyFilter(), (), _NEAREST)
        took.append(1000 * (time.perf_counter() - start))
        cosine = vectors @ vector
        exact = np.sort(cosine)[::-1]
        # Ties count alike, whichever of them is found.
        likeness = np.sort(cosine[[place[hit.property_id] for hit in hits]])[::-1]
        found_10.append(float((likeness[:10] >= exact[9] - 1e-6).mean()))
        found_100.append(float((likeness >= exact[99] - 1e-6).mean()))
    process = psutil.Process(embedded.status(data_dir)["qdrant"].pid)
    resident = process.memory_full_info()
    size = sum(one.stat().st_blocks * 512 for one in (data_dir / "qdrant").rglob("*.*"))
    quantized = sum(one.stat().st_size for one in (data_dir / "qdrant").rglob("quantized.data"))
    await client.close()
    await asyncio.to_thread(release, data_dir)
    return [
        f"{np.mean(found_10):.3f}",
        f"{np.mean(found_100):.3f}",
        f"{median(took):.1f}",
        f"{resident.uss / _MIB:,.0f}",
        f"{size / _MIB:,.0f}",
        f"{quantized / _MIB:,.1f}",
    ]


async def indexed(client: AsyncQdrantClient, count: int) -> None:
    """Wait until all graphs are built."""
    done = 0
    while done < count:
        await asyncio.sleep(1)
        info = await client.get_collection(PROPERTIES)
        if info.status is models.CollectionStatus.GREEN:
            done = info.indexed_vectors_count or 0


async def bench(folder: Path, count: int) -> None:
    """Measure both settings."""
    ids, vectors = embeddings(count)
    table = Table(title=f"{count:,} vectors of 16 numbers, {_QUERIES} searches of {_NEAREST}")
    for heading in (
        "quantization", "recall@10", "recall@100", "ms", "memory, MiB", "files, MiB", "of int8, MiB"
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for quantization in get_args(Quantization):
        table.add_row(
            quantization, *await measure(folder / quantization, quantization, ids, vectors)
        )
    Console(width=100).print(table)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--properties", type=int, default=100_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="twin-bench-") as folder:
        asyncio.run(bench(Path(folder), arguments.properties))


if __name__ == "__main__":
    main()
