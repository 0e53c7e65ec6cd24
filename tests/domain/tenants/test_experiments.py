"""Who gets which version while an experiment runs, and when it may begin and ends."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, update

from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode
from domain.core.events import Event, Topic
from domain.core.work import Work
from domain.interactions import histories
from domain.model_registry import comparison, model_versions, retention
from domain.model_registry.model_versions import ModelStatus, ModelVersion, SpaceState
from domain.tenants import experiments, policies
from domain.tenants.experiments import Experiment, treated
from domain.tenants.tenants import Tenant
from domain.users.users import User
from tests.factories import add_user

LONG_AGO = timedelta(days=30)


async def add_version(work: Work, *, ready: bool = True) -> ModelVersion:
    version = await model_versions.add(work, b"weights", {}, {})
    if ready:
        await model_versions.judge(work, version.id, [], None)
        await model_versions.complete(work, version.id)
        await work.session.refresh(version)
    return version


@pytest.fixture
async def versions(database: Database, tenant: Tenant) -> list[ModelVersion]:
    """An active version and two that could be."""
    async with database.work(tenant.id) as work:
        found = [await add_version(work) for _ in range(3)]
        await model_versions.activate(work, found[0].id)
        return found


async def age(work: Work) -> None:
    """Have the versions have been made, and indexed, long ago."""
    then = datetime.now(UTC) - LONG_AGO
    await work.session.execute(update(ModelVersion).values(created_at=then, space_since=then))


async def add_experiment(work: Work, versions: list[ModelVersion], share: float) -> Experiment:
    """One that ended, so that there may be more."""
    found = Experiment(
        tenant_id=work.tenant_id,
        control_id=versions[0].id,
        treatment_id=versions[1].id,
        share=share,
        ended_at=datetime.now(UTC),
    )
    work.session.add(found)
    await work.session.flush()
    return found


async def arms(work: Work, experiment: Experiment) -> dict[UUID, bool]:
    rows = await work.session.execute(
        select(User.id, treated(User.id)).join(Experiment, Experiment.id == experiment.id)
    )
    return {user_id: arm for user_id, arm in rows}  # noqa: C416


async def test_arms_are_as_large_as_asked_and_no_two_experiments_split_alike(
    database: Database, tenant: Tenant, versions: list[ModelVersion]
) -> None:
    count = 4000
    async with database.work(tenant.id) as work:
        await work.session.execute(
            insert(User),
            [
                {"tenant_id": tenant.id, "external_id": str(n), "role": Role.VIEWER}
                for n in range(count)
            ],
        )
        split = [await add_experiment(work, versions, share) for share in (0.5, 0.5, 0.1, 0.01)]
        first, second, tenth, hundredth = [await arms(work, one) for one in split]
        assert await arms(work, split[0]) == first
    for found, share in ((first, 0.5), (second, 0.5), (tenth, 0.1), (hundredth, 0.01)):
        # Within five standard deviations.
        assert abs(sum(found.values()) / count - share) < 5 * (share * (1 - share) / count) ** 0.5
    both = sum(first[one] and second[one] for one in first) / count
    assert abs(both - 0.25) < 5 * (0.25 * 0.75 / count) ** 0.5


async def test_an_investor_gets_the_version_of_its_arm_until_the_end(
    database: Database, tenant: Tenant, other_tenant: Tenant, versions: list[ModelVersion]
) -> None:
    active, tried, third = versions
    async with database.work(tenant.id) as work:
        people = [(await add_user(work)).id for _ in range(40)]
    async with database.work(other_tenant.id) as work:
        stranger = (await add_user(work)).id
        theirs = await add_version(work)
        await model_versions.activate(work, theirs.id)

    async def answering() -> dict[UUID, UUID | None]:
        async with database.read(tenant.id) as reading:
            return (await histories.investors(reading, [*people, stranger, uuid4()])).versions

    assert await answering() == dict.fromkeys(people, active.id)
    async with database.work(tenant.id) as work:
        found = await comparison.start(work, tried.number, None, 0.4)
        assert found.control_id == active.id
    async with database.work(tenant.id) as work:
        split = await arms(work, found)
    wanted = {one: tried.id if split[one] else active.id for one in people}
    assert await answering() == wanted
    # Neither a new user nor another firm's experiment moves anybody.
    async with database.work(tenant.id) as work:
        await add_user(work)
    async with database.work(other_tenant.id) as work:
        # Which has no version 3, whatever ours has.
        with pytest.raises(DomainError, match="No such model version"):
            await comparison.start(work, third.number, None, 0.5)
        await comparison.start(work, (await add_version(work)).number, theirs.number, 0.5)
    assert await answering() == wanted
    async with database.work(tenant.id) as work:
        assert await experiments.stop(work)
        assert not await experiments.stop(work)
    assert await answering() == dict.fromkeys(people, active.id)
    # Two versions neither of which is active can be compared too.
    async with database.work(tenant.id) as work:
        found = await comparison.start(work, third.number, tried.number, 0.5)
    assert set((await answering()).values()) <= {third.id, tried.id}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf")])
async def test_a_share_that_splits_nobody_is_refused(
    database: Database, tenant: Tenant, versions: list[ModelVersion], share: float
) -> None:
    with pytest.raises(DomainError, match="above 0 and below 1") as refused:
        async with database.work(tenant.id) as work:
            await comparison.start(work, 2, None, share)
    assert refused.value.field == ("share",)


async def test_what_cannot_be_compared_is_refused(
    database: Database, tenant: Tenant, versions: list[ModelVersion]
) -> None:
    async with database.work(tenant.id) as work:
        unjudged = await add_version(work, ready=False)
        refused = await add_version(work, ready=False)
        waiting = await add_version(work, ready=False)
        await model_versions.judge(work, refused.id, [], "worse than popularity")
        await model_versions.judge(work, waiting.id, [], None)
        # Whatever filled its space.
        await model_versions.complete(work, unjudged.id)
    for treatment, control, problem in (
        (1, None, "version 1 would be compared with itself"),
        (3, 3, "version 3 would be compared with itself"),
        (4, None, "version 4 has not been judged yet"),
        (2, 4, "version 4 has not been judged yet"),
        (2, 6, "version 6 is not in the index"),
        (5, None, "version 5 was refused: worse than popularity"),
    ):
        with pytest.raises(DomainError, match=problem) as said:
            async with database.work(tenant.id) as work:
                await comparison.start(work, treatment, control, 0.5)
        assert said.value.code is ErrorCode.INVALID_INPUT
    async with database.work(tenant.id) as work:
        await comparison.start(work, 2, None, 0.5)
    with pytest.raises(DomainError, match="runs already"):
        async with database.work(tenant.id) as work:
            await comparison.start(work, 3, None, 0.5)


@pytest.mark.parametrize("refusal", ["worse than popularity", None])
async def test_what_passed_its_gates_is_not_judged_again(
    database: Database, tenant: Tenant, versions: list[ModelVersion], refusal: str | None
) -> None:
    for version, status in zip(
        versions[:2], (ModelStatus.ACTIVE, ModelStatus.INDEXED), strict=True
    ):
        async with database.work(tenant.id) as work:
            await model_versions.judge(work, version.id, [{"gate": "f1"}], refusal)
        async with database.work(tenant.id) as work:
            found = await model_versions.get(work, version.id)
            assert (found.status, found.gates, found.refusal) == (status, [], None)


async def test_nothing_is_tried_before_a_version_is_active(
    database: Database, tenant: Tenant
) -> None:
    with pytest.raises(DomainError) as refused:
        async with database.work(tenant.id) as work:
            await add_version(work)
            await comparison.start(work, 1, None, 0.5)
    assert refused.value.code is ErrorCode.NO_ACTIVE_MODEL


@pytest.mark.parametrize("activated", [0, 1, 2])
async def test_whatever_is_activated_answers_everybody(
    database: Database, tenant: Tenant, versions: list[ModelVersion], activated: int
) -> None:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
        began = await comparison.start(work, 2, None, 0.5)
    async with database.work(tenant.id) as work:
        await model_versions.activate(work, versions[activated].id)
    async with database.work(tenant.id) as work:
        assert await experiments.running(work) is None
        ended = await experiments.latest(work)
        found = await histories.investors(work, [user.id])
    assert ended is not None
    assert (ended.id, ended.ended_at is not None) == (began.id, True)
    assert found.versions == {user.id: versions[activated].id}


async def test_versions_of_an_experiment_stay_in_the_index(
    database: Database, tenant: Tenant, versions: list[ModelVersion]
) -> None:
    now = datetime.now(UTC)
    async with database.work(tenant.id) as work:
        await age(work)
    async with database.work(tenant.id) as work:
        assert set(await retention.unneeded(work, now)) == {one.id for one in versions[1:]}
        await comparison.start(work, 2, None, 0.5)
    async with database.work(tenant.id) as work:
        assert await retention.unneeded(work, now) == [versions[2].id]
        with pytest.raises(ValueError, match="answers"):
            await model_versions.forget_space(work, versions[1].id)
        assert set(await model_versions.indexed(work)) == {one.id for one in versions}
    async with database.work(tenant.id) as work:
        await experiments.stop(work)
    async with database.work(tenant.id) as work:
        # The grace is counted from the end.
        assert await retention.unneeded(work, now + timedelta(days=6)) == [versions[2].id]
        assert versions[1].id in await retention.unneeded(work, now + timedelta(days=8))
        await model_versions.forget_space(work, versions[1].id)
        assert (await model_versions.get(work, versions[1].id)).space is SpaceState.NONE
        assert (await model_versions.get(work, versions[0].id)).status is ModelStatus.ACTIVE


async def test_requests_finish_on_the_version_of_an_experiment_that_just_ended(
    database: Database, tenant: Tenant, versions: list[ModelVersion]
) -> None:
    async with database.work(tenant.id) as work:
        await policies.change(work, {"grace_days": 0})
        await age(work)
        await comparison.start(work, 2, None, 0.5)
    async with database.work(tenant.id) as work:
        await experiments.stop(work)
    now = datetime.now(UTC)
    async with database.work(tenant.id) as work:
        assert await retention.unneeded(work, now) == [versions[2].id]
        later = now + retention.IN_FLIGHT
        assert set(await retention.unneeded(work, later)) == {one.id for one in versions[1:]}


async def test_who_listens_hears_of_the_beginning_and_the_end(
    database: Database, tenant: Tenant, versions: list[ModelVersion]
) -> None:
    async with database.work(tenant.id) as work:
        assert not await experiments.stop(work)
        assert work.events == []
        await comparison.start(work, 2, None, 0.5)
        assert work.events == [Event(Topic.MODEL)]
    async with database.work(tenant.id) as work:
        assert await experiments.stop(work)
        assert work.events == [Event(Topic.MODEL)]
