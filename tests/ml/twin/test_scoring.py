"""What one loaded version computes: states of investors, scores, and the causes of scores."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.filters import Range
from domain.contract.snapshots import BuyBox, CauseKind, InvestorHistory, PropertyColumns
from domain.contract.vocabulary import PropertyType
from ml.training.config import TrainingConfig
from ml.training.training import fit
from ml.twin import scoring
from ml.twin.artifacts import Artifact
from ml.twin.buy_box import share_met
from ml.twin.features import encode
from ml.twin.items import Items
from ml.twin.scoring import LoadedTwin
from ml.twin.towers import INTERESTS
from tests.drawing import few
from tests.ml.worlds import make_columns, make_history, make_streets, point, with_values

KINDS = ["VIEW", "SAVE", "OUTREACH", "DEAL", "THUMBS_UP", "THUMBS_DOWN", "DISMISS"]
ACTS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(KINDS)), min_size=1, max_size=20)

# From 32 opinions on, another one takes the place of what is removed; here there are fewer.
CANDIDATES = range(100, 130)


def state(
    columns: PropertyColumns, acts: Sequence[tuple[int, str]], buy_box: BuyBox | None = None
) -> InvestorHistory:
    rows, kinds = [row for row, _ in acts], [kind for _, kind in acts]
    return make_history(columns, rows, kinds, buy_box=buy_box)


def without(history: InvestorHistory, property_id: UUID) -> InvestorHistory:
    """The history as if nothing had been done with that property."""
    rows = [row for row, one in enumerate(history.properties.ids) if one != property_id]
    return replace(
        history,
        properties=history.properties.take(rows),
        kind=history.kind[rows],
        occurred_at=history.occurred_at[rows],
    )


@few(40)
@given(acts=ACTS)
def test_interests_are_what_is_approved_of_the_most_approved_first(
    twin: LoadedTwin, columns: PropertyColumns, acts: list[tuple[int, str]]
) -> None:
    investor = twin.investor(state(columns, acts))
    weight = investor.opinions.weight[0]
    assert (weight.abs().diff() <= 0).all()
    assert (weight != 0).all()
    assert len(set(investor.properties)) == len(investor.properties) == len(weight)
    approved = [
        one for one, worth in zip(investor.properties, weight.tolist(), strict=True) if worth > 0
    ]
    if approved:
        rows = [columns.ids.index(one) for one in approved[:INTERESTS]]
        expected = twin.embed(columns.take(rows))
        np.testing.assert_allclose(investor.interests, expected, atol=1e-6)
    liked = {kind for _, kind in acts} - {"THUMBS_DOWN", "DISMISS"}
    assert bool(len(investor.interests)) == bool(liked)


def test_who_took_every_approval_back_is_still_looked_for(
    twin: LoadedTwin, columns: PropertyColumns
) -> None:
    investor = twin.investor(state(columns, [*[(3, "THUMBS_DOWN")] * 20, (3, "VIEW")]))
    assert investor.opinions.weight[0].max() < 0
    np.testing.assert_allclose(investor.interests, twin.embed(columns.take([3])), atol=1e-6)


def test_interests_computed_together_are_those_computed_alone(
    twin: LoadedTwin, columns: PropertyColumns
) -> None:
    every = [(0, "SAVE"), (1, "THUMBS_DOWN"), (2, "DEAL"), (1, "VIEW")]
    none = make_history(columns, [], [])
    histories = [none, *(state(columns, every[:count]) for count in range(1, 5)), none]
    together = twin.interests(histories)
    for history, interests in zip(histories, together, strict=True):
        np.testing.assert_array_equal(interests, twin.investor(history).interests)
    assert twin.interests([]) == []


def test_surroundings_are_circles_around_the_interests(
    twin: LoadedTwin, columns: PropertyColumns
) -> None:
    acts = [(row, "SAVE") for row in range(10)]
    found = twin.investor(state(columns, acts)).surroundings
    north, east = columns.column("latitude")[:10], columns.column("longitude")[:10]
    placed = np.flatnonzero(~np.isnan(north) & ~np.isnan(east))
    assert 0 < len(placed) == len(found)
    for row in placed:
        nearest = min(
            float((point(one.latitude, one.longitude) - point(north[row], east[row])).norm())
            for one in found
        )
        assert nearest < 0.01
    assert all(0.1 <= one.radius_km <= 50 for one in found)


def test_state_depends_on_the_history_alone(twin: LoadedTwin, columns: PropertyColumns) -> None:
    acts = [(row % 7, KINDS[row % len(KINDS)]) for row in range(15)]
    first, second = (twin.investor(state(columns, acts)) for _ in range(2))
    other = replace(state(columns, acts), user_id=UUID(int=99))
    assert torch.equal(first.opinions.weight, second.opinions.weight)
    assert torch.equal(first.opinions.weight, twin.investor(other).opinions.weight)


def test_only_the_strongest_opinions_are_compared(
    twin: LoadedTwin, columns: PropertyColumns
) -> None:
    acts = [(row, "VIEW") for row in range(40)] + [(row, "DEAL") for row in range(40, 60)]
    investor = twin.investor(state(columns, acts))
    assert len(investor.properties) == 32
    assert set(columns.ids[40:60]) <= set(investor.properties)


@few(12)
@given(acts=ACTS)
def test_the_causes_in_the_history_are_worth_what_they_say(
    twin: LoadedTwin, columns: PropertyColumns, acts: list[tuple[int, str]]
) -> None:
    """Exactly, but for rounding: without the property, the score is lower by just that."""
    history, candidates = state(columns, acts), columns.take(CANDIDATES)
    investor = twin.investor(history)
    scores = twin.score_properties(investor, candidates)
    for row, causes in enumerate(twin.explain(investor, candidates)):
        for cause in causes:
            if cause.kind is not CauseKind.HISTORY:
                continue
            assert cause.property_id in history.properties.ids
            rest = twin.investor(without(history, cause.property_id))
            score = twin.score_properties(rest, candidates.take([row]))[0]
            assert cause.strength == pytest.approx(scores[row] - score, abs=2e-3)


@few(30)
@given(acts=ACTS, boxed=st.booleans())
def test_causes_are_strong_and_the_strongest_first(
    twin: LoadedTwin, columns: PropertyColumns, acts: list[tuple[int, str]], boxed: bool
) -> None:
    box = BuyBox(property_types=(PropertyType.CONDO,), price=Range(max=4e5)) if boxed else None
    investor = twin.investor(state(columns, acts, box))
    found = twin.explain(investor, columns.take(CANDIDATES))
    assert len(found) == len(CANDIDATES)
    met = share_met(box, columns.take(CANDIDATES))
    for row, causes in enumerate(found):
        strengths = [cause.strength for cause in causes]
        assert strengths == sorted(strengths, reverse=True)
        assert all(strength >= scoring._LEAST_STRENGTH for strength in strengths)
        kinds = [cause.kind for cause in causes]
        assert len(set(kinds)) == len(kinds)
        for cause in causes:
            assert (cause.property_id is None) == (
                cause.kind not in {CauseKind.HISTORY, CauseKind.NEARNESS}
            )
            assert (cause.distance_km is None) == (cause.kind is not CauseKind.NEARNESS)
            if cause.kind is CauseKind.BUY_BOX:
                assert cause.strength == pytest.approx(investor.buy_box_worth * met[row])
        assert (CauseKind.BUY_BOX in kinds) == (met[row] * investor.buy_box_worth >= 0.05)


def test_the_nearest_of_what_was_approved_of_is_named(
    twin: LoadedTwin, columns: PropertyColumns
) -> None:
    acts = [(0, "THUMBS_DOWN"), *[(row, "SAVE") for row in range(1, 12)]]
    places = np.arange(len(columns)) % 17
    placed = with_values(
        columns, latitude=47.3 + 0.001 * np.arange(len(columns)), longitude=-122 + 0.001 * places
    )
    investor = twin.investor(state(placed, acts))
    candidates = placed.take([0, 13, 20, 30])
    nearness = [
        cause
        for causes in twin.explain(investor, candidates)
        for cause in causes
        if cause.kind is CauseKind.NEARNESS
    ]
    assert nearness
    north, east = placed.column("latitude"), placed.column("longitude")
    told = {cause.property_id: cause.distance_km for cause in nearness}
    for property_id, km in told.items():
        assert property_id is not None
        row = placed.ids.index(property_id)
        assert 1 <= row < 12
        apart = [
            float((point(north[row], east[row]) - point(north[one], east[one])).norm())
            for one in (0, 13, 20, 30)
        ]
        assert km == pytest.approx(min(apart, key=lambda one: abs(one - (km or 0))), abs=0.01)


def test_nothing_to_explain_is_no_error(twin: LoadedTwin, columns: PropertyColumns) -> None:
    investor = twin.investor(state(columns, [(1, "SAVE")]))
    assert twin.explain(investor, columns.take([])) == []
    nowhere = with_values(columns.take([5]), latitude=np.nan, longitude=np.nan)
    kinds = {cause.kind for cause in twin.explain(investor, nowhere)[0]}
    assert CauseKind.NEARNESS not in kinds


@pytest.fixture(scope="module")
def street_twin() -> tuple[LoadedTwin, PropertyColumns]:
    """A twin that learned that investors buy on one street, at one price, of one type."""
    columns, log = make_streets()
    config = TrainingConfig(epochs=3, rerank_epochs=4, rerank_examples=600, device="cpu")
    fitted = fit(columns, log, config, lambda _: None)
    return LoadedTwin(fitted.artifact, torch.device("cpu")), columns


def scores_of(twin: LoadedTwin, history: InvestorHistory, one: PropertyColumns) -> float:
    return float(twin.score_properties(twin.investor(history), one)[0])


def test_what_the_other_causes_name_is_missed_when_it_is_changed(
    street_twin: tuple[LoadedTwin, PropertyColumns],
) -> None:
    """Really changed: encoded, embedded and scored anew."""
    twin, columns = street_twin
    # The houses of a street, of one type and price class; see ``make_streets``.
    mine = np.flatnonzero(np.arange(len(columns)) % 6 == 0)
    history = make_history(columns, mine[:6], ["SAVE"] * 6)
    told: dict[CauseKind, int] = {}
    for row in mine[6:26]:
        one = columns.take([row])
        other_type = (int(one.property_type[0]) + 1) % len(PropertyType)
        changed = {
            CauseKind.NEARNESS: with_values(one, latitude=one.column("latitude") + 40 / 111.2),
            CauseKind.PRICE: with_values(
                one,
                listing_price=20 * one.column("listing_price"),
                estimated_value=20 * one.column("estimated_value"),
            ),
            CauseKind.PROPERTY_TYPE: replace(
                one, property_type=np.array([other_type], dtype=np.int8)
            ),
        }
        score = scores_of(twin, history, one)
        (causes,) = twin.explain(twin.investor(history), one)
        for cause in causes:
            if cause.kind in changed and cause.strength > 0.3:
                told[cause.kind] = told.get(cause.kind, 0) + 1
                assert scores_of(twin, history, changed[cause.kind]) < score, cause
    assert set(told) >= {CauseKind.NEARNESS, CauseKind.PRICE}, told


def test_a_buy_box_fades_as_history_grows(twin: LoadedTwin, columns: PropertyColumns) -> None:
    box = BuyBox(price=Range(max=5e5))
    worths = [
        twin.investor(state(columns, [(row, "SAVE") for row in range(n)], box)).buy_box_worth
        for n in (1, 2, 5, 20, 60)
    ]
    assert worths == sorted(worths, reverse=True)
    assert worths[0] > 2
    assert worths[2] == pytest.approx(1.5)
    assert worths[-1] < 0.5


def test_a_buy_box_is_worth_the_share_that_is_met(
    twin: LoadedTwin, columns: PropertyColumns
) -> None:
    box = BuyBox(cities=("Seattle",), price=Range(3e5, 6e5))
    acts = [(1, "SAVE"), (2, "VIEW")]
    plain, boxed = (twin.investor(state(columns, acts, one)) for one in (None, box))
    gain = twin.score_properties(boxed, columns) - twin.score_properties(plain, columns)
    np.testing.assert_allclose(gain, boxed.buy_box_worth * share_met(box, columns), atol=1e-5)
    assert len(np.unique(gain.round(4))) == 3


def test_what_only_the_investor_owns_is_not_taken(
    twin: LoadedTwin, columns: PropertyColumns
) -> None:
    """Nor does it matter how many others own what somebody owns."""
    history = state(columns, [(1, "DEAL"), (2, "SAVE")])
    investor = twin.investor(history)

    def score(row: int, owners: int) -> float:
        one = replace(columns.take([row]), owners=np.array([owners], dtype=np.int32))
        return float(twin.score_properties(investor, one)[0])

    assert score(1, 1) == score(1, 0)
    assert score(1, 2) != score(1, 1)
    assert score(2, 1) != score(2, 0)
    assert score(2, 5) == score(2, 1)


def test_items_are_those_of_the_encoder_and_the_tower(
    artifact: Artifact, columns: PropertyColumns, items: Items
) -> None:
    features = torch.from_numpy(encode(columns, artifact.statistics))
    torch.testing.assert_close(items.embedding, artifact.tower(features), atol=1e-3, rtol=0)
    assert items.taken.tolist() == [float(count > 0) for count in columns.owners]
    assert items.spacing.isfinite().all()


@given(count=st.integers(1, 130), first=st.integers(0, 69))
def test_what_is_kept_of_a_property_does_not_depend_on_what_it_is_encoded_with(
    twin: LoadedTwin, columns: PropertyColumns, items: Items, count: int, first: int
) -> None:
    """To the last bit: cursors hold a place by its score, and properties are encoded again."""
    rows = np.arange(first, first + count)
    for name in ("embedding", "prior", "spacing"):
        found = getattr(twin.items(columns.take(rows)), name)
        assert torch.equal(found, getattr(items, name)[rows]), name
    assert np.array_equal(twin.embed(columns.take(rows)), items.embedding.numpy()[rows])


@pytest.mark.cuda
@pytest.mark.parametrize("count", [1, 64, 130, 1000, 4096, 4100])
def test_what_cuda_computes_of_a_property_does_not_depend_on_the_others(
    artifact: Artifact, count: int
) -> None:
    """As on the CPU."""
    cuda = torch.device("cuda")
    twin, columns = LoadedTwin(artifact.to(cuda), cuda), make_columns(5000)
    items, rows = twin.items(columns), np.arange(7, 7 + count)
    some = twin.items(columns.take(rows))
    for name in ("embedding", "prior", "spacing"):
        assert torch.equal(getattr(some, name), getattr(items, name)[rows]), name
    assert np.array_equal(twin.embed(columns.take(rows)), some.embedding.cpu().numpy())
    investor = twin.investor(state(columns, [(1, "DEAL"), (2, "SAVE"), (3, "THUMBS_DOWN")]))
    assert np.array_equal(twin.score(investor, some), twin.score(investor, items)[rows])
