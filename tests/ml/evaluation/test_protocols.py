from typing import Any
from uuid import UUID

import numpy as np
import pytest

from domain.contract.snapshots import HISTORY_LIMIT, InteractionLog, PropertyColumns
from domain.contract.vocabulary import InteractionKind
from ml.evaluation import protocols
from ml.evaluation.baselines import baselines
from ml.evaluation.protocols import EvaluationError, Protocol, Query, Split, split
from tests.ml.evaluation.conftest import KINDS, interactions, properties

DEAL, VIEW, SAVE = InteractionKind.DEAL, InteractionKind.VIEW, InteractionKind.SAVE
UP, DOWN, DISMISS = (
    InteractionKind.THUMBS_UP,
    InteractionKind.THUMBS_DOWN,
    InteractionKind.DISMISS,
)


def rows(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> list[int]:
    return np.flatnonzero(mask).tolist()


@pytest.fixture
def street() -> PropertyColumns:
    """Eight houses along a meridian: 0 to 3 a hundred metres apart, the rest five kilometres."""
    north = [0.0, 0.1, 0.2, 0.5, 5, 10, 15, 20]
    return properties(
        [distance / 111.195 for distance in north],
        [0.0] * 8,
        city=["A", "A", "A", "A", "B", "B", "C", None],
    )


@pytest.fixture
def deals(street: PropertyColumns) -> Split:
    """Ann (0) owns 0 and 1 and later buys 2, 3, 5 and 7; Bob (1) owns 4 and later buys 6.

    Sixteen further acts of Bob's, on a house that he has, put the cut where it should be.
    """
    early = [(0, 0, DEAL), (0, 1, DEAL), (1, 4, DEAL)] + [(1, 4, VIEW)] * 16
    late = [(0, 2, DEAL), (0, 3, DEAL), (0, 5, DEAL), (0, 7, DEAL), (1, 6, DEAL)]
    return split(street, interactions(*early, *late), quantile=len(early) / 24)


def only(cut: Split, protocol: Protocol) -> Query:
    (query,) = cut.queries(protocol)
    return query


def test_all_leaves_out_only_what_was_acted_on(deals: Split) -> None:
    query = only(deals, Protocol.ALL)
    assert query.investor.user_id == UUID(int=0)  # Bob had approved of one property alone
    assert rows(query.candidates) == [2, 3, 4, 5, 6, 7]
    assert query.relevant.tolist() == [2, 3, 5, 7]
    assert query.approved.tolist() == [0, 1]


def test_each_neighbourhood_of_a_target_is_a_query(deals: Split) -> None:
    queries = list(deals.queries(Protocol.NEIGHBOURHOOD))
    # House 7 lies in none.
    assert [(rows(one.candidates), one.relevant.tolist()) for one in queries] == [
        ([2, 3], [2, 3]),
        ([4, 5], [5]),
    ]


def test_zip_codes_are_neighbourhoods_where_there_are_any(street: PropertyColumns) -> None:
    coded = properties(
        street.column("latitude"),
        street.column("longitude"),
        city=["A"] * 8,
        zipcode=["1", "1", "1", "2", "2", "2", None, None],
    )
    log = interactions((0, 0, DEAL), (0, 1, DEAL), (0, 2, DEAL), (0, 3, DEAL))
    queries = list(split(coded, log, quantile=0.5).queries(Protocol.NEIGHBOURHOOD))
    assert [rows(one.candidates) for one in queries] == [[2], [3, 4, 5]]


def test_new_listings_are_what_nobody_owned(deals: Split) -> None:
    query = only(deals, Protocol.NEW_LISTINGS)
    assert rows(query.candidates) == [2, 3, 5, 6, 7]  # Bob owned 4
    assert query.relevant.tolist() == [2, 3, 5, 7]


def test_new_sites_are_far_from_everything_owned(deals: Split) -> None:
    query = only(deals, Protocol.NEW_SITE)
    assert rows(query.candidates) == [3, 4, 5, 6, 7]  # 2 is 100 m from 1; 3 is 400 m away
    assert query.relevant.tolist() == [3, 5, 7]


def test_a_property_without_a_place_is_no_known_site(street: PropertyColumns) -> None:
    latitude = street.column("latitude").copy()
    latitude[2] = np.nan
    lost = properties(latitude, street.column("longitude"))
    log = interactions((0, 0, DEAL), (0, 1, DEAL), (0, 2, DEAL), (0, 3, DEAL))
    cut = split(lost, log, quantile=0.5)
    assert only(cut, Protocol.NEW_SITE).relevant.tolist() == [2, 3]
    assert np.isfinite(cut.distances(np.array([0, 2]))).all()


def test_scorers_see_nothing_from_after_the_cut(deals: Split) -> None:
    query = only(deals, Protocol.ALL)
    assert deals.columns.owners.tolist() == [1, 1, 0, 0, 1, 0, 0, 0]
    assert deals.past.occurred_at.max() < deals.cut
    assert query.investor.as_of == deals.cut
    assert query.investor.occurred_at.tolist() == [1.0, 0.0]  # newest first
    assert query.investor.properties.ids == tuple(deals.columns.ids[row] for row in (1, 0))
    assert query.investor.properties.owners.tolist() == [1, 1]


def test_a_history_holds_the_newest_acts_and_the_approvals_all(street: PropertyColumns) -> None:
    many = properties(np.linspace(0, 1, 200), np.zeros(200))
    acts = [(0, row, DEAL) for row in range(180)]
    query = only(split(many, interactions(*acts), quantile=0.9), Protocol.ALL)
    assert len(query.investor) == HISTORY_LIMIT
    assert query.investor.properties.ids[0] == many.ids[161]
    assert query.approved.tolist() == list(range(162))


def test_approval_is_what_was_done_on_balance(street: PropertyColumns) -> None:
    early = [(0, 0, SAVE), (0, 1, VIEW), (0, 2, VIEW), (0, 2, DOWN)]
    # 3 is viewed and dismissed, 4 viewed and liked, 0 was known before.
    late = [(0, 3, VIEW), (0, 3, DISMISS), (0, 4, VIEW), (0, 4, UP), (0, 0, UP)]
    cut = split(street, interactions(*early, *late), quantile=4 / 9)
    query = only(cut, Protocol.ALL)
    assert query.approved.tolist() == [0, 1]
    assert query.relevant.tolist() == [4]
    assert rows(query.candidates) == [3, 4, 5, 6, 7]
    # Without deals, what was approved of counts as owned.
    assert rows(cut.taken) == [0, 1]


def test_with_deals_nothing_less_is_owned(street: PropertyColumns) -> None:
    acts = [(0, 0, SAVE), (0, 1, DEAL), (0, 2, VIEW), (0, 3, VIEW)]
    cut = split(street, interactions(*acts), quantile=0.6)
    assert rows(cut.taken) == [1]
    assert only(cut, Protocol.ALL).approved.tolist() == [0, 1]


def test_investors_are_drawn_by_the_seed(tenant: tuple[PropertyColumns, InteractionLog]) -> None:
    cut = split(*tenant)

    def asked(seed: int) -> list[UUID]:
        return [query.investor.user_id for query in cut.queries(Protocol.ALL, most=7, seed=seed)]

    assert len(asked(0)) == 7
    assert asked(0) == asked(0)
    assert asked(0) != asked(1)
    assert len({query.investor.user_id for query in cut.queries(Protocol.ALL)}) > 50


def test_queries_hold_no_other_than_deals_here(
    tenant: tuple[PropertyColumns, InteractionLog],
) -> None:
    for query in split(*tenant).queries(Protocol.ALL):
        assert (query.investor.kind == KINDS.index(DEAL)).all()
        assert query.candidates[query.relevant].all()
        assert not query.candidates[query.approved].any()


def test_time_can_be_cut_at_a_moment(tenant: tuple[PropertyColumns, InteractionLog]) -> None:
    columns, log = tenant
    share, moment = split(columns, log, quantile=0.5), split(columns, log, cut=1200.0)
    assert moment.cut == 1200.0
    assert len(moment.past) == len(share.past) == 1200
    assert [one.relevant.tolist() for one in moment.queries(Protocol.ALL)] == [
        one.relevant.tolist() for one in share.queries(Protocol.ALL)
    ]


def test_many_distances_are_looked_at_in_parts(
    tenant: tuple[PropertyColumns, InteractionLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = split(*tenant)

    def asked() -> list[list[float]]:
        """What is ranked, and what the baselines say of it."""
        return [
            [*query.candidates, *score(query)]
            for query in cut.queries(Protocol.NEW_SITE, most=5)
            for score in baselines(cut).values()
        ]

    at_once = asked()
    assert [len(rows) for rows in cut.in_blocks(np.arange(40))] == [40]
    monkeypatch.setattr(protocols, "_CELLS", 900)
    assert max(len(rows) for rows in cut.in_blocks(np.arange(40))) == 3
    assert asked() == at_once


def test_too_little_is_said_in_a_line(street: PropertyColumns) -> None:
    with pytest.raises(EvaluationError, match="there are none"):
        split(street, interactions((0, 0, DEAL)))
    one = interactions((0, 0, DEAL))
    none = InteractionLog((), one.user[:0], one.property[:0], one.kind[:0], one.occurred_at[:0])
    with pytest.raises(EvaluationError, match="needs interactions; there are none"):
        split(street, none)
