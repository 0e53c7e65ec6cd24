"""Comparing two versions on a tenant's own investors: beginning an experiment, and what followed.

Only what investors did is known, not what they were shown: a list that nobody acted on leaves no
trace. So figures are of all investors of an arm, whether or not they asked for recommendations.
"""

from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, distinct, exists, func, select

from domain.contract.vocabulary import InteractionKind
from domain.core.errors import DomainError, ErrorCode, invalid
from domain.core.events import Event, Topic
from domain.core.work import Work
from domain.interactions.interactions import WEIGHT, Interaction
from domain.model_registry import model_versions
from domain.tenants import experiments, tenants
from domain.tenants.experiments import Experiment, treated
from domain.users.users import User

APPROVALS = (
    InteractionKind.SAVE,
    InteractionKind.OUTREACH,
    InteractionKind.DEAL,
    InteractionKind.THUMBS_UP,
)
"""What counts as accepting a property; a view is no more than a look."""

REJECTIONS = (InteractionKind.THUMBS_DOWN, InteractionKind.DISMISS)


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """What the investors of one version did while the experiment ran, each array (investors,).

    Its investors are those who had approved of anything when it began: only for them a model ranks.

    Attributes:
        version_id: the version.
        number: its number.
        approvals: properties accepted, see ``APPROVALS``.
        rejections: properties disliked or dismissed.
        thumbs_up: how many.
        thumbs_down: how many.
        deals: how many.
    """

    version_id: UUID
    number: int
    approvals: NDArray[np.float64]
    rejections: NDArray[np.float64]
    thumbs_up: NDArray[np.float64]
    thumbs_down: NDArray[np.float64]
    deals: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.deals)


async def require_possible(work: Work, share: float) -> None:
    """Check that an experiment could begin now, with whatever versions.

    Raises:
        DomainError: INVALID_INPUT for a share that is not above 0 and below 1, and while an
            experiment runs; NO_ACTIVE_MODEL while no version is active.
    """
    if not 0 < share < 1:
        raise invalid(f"share {share:g}: use a number above 0 and below 1, as 0.5", "share")
    if await tenants.active_version_id(work) is None:
        problem = "no version is active: train one and activate it first"
        raise DomainError(ErrorCode.NO_ACTIVE_MODEL, problem)
    if await experiments.running(work) is not None:
        raise invalid("an experiment runs already: stop it first")


async def start(work: Work, treatment: int, control: int | None, share: float) -> Experiment:
    """Have a share of the investors answered by the treatment, the others by the control.

    From the commit on until the experiment is stopped or a version is activated. What is asked
    without an investor is answered by the active version as before.

    Args:
        work: the unit of work.
        treatment: number of the version to be tried.
        control: number of what it is compared with; the active version if not given.
        share: of the investors, above 0 and below 1.

    Raises:
        DomainError: as ``require_possible``; NOT_FOUND for a number; INVALID_INPUT for one version
            against itself, and for one that was refused or is not in the index.
    """
    # Neither is activated, nor leaves the index, in between.
    await tenants.lock(work, "model_versions")
    await require_possible(work, share)
    tried = await model_versions.by_number(work, treatment)
    if control is None:
        base = await model_versions.active(work)
        assert base is not None
    else:
        base = await model_versions.by_number(work, control)
    if base.id == tried.id:
        raise invalid(
            f"version {treatment} would be compared with itself: name another", "treatment"
        )
    for version in (base, tried):
        await work.session.refresh(version)
        model_versions.require_ready(version)
    found = Experiment(
        tenant_id=work.tenant_id,
        control_id=base.id,
        treatment_id=tried.id,
        share=share,
    )
    work.session.add(found)
    await work.session.flush()
    work.publish(Event(Topic.MODEL))
    return found


async def outcomes(work: Work, experiment: Experiment) -> tuple[Arm, Arm]:
    """What followed from the experiment's beginning until its end, or now: control, treatment."""
    did = and_(
        Interaction.user_id == User.id,
        Interaction.occurred_at >= experiment.created_at,
        Interaction.occurred_at < (experiment.ended_at or func.now()),
    )

    def properties(*kinds: InteractionKind) -> object:
        return func.count(distinct(Interaction.property_id)).filter(Interaction.kind.in_(kinds))

    known = exists().where(
        Interaction.user_id == User.id,
        WEIGHT > 0,
        Interaction.created_at < experiment.created_at,
    )
    rows = await work.session.execute(
        select(
            treated(User.id),
            *(
                properties(*kinds)
                for kinds in (
                    APPROVALS,
                    REJECTIONS,
                    (InteractionKind.THUMBS_UP,),
                    (InteractionKind.THUMBS_DOWN,),
                    (InteractionKind.DEAL,),
                )
            ),
        )
        .select_from(User)
        .join(Experiment, Experiment.id == experiment.id)
        .outerjoin(Interaction, did)
        .where(known.correlate(User))
        .group_by(User.id, Experiment.id, Experiment.share)
        .order_by(User.id)
    )
    table = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(-1, 6)
    control, treatment = (
        Arm(version.id, version.number, *table[table[:, 0] == arm, 1:].T)
        for arm, version in enumerate(
            [
                await model_versions.get(work, experiment.control_id),
                await model_versions.get(work, experiment.treatment_id),
            ]
        )
    )
    return control, treatment
