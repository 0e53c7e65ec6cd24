"""What is measured offline is what is served."""

from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
import torch

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import InvestorHistory, ModelKey, PropertyColumns, StoredModel
from domain.contract.vocabulary import ListingStatus
from ml.evaluation.offline import OfflineTwin, fit_offline
from ml.evaluation.protocols import Query
from ml.index.index import EmbeddingIndex
from ml.serving.inference import TwinService
from ml.training.config import TrainingConfig
from ml.training.training import fit
from ml.twin.artifacts import pack
from ml.twin.scoring import LoadedTwin
from tests.ml.worlds import make_columns, make_history, make_streets

CONFIG = TrainingConfig(
    epochs=2, rerank_epochs=2, rerank_examples=300, test_share=0.0, device="cpu"
)
World = tuple[OfflineTwin, TwinService, ModelKey, PropertyColumns]


@pytest.fixture(scope="module")
async def both(index: EmbeddingIndex) -> World:
    """One trained twin, as it is measured and as it is served, over 900 properties."""
    trained_on, log = make_streets()
    artifact = fit(trained_on, log, CONFIG, lambda _: None).artifact
    columns = make_columns(900, seed=6)
    stored = pack(artifact, {})

    async def load(_: ModelKey) -> StoredModel:
        return stored

    service = TwinService(index, load, device="cpu")
    key = ModelKey(uuid4(), uuid4())
    await index.space(key).upsert_properties(columns, await service.items(key, columns))
    offline = OfflineTwin(LoadedTwin(artifact, torch.device("cpu")), columns, [], 0.0)
    return offline, service, key, columns


def asked(columns: PropertyColumns, investor: InvestorHistory) -> Query:
    """All that was not acted on."""
    acted_on = set(investor.properties.ids)
    candidates = np.array([one not in acted_on for one in columns.ids])
    nothing = np.array([], dtype=np.intp)
    return Query(investor, nothing, candidates, nothing)


HISTORIES = [
    ([1, 2, 3], ["SAVE", "DEAL", "THUMBS_DOWN"]),
    ([10], ["VIEW"]),
    ([*range(20, 60)], ["SAVE", "VIEW", "THUMBS_DOWN", "OUTREACH"] * 10),
    ([5, 5, 7], ["THUMBS_DOWN", "VIEW", "SAVE"]),
]


@pytest.mark.parametrize(("rows", "kinds"), HISTORIES)
async def test_scores_are_those_of_the_service(
    both: World, rows: list[int], kinds: list[str]
) -> None:
    """The same hundred properties in the same order, with the same affinity."""
    offline, service, key, columns = both
    query = asked(columns, make_history(columns, rows, kinds))
    scores = offline.scores(query)
    assert (scores[~query.candidates] == -np.inf).all()
    affinity = offline.affinity(query, np.arange(len(columns)))
    exclude = [columns.ids[row] for row in rows]
    ranked = (await service.rank(key, query.investor, PropertyFilter(), exclude)).items[:100]
    places = [columns.ids.index(one.property_id) for one in ranked]
    np.testing.assert_allclose(affinity[places], [one.score for one in ranked], atol=1e-4)
    assert places == np.argsort(-scores, kind="stable")[:100].tolist()
    rest = np.flatnonzero(query.candidates & ~np.isin(np.arange(len(columns)), places))
    by_affinity = rest[np.argsort(-affinity[rest], kind="stable")]
    assert by_affinity.tolist() == rest[np.argsort(-scores[rest], kind="stable")].tolist()


async def test_diverse_lists_are_those_of_the_service(both: World) -> None:
    offline, service, key, columns = both
    query = asked(columns, make_history(columns, *HISTORIES[0]))
    for diversity in (0.0, 0.3, 1.0):
        ranked, _ = await service.rank(
            key, query.investor, PropertyFilter(), query.investor.properties.ids, diversity
        )
        places = [columns.ids.index(one.property_id) for one in ranked[:10]]
        assert offline.listed(query, diversity, 10).tolist() == places


def test_no_status_and_no_act_leaves_a_property_out(both: World) -> None:
    """The rules of recommendations are not those of figures."""
    offline, _, _, columns = both
    query = asked(columns, make_history(columns, *HISTORIES[0]))
    scores = offline.scores(replace(query, candidates=np.ones_like(query.candidates)))
    assert np.isfinite(scores).all()
    statuses = columns.listing_status[np.argsort(-scores)[:100]]
    assert set(statuses.tolist()) == {-1, *range(len(ListingStatus))}


def test_fits_and_says_how_it_went() -> None:
    columns, log = make_streets()
    found = fit_offline(columns, log, CONFIG)
    assert [one["epoch"] for one in found.history] == [1, 2]
    assert found.seconds is not None
    assert found.seconds > 0
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-5)
    every = np.arange(len(columns))
    query = asked(columns, make_history(columns, [0, 6], ["SAVE", "VIEW"]))
    affinity = found.affinity(query, every)
    assert affinity.shape == (len(columns),)
    assert affinity.min() >= 0
    assert affinity.max() <= 1
    assert affinity[0::6].mean() > affinity.mean()
    np.testing.assert_allclose(found.affinity(query, every[3:6]), affinity[3:6], atol=1e-6)
