from uuid import UUID

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.snapshots import HISTORY_LIMIT, InteractionLog
from domain.contract.vocabulary import InteractionKind
from ml.twin.dataset import DAY, KIND_WEIGHTS, company, events, examples, histories, queries, recent

CPU = torch.device("cpu")
VIEW = list(InteractionKind).index(InteractionKind.VIEW)
DISMISS = list(InteractionKind).index(InteractionKind.DISMISS)
ITEMS = 6

EVENT = st.tuples(
    st.integers(0, 2), st.integers(0, ITEMS - 1), st.integers(0, 6), st.integers(0, 8)
)
SOME = st.lists(EVENT, min_size=1, max_size=40)


def make_log(rows: list[tuple[int, int, int, int]]) -> InteractionLog:
    """From (user, property, kind, second)."""
    rows = sorted(rows, key=lambda row: row[3])
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return InteractionLog(
        users=tuple(UUID(int=user) for user in range(3)),
        user=columns[:, 0].astype(np.int32),
        property=columns[:, 1].astype(np.int32),
        kind=columns[:, 2].astype(np.int8),
        occurred_at=columns[:, 3].astype(np.float64),
    )


@given(rows=st.lists(EVENT, max_size=40))
def test_histories_are_what_came_strictly_before_without_the_target(
    rows: list[tuple[int, int, int, int]],
) -> None:
    data = events(make_log(rows), ITEMS, CPU)
    every = torch.arange(len(data))
    found = histories(data, every, data.start[data.user], data.time, leave_out=data.item)
    for position in range(len(data)):
        user, item, time = (
            int(data.user[position]),
            int(data.item[position]),
            float(data.time[position]),
        )
        expected = sorted(
            (other_kind, other_item, float(time - second))
            for other_user, other_item, other_kind, second in rows
            if other_user == user and second < time and other_item != item
        )
        present = found.present[position]
        got = sorted(
            zip(
                found.kind[position][present].tolist(),
                found.item[position][present].tolist(),
                (found.age[position][present].double() * 365.25 * DAY).round().tolist(),
                strict=True,
            )
        )
        assert got == expected


def test_histories_keep_the_newest() -> None:
    rows = [(0, second % ITEMS, VIEW, second) for second in range(200)]
    data = events(make_log(rows), ITEMS, CPU)
    moment = torch.tensor([199.0], dtype=torch.float64)
    found = histories(data, torch.tensor([199]), torch.tensor([0]), moment)
    assert found.present.sum() == HISTORY_LIMIT
    assert found.item[0, 0] == 198 % ITEMS


@given(rows=st.lists(EVENT, max_size=40), before=st.integers(0, 9))
def test_examples_have_something_liked_before_them(
    rows: list[tuple[int, int, int, int]], before: int
) -> None:
    data = events(make_log(rows), ITEMS, CPU)
    found = set(examples(data, before).tolist())
    expected = {
        position
        for position in range(len(data))
        if data.time[position] < before
        and any(
            user == data.user[position]
            and item != data.item[position]
            and second < data.time[position]
            and KIND_WEIGHTS[kind] > 0
            for user, item, kind, second in rows
        )
    }
    assert found == expected


@given(rows=st.lists(EVENT, max_size=40), since=st.integers(0, 9), length=st.integers(0, 9))
def test_queries_hold_out_what_is_new_in_the_slice(
    rows: list[tuple[int, int, int, int]], since: int, length: int
) -> None:
    until = since + length
    found = queries(events(make_log(rows), ITEMS, CPU), since, until, most=10, seed=0)
    relevant: set[tuple[int, int]] = set()
    disliked: set[tuple[int, int]] = set()
    known = {user for user, _, kind, second in rows if second < since and KIND_WEIGHTS[kind] > 0}
    seen = {(user, item) for user, item, _, second in rows if second < since}
    for user in known:
        for item in range(ITEMS):
            total = sum(
                float(KIND_WEIGHTS[kind])
                for u, i, kind, second in rows
                if (u, i) == (user, item) and since <= second < until
            )
            if total > 0 and (user, item) not in seen:
                relevant.add((user, item))
            if total < 0:
                disliked.add((user, item))
    users = {user for user, _ in relevant}
    assert set(found.user.tolist()) == users

    def named(pairs: torch.Tensor) -> set[tuple[int, int]]:
        return set(zip(found.user[pairs[0]].tolist(), pairs[1].tolist(), strict=True))

    assert named(found.relevant) == relevant
    assert named(found.disliked) == {pair for pair in disliked if pair[0] in users}
    assert named(found.seen) == {pair for pair in seen if pair[0] in users}
    for query, user in enumerate(found.user.tolist()):
        past = sorted(item for u, item, _, second in rows if u == user and second < since)
        history = found.histories
        assert sorted(history.item[query][history.present[query]].tolist()) == past


def test_queries_are_drawn_where_there_are_too_many() -> None:
    rows = [(user, item, VIEW, item) for user in range(3) for item in range(4)]
    data = events(make_log(rows), ITEMS, CPU)
    assert len(queries(data, 2, 9, most=10, seed=0)) == 3
    assert len(queries(data, 2, 9, most=2, seed=0)) == 2


def test_a_view_that_ended_in_a_dismissal_is_not_relevant() -> None:
    rows = [(0, 0, VIEW, 0), (0, 1, VIEW, 5), (0, 1, DISMISS, 6), (0, 2, VIEW, 5)]
    found = queries(events(make_log(rows), ITEMS, CPU), 3, 9, most=10, seed=0)
    assert found.relevant.tolist() == [[0], [2]]
    assert found.disliked.tolist() == [[0], [1]]


def test_lookback_counts_from_the_newest() -> None:
    day = int(DAY)
    log = make_log([(0, 0, VIEW, 0), (0, 1, VIEW, 5 * day), (0, 2, VIEW, 10 * day)])
    assert recent(log, 5).property.tolist() == [1, 2]
    assert recent(log, None) is log
    assert len(recent(make_log([]), 5)) == 0


@given(
    rows=st.lists(EVENT, min_size=1, max_size=40), until=st.integers(0, 9), seed=st.integers(0, 99)
)
def test_company_is_what_else_was_approved_of_before_the_end(
    rows: list[tuple[int, int, int, int]], until: int, seed: int
) -> None:
    data = events(make_log(rows), ITEMS, CPU)
    shown = (data.time < until).nonzero()[:, 0]
    end = data.start[:-1] + torch.bincount(data.user[data.time < until], minlength=3)
    item, usable = company(data, shown, end, 30, np.random.default_rng(seed))
    assert item.shape == usable.shape == (len(shown), 30)
    for place, event in enumerate(shown.tolist()):
        user, own = int(data.user[event]), int(data.item[event])
        others = {
            other
            for who, other, kind, second in rows
            if who == user and second < until and other != own and KIND_WEIGHTS[kind] > 0
        }
        assert set(item[place][usable[place]].tolist()) <= others
        # Whatever was drawn is the investor's own, of before the end.
        drawn = {other for who, other, _, second in rows if who == user and second < until}
        assert set(item[place].tolist()) <= drawn


def test_company_draws_all_there_is() -> None:
    rows = [(0, item, VIEW, item) for item in range(5)] + [(1, 5, VIEW, 0)]
    data = events(make_log(rows), ITEMS, CPU)
    item, usable = company(data, torch.tensor([0]), data.start[1:], 200, np.random.default_rng(0))
    assert set(item[usable].tolist()) == {1, 2, 3, 4}
    item, usable = company(data, torch.tensor([5]), data.start[1:], 20, np.random.default_rng(0))
    assert not usable.any()


@given(rows=SOME, most=st.integers(1, 6), data=st.data())
def test_the_newest_of_what_is_wanted(
    rows: list[tuple[int, int, int, int]], most: int, data: st.DataObject
) -> None:
    log = events(make_log(rows), ITEMS, CPU)
    moment = torch.full((3,), 99.0, dtype=torch.float64)
    every = histories(log, log.start[1:], log.start[:-1], moment)
    flags = st.lists(st.booleans(), min_size=every.item.numel(), max_size=every.item.numel())
    wanted = torch.tensor(data.draw(flags)).view(every.item.shape)
    found = every.newest(wanted, most)
    assert found.item.shape[1] <= most
    for user in range(3):
        both = every.present[user] & wanted[user]
        for name in ("item", "kind", "age"):
            expected = getattr(every, name)[user][both][:most].tolist()
            assert getattr(found, name)[user][found.present[user]].tolist() == expected
        # Padding comes last.
        assert (found.present[user].to(torch.int8).diff() <= 0).all()


@given(
    rows=st.lists(EVENT, min_size=1, max_size=60), chosen=st.lists(st.integers(0, 2), max_size=5)
)
def test_some_histories_are_padded_to_the_longest_of_them(
    rows: list[tuple[int, int, int, int]], chosen: list[int]
) -> None:
    log = events(make_log(rows), ITEMS, CPU)
    moment = torch.full((3,), 99.0, dtype=torch.float64)
    every = histories(log, log.start[1:], log.start[:-1], moment)
    found = every[torch.tensor(chosen, dtype=torch.int64)]
    lengths = [int(every.present[user].sum()) for user in chosen]
    assert found.item.shape == (len(chosen), max([1, *lengths]))
    for place, user in enumerate(chosen):
        for name in ("item", "kind", "age"):
            expected = getattr(every, name)[user][every.present[user]].tolist()
            assert getattr(found, name)[place][found.present[place]].tolist() == expected


@pytest.mark.parametrize("most", [1, 100])
def test_nothing_wanted_is_padding(most: int) -> None:
    log = events(make_log([(0, 1, VIEW, 1)]), ITEMS, CPU)
    moment = torch.full((3,), 99.0, dtype=torch.float64)
    every = histories(log, log.start[1:], log.start[:-1], moment)
    found = every.newest(torch.zeros_like(every.present), most)
    assert found.present.shape == (3, 1)
    assert not found.present.any()
