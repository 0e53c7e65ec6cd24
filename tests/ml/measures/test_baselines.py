from uuid import UUID

import numpy as np
import pytest
import torch

from domain.contract.snapshots import InteractionLog
from domain.contract.vocabulary import InteractionKind
from ml.measures import baselines
from ml.measures.baselines import (
    CONTENT,
    FAR_AWAY_KM,
    MIX,
    NEAREST,
    POPULARITY,
    Likeness,
    baseline_scorers,
)
from ml.twin.dataset import events, queries
from tests.ml.worlds import KINDS, make_columns, with_values

CPU = torch.device("cpu")
SAVE, DEAL, DOWN = (
    KINDS.index(kind)
    for kind in (InteractionKind.SAVE, InteractionKind.DEAL, InteractionKind.THUMBS_DOWN)
)


def make_log(*rows: tuple[int, int, int]) -> InteractionLog:
    """Investor, property and kind, a day apart."""
    user, item, kind = np.array(rows).T
    return InteractionLog(
        users=tuple(UUID(int=one) for one in range(int(user.max()) + 1)),
        user=user.astype(np.int32),
        property=item.astype(np.int32),
        kind=kind.astype(np.int8),
        occurred_at=1e9 + 86_400.0 * np.arange(len(rows), dtype=np.float64),
    )


def test_by_hand() -> None:
    """Five houses on the equator, 0 to 4 km east, the last of an unknown place; one attribute."""
    east = [0.0, 1.0, 2.0, 3.0, np.nan]
    columns = with_values(make_columns(5), **dict.fromkeys(("listing_price", "confidence"), np.nan))
    columns.numeric[:] = np.nan
    columns.property_type[:] = columns.listing_status[:] = 0
    columns = with_values(
        columns,
        latitude=[0.0] * 4 + [np.nan],
        longitude=[km / 111.19508 for km in east],
        bedrooms=[1.0, 3.0, 3.0, 1.0, 3.0],
    )
    found = Likeness.of(columns, 2020, CPU).to(torch.tensor([0, 2]))
    km = torch.tensor([[abs(a - b) for b in (0.0, 2.0)] for a in east]).nan_to_num(FAR_AWAY_KM)
    cosine = torch.tensor([[a * b for b in (-1, 1)] for a in (-1, 1, 1, -1, 1)])
    torch.testing.assert_close(found[NEAREST], -km.amin(dim=1), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found[CONTENT], torch.ones(5), atol=1e-6, rtol=0)
    mix = (cosine - (km + 0.05).log()).amax(dim=1)
    torch.testing.assert_close(found[MIX], mix, atol=1e-3, rtol=1e-5)


def test_properties_are_compared_in_any_number_together(monkeypatch: pytest.MonkeyPatch) -> None:
    likeness = Likeness.of(make_columns(50), 2020, CPU)
    owned = torch.tensor([3, 30, 41])
    whole = likeness.to(owned)
    monkeypatch.setattr(baselines, "_CELLS", 20)
    for name, scores in likeness.to(owned).items():
        torch.testing.assert_close(scores, whole[name], atol=1e-5, rtol=1e-5)


def test_they_know_what_was_known_when_the_slice_began() -> None:
    """Owned is what more spoke for than against; a later deal changes no score."""
    before = [(0, 1, SAVE), (0, 2, DEAL), (0, 3, SAVE), (0, 3, DOWN), (1, 7, DEAL)]
    columns = make_columns(20)
    for later in ([(0, 9, SAVE)], [(0, 9, SAVE), (1, 4, DEAL)]):
        data = events(make_log(*before, *later), 20, CPU)
        held_out = queries(data, 1e9 + 86_400 * len(before), np.inf, most=10, seed=0)
        assert held_out.user[0] == 0
        scorers = baseline_scorers(columns, data, held_out)
        expected = Likeness.of(columns, 2001, CPU).to(torch.tensor([1, 2]))
        for name in (NEAREST, CONTENT, MIX):
            assert torch.equal(scorers[name](0, 1)[0], expected[name]), name
        popular = scorers[POPULARITY](0, 1)[0]
        assert popular.nonzero()[:, 0].tolist() == [1, 2, 3, 7]
        assert popular[2] == popular[7] > popular[1] == popular[3]


def test_who_took_everything_back_is_shown_anything() -> None:
    data = events(make_log((0, 1, SAVE), (0, 1, DOWN), (0, 2, SAVE)), 20, CPU)
    held_out = queries(data, 1e9 + 86_400 * 2, np.inf, most=10, seed=0)
    scorers = baseline_scorers(make_columns(20), data, held_out)
    assert not scorers[MIX](0, 1).any()


def test_no_place_is_known_at_all() -> None:
    columns = with_values(make_columns(5), latitude=np.nan)
    found = Likeness.of(columns, 2020, CPU).to(torch.tensor([2]))
    assert found[NEAREST].tolist() == [-FAR_AWAY_KM] * 5
    assert found[MIX].isfinite().all()
