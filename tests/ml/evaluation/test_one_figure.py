"""The gate, the evaluation and the service agree on how well a version ranks."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import (
    Changes,
    InteractionLog,
    InvestorHistory,
    ModelKey,
    PropertyColumns,
    StoredModel,
)
from ml.evaluation import metrics
from ml.evaluation.offline import OfflineTwin
from ml.evaluation.protocols import Query
from ml.index.index import EmbeddingIndex
from ml.measures.validation import measure
from ml.serving.inference import TwinService
from ml.training.config import TrainingConfig
from ml.training.gates import as_of, list_scorer
from ml.training.training import fit
from ml.twin.artifacts import pack
from ml.twin.device import pick_device
from ml.twin.scoring import LoadedTwin
from tests.ml.catalogue.test_candidate_generation import labelled
from tests.ml.worlds import make_streets
from tests.waiting import until

CONFIG = TrainingConfig(epochs=1, rerank_epochs=1, rerank_examples=300, device="cpu")
WANTED = ("ndcg@10", "recall@100")
EVERYTHING = PropertyFilter()


class Still:
    """Properties that never change, as a ``PropertyFeed``."""

    def __init__(self, columns: PropertyColumns) -> None:
        order = sorted(range(len(columns)), key=columns.ids.__getitem__)
        self._columns = labelled(columns.take(order))

    async def position(self, _: UUID) -> str:
        return ""

    async def count(self, _: UUID) -> int:
        return len(self._columns)

    async def batches(self, _: UUID) -> AsyncIterator[PropertyColumns]:
        yield self._columns

    async def changes(self, _: UUID, since: str) -> Changes:
        return Changes(since, labelled(self._columns.take([])), ())


def history_of(
    log: InteractionLog, columns: PropertyColumns, user: int, moment: float
) -> tuple[InvestorHistory, NDArray[np.intp]]:
    """What an investor had done by a moment, newest first, and the rows acted on."""
    acts = np.flatnonzero((log.user == user) & (log.occurred_at < moment))[::-1]
    rows = log.property[acts].astype(np.intp)
    history = InvestorHistory(
        user_id=log.users[user],
        properties=columns.take(rows),
        kind=log.kind[acts],
        occurred_at=log.occurred_at[acts],
        as_of=moment,
    )
    return history, rows


def figures(
    scores: NDArray[np.float64], candidates: NDArray[np.bool_], relevant: NDArray[np.intp]
) -> list[float]:
    """Those of ``WANTED``."""
    best = metrics.top(scores, candidates, seed=0)
    found = metrics.ranking_metrics(scores, candidates, relevant, best)
    return [float(found[metrics.METRICS.index(name)]) for name in WANTED]


async def test_gate_evaluation_and_service_give_each_investor_the_same_figures(
    index: EmbeddingIndex,
) -> None:
    everything, log = make_streets()
    fitted = fit(everything, log, CONFIG, lambda _: None)
    test = fitted.test
    assert test is not None
    columns = as_of(everything, fitted.events, test.moment)
    measured = measure({"gate": list_scorer(fitted.artifact, columns, test)}, test, len(columns))[
        "gate"
    ]
    gate = np.array([measured[name] for name in WANTED]).T
    assert len(gate) > 10
    assert len(set(map(tuple, gate.tolist()))) > 5

    stored = pack(fitted.artifact, {})

    async def load(_: ModelKey) -> StoredModel:
        return stored

    key = ModelKey(uuid4(), uuid4())
    by_index = TwinService(index, load, "cpu")
    await index.space(key).upsert_properties(labelled(columns), await by_index.items(key, columns))
    by_catalogue = TwinService(index, load, "cpu", feed=Still(columns))
    offline = OfflineTwin(LoadedTwin(fitted.artifact, pick_device("cpu")), columns, [], None)
    row_of = {one: row for row, one in enumerate(columns.ids)}
    await by_catalogue.nearest(key, offline.embeddings[0], EVERYTHING, (), 1)
    await until(lambda: by_catalogue.properties(key.tenant_id, columns.ids))

    for place, user in enumerate(test.user.tolist()):
        investor, rows = history_of(log, columns, user, test.moment)
        candidates = np.ones(len(columns), dtype=np.bool_)
        candidates[rows] = False
        relevant = test.relevant[1, test.relevant[0] == place].numpy()
        query = Query(investor, rows, candidates, relevant)
        found = [figures(offline.scores(query), candidates, relevant)]
        for service in (by_catalogue, by_index):
            exclude = investor.properties.ids
            listed = (await service.rank(key, investor, EVERYTHING, exclude)).items
            scores = np.full(len(columns), -np.inf)
            scores[[row_of[one.property_id] for one in listed]] = -np.arange(len(listed))
            found.append(figures(scores, candidates, relevant))
        for one in found:
            assert one == pytest.approx(gate[place].tolist(), abs=1e-6)
    await by_catalogue.close()
