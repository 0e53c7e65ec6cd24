"""A trained twin as it is kept: weights as safetensors bytes, everything else as plain JSON.

Nothing here is pickled: whoever can write a row of the database must not thereby run code. Loading
is strict, since weights that almost fit would answer with plausible nonsense.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from domain.contract.snapshots import StoredModel
from domain.contract.vocabulary import InteractionKind
from ml.twin.calibration import Calibration
from ml.twin.features import FEATURE_NAMES, FeatureStatistics
from ml.twin.reranker import Reranker
from ml.twin.towers import DIMENSIONS, PropertyTower

FORMAT = 2
"""Counts up when stored twins of before can no longer be read."""


_CUTS = ("examples_until", "held_out_from")


class ArtifactError(ValueError):
    """Stored weights or metadata that cannot be used, and why."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What serving needs of a trained twin, and up to when it knows what happened.

    Attributes:
        tower: the first stage.
        reranker: the second stage.
        statistics: of the properties it was trained on.
        calibration: from scores to affinities.
        examples_until: seconds since 1970 UTC; nothing from then on was an example. 0 in versions
            that were stored before this was.
        held_out_from: seconds since 1970 UTC; nothing from then on chose the epoch or fitted the
            calibration either: it is new to the twin. 0 as above.
    """

    tower: PropertyTower
    reranker: Reranker
    statistics: FeatureStatistics
    calibration: Calibration
    examples_until: float = 0.0
    held_out_from: float = 0.0

    def to(self, device: torch.device) -> "Artifact":
        """A copy on the device."""
        tower, reranker = deepcopy(self.tower), deepcopy(self.reranker)
        return replace(self, tower=tower.to(device), reranker=reranker.to(device))


def pack(artifact: Artifact, config: Mapping[str, Any]) -> StoredModel:
    """The twin as bytes and JSON; ``config`` is kept for the record and not read again."""
    state = {
        f"{stage}.{name}": tensor.detach().cpu().contiguous()
        for stage, module in (("tower", artifact.tower), ("reranker", artifact.reranker))
        for name, tensor in module.state_dict().items()
    }
    weights = safetensors.torch.save(state)
    return StoredModel(
        weights=weights,
        metadata={
            **_expected(),
            "weights_sha256": sha256(weights).hexdigest(),
            "statistics": artifact.statistics.to_json(),
            "calibration": artifact.calibration.to_json(),
            "examples_until": artifact.examples_until,
            "held_out_from": artifact.held_out_from,
            "config": dict(config),
        },
    )


def unpack(stored: StoredModel, device: torch.device | str = "cpu") -> Artifact:
    """The twin, ready to serve on the device.

    Raises ArtifactError naming what is wrong: another format, other features or kinds than this
    code has, weights that are corrupted, not those of the metadata, or of another shape.
    """
    for name, wanted in _expected().items():
        if stored.metadata.get(name) != wanted:
            raise ArtifactError(
                f"stored twin: {name} is {stored.metadata.get(name)!r}, "
                f"this code reads {wanted!r}; train a new version"
            )
    if sha256(stored.weights).hexdigest() != stored.metadata.get("weights_sha256"):
        raise ArtifactError(
            "stored twin: the weights are corrupted or not those of the metadata "
            "(weights_sha256 differs); train a new version"
        )
    try:
        statistics = FeatureStatistics.from_json(stored.metadata.get("statistics", {}))
        calibration = Calibration.from_json(stored.metadata.get("calibration", {}))
        until = [float(stored.metadata.get(name, 0.0)) for name in _CUTS]
        state = safetensors.torch.load(stored.weights)
        tower = PropertyTower()
        tower.load_state_dict(_stage(state, "tower"), strict=True)
        own = _stage(state, "reranker")
        reranker = Reranker(places=len(own["reference"]))
        reranker.load_state_dict(own, strict=True)
    except (SafetensorError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ArtifactError(f"stored twin: {error}") from error
    broken = [name for name, tensor in state.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise ArtifactError(f"stored twin: weights are not finite: {', '.join(broken)}")
    return Artifact(
        tower.to(device).eval().requires_grad_(False),
        reranker.to(device).eval().requires_grad_(False),
        statistics,
        calibration,
        *until,
    )


def _stage(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights of one stage under their own names."""
    return {key.removeprefix(f"{name}."): v for key, v in state.items() if key.startswith(name)}


def _expected() -> dict[str, Any]:
    """What a stored twin must agree on with this code to mean anything to it."""
    return {
        "format": FORMAT,
        "dimensions": DIMENSIONS,
        "features": list(FEATURE_NAMES),
        "interaction_kinds": [str(kind) for kind in InteractionKind],
    }
