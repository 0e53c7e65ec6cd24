"""What the twin, its catalogues and its index count and time, for Prometheus and for traces."""

import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import torch
from prometheus_client import Counter, Gauge, Histogram

from domain.contract import tracing

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

INFERENCE_SECONDS = Histogram(
    "twin_inference_seconds",
    "Time of the twin's methods, searches and loading included.",
    ("method", "device"),
    buckets=_BUCKETS,
)
SEARCH_SECONDS = Histogram(
    "twin_index_search_seconds",
    "Time of searches in the catalogue or the index, by what they look for.",
    ("search",),
    buckets=_BUCKETS,
)
LOADED = Gauge("twin_models_loaded", "Models kept in memory.", multiprocess_mode="livesum")
LOADS = Counter("twin_model_loads", "Models loaded from the database.")
CATALOGUE_LOAD_SECONDS = Histogram(
    "twin_catalogue_load_seconds",
    "Time until a tenant's properties are in memory.",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0),
)
CATALOGUE_BYTES = Gauge(
    "twin_catalogue_bytes", "Memory of the catalogues.", multiprocess_mode="livesum"
)
CATALOGUE_PROPERTIES = Gauge(
    "twin_catalogue_properties", "Properties in the catalogues.", multiprocess_mode="livesum"
)
CATALOGUE_ANSWERS = Counter(
    "twin_catalogue_requests",
    "Searches by whether the catalogue answered, or the index because none was in memory.",
    ("answer",),
)
for _answer in ("hit", "miss"):
    # Counted from 0, so that a share can be computed before both have happened.
    CATALOGUE_ANSWERS.labels(_answer)
EVICTIONS = Counter("twin_model_evictions", "Models let go for others, or as superseded.")

Given = ParamSpec("Given")
Result = TypeVar("Result")


class _Serving(Protocol):
    """Has a device."""

    _device: torch.device


Serving = TypeVar("Serving", bound=_Serving)
Owner = TypeVar("Owner")


def inference(
    method: Callable[Concatenate[Serving, Given], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Serving, Given], Coroutine[Any, Any, Result]]:
    """Time a method of the twin."""
    name = method.__name__

    async def timed(self: Serving, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        started = time.perf_counter()
        try:
            with tracing.span(f"twin {name}"):
                return await method(self, *args, **kwargs)
        finally:
            took = time.perf_counter() - started
            INFERENCE_SECONDS.labels(name, self._device.type).observe(took)

    functools.update_wrapper(timed, method)
    return timed


def searching(
    method: Callable[Concatenate[Owner, Given], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Owner, Given], Coroutine[Any, Any, Result]]:
    """Time a search in a catalogue or in the index."""
    name = method.__name__
    seconds = SEARCH_SECONDS.labels(name)

    async def timed(self: Owner, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        started = time.perf_counter()
        try:
            with tracing.span(f"index {name}"):
                return await method(self, *args, **kwargs)
        finally:
            seconds.observe(time.perf_counter() - started)

    functools.update_wrapper(timed, method)
    return timed
