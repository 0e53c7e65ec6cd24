"""What followed from an experiment: whose acts count, and when."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update

from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.core.work import Work
from domain.model_registry import comparison, model_versions
from domain.model_registry.comparison import Arm
from domain.tenants import experiments
from domain.tenants.experiments import Experiment, treated
from domain.tenants.tenants import Tenant
from domain.users.users import User
from tests.factories import add_interaction, add_property, add_user

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC)
BEGAN = NOW - 10 * HOUR


async def begin(work: Work) -> Experiment:
    """An experiment that has run for ten hours."""
    for number in (1, 2):
        version = await model_versions.add(work, b"weights", {}, {})
        await model_versions.judge(work, version.id, [], None)
        await model_versions.complete(work, version.id)
        if number == 1:
            await model_versions.activate(work, version.id)
    found = await comparison.start(work, 2, None, 0.5)
    await work.session.execute(update(Experiment).values(created_at=BEGAN))
    await work.session.refresh(found)
    return found


async def add_investor(work: Work, *kinds: InteractionKind) -> UUID:
    """One who did these things before the experiment began."""
    user = await add_user(work)
    for kind in kinds:
        house = await add_property(work)
        await add_interaction(
            work, user.id, house.id, kind, occurred_at=BEGAN - HOUR, created_at=BEGAN - HOUR
        )
    return user.id


async def arm_of(work: Work, experiment: Experiment, user_id: UUID) -> bool:
    found = await work.session.scalar(
        select(treated(User.id))
        .select_from(User)
        .join(Experiment, Experiment.id == experiment.id)
        .where(User.id == user_id)
    )
    return bool(found)


def told(arm: Arm) -> tuple[int, ...]:
    names = ("approvals", "rejections", "thumbs_up", "thumbs_down", "deals")
    return tuple(int(getattr(arm, name).sum()) for name in names)


async def test_acts_count_for_the_arm_of_who_did_them(database: Database, tenant: Tenant) -> None:
    expected = {False: [0] * 6, True: [0] * 6}
    async with database.work(tenant.id) as work:
        experiment = await begin(work)
        for n in range(30):
            user = await add_investor(work, InteractionKind.SAVE)
            arm = expected[await arm_of(work, experiment, user)]
            arm[0] += 1
            if n % 3 == 0:
                continue
            house, other = await add_property(work), await add_property(work)
            acts = [
                (house, InteractionKind.VIEW), (house, InteractionKind.SAVE),
                (house, InteractionKind.OUTREACH), (house, InteractionKind.THUMBS_UP),
                (other, InteractionKind.DISMISS),
            ]  # fmt: skip
            if n % 3 == 1:
                acts += [(other, InteractionKind.THUMBS_DOWN), (house, InteractionKind.DEAL)]
            for on, kind in acts:
                await add_interaction(work, user, on.id, kind, occurred_at=NOW - HOUR)
            # A property counts once, however much was done with it.
            for place, more in enumerate((1, 1, 1, n % 3 == 1, n % 3 == 1), 1):
                arm[place] += more
        control, treatment = await comparison.outcomes(work, experiment)
    assert (control.number, treatment.number) == (1, 2)
    for found, wanted in ((control, expected[False]), (treatment, expected[True])):
        assert [len(found), *told(found)] == wanted


async def test_only_what_was_done_while_it_ran_counts(database: Database, tenant: Tenant) -> None:
    async with database.work(tenant.id) as work:
        experiment = await begin(work)
        user = await add_investor(work, InteractionKind.SAVE)
        for hours in (11, 9, 6, 4, 1):
            house = await add_property(work)
            await add_interaction(
                work, user, house.id, InteractionKind.DEAL, occurred_at=NOW - hours * HOUR
            )

        async def deals() -> int:
            return sum(told(arm)[-1] for arm in await comparison.outcomes(work, experiment))

        assert await deals() == 4
        await work.session.execute(update(Experiment).values(ended_at=NOW - 5 * HOUR))
        await work.session.refresh(experiment)
        assert await deals() == 2


async def test_investors_are_who_had_approved_of_anything_when_it_began(
    database: Database, tenant: Tenant
) -> None:
    async with database.work(tenant.id) as work:
        experiment = await begin(work)
        known = await add_investor(work, InteractionKind.DISMISS, InteractionKind.VIEW)
        await add_investor(work, InteractionKind.DISMISS)
        await add_investor(work)
        late = await add_user(work)
        house = await add_property(work)
        await add_interaction(work, late.id, house.id, InteractionKind.DEAL)
        arms = await comparison.outcomes(work, experiment)
        own = arms[await arm_of(work, experiment, known)]
    assert [len(arm) for arm in arms].count(1) == 1
    assert (len(own), told(own)) == (1, (0, 0, 0, 0, 0))


@pytest.mark.parametrize("running", [True, False])
async def test_the_experiment_shown_is_the_one_that_runs_or_the_last(
    database: Database, tenant: Tenant, other_tenant: Tenant, running: bool
) -> None:
    async with database.work(tenant.id) as work:
        assert await experiments.latest(work) is None
        first = await begin(work)
        await experiments.stop(work)
        second = await comparison.start(work, 2, None, 0.3)
        if not running:
            await experiments.stop(work)
    async with database.work(tenant.id) as work:
        found = await experiments.latest(work)
        assert found is not None
        assert (found.id, found.ended_at is None) == (second.id, running)
        assert found.id != first.id
    async with database.work(other_tenant.id) as work:
        assert await experiments.latest(work) is None
        assert await experiments.running(work) is None
        assert not await experiments.stop(work)
        mine = await begin(work)
        await add_investor(work, InteractionKind.SAVE)
        assert sum(map(len, await comparison.outcomes(work, mine))) == 1
