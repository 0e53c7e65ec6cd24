from dataclasses import replace

import numpy as np
import pytest

from domain.contract.snapshots import InteractionLog, PropertyColumns
from domain.contract.vocabulary import InteractionKind
from ml.evaluation.baselines import MIX_UNOWNED, baselines
from ml.evaluation.measure import measure
from ml.evaluation.naive import naive_recipe
from ml.evaluation.protocols import Protocol, Query, Split, split
from ml.measures.baselines import MIX, standardised_attributes
from tests.ml.evaluation.conftest import interactions, properties

DEAL = InteractionKind.DEAL


@pytest.fixture
def small() -> tuple[Split, Query]:
    """Five houses on the equator, 0 to 4 km east; Ann owns 0 and 2, Bob 3; Ann buys 1."""
    columns = properties(
        [0.0] * 5,
        [kilometres / 111.195 for kilometres in range(5)],
        bedrooms=[1.0, 3.0, 3.0, 1.0, 2.0],
    )
    log = interactions((0, 0, DEAL), (0, 2, DEAL), (1, 3, DEAL), (0, 1, DEAL))
    cut = split(columns, log, quantile=0.7)
    (query,) = cut.queries(Protocol.ALL)
    return cut, query


def test_the_mix_by_hand(small: tuple[Split, Query]) -> None:
    cut, query = small
    # One attribute varies, so that cosines are 1, 0 and -1: the mean is two bedrooms.
    sign = np.array([-1, 1, 1, -1, 0])
    expected = [
        max(
            -np.log(abs(row - owned) + 0.05) + sign[row] * sign[owned]
            for owned in query.approved.tolist()
        )
        for row in range(5)
    ]
    assert baselines(cut)[MIX](query) == pytest.approx(expected, abs=1e-4)


def test_the_rest_by_hand(small: tuple[Split, Query]) -> None:
    cut, query = small
    scorers = baselines(cut)
    assert scorers["nearest-owned"](query) == pytest.approx([0, -1, 0, -1, -2], abs=1e-5)
    assert scorers["content cosine"](query) == pytest.approx([1, 1, 1, 1, 0], abs=1e-6)
    assert scorers["popularity"](query).tolist() == [10, 0, 10, 10, 0]


def test_unowned_first_keeps_the_order_of_the_mix(small: tuple[Split, Query]) -> None:
    cut, query = small
    mix, unowned = baselines(cut)[MIX](query), baselines(cut)[MIX_UNOWNED](query)
    assert unowned[[0, 2, 3]].max() < unowned[[1, 4]].min()
    assert np.argsort(unowned[[1, 4]]).tolist() == np.argsort(mix[[1, 4]]).tolist()
    assert np.argsort(unowned[[0, 2, 3]]).tolist() == np.argsort(mix[[0, 2, 3]]).tolist()


def test_scores_follow_the_query_and_not_the_one_before(
    tenant: tuple[PropertyColumns, InteractionLog],
) -> None:
    cut = split(*tenant)
    together = baselines(cut)
    for query in cut.queries(Protocol.ALL, most=4):
        for name, scorer in baselines(cut).items():
            assert (together[name](query) == scorer(query)).all()
        one = replace(query, approved=query.approved[:1])
        assert (together[MIX](one) != together[MIX](query)).any()


def test_attributes_are_standardised_and_know_no_place(
    tenant: tuple[PropertyColumns, InteractionLog],
) -> None:
    cut = split(*tenant)
    attributes = standardised_attributes(cut.columns, 2024)
    assert attributes.shape == (300, 23)
    assert attributes.mean(axis=0) == pytest.approx(np.zeros(23), abs=1e-9)
    assert set(attributes.std(axis=0).round(6)) == {0.0, 1.0}
    moved = np.concatenate((cut.columns.numeric[:, :9], cut.columns.numeric[:, 9:11] + 1), axis=1)
    moved = np.concatenate((moved, cut.columns.numeric[:, 11:]), axis=1)
    elsewhere = replace(cut.columns, numeric=moved)
    assert (standardised_attributes(elsewhere, 2024) == attributes).all()


def test_who_looks_near_what_is_owned_beats_who_does_not(
    tenant: tuple[PropertyColumns, InteractionLog],
) -> None:
    cut = split(*tenant)
    scorers = {name: [scorer] for name, scorer in baselines(cut).items()}
    scorers["naive recipe"] = [naive_recipe(cut, seed) for seed in (0, 1)]
    results = {result.scorer: result for result in measure(cut, Protocol.ALL, scorers)}

    ndcg = {name: result.metrics["ndcg@10"].value for name, result in results.items()}
    assert ndcg["nearest-owned"] > 2 * ndcg["popularity"]
    assert ndcg["nearest-owned"] > ndcg["naive recipe"]
    assert results["naive recipe"].seeds == 2
    assert results[MIX].against.keys() == {MIX_UNOWNED}
    difference = results["naive recipe"].against[MIX].difference
    assert difference.value == pytest.approx(ndcg["naive recipe"] - ndcg[MIX])
    assert difference.high < 0
    assert results["popularity"].coverage < results[MIX].coverage <= 1


def test_the_naive_recipe_is_told_by_its_seed(
    tenant: tuple[PropertyColumns, InteractionLog],
) -> None:
    cut = split(*tenant)
    query = next(cut.queries(Protocol.ALL))
    first, again, other = (naive_recipe(cut, seed)(query) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert np.isfinite(first).all()
