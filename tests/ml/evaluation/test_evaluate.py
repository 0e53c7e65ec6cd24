import json
from dataclasses import asdict

import numpy as np
import pytest

from domain.contract.snapshots import InteractionLog, PropertyColumns
from domain.contract.vocabulary import InteractionKind
from ml.evaluation.evaluate import Evaluation, evaluate
from ml.evaluation.probes import DIVERSITIES, responsiveness
from ml.evaluation.protocols import EvaluationError, Protocol, Query, split
from tests.ml.evaluation.conftest import NearestTwin, interactions

pytestmark = pytest.mark.slow

Tenant = tuple[PropertyColumns, InteractionLog]


def test_every_protocol_and_scorer_is_measured(evaluation: Evaluation) -> None:
    names = {result.scorer for result in evaluation.results}
    assert names == {
        "twin", "popularity", "content cosine", "nearest-owned", "mix", "mix, unowned first",
        "naive recipe",
    }  # fmt: skip
    assert {(result.protocol, result.scorer) for result in evaluation.results} == {
        # In this tenant everything has been bought by somebody at the cut.
        (protocol, name)
        for protocol in Protocol
        for name in names
        if protocol is not Protocol.NEW_LISTINGS
    }
    twin = evaluation.result(Protocol.ALL, "twin")
    assert twin.seeds == 2
    assert all(i.low <= i.value <= i.high for i in twin.metrics.values())
    with pytest.raises(KeyError):
        evaluation.result(Protocol.ALL, "oracle")


def test_an_evaluation_is_plain_json(evaluation: Evaluation) -> None:
    text = json.dumps(evaluation.to_json(), allow_nan=False)
    again = json.loads(text)
    assert again["results"][0]["metrics"]["ndcg@10"].keys() == {"value", "low", "high"}
    assert again["seeds"] == [0, 1]
    assert again["learned_from"] == 0.8 * again["interactions"] == 1920
    assert [run["seed"] for run in again["training"]] == [0, 1]


def test_the_twin_is_fitted_to_the_past_alone(tenant: Tenant) -> None:
    columns, log = tenant
    seen = []

    def fit(columns: PropertyColumns, past: InteractionLog, seed: int) -> NearestTwin:
        seen.append((len(past), past.occurred_at.max(), int(columns.owners.max()), seed))
        return NearestTwin(columns, past, seed)

    told: list[float] = []
    evaluate(columns, log, fit, [Protocol.ALL], [5], lambda share, _: told.append(share))
    assert seen == [(1920, 1919.0, split(columns, log).columns.owners.max(), 5)]
    assert told == sorted(told)
    assert 0 <= told[0] < told[-1] < 1


def test_feedback_moves_what_is_alike(evaluation: Evaluation) -> None:
    told = evaluation.responsiveness
    assert told is not None
    assert told.investors == 50
    assert told.up.value > 0 > told.down.high


def test_a_twin_that_does_not_listen_is_found_out(tenant: Tenant) -> None:
    class Deaf(NearestTwin):
        """Knows only what was done before the cut."""

        def scores(self, query: Query) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
            return -np.arange(300.0)

    cut = split(*tenant)
    told = responsiveness(Deaf(cut.columns, cut.past, 0), cut)
    assert told is not None
    assert (told.up.value, told.down.value) == (0, 0)


def test_affinities_are_judged_on_balanced_pairs(evaluation: Evaluation) -> None:
    measured = evaluation.calibration
    yes, no = np.array(measured["confusion"]).sum(axis=1)
    assert yes == no
    assert measured["pairs"] == yes + no
    assert measured["auc"] > 0.7


def test_variety_costs_quality_here(evaluation: Evaluation) -> None:
    assert tuple(point.diversity for point in evaluation.variety) == DIVERSITIES
    first, last = evaluation.variety[0], evaluation.variety[-1]
    assert first.ndcg.value > last.ndcg.value
    assert first.cosine > last.cosine
    ranked = evaluation.result(Protocol.ALL, "twin").metrics["ndcg@10"]
    assert asdict(first.ndcg) == pytest.approx(asdict(ranked))


def test_too_little_is_said_in_a_line(tenant: Tenant) -> None:
    columns, _ = tenant
    with pytest.raises(EvaluationError, match="needs investors with at least 2 approvals"):
        evaluate(columns, interactions((0, 0, InteractionKind.DEAL)), NearestTwin)
    with pytest.raises(EvaluationError, match="new-listings"):
        evaluate(*tenant, NearestTwin, [Protocol.NEW_LISTINGS], [0])
