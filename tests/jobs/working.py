"""A worker of one recorded job, whose body the test writes."""

import warnings
from collections.abc import Awaitable, Callable
from typing import Any

from arq.worker import Worker, func

from domain.core.database import Database
from jobs.queue.pace import Pace
from jobs.queue.queue import INDEXING_QUEUE, deserialize, redis_settings, serialize
from jobs.queue.runs import Run, recorded

Body = Callable[[Run], Awaitable[None]]
MakeWorker = Callable[..., Worker]

PACE = Pace(lease=1.5, retry=0.005)


def worker_of(
    redis_url: str,
    database: Database,
    body: Body,
    limit: float = 60.0,
    pace: Pace = PACE,
    **options: Any,
) -> Worker:
    """A worker that ends when its queue is empty, of the job "job", which runs the body."""

    async def job(_: dict[str, Any], run: Run) -> None:
        await body(run)

    functions = [func(recorded(limit)(job), name="job", max_tries=1000, timeout=120)]  # type: ignore[arg-type]
    chosen: dict[str, Any] = {"functions": functions, "burst": True, **options}
    return Worker(
        queue_name=INDEXING_QUEUE,
        redis_settings=redis_settings(redis_url),
        job_serializer=serialize,
        job_deserializer=deserialize,
        handle_signals=False,
        poll_delay=0.02,
        keep_result=0,
        ctx={"database": database, "pace": pace},
        **chosen,
    )


async def close(worker: Worker) -> None:
    """Stop the worker and close its connections."""
    with warnings.catch_warnings():
        # arq's own call of what redis-py has since renamed.
        warnings.filterwarnings("ignore", "Call to deprecated close", DeprecationWarning)
        await worker.close()


async def finish(worker: Worker) -> Worker:
    """Have the worker do all that waits."""
    await worker.async_run()
    await close(worker)
    return worker


async def never(_: Run) -> None:
    """A body that must not run."""
    raise AssertionError("not reached")


async def do_nothing(_: Run) -> None:
    """A body that succeeds."""
