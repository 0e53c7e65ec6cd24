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
    a crash; Linux and macOS let the process bind it too because both belong to the same user.
    """

    name = "qdrant"

    def __init__(self, run: RunFolder, predecessor: ServiceStatus | None = None) -> None:
        super().__init__(run, predecessor)
        self._reservation = socket.socket(socket.AF_INET)
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reservation.bind(("127.0.0.1", 0))
        self._port: int = self._reservation.getsockname()[1]

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
        """Refuse a folder another process works in."""
        for package in ("qdrant_edge", "qdrant_client"):
            if find_spec(package) is None:
                raise EmbeddedError(
                    f"the package {package} is not installed; "
                    "install the extra `embedded`, or set QDRANT_URL."
                )
        require_unused(self.folder)

    def command(self) -> list[str]:
        """The process, given its folder and port."""
        return [sys.executable, "-m", "embedded.qdrant", str(self.folder), str(self._port)]

    def is_ready(self) -> bool:
        """It listens once its collections are open, so that a connection is proof enough."""
        with socket.socket(socket.AF_INET) as connection:
            connection.settimeout(1.0)
            return connection.connect_ex(("127.0.0.1", self._port)) == 0
