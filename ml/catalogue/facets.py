"""Facets over the arrays of a catalogue: how many of the matching rows have each value."""

from collections.abc import Iterable, Sequence
from heapq import nsmallest
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.contract.filters import PropertyFilter
from domain.contract.property_search import MOST_VALUES, PRICE, Counts, Facet
from domain.contract.vocabulary import ListingStatus, PropertyType
from ml.catalogue.columns import FilterView
from ml.catalogue.filters import Mask, matching

_CODED: dict[str, tuple[str, Sequence[str] | None]] = {
    "property_types": ("property_type", list(PropertyType)),
    "listing_statuses": ("listing_status", list(ListingStatus)),
    "zipcodes": ("zipcode", None),
    "cities": ("city", None),
    "states": ("state", None),
}
"""For each facet of codes the column, and the texts of the codes; None for those of the view."""


def count_facets(
    view: FilterView, mask: Mask, where: PropertyFilter, facets: Sequence[Facet]
) -> dict[Facet, Counts]:
    """Counts facets; see ``PropertySearch.facets``.

    Args:
        view: the rows.
        mask: bool (n,), which rows match all but the parts of ``where`` that have a facet here.
        where: the filter.
        facets: what to count.
    """
    parts: dict[str, Mask] = {}
    for part in dict.fromkeys(facet.part for facet in facets):
        own: dict[str, Any] = {part: getattr(where, part)}
        found = matching(PropertyFilter(**own), view, lambda _: np.empty(0, dtype=np.intp))
        if found is not None:
            parts[part] = found
    # Facets without a part of the filter are counted among the same rows.
    among: dict[str | None, NDArray[np.intp]] = {}
    for left_out in {facet.part if facet.part in parts else None for facet in facets}:
        others = [found for part, found in parts.items() if part != left_out]
        among[left_out] = np.flatnonzero(np.logical_and.reduce([mask, *others]))
    # Facets that differ only in how many values are wanted are counted once.
    whole = {
        facet: _counts(view, among[facet.part if facet.part in parts else None], facet)
        for facet in dict.fromkeys(one._replace(first=MOST_VALUES) for one in facets)
    }
    return {one: _first(whole[one._replace(first=MOST_VALUES)], one) for one in facets}


def _counts(view: FilterView, rows: NDArray[np.intp], facet: Facet) -> Counts:
    if facet.part == PRICE:
        return _bands(view.columns["listing_price"][rows], facet.boundaries)
    if facet.part == "bedrooms":
        bedrooms = view.columns["bedrooms"][rows]
        known = bedrooms[~np.isnan(bedrooms)]
        values, counts = np.unique(known, return_counts=True)
        texts = [str(int(value)) for value in values.tolist()]
        return _most(zip(texts, counts.tolist(), strict=True), len(rows) - len(known), len(rows))
    column, coded = _CODED[facet.part]
    texts_of = view.texts[column] if coded is None else coded
    # The code of a missing value is -1.
    counts = np.bincount(view.columns[column][rows] + 1, minlength=1)
    used = np.flatnonzero(counts[1:])
    pairs = zip([texts_of[code] for code in used.tolist()], counts[used + 1].tolist(), strict=True)
    return _most(pairs, int(counts[0]), len(rows))


def _most(counts: Iterable[tuple[str, int]], missing: int, total: int) -> Counts:
    """The most frequent values."""
    values = tuple(nsmallest(MOST_VALUES, counts, key=lambda one: (-one[1], one[0])))
    return Counts(values, missing, total - missing - sum(count for _, count in values))


def _bands(prices: NDArray[np.float64], boundaries: Sequence[float]) -> Counts:
    known = len(prices) - int(np.count_nonzero(np.isnan(prices)))
    reached = [known, *(int(np.count_nonzero(prices >= one)) for one in boundaries), 0]
    bands = tuple((str(band), low - high) for band, (low, high) in enumerate(pairwise(reached)))
    return Counts(bands, len(prices) - known, 0)


def _first(whole: Counts, facet: Facet) -> Counts:
    """The counts, with no more values than the facet asks for."""
    if facet.part == PRICE:
        return whole
    rest = sum(count for _, count in whole.values[facet.first :])
    return Counts(whole.values[: facet.first], whole.missing, whole.other + rest)
