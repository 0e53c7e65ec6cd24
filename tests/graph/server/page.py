"""Reads what is counted."""

from collections.abc import Mapping

import httpx
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families


class Page:
    """The samples of a page by name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.types: dict[str, str] = {}
        self._values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text):
            self.types[family.name] = family.type
            for sample in family.samples:
                self._values[sample.name, frozenset(sample.labels.items())] = sample.value

    @property
    def names(self) -> set[str]:
        """Of the samples."""
        return {name for name, _ in self._values}

    def __call__(self, name: str, **labels: str) -> float | None:
        """The sample with these labels and no others."""
        return self._values.get((name, frozenset(labels.items())))

    def labels(self, name: str) -> list[Mapping[str, str]]:
        """Of all samples of a name."""
        return [dict(labels) for found, labels in self._values if found == name]


async def scrape(client: httpx.AsyncClient, token: str | None = None) -> Page:
    """The page of a server."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = await client.get("/metrics", headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=")
    return Page(response.text)


class Counted:
    """How much a sample grew since this was made."""

    def __init__(self, name: str, **labels: str) -> None:
        self._sample = name, labels
        self._before = REGISTRY.get_sample_value(name, labels) or 0.0

    @property
    def more(self) -> float:
        """Since then."""
        return (REGISTRY.get_sample_value(*self._sample) or 0.0) - self._before
