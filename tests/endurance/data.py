"""A made-up firm: houses in neighbourhoods, and investors who each keep to a few of them."""

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

_NEIGHBOURHOODS = 8
_KINDS = ("VIEW", "SAVE", "SAVE", "OUTREACH", "DEAL")
_ACTS = 14
"""Of each investor."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a firm is.

    Attributes:
        houses: that stay as they are.
        moving: further houses, which are changed and deleted all the time.
        watching: investors who only ask, so that their lists depend on the model alone.
        judging: investors who give feedback as well.
    """

    houses: int
    moving: int
    watching: int
    judging: int


def house(number: int, random: np.random.Generator) -> dict[str, Any]:
    """A house in one of the neighbourhoods; the number decides which."""
    place = number % _NEIGHBOURHOODS
    size = float(random.normal(1400 + 250 * place, 150))
    return {
        "address": f"{number} Main Street",
        "city": "Seattle",
        "state": "WA",
        "zipcode": f"981{place:02d}",
        "latitude": round(float(random.normal(47.3 + 0.07 * place, 0.01)), 6),
        "longitude": round(float(random.normal(-122.3 + 0.05 * (place % 3), 0.01)), 6),
        "property_type": ("SINGLE_FAMILY", "CONDO", "TOWNHOUSE")[place % 3],
        "listing_status": "ACTIVE",
        "listing_price": round(float(random.normal(300_000 + 110_000 * place, 25_000)), -2),
        "bedrooms": 1 + place % 5,
        "bathrooms": 1 + place % 3,
        "square_feet": round(max(300.0, size)),
        "year_built": int(random.integers(1920, 2020)),
    }


def write_firm(folder: Path, size: Size, seed: int) -> tuple[Path, Path]:
    """Write the firm's properties and interactions as CSV; the same seed gives the same files.

    Houses are called ``house-N`` and those that move ``moving-N``; investors ``watching-N`` and
    ``judging-N``. Investors act on the houses that stay alone.
    """
    random = np.random.default_rng(seed)
    properties, interactions = folder / f"properties-{seed}.csv", folder / f"acts-{seed}.csv"
    rows = [{"external_id": f"house-{n}"} | house(n, random) for n in range(size.houses)]
    rows += [{"external_id": f"moving-{n}"} | house(n, random) for n in range(size.moving)]
    write_rows(properties, rows)
    people = [f"watching-{n}" for n in range(size.watching)]
    people += [f"judging-{n}" for n in range(size.judging)]
    write_rows(interactions, _acts(people, size.houses, random))
    return properties, interactions


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _acts(people: list[str], houses: int, random: np.random.Generator) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    rows = []
    for person in people:
        liked = random.choice(_NEIGHBOURHOODS, 2, replace=False)
        near = np.flatnonzero(np.isin(np.arange(houses) % _NEIGHBOURHOODS, liked))
        chosen = random.choice(near, min(_ACTS, len(near)), replace=False)
        for step, number in enumerate(chosen):
            days = 300 - 20 * step + float(random.uniform(0, 10))
            rows.append(
                {
                    "user": person,
                    "property": f"house-{number}",
                    "kind": _KINDS[int(random.integers(len(_KINDS)))],
                    "occurred_at": (now - timedelta(days=days)).isoformat(),
                }
            )
    return rows
