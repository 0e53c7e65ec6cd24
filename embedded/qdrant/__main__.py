"""The Qdrant process: `python -m embedded.qdrant FOLDER PORT`, until SIGTERM."""

import importlib.util
import logging
import signal
import sys
import threading
from pathlib import Path
from types import ModuleType

_GRACE = 5.0  # seconds for calls under way when the process is told to stop


def _skip_client() -> None:
    """Make qdrant_client.grpc importable without the client around it.

    The generated messages are all we need of the package; importing the client itself takes more
    than a second, most of the time a first start takes.
    """
    spec = importlib.util.find_spec("qdrant_client")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("qdrant_client is not installed")
    package = ModuleType("qdrant_client")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["qdrant_client"] = package


def main() -> None:
    """Serve the collections of the folder given on the command line."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    _skip_client()
    from embedded.qdrant.collections import CollectionStore
    from embedded.qdrant.server import create_server

    store = CollectionStore(folder)
    server = create_server(store, port)
    server.start()
    stopped.wait()
    server.stop(_GRACE).wait()
    store.close()


if __name__ == "__main__":
    main()
