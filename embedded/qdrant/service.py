"""How the keeper runs the Qdrant process."""

import os
import socket
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from embedded.service import Service, require_unused
from embedded.state import EmbeddedError, RunFolder, ServiceStatus


class QdrantService(Service):
    """`python -m embedded.qdrant` on a free port of the loopback interface.

    The port is reserved by a socket that never listens, so that the process finds it again after
    a crash; Linux and macOS let the process bind it too because both belong to the same user. It
    is noted in the run folder, so that the clients of a keeper that was killed find the next one's.
    """

    name = "qdrant"

    def __init__(self, run: RunFolder, predecessor: ServiceStatus | None = None) -> None:
        super().__init__(run, predecessor)
        self._reservation: socket.socket | None = None
        self._port = 0

    @property
    def urls(self) -> dict[str, str]:
        """The gRPC endpoint."""
        return {"qdrant_url": f"http://127.0.0.1:{self._port}"}

    @property
    def environment(self) -> Mapping[str, str]:
        """Ours, with this package importable from the data folder."""
        root = str(Path(__file__).resolve().parent.parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        return os.environ | {"PYTHONPATH": path}

    def prepare(self) -> None:
        """Refuse a folder another process works in; reserve the port."""
        for package in ("qdrant_edge", "qdrant_client"):
            if find_spec(package) is None:
                raise EmbeddedError(
                    f"the package {package} is not installed; "
                    "install the extra `embedded`, or set QDRANT_URL."
                )
        require_unused(self.folder)
        if self._reservation is None:
            # Not before the predecessor has left it.
            noted = self.run.path / "qdrant.port"
            self._reservation = _reserve(_read_port(noted))
            self._port = self._reservation.getsockname()[1]
            beside = noted.with_suffix(".new")
            beside.write_text(str(self._port))
            beside.replace(noted)

    def command(self) -> list[str]:
        """The process, given its folder and port."""
        return [sys.executable, "-m", "embedded.qdrant", str(self.folder), str(self._port)]

    def is_ready(self) -> bool:
        """It listens once its collections are open, so that a connection is proof enough."""
        with socket.socket(socket.AF_INET) as connection:
            connection.settimeout(1.0)
            return connection.connect_ex(("127.0.0.1", self._port)) == 0


def _read_port(noted: Path) -> int:
    """The port that was noted; 0, for any, if none was that can be read."""
    try:
        port = int(noted.read_text())
    except (FileNotFoundError, ValueError):
        return 0
    return port if 0 < port < 65536 else 0


def _reserve(wanted: int) -> socket.socket:
    """Take the port, or a free one where somebody else has it."""
    reservation = socket.socket(socket.AF_INET)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with socket.socket(socket.AF_INET) as probe:
        # Unlike a reservation, it is refused where another reservation is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            wanted = 0
    reservation.bind(("127.0.0.1", wanted))
    return reservation
