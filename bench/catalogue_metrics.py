"""What a server's page for Prometheus tells of its catalogues."""

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class CatalogueMetrics:
    """Metrics of the catalogues of one server; None for one that the server does not have.

    Attributes:
        loads: how many catalogues were loaded.
        load_seconds: how long that took in all.
        bytes: what the loaded catalogues hold.
        properties: how many properties they have.
        hits: requests that a loaded catalogue answered.
        misses: requests that found none loaded.
    """

    loads: float | None
    load_seconds: float | None
    bytes: float | None
    properties: float | None
    hits: float | None
    misses: float | None


async def read(port: int) -> CatalogueMetrics:
    """Scrape the server on that port of this machine."""
    async with httpx.AsyncClient(timeout=30) as client:
        page = await client.get(f"http://127.0.0.1:{port}/metrics")
    page.raise_for_status()
    return parse(page.text)


def parse(page: str) -> CatalogueMetrics:
    """Read a page in the text format of Prometheus; samples that differ in labels are summed."""
    totals: dict[tuple[str, str | None], float] = {}
    for family in text_string_to_metric_families(page):
        if family.name.startswith("twin_catalogue_"):
            for sample in family.samples:
                key = sample.name.removeprefix("twin_catalogue_"), sample.labels.get("answer")
                totals[key] = totals.get(key, 0.0) + sample.value
    # A counter without a request yet may have no sample.
    nothing = 0.0 if totals else None
    return CatalogueMetrics(
        loads=totals.get(("load_seconds_count", None)),
        load_seconds=totals.get(("load_seconds_sum", None)),
        bytes=totals.get(("bytes", None)),
        properties=totals.get(("properties", None)),
        hits=totals.get(("requests_total", "hit"), nothing),
        misses=totals.get(("requests_total", "miss"), nothing),
    )
