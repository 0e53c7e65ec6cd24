"""The promises of the second stage, for any weights that training may find."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from domain.contract.snapshots import PropertyColumns
from domain.contract.vocabulary import INTERACTION_WEIGHTS, InteractionKind
from ml.twin import reranker as module
from ml.twin.features import ATTRIBUTE_NAMES, FeatureStatistics
from ml.twin.items import EARTH_RADIUS_KM, Acts, Items, Opinions, positions
from ml.twin.reranker import PRIOR, Part, Reranker
from tests.drawing import few
from tests.ml.worlds import (
    KINDS,
    joined,
    make_columns,
    make_items,
    make_reranker,
    point,
    with_values,
)

UP = KINDS.index(InteractionKind.THUMBS_UP)
DOWN = KINDS.index(InteractionKind.THUMBS_DOWN)
SAVE = KINDS.index(InteractionKind.SAVE)
VIEW = KINDS.index(InteractionKind.VIEW)
LIKING = [KINDS.index(kind) for kind in InteractionKind if INTERACTION_WEIGHTS[kind] > 0]
DISLIKING = [KINDS.index(kind) for kind in InteractionKind if INTERACTION_WEIGHTS[kind] < 0]
PRICES = ("listing_price", "price_per_sqft", "estimated_value")
SIZES = ("bedrooms", "bathrooms", "square_feet", "lot_square_feet")

SEED = st.integers(0, 10_000)
ACT = st.tuples(st.integers(0, 3), st.integers(0, len(KINDS) - 1), st.floats(0, 12, width=32))
PAST = st.lists(ACT, max_size=12)

FEWER = few(40)

Act = tuple[int, int, float]


def acts(items: Items, past: list[Act], padding: int = 0) -> Acts:
    """What one investor did with the items (1, h), and as much padding."""
    rows = torch.tensor([row for row, _, _ in past] + [0] * padding, dtype=torch.int64)
    return Acts(
        items=items[:, rows],
        row=rows[None],
        kind=torch.tensor([[kind for _, kind, _ in past] + [DOWN] * padding]),
        age=torch.tensor([[age for _, _, age in past] + [0.0] * padding], dtype=torch.float32),
        present=torch.tensor([[True] * len(past) + [False] * padding]),
    )


def scores(reranker: Reranker, items: Items, past: list[Act], candidates: Items) -> Tensor:
    """Of candidates (1, c): (c,)."""
    if not past:
        nothing = Opinions(items[:, torch.tensor([0])], torch.zeros((1, 1)))
        found: Tensor = reranker(nothing, candidates)
    else:
        found = reranker(reranker.opinions(acts(items, past)), candidates)
    return found[0]


def without_profile(reranker: Reranker) -> Reranker:
    reranker.profile.fill_(-100.0)
    return reranker


@given(
    seed=SEED, past=PAST, row=st.integers(0, 3), kind=st.sampled_from(LIKING), age=st.floats(0, 12)
)
def test_an_approval_never_lowers_its_own_property_or_an_identical_one(
    seed: int, past: list[Act], row: int, kind: int, age: float
) -> None:
    reranker, items = make_reranker(seed), make_items((1, 4), seed)
    target = items[:, torch.tensor([row])]
    target = joined(target, replace(target, prior=target.prior + 1, taken=1 - target.taken))
    before = scores(reranker, items, past, target)
    after = scores(reranker, items, [*past, (row, kind, age)], target)
    assert (after >= before - 1e-3).all()


@FEWER
@given(
    seed=SEED,
    past=PAST,
    row=st.integers(0, 3),
    kind=st.sampled_from(DISLIKING),
    age=st.floats(0, 12),
)
def test_a_dislike_never_raises_any_score(
    seed: int, past: list[Act], row: int, kind: int, age: float
) -> None:
    """But through what is usual for the investor, which an approval taken back may change."""
    reranker = without_profile(make_reranker(seed))
    items, candidates = make_items((1, 4), seed), make_items((1, 30), seed + 1)
    candidates = joined(candidates, items)
    before = scores(reranker, items, past, candidates)
    after = scores(reranker, items, [*past, (row, kind, age)], candidates)
    assert (after <= before + 1e-3).all()


@FEWER
@given(seed=SEED, past=PAST, kind=st.sampled_from(DISLIKING))
def test_a_dislike_of_something_new_never_raises_any_score(
    seed: int, past: list[Act], kind: int
) -> None:
    reranker = make_reranker(seed)
    items, candidates = make_items((1, 5), seed), make_items((1, 30), seed + 1)
    before = scores(reranker, items, past, candidates)
    after = scores(reranker, items, [*past, (4, kind, 0.0)], candidates)
    assert (after <= before + 1e-3).all()


@FEWER
@given(
    seed=SEED, past=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(LIKING), st.floats(0, 9)))
)
def test_a_thumbs_down_takes_the_most_from_what_is_most_alike(seed: int, past: list[Act]) -> None:
    reranker = make_reranker(seed)
    items, candidates = make_items((1, 5), seed), make_items((1, 30), seed + 1)
    lost = scores(reranker, items, past, candidates) - scores(
        reranker, items, [*past, (4, DOWN, 0.0)], candidates
    )
    alike = reranker.kernel(items[:, torch.tensor([4])], candidates)[0, 0]
    assert (lost[alike.argsort(descending=True)].diff() <= 2e-3).all()


def test_a_thumbs_down_on_a_street_takes_from_the_street_first() -> None:
    reranker = Reranker().requires_grad_(False)
    house = make_items((1, 1), seed=1, missing=0.0)
    house = replace(house, position=point(47.5, -122.0).expand(1, 1, 3))
    street = house[:, torch.zeros(5, dtype=torch.int64)]
    away = [0.0, 0.2, 1.0, 5.0, 20.0]
    places = [point(47.5 + km / 111.195, -122.0) for km in away]
    street = replace(street, position=torch.stack(places)[None])
    past = [(0, SAVE, 0.1)]
    lost = scores(reranker, house, past, street)
    lost = lost - scores(reranker, house, [(0, DOWN, 0.0)], street)
    assert (lost > 0).all()
    disliked = scores(reranker, house, [], street) - scores(
        reranker, house, [(0, DOWN, 0.0)], street
    )
    assert (disliked.diff() < 0).all()
    assert disliked[0] > 2 * disliked[-1] > 0


@given(seed=SEED, past=st.lists(ACT, min_size=1, max_size=12), padding=st.integers(0, 4))
def test_an_opinion_is_the_sum_of_all_acts_at_the_newest(
    seed: int, past: list[Act], padding: int
) -> None:
    reranker, items = make_reranker(seed), make_items((1, 4), seed)
    found = reranker.opinions(acts(items, past, padding)).weight[0]
    alone = [float(reranker.opinions(acts(items, [act])).weight[0, 0]) for act in past]
    for place, (row, kind, _) in enumerate(past):
        assert (alone[place] > 0) == (kind in LIKING)
        first = next(i for i, act in enumerate(past) if act[0] == row)
        mine = [(w, act) for w, act in zip(alone, past, strict=True) if act[0] == row]
        rejected = any(act[1] == DOWN for _, act in mine)
        total = sum(w for w, _ in mine if w < 0 or not rejected)
        assert float(found[place]) == pytest.approx(total if place == first else 0.0, abs=1e-3)
    assert (found[len(past) :] == 0).all()


@FEWER
@given(seed=SEED, past=st.lists(ACT, max_size=12))
def test_a_thumb_down_takes_back_all_approval(seed: int, past: list[Act]) -> None:
    reranker, items = make_reranker(seed), make_items((1, 4), seed)
    told = [(0, DOWN, 0.0), *past, *[(0, kind, 0.0) for kind in LIKING]]
    assert reranker.opinions(acts(items, told)).weight[0, 0] < 0


@FEWER
@given(seed=SEED, past=st.lists(ACT, min_size=1, max_size=12), data=st.data())
def test_the_order_of_acts_does_not_matter(seed: int, past: list[Act], data: st.DataObject) -> None:
    reranker, items = make_reranker(seed), make_items((1, 4), seed)
    candidates = make_items((1, 10), seed + 1)
    torch.testing.assert_close(
        scores(reranker, items, data.draw(st.permutations(past)), candidates),
        scores(reranker, items, past, candidates),
        atol=1e-3,
        rtol=1e-5,
    )


def test_starting_weights_are_those_of_the_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_prior", dict)
    reranker = Reranker().requires_grad_(False)
    items = make_items((1, len(KINDS)), seed=0)
    past = [(place, place, 0.0) for place in range(len(KINDS))]
    found = reranker.opinions(acts(items, past)).weight[0].numpy()
    np.testing.assert_allclose(found, [INTERACTION_WEIGHTS[kind] for kind in KINDS], rtol=1e-5)


@pytest.mark.parametrize("kind", [SAVE, DOWN])
def test_what_is_long_ago_counts_less_at_first(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_prior", dict)
    reranker, items = Reranker().requires_grad_(False), make_items((1, 4), seed=0)
    past = [(place, kind, age) for place, age in enumerate((0.0, 0.5, 2.0, 9.0))]
    found = reranker.opinions(acts(items, past)).weight[0].abs()
    assert (found.diff() < 0).all()


@FEWER
@given(seed=SEED, past=PAST, nothing=st.sampled_from(["all", "place", "attributes", "type"]))
def test_scores_are_finite_whatever_is_missing(seed: int, past: list[Act], nothing: str) -> None:
    reranker = make_reranker(seed)
    items, candidates = (make_items((1, n), seed, missing=0.5) for n in (4, 20))
    if nothing in ("all", "place"):
        candidates = replace(candidates, position=torch.full((1, 20, 3), torch.nan))
        candidates = replace(candidates, spacing=reranker.spacing(candidates.position[0])[None])
    if nothing in ("all", "attributes"):
        unknown = torch.zeros_like(candidates.known)
        candidates = replace(candidates, known=unknown, attributes=torch.zeros(unknown.shape))
    if nothing in ("all", "type"):
        candidates = replace(candidates, property_type=torch.full((1, 20), -1))
    for part in (None, *Part):
        opinions = Opinions(items[:, torch.tensor([0])], torch.zeros((1, 1)))
        if past:
            opinions = reranker.opinions(acts(items, past))
        assert reranker(opinions, candidates, without=part).isfinite().all()
        assert reranker(opinions, items, without=part).isfinite().all()


@FEWER
@given(seed=SEED, pasts=st.lists(st.lists(ACT, min_size=1, max_size=9), min_size=2, max_size=4))
def test_a_batch_is_the_same_as_one_by_one(seed: int, pasts: list[list[Act]]) -> None:
    """Histories of different lengths: padding changes nothing."""
    reranker, items = make_reranker(seed), make_items((1, 4), seed)
    candidates = make_items((len(pasts), 12), seed + 1)
    longest = max(map(len, pasts))
    padded = [acts(items, past, longest - len(past)) for past in pasts]
    every = joined(*(one.items for one in padded))
    batch = Acts(
        Items(*(_stacked(getattr(every, name), len(pasts)) for name in Items.__slots__)),
        *(
            torch.cat([getattr(one, name) for one in padded])
            for name in ("row", "kind", "age", "present")
        ),
    )
    together = reranker(reranker.opinions(batch), candidates)
    for number, past in enumerate(pasts):
        alone = scores(reranker, items, past, candidates[torch.tensor([number])])
        torch.testing.assert_close(together[number], alone, atol=1e-4, rtol=1e-5)


def _stacked(values: Tensor, count: int) -> Tensor:
    """(1, count * h, ...) to (count, h, ...)."""
    return values.reshape(count, -1, *values.shape[2:])


def test_every_missing_part_counts_as_usual() -> None:
    """Leaving a part out is the same as comparing with what is usual in it."""
    reranker = without_profile(make_reranker(5))
    house = make_items((1, 1), seed=2, missing=0.0)
    house = replace(house, position=point(47.5, -122.0).expand(1, 1, 3))
    candidate = make_items((1, 1), seed=3, missing=0.0)
    candidate = replace(
        candidate, position=point(47.51, -122.0).expand(1, 1, 3), property_type=house.property_type
    )

    def moved(names: tuple[str, ...]) -> Items:
        attributes = candidate.attributes.clone()
        for name in names:
            place = ATTRIBUTE_NAMES.index(name)
            attributes[..., place] = house.attributes[..., place] + module._USUAL_DIFFERENCE
        return replace(candidate, attributes=attributes)

    away = house.position / EARTH_RADIUS_KM
    usual = {
        Part.NEARNESS: replace(candidate, position=house.position + 40.0 * away),
        Part.PRICE: moved(PRICES),
        Part.SIZE: moved(SIZES),
        Part.PROPERTY_TYPE: replace(candidate, property_type=torch.tensor([[-1]])),
    }
    assert set(usual) == set(Part)
    for part, other in usual.items():
        left_out = scores_without(reranker, house, candidate, part)
        torch.testing.assert_close(
            left_out, scores_without(reranker, house, other, None), atol=1e-3, rtol=1e-5
        )
        # A second time it has nothing left to take.
        torch.testing.assert_close(
            left_out, scores_without(reranker, house, other, part), atol=1e-3, rtol=1e-5
        )
        assert abs(float(left_out - scores_without(reranker, house, candidate, None))) > 1e-3


def scores_without(
    reranker: Reranker, items: Items, candidates: Items, part: Part | None
) -> Tensor:
    opinions = reranker.opinions(acts(items, [(0, SAVE, 0.1)]))
    found: Tensor = reranker(opinions, candidates, without=part)
    return found[0]


@pytest.mark.parametrize(("part", "names"), [(Part.PRICE, PRICES), (Part.SIZE, SIZES)])
def test_a_missing_part_is_no_evidence_for_the_profile_either(
    part: Part, names: tuple[str, ...]
) -> None:
    reranker, house = make_reranker(6), make_items((1, 3), seed=2, missing=0.0)
    opinions = reranker.opinions(acts(house, [(0, SAVE, 0.1), (1, SAVE, 0.2), (2, SAVE, 0.3)]))
    candidates = make_items((1, 8), seed=4, missing=0.0)
    known = candidates.known.clone()
    known[..., [ATTRIBUTE_NAMES.index(name) for name in names]] = False
    torch.testing.assert_close(
        reranker._profile(opinions, candidates, part),
        reranker._profile(opinions, replace(candidates, known=known), None),
    )
    for other in (Part.NEARNESS, Part.PROPERTY_TYPE):
        torch.testing.assert_close(
            reranker._profile(opinions, candidates, other),
            reranker._profile(opinions, candidates, None),
        )


def fitted(columns: PropertyColumns, seed: int = 0) -> Reranker:
    reranker = Reranker().requires_grad_(False)
    reranker.fit_tenant(columns, FeatureStatistics.fit(columns, 2024), seed)
    return reranker


def test_spacing_is_the_same_alone_and_in_a_batch() -> None:
    columns = make_columns(300)
    reranker, places = fitted(columns), positions(columns)
    many = places.repeat(20, 1)
    together = reranker.spacing(many)
    assert together.isfinite().all()
    alone = torch.cat([reranker.spacing(place[None]) for place in places[:40]])
    assert torch.equal(together[:40], alone)
    assert torch.equal(together[:300], together[-300:])


def test_spacing_tells_town_from_country() -> None:
    town, country = make_columns(200), make_columns(20, seed=1)
    town = with_values(
        town,
        latitude=47.5 + np.linspace(0, 0.01, 200),
        longitude=-122.0 + np.linspace(0, 0.01, 200) ** 2,
    )
    country = with_values(country, latitude=np.linspace(45, 46, 20), longitude=-120.0)
    reranker = fitted(make_both(town, country))
    dense, sparse = reranker.spacing(positions(town)), reranker.spacing(positions(country))
    assert dense.max() < sparse.min()
    # Of places along a line, the k nearest, itself among them, lie within k - 1 steps.
    step, nearest = 111.195 / 19, module._SPACING_NEIGHBOURS
    assert float(sparse.exp().max()) == pytest.approx((nearest - 1) * step, rel=0.01)
    assert float(sparse.exp().min()) == pytest.approx(nearest // 2 * step, rel=0.01)


def make_both(one: PropertyColumns, other: PropertyColumns) -> PropertyColumns:
    return PropertyColumns(
        ids=one.ids + other.ids,
        numeric=np.concatenate((one.numeric, other.numeric)),
        property_type=np.concatenate((one.property_type, other.property_type)),
        listing_status=np.concatenate((one.listing_status, other.listing_status)),
        zipcode=one.zipcode + other.zipcode,
        city=one.city + other.city,
        listed_at=np.concatenate((one.listed_at, other.listed_at)),
        owners=np.concatenate((one.owners, other.owners)),
    )


def test_a_tenant_without_any_place_or_number_is_no_error() -> None:
    empty = make_columns(30)
    empty.numeric[:] = np.nan
    reranker = fitted(empty)
    assert not reranker.used.any()
    assert reranker.usual.isfinite().all()
    assert reranker.spacing(positions(empty)).isfinite().all()


def test_the_reference_is_drawn_by_the_seed() -> None:
    columns = make_columns(2500)
    assert torch.equal(fitted(columns).reference, fitted(columns).reference)
    assert not torch.equal(fitted(columns).reference, fitted(columns, seed=1).reference)


def test_positions_are_kilometres_on_the_sphere() -> None:
    columns = with_values(make_columns(3), latitude=[0.0, 1.0, np.nan], longitude=[0.0, 0.0, 5.0])
    found = positions(columns)
    assert float((found[0] - found[1]).norm()) == pytest.approx(111.19, abs=0.05)
    assert found[2].isnan().all()


def test_stored_prior_is_where_training_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"same_type": 0.75, "taken": -2.5}
    assert set(stored) <= set(PRIOR)
    monkeypatch.setattr(module, "_prior", lambda: stored)
    found = Reranker()
    assert float(found.same_type.detach()) == 0.75
    assert float(found.taken.detach()) == -2.5


def test_the_shipped_prior_fits_the_parameters() -> None:
    reranker = Reranker()
    for name, value in module._prior().items():
        assert name in PRIOR
        weights = reranker.get_parameter(name).detach()
        assert torch.tensor(value).shape == weights.shape
        torch.testing.assert_close(weights, torch.tensor(value))
    assert set(PRIOR) <= {name for name, _ in reranker.named_parameters()}
