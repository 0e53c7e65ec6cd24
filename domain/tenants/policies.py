"""A tenant's rules: when to train, what to refuse, how long to keep versions and changes."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sqlalchemy import select, update

from domain.core.errors import invalid, not_found
from domain.core.work import Work
from domain.tenants import tenants
from domain.tenants.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules; what a tenant does not set is as here.

    Attributes:
        least_approvals: positive interactions without which nothing is trained.
        least_properties: properties without which nothing is trained.
        least_investors: investors with a positive interaction without which nothing is trained.
        least_f1: F1 that a version must reach on balanced held-out pairs to answer.
        least_accuracy: accuracy that it must reach on them.
        ndcg_tolerance: share by which its NDCG@10 on later data may be below that of the active
            version, and below that of the best simple baseline; it is refused if it is lower by
            more than chance could bring.
        drift_warning: population stability index, corrected for chance as ``ml.measures.drift``
            says, from which drift is worth a look.
        drift_alert: from which it is worth an alert.
        drift_block: above which a version trained on such data is not activated by itself, but
            waits in the index until somebody does.
        train_after: new interactions without which a scheduled training is left out.
        grace_days: days for which a retired version's vectors are kept for a rollback.
        changes_days: days for which overwritten values and deleted rows are kept, and imports can
            be undone.
    """

    least_approvals: int = 100
    least_properties: int = 50
    least_investors: int = 2
    least_f1: float = 0.6
    least_accuracy: float = 0.7
    ndcg_tolerance: float = 0.1
    drift_warning: float = 0.1
    drift_alert: float = 0.25
    drift_block: float = 0.4
    train_after: int = 50
    grace_days: float = 7.0
    changes_days: float = 30.0


_KINDS = {one.name: type(one.default) for one in fields(Policy)}
_MOST = (
    {name: 2**31 - 1 for name, kind in _KINDS.items() if kind is int}
    | dict.fromkeys(("least_f1", "least_accuracy", "ndcg_tolerance"), 1)
    | dict.fromkeys(("grace_days", "changes_days"), 3650)
)
"""Up to what a rule goes; the others are not bounded."""


async def get(work: Work) -> Policy:
    """The tenant's rules. Raises DomainError NOT_FOUND for no such tenant."""
    own = (await tenants.get(work)).policy
    return Policy(**{name: own[name] for name in _KINDS if name in own})


async def change(work: Work, given: Mapping[str, float | None]) -> Policy:
    """Set some of the tenant's rules, or with None take them back to the default.

    Raises:
        DomainError: INVALID_INPUT for an unknown rule or a value out of range; nothing changes.
            NOT_FOUND for no such tenant.
    """
    mine = Tenant.id == work.tenant_id
    # Whoever changes other rules meanwhile waits, and reads these.
    kept = await work.session.scalar(
        select(Tenant.policy).where(mine).with_for_update(key_share=True)
    )
    if kept is None:
        raise not_found("tenant")
    own: dict[str, Any] = dict(kept)
    for name, value in given.items():
        if name not in _KINDS:
            raise invalid(f"rule {name!r}: use {', '.join(_KINDS)}", name)
        if value is None:
            own.pop(name, None)
        else:
            own[name] = _checked(name, value)
    await work.session.execute(update(Tenant).where(mine).values(policy=own))
    return replace(Policy(), **{name: own[name] for name in _KINDS if name in own})


def _checked(name: str, value: float) -> float:
    if not (math.isfinite(value) and 0 <= value <= _MOST.get(name, value)):
        bounds = f"0 to {_MOST[name]}" if name in _MOST else "0 or more"
        raise invalid(f"{name} {value}: use {bounds}", name)
    if _KINDS[name] is int:
        if value != int(value):
            raise invalid(f"{name} {value}: use a whole number", name)
        return int(value)
    return float(value)


def to_json(policy: Policy) -> dict[str, float]:
    """The rules by name."""
    return asdict(policy)
