from dataclasses import replace
from json import dumps, loads
from pickle import dumps as pickled
from typing import Any

import pytest
import safetensors.torch
import torch

from domain.snapshots import PropertyColumns, StoredModel
from ml.artifacts import Artifact, ArtifactError, pack, unpack
from ml.features import encode


@pytest.fixture
def stored(artifact: Artifact) -> StoredModel:
    return pack(artifact, {"seed": 0})


def with_weights(stored: StoredModel, weights: bytes) -> StoredModel:
    """Other weights that their metadata vouch for."""
    from hashlib import sha256

    return StoredModel(weights, {**stored.metadata, "weights_sha256": sha256(weights).hexdigest()})


def test_round_trip(artifact: Artifact, stored: StoredModel, columns: PropertyColumns) -> None:
    metadata = loads(dumps(stored.metadata, allow_nan=False))
    found = unpack(StoredModel(stored.weights, metadata))
    assert found.statistics == artifact.statistics
    assert found.calibration == artifact.calibration
    features = torch.from_numpy(encode(columns, artifact.statistics))
    torch.testing.assert_close(
        found.model.property(features), artifact.model.property(features), rtol=0, atol=0
    )
    assert not found.model.training


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
        {"investor.kind": torch.zeros(3)},
        {"investor.stranger": torch.zeros(3)},
    ):
        weights = safetensors.torch.save(state | change)
        with pytest.raises(ArtifactError, match=next(iter(change))):
            unpack(with_weights(stored, weights))
    del state["investor.kind"]
    with pytest.raises(ArtifactError, match=r"investor\.kind"):
        unpack(with_weights(stored, safetensors.torch.save(state)))


def test_weights_that_are_not_finite_are_an_error(stored: StoredModel) -> None:
    state = safetensors.torch.load(stored.weights)
    state["investor.decay"] = torch.tensor(float("nan"))
    with pytest.raises(ArtifactError, match=r"not finite: investor\.decay"):
        unpack(with_weights(stored, safetensors.torch.save(state)))
