from dataclasses import replace
from hashlib import sha256
from json import dumps, loads
from pickle import dumps as pickled
from typing import Any

import pytest
import safetensors.torch
import torch

from domain.contract.snapshots import PropertyColumns, StoredModel
from ml.twin.artifacts import Artifact, ArtifactError, pack, unpack
from ml.twin.calibration import Calibration
from ml.twin.features import FeatureStatistics, encode
from ml.twin.reranker import Reranker
from ml.twin.towers import PropertyTower


@pytest.fixture
def stored(artifact: Artifact) -> StoredModel:
    return pack(artifact, {"seed": 0})


def with_weights(stored: StoredModel, weights: bytes) -> StoredModel:
    """Other weights that their metadata vouch for."""
    return StoredModel(weights, {**stored.metadata, "weights_sha256": sha256(weights).hexdigest()})


def test_round_trip(artifact: Artifact, stored: StoredModel, columns: PropertyColumns) -> None:
    metadata = loads(dumps(stored.metadata, allow_nan=False))
    found = unpack(StoredModel(stored.weights, metadata))
    assert found.statistics == artifact.statistics
    assert found.calibration == artifact.calibration
    features = torch.from_numpy(encode(columns, artifact.statistics))
    torch.testing.assert_close(found.tower(features), artifact.tower(features), rtol=0, atol=0)
    expected = artifact.reranker.state_dict()
    for name, weights in found.reranker.state_dict().items():
        assert torch.equal(weights, expected[name]), name
    assert not found.tower.training
    assert not found.reranker.training


def test_a_twin_of_few_places_is_read_back(columns: PropertyColumns) -> None:
    """How many places the spacing is told from depends on the tenant."""
    few = columns.take(range(12))
    statistics = FeatureStatistics.fit(few, 2024)
    reranker = Reranker()
    reranker.fit_tenant(few, statistics, seed=0)
    artifact = Artifact(PropertyTower(), reranker, statistics, Calibration(1.0, 0.0))
    found = unpack(pack(artifact, {}))
    assert torch.equal(found.reranker.reference, reranker.reference)
    assert len(reranker.reference) <= 12


def test_packing_is_deterministic(artifact: Artifact, stored: StoredModel) -> None:
    assert pack(artifact, {"seed": 0}) == stored


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": 99}, "format is 99"),
        ({"features": ["price"]}, "features is"),
        ({"interaction_kinds": []}, "interaction_kinds is"),
        ({"dimensions": 32}, "dimensions is 32"),
        ({"statistics": {}}, "median must hold"),
        ({"calibration": {"scale": 0, "bias": 0}}, "scale must be greater"),
        ({"weights_sha256": "0"}, "corrupted or not those"),
    ],
)
def test_metadata_that_do_not_fit_are_named(
    stored: StoredModel, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ArtifactError, match=named):
        unpack(replace(stored, metadata={**stored.metadata, **change}))


def test_empty_metadata_are_an_error(stored: StoredModel) -> None:
    with pytest.raises(ArtifactError, match="format is None"):
        unpack(replace(stored, metadata={}))


@pytest.mark.parametrize("weights", [b"", b"not weights at all", pickled({"a": 1}), b"\xff" * 100])
def test_corrupted_weights_are_an_error(stored: StoredModel, weights: bytes) -> None:
    with pytest.raises(ArtifactError, match="corrupted"):
        unpack(replace(stored, weights=weights))
    with pytest.raises(ArtifactError, match="stored twin"):
        unpack(with_weights(stored, weights))


def test_weights_of_another_shape_or_name_are_an_error(stored: StoredModel) -> None:
    state = safetensors.torch.load(stored.weights)
    for change in (
        {"reranker.kind": torch.zeros(3)},
        {"tower.stranger": torch.zeros(3)},
    ):
        weights = safetensors.torch.save(state | change)
        with pytest.raises(ArtifactError, match=next(iter(change)).split(".")[1]):
            unpack(with_weights(stored, weights))
    del state["reranker.kind"]
    with pytest.raises(ArtifactError, match="kind"):
        unpack(with_weights(stored, safetensors.torch.save(state)))


def test_weights_that_are_not_finite_are_an_error(stored: StoredModel) -> None:
    state = safetensors.torch.load(stored.weights)
    state["reranker.likeness"] = torch.tensor(float("nan"))
    with pytest.raises(ArtifactError, match=r"not finite: reranker\.likeness"):
        unpack(with_weights(stored, safetensors.torch.save(state)))
