from math import log

import pytest
import torch

from ml.training.losses import info_nce, triplet


def test_info_nce_over_the_whole_catalogue_is_the_softmax() -> None:
    """With every other property as a negative, drawn for sure, nothing is left to estimate."""
    cosines = torch.tensor([[0.9, 0.1, -0.3, 0.4], [0.2, 0.8, 0.0, -0.1]])
    target = torch.tensor([0, 1])
    negatives = torch.stack((cosines[0, [1, 2, 3]], cosines[1, [0, 2, 3]]))
    found = info_nce(
        cosines[[0, 1], target], negatives, torch.full((3,), -log(3)), torch.ones(2), 0.1
    )
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(cosines / 0.1, target))


def test_info_nce_estimates_the_catalogue_from_a_skewed_sample() -> None:
    """The correction for how often each is drawn: the expected partition is the full one."""
    scores = torch.tensor([0.1, 0.5, -0.2, 0.3])
    q = torch.tensor([0.1, 0.2, 0.3, 0.4])
    drawn = torch.multinomial(q, 200_000, replacement=True, generator=torch.manual_seed(0))
    sampled = info_nce(torch.zeros(1), scores[drawn][None], q[drawn].log(), torch.ones(1), 1.0)
    full = torch.nn.functional.softplus(scores.logsumexp(0))
    assert float(sampled) == pytest.approx(float(full), abs=0.01)


@pytest.mark.parametrize("loss", ["infonce", "triplet"])
def test_descent_raises_liked_and_lowers_disliked_targets(loss: str) -> None:
    target = torch.tensor([0.3, 0.3], requires_grad=True)
    negatives = torch.tensor([[0.2, -torch.inf], [0.2, 0.4]])
    weight = torch.tensor([3.0, -6.0])
    if loss == "infonce":
        cost = info_nce(target, negatives, torch.full((2,), -log(2)), weight, 0.1)
    else:
        cost = triplet(target, negatives, weight, 0.2)
    cost.backward()  # type: ignore[no-untyped-call]
    assert target.grad is not None
    assert target.grad[0] < 0 < target.grad[1]
    assert torch.isfinite(cost)


def test_triplet_is_zero_once_the_margin_is_kept() -> None:
    negatives = torch.tensor([[0.1, 0.2]])
    assert float(triplet(torch.tensor([0.5]), negatives, torch.ones(1), 0.3)) == 0
    assert float(triplet(torch.tensor([0.4]), negatives, torch.ones(1), 0.3)) > 0
