"""The processes that there are to kill, found as they are now."""

import os
import signal
from random import Random

import psutil

import embedded
from embedded.state import RunFolder
from tests.endurance.world import World

INDEXING = "indexing worker"
TRAINING = "training worker"
CHILD = "training process"
API = "API supervisor"
SERVER = "server process"
KEEPER = "services' keeper"
SERVICES = ("postgres", "redis", "qdrant")


def find(world: World, kind: str, random: Random) -> psutil.Process | None:
    """A process of that kind; None while there is none."""
    if kind in SERVICES:
        service = embedded.status(world.data_dir).get(kind)
        pid = service.pid if service is not None and service.is_alive() else None
    elif kind == KEEPER:
        found = RunFolder(world.data_dir.resolve()).read()
        pid = found.keeper_pid if found is not None and found.is_kept() else None
    else:
        pids = [one.pid for one in _family(world) if _kind(one) == kind]
        pid = random.choice(pids) if pids else None
    try:
        return None if pid is None else psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def kill(process: psutil.Process) -> None:
    """SIGKILL; whoever is gone already is left alone."""
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _family(world: World) -> list[psutil.Process]:
    """The server's processes but for the first."""
    try:
        return list(world.supervisor.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _kind(process: psutil.Process) -> str | None:
    try:
        command, parent = process.cmdline(), process.parent()
        of_api = parent is not None and "api" in parent.cmdline()
    except psutil.Error:
        return None  # gone in the meantime
    signs = {
        INDEXING: "--queue=indexing" in command,
        TRAINING: "--queue=training" in command,
        CHILD: any(part.startswith("--job-run=") for part in command),
        API: "api" in command,
        SERVER: of_api and any("spawn_main" in part for part in command),
    }
    return next((kind for kind, is_one in signs.items() if is_one), None)
