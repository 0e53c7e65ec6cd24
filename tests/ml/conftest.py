"""Small worlds with known answers, and an index on the real, embedded Qdrant."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import torch
from qdrant_client import AsyncQdrantClient

import embedded
from domain.contract.snapshots import InteractionLog, PropertyColumns
from ml.index.index import EmbeddingIndex
from ml.twin.artifacts import Artifact
from ml.twin.calibration import Calibration
from ml.twin.features import FeatureStatistics
from ml.twin.items import Items
from ml.twin.reranker import Reranker
from ml.twin.scoring import LoadedTwin
from ml.twin.towers import PropertyTower
from runtime import Runtime
from tests.embedded.processes import client_of
from tests.ml.worlds import make_checkerboard, make_columns


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a CUDA device where there is none."""
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def columns() -> PropertyColumns:
    """Two hundred properties."""
    return make_columns(200)


@pytest.fixture(scope="session")
def checkerboard() -> tuple[PropertyColumns, InteractionLog]:
    """See ``make_checkerboard``."""
    return make_checkerboard()


@pytest.fixture(scope="session")
def artifact(columns: PropertyColumns) -> Artifact:
    """An untrained twin for ``columns``: its geometry is random, its promises hold all the same."""
    statistics = FeatureStatistics.fit(columns, 2024)
    torch.manual_seed(3)
    tower = PropertyTower(statistics.kilometres_per_unit()).eval().requires_grad_(False)
    reranker = Reranker().eval().requires_grad_(False)
    reranker.fit_tenant(columns, statistics, seed=3)
    # What training gives the candidates themselves starts as nothing.
    torch.nn.init.normal_(reranker.candidate_score.weight, std=0.2)
    return Artifact(tower, reranker, statistics, Calibration(scale=0.5, bias=2.0))


@pytest.fixture(scope="session")
def twin(artifact: Artifact) -> LoadedTwin:
    """The untrained twin, loaded."""
    return LoadedTwin(artifact, torch.device("cpu"))


@pytest.fixture(scope="session")
def items(twin: LoadedTwin, columns: PropertyColumns) -> Items:
    """What it reads of ``columns``."""
    return twin.items(columns)


@pytest.fixture(scope="session")
async def index(rt: Runtime) -> EmbeddingIndex:
    """The index of the session's embedded Qdrant."""
    await rt.index.ensure_collections()
    return rt.index


@pytest.fixture
async def own_qdrant(tmp_path: Path) -> AsyncIterator[AsyncQdrantClient]:
    """A Qdrant of the test's own: what is done to a collection is done to all who use it."""
    url = embedded.ensure(tmp_path, postgres=False, redis=False).qdrant_url
    client = client_of(str(url))
    yield client
    await client.close()
    embedded.release(tmp_path)
