import json
from typing import Any

import numpy as np
import pytest

from bench.sample_columns import as_columns
from bench.simulation import LENGTHS, lines, measure, shortened
from domain.contract.vocabulary import InteractionKind
from ml.evaluation.protocols import Protocol, split
from sample.export import Sample, build_sample
from sample.simulation import KINDS
from tests.ml.evaluation.conftest import NearestTwin

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sample() -> Sample:
    return build_sample(investors=8, most_houses=5_000)


@pytest.fixture(scope="module")
def found(sample: Sample) -> dict[str, Any]:
    return measure(sample, NearestTwin, [0])


def test_the_sample_speaks_the_domains_words(sample: Sample) -> None:
    columns, log = as_columns(sample)
    assert [kind.value for kind in InteractionKind] == list(KINDS)
    assert (columns.column("listing_price") == sample.houses.price).all()
    assert (np.diff(log.occurred_at) >= 0).all()
    assert log.user.max() < len(log.users) == 8
    assert len(log) == len(sample.simulation.interactions)


def test_the_ends_of_the_scale_are_where_they_should_be(found: dict[str, Any]) -> None:
    closed = found["gap_closed"]
    for metric in ("saves@10", "recall@100", "gain"):
        assert closed["popularity"][metric]["share"]["value"] == 0
        assert closed["oracle"][metric]["share"]["value"] == 1
        assert 0 < closed["nearest-owned"][metric]["share"]["value"] < 1
    thumbs = found["thumbs"]
    assert thumbs["oracle"]["auc"] > thumbs["nearest-owned"]["auc"] > 0.5
    assert thumbs["oracle"]["auc"] > 0.9


def test_without_a_history_all_scorers_are_popularity(found: dict[str, Any]) -> None:
    curve = found["learning_curve"]
    assert [point["interactions"] for point in curve] == [n for n in LENGTHS for _ in range(3)]
    assert len({point["ndcg@10"]["value"] for point in curve[:3]}) == 1


def test_a_shortened_investor_is_who_did_the_newest_things(sample: Sample) -> None:
    cut = split(*as_columns(sample))
    rows = {property_id: row for row, property_id in enumerate(cut.columns.ids)}
    query = next(cut.queries(Protocol.ALL))
    short = shortened(query, 3, rows)
    assert short.investor.properties.ids == query.investor.properties.ids[:3]
    assert (short.investor.kind == query.investor.kind[:3]).all()
    assert {rows[one] for one in short.investor.properties.ids} >= set(short.approved.tolist())
    assert (short.candidates == query.candidates).all()
    assert len(shortened(query, 0, rows).investor) == len(shortened(query, 0, rows).approved) == 0


def test_every_figure_is_called_simulated(found: dict[str, Any]) -> None:
    json.dumps(found, allow_nan=False)
    assert found["simulated"] is True
    text = "\n".join(lines(found))
    assert text.startswith("Simulated investors")
    assert "Every figure is one of a simulation" in text
    assert "simulated thumbs" in text
