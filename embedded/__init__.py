"""PostgreSQL, Redis and Qdrant as local child processes, for a machine that has none of them.

`ensure` starts the services of a data folder, or joins them where another process has started
them. One keeper process per folder (`embedded.keeper`) parents the services, restarts those that
crash and stops them all once the last process that joined is gone, however it went.
"""

from embedded.join import ServiceUrls, ensure, release, status
from embedded.state import EmbeddedError, ServiceState, ServiceStatus

__all__ = [
    "EmbeddedError",
    "ServiceState",
    "ServiceStatus",
    "ServiceUrls",
    "ensure",
    "release",
    "status",
]
