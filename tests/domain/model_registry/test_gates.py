"""The decision alone: which figures let a version answer, and what a refusal says."""

from dataclasses import replace
from math import inf, isfinite, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.core.errors import DomainError
from domain.model_registry.gates import Gate, judge, refusal, require_enough
from domain.tenants.policies import Policy

GOOD = {
    "f1": 0.8,
    "accuracy": 0.8,
    "not_finite": 0,
    "twin": {"ndcg@10": 0.3},
    "mix": {"ndcg@10": 0.25},
    "popularity": {"ndcg@10": 0.9},  # not the best one, whatever its figure
    "best_baseline": "mix",
    "active": {"ndcg@10": 0.32},
}

shares = st.floats(0, 1)
figures = st.none() | st.just(nan) | st.just(inf) | shares


def failed(metrics: dict[str, Any], policy: Policy | None = None) -> list[Gate]:
    return [one.gate for one in judge(metrics, policy or Policy()) if not one.passed]


def test_what_is_good_passes_every_gate() -> None:
    verdicts = judge(GOOD, Policy())
    assert [one.gate for one in verdicts] == list(Gate)
    assert all(one.passed for one in verdicts)
    assert refusal(verdicts) is None


@pytest.mark.parametrize(
    ("change", "gate", "said"),
    [
        ({"f1": 0.59}, Gate.F1, "f1: F1 on held-out pairs is 0.59, below 0.6"),
        ({"accuracy": 0.69}, Gate.ACCURACY, "accuracy on held-out pairs is 0.69, below 0.7"),
        ({"not_finite": 3}, Gate.FINITE, "finite: 3 embeddings are not finite, more than 0"),
        (
            {"mix": {"ndcg@10": 0.4}},
            Gate.NDCG_BASELINE,
            "NDCG@10 is 0.3, below the best simple baseline's bound of 0.36",
        ),
        (
            {"active": {"ndcg@10": 0.4}},
            Gate.NDCG_ACTIVE,
            "NDCG@10 is 0.3, below the active version's bound of 0.36",
        ),
        (
            {"mix": {"ndcg@10": 0.4}, "sure_loss": {"mix": 0.11}},
            Gate.NDCG_BASELINE,
            "NDCG@10 is 0.3, below the best simple baseline's bound of 0.36",
        ),
        (
            {"twin_beside_active": {"ndcg@10": 0.2}},
            Gate.NDCG_ACTIVE,
            "NDCG@10 is 0.2, below the active version's bound of 0.288",
        ),
        ({"f1": None}, Gate.F1, "F1 on held-out pairs is unknown, below 0.6"),
        ({"active": {}}, Gate.NDCG_ACTIVE, "the active version's bound of unknown"),
    ],
)
def test_a_refusal_names_the_gate_its_value_and_its_bound(
    change: dict[str, Any], gate: Gate, said: str
) -> None:
    verdicts = judge(GOOD | change, Policy())
    assert [one.gate for one in verdicts if not one.passed] == [gate]
    reason = refusal(verdicts)
    assert reason is not None
    assert said in reason
    assert ";" not in reason


def test_a_refusal_names_all_that_failed() -> None:
    reason = refusal(judge(GOOD | {"f1": 0.1, "accuracy": 0.2}, Policy()))
    assert reason is not None
    assert [part.split(":")[0] for part in reason.split("; ")] == ["f1", "accuracy"]


def test_a_first_version_is_not_compared_with_what_is_not_there() -> None:
    first = {name: value for name, value in GOOD.items() if name != "active"}
    gates = [one.gate for one in judge(first, Policy())]
    assert gates == [Gate.F1, Gate.ACCURACY, Gate.FINITE, Gate.NDCG_BASELINE]


def test_what_was_not_measured_has_failed() -> None:
    """As for a training that diverged, which has no figures."""
    assert failed({"not_finite": 7}) == [Gate.F1, Gate.ACCURACY, Gate.FINITE, Gate.NDCG_BASELINE]
    assert failed({}) == [Gate.F1, Gate.ACCURACY, Gate.FINITE, Gate.NDCG_BASELINE]


def test_bounds_are_the_tenants() -> None:
    strict = Policy(least_f1=0.9, least_accuracy=0.9, ndcg_tolerance=0.0)
    assert failed(GOOD, strict) == [Gate.F1, Gate.ACCURACY, Gate.NDCG_ACTIVE]
    lax = Policy(least_f1=0, least_accuracy=0, ndcg_tolerance=1)
    assert failed(GOOD | {"f1": 0.0, "accuracy": 0.0, "twin": {"ndcg@10": 0.0}}, lax) == []


@given(
    f1=figures, accuracy=figures, broken=st.none() | st.integers(0, 3), twin=figures,
    baseline=figures, active=st.none() | figures, loss=st.none() | figures,
    tolerance=shares, least=shares,
)  # fmt: skip
def test_the_decision_is_that_of_its_rules(
    f1: float | None, accuracy: float | None, broken: int | None, twin: float | None,
    baseline: float | None, active: float | None, loss: float | None,
    tolerance: float, least: float,
) -> None:  # fmt: skip
    metrics: dict[str, Any] = {
        "f1": f1, "accuracy": accuracy, "not_finite": broken, "best_baseline": "mix",
        "twin": {"ndcg@10": twin}, "mix": {"ndcg@10": baseline},
    }  # fmt: skip
    if active is not None:
        metrics["active"] = {"ndcg@10": active}
    if loss is not None:
        metrics["sure_loss"] = {"mix": loss, "active": loss}
    policy = replace(Policy(), least_f1=least, least_accuracy=least, ndcg_tolerance=tolerance)

    def known(value: float | None) -> bool:
        return value is not None and isfinite(value)

    def reached(value: float | None, bound: float | None) -> bool:
        if value is None or bound is None or not (isfinite(value) and isfinite(bound)):
            return False
        return value >= bound

    def near(reference: float | None) -> bool:
        if not (known(reference) and known(twin)):
            return False
        by_chance = known(loss) and (loss or 0.0) <= tolerance
        return by_chance or reached(twin, (1 - tolerance) * (reference or 0.0))

    expected = [
        reached(f1, least),
        reached(accuracy, least),
        broken == 0,
        near(baseline),
    ]
    if active is not None:
        expected.append(near(active))
    verdicts = judge(metrics, policy)
    assert [one.passed for one in verdicts] == expected
    reason = refusal(verdicts)
    assert (reason is None) == all(expected)
    for one in verdicts:
        assert one.value is None or isfinite(one.value)
        assert one.passed or f"{one.gate}: " in (reason or "")
        kept = one.to_json()
        assert kept["gate"] == one.gate.value
        assert set(kept) == {"gate", "value", "bound", "passed"}


@given(twin=shares, reference=shares, better=shares, tolerance=shares)
def test_who_ranks_better_passes_what_a_worse_one_passes(
    twin: float, reference: float, better: float, tolerance: float
) -> None:
    policy = Policy(ndcg_tolerance=tolerance)
    worse, good = (
        set(failed(GOOD | {"twin": {"ndcg@10": ndcg}, "mix": {"ndcg@10": reference}}, policy))
        for ndcg in (min(twin, better), max(twin, better))
    )
    assert good <= worse


def test_what_may_be_chance_refuses_nothing() -> None:
    low = GOOD | {"active": {"ndcg@10": 0.4}}
    verdicts = judge(low | {"sure_loss": {"active": 0.1}}, Policy())
    assert refusal(verdicts) is None
    # The plain figures are shown all the same.
    assert verdicts[-1].value == 0.3
    assert verdicts[-1].bound == pytest.approx(0.36)
    assert failed(low | {"sure_loss": {"mix": 0.0}}) == [Gate.NDCG_ACTIVE]


def test_enough_is_enough() -> None:
    require_enough(Policy(), approvals=100, properties=50, investors=2)


def test_all_that_is_short_is_named() -> None:
    with pytest.raises(DomainError) as error:
        require_enough(Policy(), approvals=99, properties=49, investors=1)
    assert error.value.message == (
        "too little to train from: there are 99 positive interactions of at least 100; "
        "49 properties of at least 50; 1 investors with positive interactions of at least 2"
    )
    with pytest.raises(DomainError, match=r"there are 1,999 properties of at least 2,000$"):
        require_enough(Policy(least_properties=2000), approvals=100, properties=1999, investors=2)
