"""The Qdrant process: `python -m embedded.qdrant FOLDER PORT`, until SIGTERM."""

import gc
import logging
import signal
import sys
import threading
from pathlib import Path

from embedded.qdrant.messages import skip_client

_GRACE = 5.0  # seconds for calls under way when the process is told to stop
_COLLECT_AFTER = 100_000  # objects; a call that writes hundreds of points makes tens of thousands


def main() -> None:
    """Serve the collections of the folder given on the command line."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    skip_client()
    from embedded.qdrant.collections import CollectionStore
    from embedded.qdrant.server import create_server

    # Collecting reference cycles takes a tenth of the time of writes, and calls leave few of them.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    store = CollectionStore(folder)
    server = create_server(store, port)
    server.start()
    stopped.wait()
    server.stop(_GRACE).wait()
    store.close()


if __name__ == "__main__":
    main()
