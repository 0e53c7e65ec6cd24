"""From a ranking score to a probability (Platt 1999), always rising with the score."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

_RIDGE = 1e-4
"""Keeps the optimum finite where the two sides do not overlap."""

_GENTLEST, _STEEPEST = 0.02, 4.0
"""Bounds of the scale: below, affinities would hardly differ; above, they would all be 0 or 1."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """affinity = 1 / (1 + exp(-(scale * score + bias))).

    Fitted on as many held-out approvals as other properties, so an affinity above one half means:
    rather something this investor acts on than a property drawn at random.

    Attributes:
        scale: greater than 0.
        bias: any finite number.
    """

    scale: float
    bias: float

    @classmethod
    def fit(cls, liked: NDArray[np.float64], other: NDArray[np.float64]) -> "Calibration":
        """Maximum likelihood of the scores (n,) of approvals and (m,) of other properties.

        Both sides count the same in sum. Raises ValueError if either is empty.
        """
        if not len(liked) or not len(other):
            raise ValueError("calibration needs scores of approvals and of other properties")
        score = np.concatenate((liked, other))
        label = np.repeat((1.0, 0.0), (len(liked), len(other)))
        weight = np.repeat((0.5 / len(liked), 0.5 / len(other)), (len(liked), len(other)))
        design = np.stack((score, np.ones_like(score)), axis=1)
        signed = design * np.where(label, 1.0, -1.0)[:, None]

        def cost(parameters: NDArray[np.float64]) -> float:
            error = np.logaddexp(0, -signed @ parameters)
            return float(weight @ error + _RIDGE / 2 * parameters @ parameters)

        parameters = np.zeros(2)
        for _ in range(100):
            probability = _sigmoid(design @ parameters)
            gradient = design.T @ (weight * (probability - label)) + _RIDGE * parameters
            variance = weight * probability * (1 - probability)
            curvature = (design.T * variance) @ design + _RIDGE * np.eye(2)
            step = np.linalg.solve(curvature, gradient)
            # Newton's step overshoots where the curve is flat; half of it then does not.
            while cost(parameters - step) > cost(parameters) and np.abs(step).max() > 1e-9:
                step = step / 2
            parameters = parameters - step
            if np.abs(step).max() < 1e-9:
                break
        scale = float(np.clip(parameters[0], _GENTLEST, _STEEPEST))
        # The score that gets one half; another scale needs it placed anew.
        middle = -parameters[1] / scale if scale == parameters[0] else float(weight @ score)
        return cls(scale, -scale * float(np.clip(middle, score.min(), score.max())))

    @overload
    def __call__(self, score: float) -> float: ...
    @overload
    def __call__(self, score: NDArray[np.float64]) -> NDArray[np.float64]: ...
    def __call__(self, score: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
        """The affinity in [0, 1] of each score."""
        return _sigmoid(self.scale * np.asarray(score, dtype=np.float64) + self.bias)[()]

    def to_json(self) -> dict[str, Any]:
        """The calibration as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Calibration":
        """The inverse of ``to_json``. Raises ValueError where a number is absent or impossible."""
        numbers = [value.get("scale"), value.get("bias")]
        if not all(isinstance(number, int | float) and isfinite(number) for number in numbers):
            raise ValueError(f"calibration: scale and bias must be finite numbers: {dict(value)!r}")
        if value["scale"] <= 0:
            raise ValueError(f"calibration: scale must be greater than 0: {value['scale']!r}")
        return cls(float(value["scale"]), float(value["bias"]))


def _sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(logit, -700, 700)))
