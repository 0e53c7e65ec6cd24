"""The connection to Qdrant, which outlasts a restart of it."""

import json
from urllib.parse import urlsplit

from qdrant_client import AsyncQdrantClient

from ml.index.points import TIMEOUT

# Every call of ours can be repeated: points are written and deleted by their ids.
_RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,  # the most that gRPC allows
                "initialBackoff": "0.3s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS = {
    "grpc.service_config": json.dumps(_RETRIES),
    # By default gRPC waits ever longer before it connects again, up to two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 1000,
    "grpc.max_reconnect_backoff_ms": 1000,
}


def connect(url: str, api_key: str | None = None) -> AsyncQdrantClient:
    """A client of the gRPC endpoint at a URL; it connects when it is first used.

    Calls are tried again for about four seconds while Qdrant restarts. The caller closes it.
    """
    address = urlsplit(url)
    return AsyncQdrantClient(
        host=address.hostname,
        grpc_port=address.port or 6334,
        prefer_grpc=True,
        https=address.scheme == "https",
        api_key=api_key,
        check_compatibility=False,
        timeout=TIMEOUT,
        grpc_options=dict(_OPTIONS),
    )
