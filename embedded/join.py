"""The users' side: join the services of a data folder, starting their keeper where none runs."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from embedded.state import (
    EmbeddedError,
    RunFolder,
    ServiceState,
    ServiceStatus,
    SetStatus,
    describe,
    try_lock,
)

_PATIENCE = 90.0  # seconds; PostgreSQL may have to replay its log after a crash
_POLL = 0.02  # seconds

# The locks that keep this process's sets running, by data folder.
_held: dict[Path, int] = {}
_guard = threading.Lock()


@dataclass(frozen=True)
class ServiceUrls:
    """Where the services of a data folder answer; None for those that were not asked for.

    `database_url` is for the application's role and `migration_database_url` for the owner's,
    both for SQLAlchemy with asyncpg. `qdrant_url` names a gRPC endpoint.
    """

    database_url: str | None
    migration_database_url: str | None
    redis_url: str | None
    qdrant_url: str | None


def ensure(
    data_dir: Path, *, postgres: bool = True, redis: bool = True, qdrant: bool = True
) -> ServiceUrls:
    """Start the services of a data folder, or join them, and wait until they answer.

    They run until every process that called this for the folder has ended or called `release`.
    Calling it again is cheap; after a crash of the keeper it brings the services back.

    Raises:
        EmbeddedError: a service cannot be had; the message names it and the reason.
    """
    asked = {"postgres": postgres, "redis": redis, "qdrant": qdrant}
    names = [name for name, wanted in asked.items() if wanted]
    data_dir = data_dir.expanduser().resolve()
    run = RunFolder(data_dir)
    run.path.mkdir(parents=True, exist_ok=True)
    with _guard:
        joined_before = data_dir in _held
        if not joined_before:
            _held[data_dir] = _become_user(run)
        try:
            urls = _wait_until_ready(run, names)
        except BaseException:
            if not joined_before:
                os.close(_held.pop(data_dir))
            raise
    return ServiceUrls(
        database_url=urls.get("database_url"),
        migration_database_url=urls.get("migration_database_url"),
        redis_url=urls.get("redis_url"),
        qdrant_url=urls.get("qdrant_url"),
    )


def release(data_dir: Path) -> None:
    """Stop using the folder's services before this process ends; the last user's leave stops them.

    Releasing a folder that was not joined does nothing.
    """
    with _guard:
        descriptor = _held.pop(data_dir.expanduser().resolve(), None)
        if descriptor is not None:
            os.close(descriptor)


def status(data_dir: Path) -> dict[str, ServiceStatus]:
    """Return the folder's services by name as their keeper last recorded them.

    Empty where no keeper runs. `last_error` says how a service last died, `restarts` how often
    it was started again.
    """
    found = RunFolder(data_dir.expanduser().resolve()).read()
    return found.services if found is not None and found.is_kept() else {}


def _become_user(run: RunFolder) -> int:
    """Take a share of the users' lock. A keeper that is stopping holds it until it is gone."""
    deadline = time.monotonic() + _PATIENCE
    while (descriptor := try_lock(run.users_lock, exclusive=False)) is None:
        if time.monotonic() > deadline:
            found = run.read()
            keeper = describe(found.keeper_pid) if found else "its keeper"
            raise EmbeddedError(f"{keeper} has been stopping {run.data_dir} for {_PATIENCE:.0f} s.")
        time.sleep(_POLL)
    return descriptor


def _wait_until_ready(run: RunFolder, names: list[str]) -> dict[str, str]:
    """Ask for the services until all are ready, starting a keeper where there is none."""
    found = run.read()
    running = found.services if found is not None and found.is_kept() else {}
    for name in names:
        if name not in running or running[name].state is ServiceState.FAILED:
            run.request(name).touch()
    starts = 0
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        found = run.read()
        if found is not None and found.is_kept():
            urls = _urls_when_ready(run, found, names)
            if urls is not None:
                return urls
        elif (lock := try_lock(run.keeper_lock, exclusive=True)) is not None:
            starts += 1
            if starts > 3:
                os.close(lock)
                raise EmbeddedError(
                    f"The keeper of {run.data_dir} does not stay up; the end of its log "
                    f"({run.log('keeper')}):\n{run.tail('keeper')}"
                )
            _start_keeper(run, lock)
        time.sleep(_POLL)
    found = run.read()
    states = {one.name: one.state.value for one in found.services.values()} if found else {}
    raise EmbeddedError(
        f"The services of {run.data_dir} were not ready within {_PATIENCE:.0f} s: {states}; "
        f"see {run.path}/*.log."
    )


def _urls_when_ready(run: RunFolder, found: SetStatus, names: list[str]) -> dict[str, str] | None:
    """Return the URLs of the named services, None while one of them is on its way."""
    urls: dict[str, str] = {}
    for name in names:
        if run.request(name).exists():
            return None  # the keeper has not seen the request: what it wrote may be out of date
        service = found.services.get(name)
        if service is None:
            run.request(name).touch()  # another keeper took it, and died with it
            return None
        if service.state is ServiceState.FAILED:
            raise EmbeddedError(service.last_error or f"{name} failed; see {service.log}.")
        if service.state is not ServiceState.READY:
            return None
        urls |= service.urls
    return urls


def _start_keeper(run: RunFolder, lock: int) -> None:
    """Start a keeper that inherits its lock, so that there is no moment without an owner.

    It goes into a session of its own, where the Ctrl-C that stops its users does not reach it.
    """
    root = str(Path(__file__).resolve().parent.parent)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    }
    try:
        with run.log("keeper").open("ab") as log:
            # It forks and returns at once, so that no zombie is left to us.
            subprocess.run(  # noqa: S603 - our own module
                [sys.executable, "-m", "embedded.keeper", str(run.data_dir), str(lock)],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                pass_fds=[lock],
            )
    finally:
        os.close(lock)
