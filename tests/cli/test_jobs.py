"""The runs of jobs from the command line."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from typer.testing import Result

from cli.jobs import Status
from domain.core.database import Database
from domain.jobs import job_runs
from domain.jobs.job_runs import DRIFT, REINDEX, TRAIN, JobRun, JobStatus
from domain.tenants.tenants import Tenant
from tests.cli.conftest import Twin

Jobs = Callable[..., Awaitable[Result]]


@pytest.fixture
def jobs(twin: Twin, tenant: Tenant) -> Jobs:
    """Runs a command of ``twin jobs`` for the tenant."""

    async def run(*arguments: object, of: Tenant = tenant) -> Result:
        return await asyncio.to_thread(twin, "jobs", *arguments, "--tenant", of.slug)

    return run


@pytest.fixture
async def parked(database: Database, tenant: Tenant) -> JobRun:
    """A training that kept failing, before a reindex that runs and a measurement that waits."""
    async with database.work(tenant.id) as work:
        run = await job_runs.request(work, TRAIN, {"epochs": 3})
        await job_runs.start(work, run.id)
        await job_runs.park(work, run.id, "Traceback:\n  line 1\nConnectionError: no route")
    for function in (REINDEX, DRIFT):
        async with database.work(tenant.id) as work:
            other = await job_runs.request(work, function)
            if function == REINDEX:
                await job_runs.start(work, other.id)
    return run


async def listed(
    jobs: Jobs, *arguments: object, of: Tenant | None = None
) -> list[dict[str, object]]:
    result = await jobs("list", "--json", *arguments, **({"of": of} if of else {}))
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, object]] = json.loads(result.stdout)
    return found


def test_every_status_can_be_asked_for() -> None:
    assert [one.value for one in Status] == [one.value for one in JobStatus]


async def test_the_list_is_of_the_tenant_and_by_what_is_asked(
    jobs: Jobs, parked: JobRun, other_tenant: Tenant
) -> None:
    plain = (await jobs("list")).stdout.splitlines()
    assert len(plain) == 3
    cells = plain[2].split("\t")
    assert cells[:5] == [str(parked.id), TRAIN, "parked", "0%", "1"]
    assert cells[-1] == "ConnectionError: no route"

    assert [one["function"] for one in await listed(jobs)] == [DRIFT, REINDEX, TRAIN]
    (found,) = await listed(jobs, "--status", "parked")
    assert (found["id"], found["arguments"]) == (str(parked.id), {"epochs": 3})
    assert [one["function"] for one in await listed(jobs, "--function", REINDEX)] == [REINDEX]
    unfinished = await listed(jobs, "--status", "queued", "--status", "running")
    assert [one["function"] for one in unfinished] == [DRIFT, REINDEX]
    assert len(await listed(jobs, "--limit", 1)) == 1
    assert (await jobs("list", "--json", of=other_tenant)).stdout == "[]\n"
    assert (await jobs("list", "--status", "odd")).exit_code == 2
    assert (await jobs("list", "--limit", 0)).exit_code == 2


async def test_all_of_a_run_is_shown(jobs: Jobs, parked: JobRun) -> None:
    lines = (await jobs("show", parked.id)).stdout.splitlines()
    assert lines[0] == f"id: {parked.id}"
    assert 'arguments: {"epochs": 3}' in lines
    assert "status: parked" in lines
    # What goes on in further lines cannot be taken for a field.
    start = lines.index("error: Traceback:")
    assert lines[start : start + 3] == [
        "error: Traceback:",
        "    line 1",
        "  ConnectionError: no route",
    ]
    as_json = json.loads((await jobs("show", parked.id, "--json")).stdout)
    assert as_json["created_at"] == parked.created_at.isoformat()
    assert as_json["error"].endswith("no route")
    assert as_json["result"] is None


async def test_a_run_is_called_off_and_up_again(
    jobs: Jobs, parked: JobRun, tenant: Tenant, database: Database
) -> None:
    waiting, running = (UUID(str(one["id"])) for one in (await listed(jobs))[:2])

    async def standing(run_id: UUID) -> JobRun:
        async with database.work(tenant.id) as work:
            return await job_runs.get(work, run_id)

    assert "is called off" in (await jobs("cancel", waiting)).stdout
    assert (await standing(waiting)).status is JobStatus.CANCELLED
    assert "is told to stop" in (await jobs("cancel", running)).stdout
    assert (await standing(running)).cancel_requested
    assert "is called off" in (await jobs("cancel", parked.id)).stdout
    assert (await standing(parked.id)).status is JobStatus.CANCELLED
    for run_id in (parked.id, waiting):
        assert "waits for a worker" in (await jobs("retry", run_id)).stdout
        assert (await standing(run_id)).status is JobStatus.QUEUED
    for command, status in (("cancel", "cancelled"), ("retry", "queued")):
        told = json.loads((await jobs(command, waiting, "--json")).stdout)
        assert (told["id"], told["status"]) == (str(waiting), status)


@pytest.mark.parametrize("command", ["show", "retry", "cancel"])
async def test_what_cannot_be_is_said_in_a_line(
    jobs: Jobs, parked: JobRun, other_tenant: Tenant, command: str
) -> None:
    for refused in (await jobs(command, uuid4()), await jobs(command, parked.id, of=other_tenant)):
        assert refused.exit_code == 1
        assert refused.stderr == "twin: No such job run.\n"
    assert (await jobs(command, "frob")).exit_code == 2
    if command == "show":
        return
    if command == "retry":
        await jobs("retry", parked.id)
        said = "only one that is failed, parked, cancelled"
    else:
        await jobs("cancel", parked.id)
        said = "only one that is queued, running or parked"
    refused = await jobs(command, parked.id)
    assert refused.exit_code == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"twin: run {parked.id} is ")
    assert line.endswith(said)
