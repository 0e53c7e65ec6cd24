from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from sample.export import Sample
from sample.listings import STATUS_SHARES, STATUSES, simulate_listings
from sample.simulation import (
    DEAL,
    DISMISS,
    END,
    OUTREACH,
    SAVE,
    START,
    THUMBS_DOWN,
    THUMBS_UP,
    VIEW,
    simulate,
)


@pytest.fixture(scope="module")
def utilities(sample: Sample) -> NDArray[np.float64]:
    """True utilities, (investors, houses)."""
    simulation = sample.simulation
    return np.array([simulation.utility(index) for index in range(len(simulation.investors))])


def area_under_curve(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Probability that a positive exceeds a negative; ties count half."""
    negative = np.sort(negative)
    below = np.searchsorted(negative, positive, side="left")
    not_above = np.searchsorted(negative, positive, side="right")
    return float((below + not_above).mean() / 2 / len(negative))


def test_size_and_activity(sample: Sample) -> None:
    done = sample.simulation.interactions
    each = np.bincount(done.investor, minlength=300)
    assert len(sample.simulation.investors) == 300
    assert 30_000 < len(done) < 60_000
    assert 100 < each.mean() < 250
    assert (each == 0).sum() >= 3
    assert ((each > 0) & (each < 20)).sum() >= 10
    assert each.max() > 5 * np.median(each)


def test_the_funnel_narrows_and_keeps_its_order(sample: Sample) -> None:
    done = sample.simulation.interactions
    at: list[dict[tuple[int, int], np.datetime64]] = [{} for _ in range(7)]
    columns = zip(done.kind, done.investor, done.house, done.occurred_at, strict=True)
    for kind, investor, house, moment in columns:
        assert (investor, house) not in at[kind], "each step is taken once"
        at[kind][int(investor), int(house)] = moment
    for earlier, later in (
        (VIEW, SAVE),
        (SAVE, OUTREACH),
        (OUTREACH, DEAL),
        (VIEW, THUMBS_UP),
        (VIEW, THUMBS_DOWN),
        (VIEW, DISMISS),
    ):
        assert 0 < len(at[later]) < len(at[earlier])
        assert all(moment >= at[earlier][pair] for pair, moment in at[later].items())
    assert not at[THUMBS_UP].keys() & at[THUMBS_DOWN].keys()
    assert not at[SAVE].keys() & (at[THUMBS_DOWN].keys() | at[DISMISS].keys())


def test_time_runs_forward_from_listing_to_deal(sample: Sample) -> None:
    done = sample.simulation.interactions
    assert (done.occurred_at >= START).all()
    assert (done.occurred_at < END).all()
    assert (np.diff(done.occurred_at) >= np.timedelta64(0, "s")).all()
    assert (done.occurred_at >= sample.listings.listed_on[done.house]).all()
    deals = done.kind == DEAL
    assert set(Counter(done.house[deals].tolist()).values()) == {1}
    last = np.full(len(sample.houses), START)
    np.maximum.at(last, done.house, done.occurred_at)
    assert (last[done.house[deals]] == done.occurred_at[deals]).all()


def test_utility_explains_deals_and_thumbs(sample: Sample, utilities: NDArray[np.float64]) -> None:
    done = sample.simulation.interactions

    def of(kind: int) -> NDArray[np.float64]:
        rows = done.kind == kind
        found: NDArray[np.float64] = utilities[done.investor[rows], done.house[rows]]
        return found

    deals = done.kind == DEAL
    strangers = np.random.default_rng(0).integers(0, len(sample.houses), deals.sum())
    assert area_under_curve(of(DEAL), utilities[done.investor[deals], strangers]) > 0.95
    # Noise leaves something unexplained, and utility most of the rest.
    assert 0.95 < area_under_curve(of(THUMBS_UP), of(THUMBS_DOWN)) < 0.999
    assert of(VIEW).mean() < of(SAVE).mean() < of(OUTREACH).mean() < of(DEAL).mean()


def test_saves_follow_the_stated_probability(
    sample: Sample, utilities: NDArray[np.float64]
) -> None:
    done = sample.simulation.interactions
    viewed, saved = done.kind == VIEW, done.kind == SAVE
    utility = utilities[done.investor[viewed], done.house[viewed]]
    expected = (1 / (1 + np.exp(-utility))).sum()
    # A few saves are lost to the end of time or to another's deal within the hour.
    assert saved.sum() == pytest.approx(expected, rel=0.03)


def test_an_oracle_beats_popularity_on_what_comes_next(
    sample: Sample, utilities: NDArray[np.float64]
) -> None:
    done = sample.simulation.interactions
    cut = np.sort(done.occurred_at)[int(0.8 * len(done))]
    past = done.occurred_at < cut
    popularity = np.bincount(done.house[past], minlength=len(sample.houses)).astype(np.float64)
    oracle: list[float] = []
    popular: list[float] = []
    for investor in range(len(utilities)):
        own = done.investor == investor
        known = done.house[own & past]
        targets = np.setdiff1d(done.house[own & ~past & (done.kind == SAVE)], known)
        for scores, recalls in ((utilities[investor].copy(), oracle), (popularity.copy(), popular)):
            scores[known] = -np.inf
            if len(targets):
                recalls.append(float(np.isin(targets, np.argsort(-scores)[:100]).mean()))
    assert len(oracle) > 200
    assert np.mean(oracle) > 0.3
    assert np.mean(popular) < 0.1 * np.mean(oracle)


def test_the_same_seed_repeats_and_another_differs(sample: Sample) -> None:
    def run(seed: int, investors: int) -> list[tuple[int, ...]]:
        done = simulate(
            sample.houses, sample.estimated_value, sample.listings, seed=seed, investors=investors
        ).interactions
        columns = (done.investor, done.house, done.kind, done.occurred_at.astype(np.int64))
        return list(zip(*(column.tolist() for column in columns), strict=True))

    assert run(1, 8) == run(1, 8)
    assert run(1, 8) != run(2, 8)
    assert run(1, 0) == []


def test_investors_want_the_same_whatever_their_number(
    sample: Sample, utilities: NDArray[np.float64]
) -> None:
    few = simulate(sample.houses, sample.estimated_value, sample.listings, seed=7, investors=5)
    for index in range(5):
        np.testing.assert_array_equal(few.utility(index), utilities[index])


def test_listings_are_plausible_and_blind_to_the_investors(sample: Sample) -> None:
    listings = sample.listings
    for status, share in zip(STATUSES, STATUS_SHARES, strict=True):
        assert (listings.status == status).mean() == pytest.approx(share, abs=0.02)
    days = sample.houses.sold_on - listings.listed_on
    np.testing.assert_array_equal(days.astype(np.int64), listings.days_on_market)
    assert listings.days_on_market.min() >= 1
    done = sample.simulation.interactions
    bought = np.unique(done.house[done.kind == DEAL])
    assert (listings.status[bought] == "ACTIVE").mean() == pytest.approx(0.7, abs=0.05)
    other = simulate_listings(sample.houses, seed=8)
    assert (other.status != listings.status).any()
