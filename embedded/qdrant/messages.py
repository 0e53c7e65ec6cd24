"""Qdrant's generated messages, without the client that they come with."""

import importlib.util
import sys
from types import ModuleType


def skip_client() -> None:
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
