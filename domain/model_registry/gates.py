"""The gates that a trained version passes before it may answer: a decision, and nothing else.

Whatever was not measured, or is not a number, has failed: a version must show that it is good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from math import isfinite
from typing import Any

from domain.core.errors import invalid
from domain.tenants.policies import Policy


class Gate(StrEnum):
    """What a version is judged by."""

    F1 = "f1"
    ACCURACY = "accuracy"
    FINITE = "finite"
    NDCG_BASELINE = "ndcg_baseline"
    NDCG_ACTIVE = "ndcg_active"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one gate.

    Attributes:
        gate: which one.
        value: what the version reached; None where it was not measured.
        bound: what it had to reach, or, for FINITE, must not exceed; None where what it is
            compared with was not measured.
        passed: whether it did.
    """

    gate: Gate
    value: float | None
    bound: float | None
    passed: bool

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self) | {"gate": self.gate.value}


def judge(metrics: Mapping[str, Any], policy: Policy) -> list[Verdict]:
    """Judge a version.

    Args:
        metrics: of the version, as ``ml.training.gates.gate_figures`` names them.
        policy: the tenant's rules.

    Returns:
        What came of each gate; NDCG_ACTIVE is left out where no active version was compared with.
    """
    best = metrics.get("best_baseline")
    verdicts = [
        _at_least(Gate.F1, _number(metrics, "f1"), policy.least_f1),
        _at_least(Gate.ACCURACY, _number(metrics, "accuracy"), policy.least_accuracy),
        _at_most(Gate.FINITE, _number(metrics, "not_finite"), 0.0),
        _near(Gate.NDCG_BASELINE, metrics, "twin", best, policy),
    ]
    if "active" in metrics:
        twin = "twin_beside_active" if "twin_beside_active" in metrics else "twin"
        verdicts.append(_near(Gate.NDCG_ACTIVE, metrics, twin, "active", policy))
    return verdicts


_FAILURES = {
    Gate.F1: "F1 on held-out pairs is {value}, below {bound}",
    Gate.ACCURACY: "accuracy on held-out pairs is {value}, below {bound}",
    Gate.FINITE: "{value} embeddings are not finite, more than {bound}",
    Gate.NDCG_BASELINE: "NDCG@10 is {value}, below the best simple baseline's bound of {bound}",
    Gate.NDCG_ACTIVE: "NDCG@10 is {value}, below the active version's bound of {bound}",
}


def refusal(verdicts: Sequence[Verdict]) -> str | None:
    """Why a version is refused, for people; None if it is not."""
    failed = [
        f"{one.gate}: " + _FAILURES[one.gate].format(value=_text(one.value), bound=_text(one.bound))
        for one in verdicts
        if not one.passed
    ]
    return "; ".join(failed) or None


def require_enough(policy: Policy, *, approvals: int, properties: int, investors: int) -> None:
    """Let nothing be trained from too little.

    Args:
        policy: the tenant's rules.
        approvals: interactions of positive weight.
        properties: all of the tenant's.
        investors: those with such an interaction.

    Raises:
        DomainError: INVALID_INPUT, naming all that there is too little of.
    """
    short = [
        f"{found:,} {what} of at least {least:,}"
        for what, found, least in (
            ("positive interactions", approvals, policy.least_approvals),
            ("properties", properties, policy.least_properties),
            ("investors with positive interactions", investors, policy.least_investors),
        )
        if found < least
    ]
    if short:
        raise invalid(f"too little to train from: there are {'; '.join(short)}")


def _ndcg(metrics: Mapping[str, Any], ranker: str) -> float | None:
    return _number(metrics.get(ranker) or {}, "ndcg@10")


def _text(figure: float | None) -> str:
    return "unknown" if figure is None else f"{figure:.3g}"


def _number(figures: Mapping[str, Any], name: str) -> float | None:
    value = figures.get(name)
    return float(value) if value is not None and isfinite(value) else None


def _at_least(gate: Gate, value: float | None, bound: float) -> Verdict:
    return Verdict(gate, value, bound, value is not None and value >= bound)


def _at_most(gate: Gate, value: float | None, bound: float) -> Verdict:
    return Verdict(gate, value, bound, value is not None and value <= bound)


def _near(
    gate: Gate, metrics: Mapping[str, Any], twin: str, reference: str | None, policy: Policy
) -> Verdict:
    """Not worse than the reference by more than the tolerated share of it, beyond chance."""
    value = _ndcg(metrics, twin)
    best = _ndcg(metrics, reference) if reference else None
    if best is None:
        return Verdict(gate, value, None, passed=False)
    verdict = _at_least(gate, value, (1 - policy.ndcg_tolerance) * best)
    loss = _number(metrics.get("sure_loss") or {}, reference or "")
    if value is not None and loss is not None and loss <= policy.ndcg_tolerance:
        return replace(verdict, passed=True)
    return verdict
