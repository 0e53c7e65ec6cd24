"""The process that parents a data folder's services: `python -m embedded.keeper DATA_DIR LOCK`.

`embedded.ensure` starts it with the descriptor of keeper.lock, locked. It serves the requests its
users leave in the run folder, and stops everything once it gets users.lock for itself, which the
kernel grants when no user is left.
"""

import logging
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import psutil

from embedded.postgres import PostgresService
from embedded.processes import call_on_death, kernel_tells
from embedded.qdrant.service import QdrantService
from embedded.redis import RedisService
from embedded.service import Service, end
from embedded.state import RunFolder, ServiceState, ServiceStatus, SetStatus, try_lock

_KINDS: tuple[type[Service], ...] = (QdrantService, RedisService, PostgresService)
_PACE = 0.1  # seconds between two looks at quiet services
_PACE_OF_CHANGE = 0.01  # while one is starting


class Keeper:
    """Runs the services that users ask for until the last user is gone or SIGTERM comes."""

    def __init__(self, run: RunFolder) -> None:
        previous = run.read()
        self.run = run
        self.previous: dict[str, ServiceStatus] = previous.services if previous else {}
        self.services: dict[str, Service] = {}
        self.written: SetStatus | None = None
        self.stopping = False

    def keep(self) -> None:
        """Serve until it is time to stop, then stop every service in order."""
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGINT, self._request_stop)
        self.run.make_sockets()
        self._write()
        while not self.stopping and not self._has_no_user():
            self._serve_requests()
            for service in self.services.values():
                service.step()
            self._write()
            settled = {ServiceState.READY, ServiceState.FAILED}
            quiet = all(service.state in settled for service in self.services.values())
            time.sleep(_PACE if quiet else _PACE_OF_CHANGE)
        waits = [service.stop() for service in self.services.values()]
        for wait in waits:
            wait()
        shutil.rmtree(self.run.sockets)
        self.run.state_file.unlink()

    def _has_no_user(self) -> bool:
        # The lock, once got, goes with the process: who wants to join waits until then.
        return try_lock(self.run.users_lock, exclusive=True) is not None

    def _serve_requests(self) -> None:
        for kind in _KINDS:
            request = self.run.request(kind.name)
            if not request.exists():
                continue
            service = self.services.get(kind.name)
            if service is None or service.state is ServiceState.FAILED:
                service = kind(self.run, self.previous.pop(kind.name, None))
                self.services[kind.name] = service
                self._write()
                service.start()
                self._write()
            request.unlink(missing_ok=True)

    def _write(self) -> None:
        status = SetStatus(
            keeper_pid=os.getpid(),
            keeper_created=psutil.Process().create_time(),
            services={name: service.status for name, service in self.services.items()},
        )
        if status != self.written:
            self.run.write(status)
            self.written = status

    def _request_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True


def _end_services(run: RunFolder) -> None:
    """End what a keeper that was killed left running; one that stopped in order left nothing."""
    left = run.read()
    if left is None:
        return
    for kind in _KINDS:
        if kind.name in left.services:
            end(left.services[kind.name], kind.stop_signal)
    # The services have sessions of their own. In the keeper's are initdb, psql and this process.
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Detach from the starter and keep the services of the folder given on the command line."""
    run, lock = RunFolder(Path(sys.argv[1])), int(sys.argv[2])
    os.set_inheritable(lock, False)  # held by this process alone, not by its services
    if os.fork():
        os._exit(0)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if not kernel_tells():
        # It holds keeper.lock as well: the next keeper waits until the services are gone.
        call_on_death(lambda: _end_services(run))
    Keeper(run).keep()


if __name__ == "__main__":
    main()
