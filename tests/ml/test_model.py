import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from domain.vocabulary import INTERACTION_WEIGHTS, InteractionKind
from ml.model import DIMENSIONS, InvestorTower, PropertyTower

KINDS = list(InteractionKind)
UP = KINDS.index(InteractionKind.THUMBS_UP)
DOWN = KINDS.index(InteractionKind.THUMBS_DOWN)


def unit(seed: int, count: int) -> Tensor:
    drawn = torch.randn((count, DIMENSIONS), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn.double(), dim=1)


def tower(seed: int) -> InvestorTower:
    """With learned parameters anywhere, in double precision to see small turns."""
    generator = torch.Generator().manual_seed(seed)
    investor = InvestorTower().double().requires_grad_(False)
    investor.kind.copy_(3 * torch.randn(len(KINDS), generator=generator))
    investor.decay.copy_(torch.randn((), generator=generator))
    return investor


def vector(investor: InvestorTower, history: Tensor, kinds: list[int], ages: list[float]) -> Tensor:
    present = torch.ones((1, len(kinds)), dtype=torch.bool)
    found: Tensor = investor(
        history[None], torch.tensor([kinds]), torch.tensor([ages], dtype=torch.float64), present
    )
    return found[0]


@given(
    seed=st.integers(0, 10_000),
    past=st.lists(
        st.tuples(st.integers(0, len(KINDS) - 1), st.floats(0, 5)), min_size=1, max_size=63
    ),
    age=st.floats(0, 5),
)
def test_a_thumb_up_pulls_and_a_thumb_down_pushes(
    seed: int, past: list[tuple[int, float]], age: float
) -> None:
    investor = tower(seed)
    embeddings = unit(seed, len(past) + 1)
    kinds, ages = [kind for kind, _ in past], [years for _, years in past]
    before = vector(investor, embeddings[1:], kinds, ages) @ embeddings[0]
    up = vector(investor, embeddings, [UP, *kinds], [age, *ages]) @ embeddings[0]
    down = vector(investor, embeddings, [DOWN, *kinds], [age, *ages]) @ embeddings[0]
    assert up >= before - 1e-9
    assert down <= before + 1e-9
    assert up > down


def test_a_thumb_changes_a_typical_investor_visibly() -> None:
    investor = InvestorTower().double().requires_grad_(False)
    embeddings = unit(1, 11)
    kinds, ages = [KINDS.index(InteractionKind.SAVE)] * 10, [0.1] * 10
    before = vector(investor, embeddings[1:], kinds, ages) @ embeddings[0]
    up = vector(investor, embeddings, [UP, *kinds], [0.0, *ages]) @ embeddings[0]
    down = vector(investor, embeddings, [DOWN, *kinds], [0.0, *ages]) @ embeddings[0]
    assert up - before > 0.05
    assert before - down > 0.05


def test_one_new_thumb_does_not_outweigh_an_old_history() -> None:
    investor = InvestorTower().double().requires_grad_(False)
    embeddings = unit(1, 21)
    kinds = [KINDS.index(InteractionKind.SAVE)] * 20
    before = vector(investor, embeddings[1:], kinds, [11.0] * 20)
    after = vector(investor, embeddings, [DOWN, *kinds], [0.0, *[11.0] * 20])
    assert before @ after > 0.5


@given(seed=st.integers(0, 10_000), years=st.floats(2, 50))
def test_what_is_old_stays_what_it_is(seed: int, years: float) -> None:
    investor = tower(seed)
    embeddings = unit(seed, 3)
    now = vector(investor, embeddings, [0, 3, DOWN], [2.0, 2.5, 3.0])
    then = vector(investor, embeddings, [0, 3, DOWN], [years, years + 0.5, years + 1.0])
    torch.testing.assert_close(now, then, atol=1e-6, rtol=0)


def test_padding_is_ignored_and_an_empty_history_is_zero() -> None:
    investor = InvestorTower().requires_grad_(False)
    history = unit(2, 4).float()[None]
    kind, age = torch.tensor([[0, 1, DOWN, DOWN]]), torch.tensor([[0.0, 1.0, 0.0, 9.0]])
    padded = investor(history, kind, age, torch.tensor([[True, True, False, False]]))
    short = investor(history[:, :2], kind[:, :2], age[:, :2], torch.ones((1, 2), dtype=torch.bool))
    torch.testing.assert_close(padded, short)
    nothing = investor(history, kind, age, torch.zeros((1, 4), dtype=torch.bool))
    assert (nothing == 0).all()


def test_kinds_start_with_the_weights_of_the_domain() -> None:
    investor = InvestorTower()
    weight = investor.sign * investor.log_prior.exp()
    expected = [INTERACTION_WEIGHTS[kind] for kind in KINDS]
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-6)


def test_widths_of_the_property_tower() -> None:
    torch.manual_seed(0)
    layers = PropertyTower().layers
    widths = [layer.out_features for layer in layers if isinstance(layer, torch.nn.Linear)]
    assert widths == [128, 64, 32, 16]


def test_waves_tell_places_apart_that_are_near() -> None:
    """100 m is a thousandth of a unit here, and still moves the vector."""
    torch.manual_seed(0)
    place = PropertyTower(kilometres_per_unit=(100.0, 100.0)).eval().requires_grad_(False)
    features = torch.zeros((2, 25))
    features[1, 10] = 0.001
    near = place(features)
    assert float(near[0] @ near[1]) < 0.9999


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_both_towers_agree_on_cuda() -> None:
    torch.manual_seed(0)
    features = torch.randn(50, 25)
    place = PropertyTower().eval().requires_grad_(False)
    expected = place(features)
    found = place.to("cuda")(features.to("cuda")).cpu()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
