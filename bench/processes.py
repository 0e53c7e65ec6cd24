"""CPU and memory of a server's processes and of the embedded services that it uses."""

import asyncio
from contextlib import suppress
from pathlib import Path

import psutil

import embedded

SERVICES = ("postgres", "qdrant", "redis")
_IDLE = 0.05
"""Share of a core."""


def service(data_dir: Path, name: str) -> psutil.Process:
    """The main process of an embedded service. Raises RuntimeError if it does not run."""
    found = embedded.status(data_dir).get(name)
    if found is None or found.pid is None or not found.is_alive():
        raise RuntimeError(f"{data_dir}: {name} does not run")
    return psutil.Process(found.pid)


def cpu(process: psutil.Process) -> float:
    """CPU seconds, user and system, that a process and all its descendants have used so far.

    Descendants that ended count as well: the kernel adds the time of a child to its parent when
    the parent waits for it, as PostgreSQL does for each backend. A process that ends during the
    reading may count from the next reading on.
    """
    seconds = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def services_cpu(data_dir: Path) -> dict[str, float]:
    """CPU seconds that each service of a folder has used so far, by its name; see ``cpu``."""
    return {name: cpu(service(data_dir, name)) for name in SERVICES}


async def settled(data_dir: Path) -> None:
    """Wait until the services of a folder have ended what filling them left to do.

    Raises:
        TimeoutError: they are still busy after ten minutes.
    """
    before = sum(services_cpu(data_dir).values())
    async with asyncio.timeout(600):
        while True:
            await asyncio.sleep(2.0)
            now = sum(services_cpu(data_dir).values())
            if now - before < 2.0 * _IDLE:
                return
            before = now
