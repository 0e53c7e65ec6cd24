"""What the second stage learns from: negatives that stand for the whole catalogue."""

from uuid import UUID

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.snapshots import InteractionLog
from domain.contract.vocabulary import InteractionKind
from ml.training import reranker_training
from ml.training.reranker_training import _draw, _first_deals, owned_before
from ml.twin.dataset import Events, Histories, events, examples, histories
from tests.drawing import few
from tests.ml.worlds import KINDS, make_items

ITEMS = 60
CPU = torch.device("cpu")
DEAL = KINDS.index(InteractionKind.DEAL)


def made(rows: list[tuple[int, int, int, int]]) -> Events:
    """From (user, property, kind, second)."""
    rows = sorted(rows, key=lambda row: row[3])
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    log = InteractionLog(
        users=tuple(UUID(int=user) for user in range(4)),
        user=table[:, 0].astype(np.int32),
        property=table[:, 1].astype(np.int32),
        kind=table[:, 2].astype(np.int8),
        occurred_at=table[:, 3].astype(np.float64),
    )
    return events(log, ITEMS, CPU)


ROWS = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 9), st.sampled_from([0, DEAL]), st.integers(0, 10**6)
    ),
    max_size=30,
    unique_by=lambda row: row[3],
)


@given(rows=ROWS, moment=st.integers(0, 10**6))
def test_owned_is_what_anybody_bought_before(
    rows: list[tuple[int, int, int, int]], moment: int
) -> None:
    data = made(rows)
    found = owned_before(data, moment)
    when, who = _first_deals(data)
    for item in range(ITEMS):
        deals = sorted(
            (second, user) for user, one, kind, second in rows if one == item and kind == DEAL
        )
        assert bool(found[item]) == any(second < moment for second, _ in deals)
        assert (float(when[item]), int(who[item])) == (deals[0] if deals else (np.inf, -1))


def drawn(
    negatives: int, seed: int
) -> tuple[Events, torch.Tensor, Histories, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    data = made(
        [
            (int(rng.integers(4)), int(rng.integers(ITEMS)), int(rng.integers(7)), second)
            for second in range(60)
        ]
    )
    embedding = make_items((ITEMS,), seed).embedding
    learned = examples(data, 60)
    past = histories(
        data, learned, data.start[data.user[learned]], data.time[learned], data.item[learned]
    )
    found = _draw(embedding, data, learned, past, negatives, rng)
    return data, learned, past, found.rows, found.log_count


@few(15)
@given(seed=st.integers(0, 1000))
def test_neither_the_target_nor_what_was_acted_on_is_a_negative(seed: int) -> None:
    data, learned, past, rows, log_count = drawn(40, seed)
    assert rows.shape == log_count.shape == (len(learned), 41)
    assert torch.equal(rows[:, 0], data.item[learned])
    for place, event in enumerate(learned.tolist()):
        known = {*past.item[place][past.present[place]].tolist(), int(data.item[event])}
        counted = rows[place, 1:][log_count[place, 1:] > -100]
        assert not known & set(counted.tolist())


@pytest.mark.parametrize("pool", [100_000, 25])
def test_draws_stand_for_the_whole_catalogue(pool: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However skewed: their expected number is that of the properties that may be drawn."""
    monkeypatch.setattr(reranker_training, "_POOL", pool)
    data, learned, past, rows, log_count = drawn(6000, seed=3)
    total = log_count[:, 1:].exp().sum(dim=1)
    # Half of the draws prefer what is like the history.
    for place, event in enumerate(learned.tolist()):
        known = {*past.item[place][past.present[place]].tolist(), int(data.item[event])}
        assert float(total[place]) == pytest.approx(ITEMS - len(known), rel=0.15)
    counts = torch.bincount(rows[0, 1:], minlength=ITEMS)
    assert counts.max() > 3 * counts.float().median()
