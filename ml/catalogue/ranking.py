"""The one ranking of properties: requests, quality gates, evaluation and reports use it."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from domain.contract.filters import Labels, PropertyFilter
from domain.contract.ranked_lists import Key, Ranked, RankedList
from domain.contract.snapshots import InvestorHistory, PropertyColumns
from ml.catalogue.candidates import CandidateGenerator, Candidates
from ml.catalogue.catalogue import Catalogue
from ml.catalogue.diversity import diversify
from ml.catalogue.lazy import LazySequence
from ml.catalogue.property_ids import PropertyIds
from ml.catalogue.retrieval import DIVERSIFIED, sources
from ml.twin.items import Items
from ml.twin.scoring import Investor, LoadedTwin

LISTED = 100
"""Properties of a list that ``PastRanker`` takes from the candidates."""

_BLOCK = 4096
"""Properties that are scored at once where all are: bounds memory."""


async def rank(
    twin: LoadedTwin,
    generator: CandidateGenerator,
    investor: Investor,
    where: PropertyFilter,
    exclude: Collection[UUID],
    diversity: float = 0.0,
    floors: Sequence[float] = (),
) -> RankedList:
    """An investor's list: both stages. See ``domain.contract.snapshots.Twin.rank``."""
    found = await generator.candidates(
        investor.interests,
        where,
        exclude,
        sources(investor, floors),
        investor.history.buy_box,
    )
    return rerank(twin, investor, found, diversity)


def rerank(
    twin: LoadedTwin, investor: Investor, found: Candidates, diversity: float = 0.0
) -> RankedList:
    """An investor's list from its candidates: the second stage."""
    if not found.ids:
        return RankedList([], found.floors)
    scores = twin.score(investor, found.items, found.met)
    # Stable, so that properties of equal score stay in the order of their ids.
    order = np.argsort(-scores, kind="stable")
    if diversity:
        pool = order[:DIVERSIFIED]
        vectors = found.items.embedding.numpy()[pool]
        order = pool[diversify(scores[pool], vectors, diversity, len(pool))]
        keys = np.arange(1.0, len(order) + 1)
    else:
        keys = -scores[order]
    affinity = twin.affinity(scores[order])
    return RankedList(listed(PropertyIds(found.ids.content[order]), affinity, keys), found.floors)


def listed(
    ids: PropertyIds, scores: NDArray[np.floating], keys: NDArray[np.floating]
) -> Sequence[Ranked]:
    """The items of a list, from n ids, their scores in [0, 1], and the values of their keys."""

    def item(row: int) -> Ranked:
        property_id = ids[row]
        return Ranked(property_id, float(scores[row]), Key(float(keys[row]), property_id))

    return LazySequence(len(ids), item)


class PastRanker:
    """Ranks for investors of the past over the properties of the past, as requests are ranked.

    Rows are positions in the properties that are given to it.
    """

    def __init__(self, twin: LoadedTwin, properties: PropertyColumns, items: Items) -> None:
        """Makes a catalogue of the properties.

        Args:
            twin: the version that ranks.
            properties: as they were.
            items: what both stages read of them, on any device.
        """
        self._twin = twin
        self._catalogue = Catalogue()
        # No filter is used here, so labels may be empty.
        labels = (Labels("", None, ()),) * len(properties)
        self._catalogue.write(replace(properties, labels=labels), items)
        self._catalogue.settle()
        self._row_of = {one: row for row, one in enumerate(properties.ids)}
        self._items = items
        self.embeddings: NDArray[np.float32] = items.embedding.cpu().numpy()

    def listed(
        self, history: InvestorHistory, wanted: NDArray[np.bool_], diversity: float = 0.0
    ) -> NDArray[np.intp]:
        """The rows of the first ``LISTED`` of the list, best first.

        Args:
            history: of the investor.
            wanted: bool (n,), which rows may be listed.
            diversity: from 0 to 1.
        """
        return self._listed(self._investor(history), wanted, diversity)

    def scores(
        self, history: InvestorHistory, wanted: NDArray[np.bool_], *, all_scored: bool = True
    ) -> NDArray[np.float64]:
        """Numbers that order all rows as the investor's list does, float64 (n,); -inf if unwanted.

        The first ``LISTED`` of the list come first. All other rows follow in the order of their
        scores.

        Args:
            history: of the investor.
            wanted: bool (n,), which rows may be listed.
            all_scored: False to order the rows behind those by likeness instead of scores, which
                takes a hundredth of the time.
        """
        investor = self._investor(history)
        if all_scored:
            rest = self._score(investor, np.arange(len(wanted)))
        else:
            rest = (self.embeddings @ investor.interests.T).max(axis=1).astype(np.float64)
        scores = np.where(wanted, rest, -np.inf)
        listed = self._listed(investor, wanted)
        if len(listed):
            scores[listed] = np.nanmax(scores) + np.arange(len(listed), 0, -1)
        return scores

    def affinity(self, history: InvestorHistory, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Calibrated affinity of those rows in [0, 1], float64 (len(rows),)."""
        return self._twin.affinity(self._score(self._investor(history), rows))

    def _investor(self, history: InvestorHistory) -> Investor:
        return self._twin.investor(history, self._catalogue.items_of)

    def _listed(
        self, investor: Investor, wanted: NDArray[np.bool_], diversity: float = 0.0
    ) -> NDArray[np.intp]:
        found = self._catalogue.among(wanted).candidates(investor.interests, sources(investor))
        items = rerank(self._twin, investor, found, diversity).items[:LISTED]
        return np.array([self._row_of[one.property_id] for one in items], dtype=np.intp)

    def _score(self, investor: Investor, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        blocks = np.array_split(rows, -(-len(rows) // _BLOCK) or 1)
        return np.concatenate(
            [self._twin.score(investor, self._items.rows(block)) for block in blocks]
        )
