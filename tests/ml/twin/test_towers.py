from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.snapshots import PropertyColumns
from ml.twin.artifacts import Artifact
from ml.twin.features import encode
from ml.twin.towers import DIMENSIONS, FoldedTower, PropertyTower, interest_logits


def test_widths_of_the_property_tower() -> None:
    torch.manual_seed(0)
    layers = PropertyTower().layers
    widths = [layer.out_features for layer in layers if isinstance(layer, torch.nn.Linear)]
    assert widths == [128, 64, 32, DIMENSIONS]


def test_waves_tell_places_apart_that_are_near() -> None:
    """100 m is a thousandth of a unit here, and still moves the vector."""
    torch.manual_seed(0)
    place = PropertyTower(kilometres_per_unit=(100.0, 100.0)).eval().requires_grad_(False)
    features = torch.zeros((2, 25))
    features[1, 10] = 0.001
    near = place(features)
    assert float(near[0] @ near[1]) < 0.9999


def lively_tower() -> PropertyTower:
    """As after training: the batch normalisations have seen data."""
    torch.manual_seed(0)
    tower = PropertyTower(kilometres_per_unit=(20.0, 30.0))
    with torch.no_grad():
        for _ in range(5):
            tower(3 * torch.randn(500, 25) + 1)
        for layer in tower.layers:
            if isinstance(layer, torch.nn.BatchNorm1d):
                layer.weight.uniform_(0.5, 2.0)
                layer.bias.normal_()
    return tower.eval().requires_grad_(False)


def test_the_folded_tower_is_the_tower() -> None:
    """Also where a batch is worked through in blocks."""
    tower = lively_tower()
    features = torch.randn(5000, 25)
    folded = FoldedTower(tower)(features)
    torch.testing.assert_close(folded, tower(features), atol=1e-3, rtol=0)
    torch.testing.assert_close(folded.norm(dim=1), torch.ones(5000))
    torch.testing.assert_close(FoldedTower(tower)(features[:3]), folded[:3], atol=1e-6, rtol=0)


def test_the_folded_tower_is_a_copy() -> None:
    tower = lively_tower()
    features = torch.randn(3, 25)
    folded = FoldedTower(tower)
    before = folded(features)
    for weights in tower.parameters():
        weights.zero_()
    assert torch.equal(folded(features), before)


def test_impossible_places_have_a_vector(artifact: Artifact, columns: PropertyColumns) -> None:
    numeric = np.full_like(columns.numeric, 1e300)
    features = torch.from_numpy(encode(replace(columns, numeric=numeric), artifact.statistics))
    assert FoldedTower(artifact.tower)(features).isfinite().all()


@given(
    cosines=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=16),
    temperature=st.floats(0.02, 1.0),
)
def test_logits_are_a_smooth_maximum(cosines: list[float], temperature: float) -> None:
    """Between the logit of the nearest interest and that plus ln of how many there are."""
    # As padding, something nearer than all of them.
    row = torch.tensor([*cosines, 1.0])[None, :, None] / temperature
    present = torch.tensor([[True] * len(cosines) + [False]])
    found = float(interest_logits(row, present))
    nearest = max(cosines) / temperature
    assert nearest - 1e-4 <= found <= nearest + np.log(len(cosines)) + 1e-4


def test_two_interests_each_have_their_own() -> None:
    """What is like one of them beats what is a little like both."""
    cosines = torch.tensor([[[0.9, 0.6], [-0.5, 0.6]]])
    logits = interest_logits(cosines / 0.05, torch.ones((1, 2), dtype=torch.bool))[0]
    assert logits[0] > logits[1]


def test_who_approved_of_nothing_has_the_same_low_logits_for_all() -> None:
    some = 50 * torch.rand(1, 3, 4, generator=torch.Generator().manual_seed(0))
    nobody = interest_logits(some, torch.zeros(1, 3, dtype=torch.bool))
    somebody = interest_logits(torch.full((1, 1, 1), -50.0), torch.ones(1, 1, dtype=torch.bool))
    assert nobody.min() == nobody.max()
    assert nobody.max() < somebody.min()


@pytest.mark.cuda
def test_both_towers_agree_on_cuda() -> None:
    tower = lively_tower()
    features = torch.randn(50, 25)
    expected = tower(features)
    on_cuda = tower.to("cuda")
    for found in (on_cuda, FoldedTower(on_cuda)):
        torch.testing.assert_close(found(features.to("cuda")).cpu(), expected, atol=1e-3, rtol=0)
