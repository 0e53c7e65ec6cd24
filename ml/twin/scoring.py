"""One version of a twin, ready to compute: the same code for requests, jobs and evaluation.

It reads no index and no database, and never waits. The computations of one request take about a
millisecond on one thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast
from uuid import UUID

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from domain.contract.filters import Circle
from domain.contract.snapshots import (
    HISTORY_LIMIT,
    Cause,
    CauseKind,
    InvestorHistory,
    PropertyColumns,
    joined,
)
from domain.contract.vocabulary import InteractionKind
from ml.twin.artifacts import Artifact
from ml.twin.buy_box import share_met
from ml.twin.dataset import YEAR
from ml.twin.features import FeatureStatistics, attributes, encode
from ml.twin.folded_reranker import FoldedReranker
from ml.twin.items import EARTH_RADIUS_KM, Items, Opinions, positions
from ml.twin.reranker import Part, Reranker
from ml.twin.towers import INTERESTS, FoldedTower

_BUY_BOX = 3.0
"""Log-odds that meeting all of a buy box adds for an investor without any history."""

_BUY_BOX_FADES = 5.0
"""Number of approvals after which a buy box counts half."""

_OPINIONS = 32
"""Number of an investor's strongest opinions that candidates are compared with."""

_BLOCK = 64
"""On the CPU, properties are encoded and scored in whole blocks of this size, all at once."""

_CUDA_BLOCK = 4096
"""On CUDA, properties are encoded and scored in whole blocks of this size, one at a time."""

_LEAST_STRENGTH = 0.05
"""Causes of less strength, in log-odds, are left out."""

_RADIUS_KM = (0.1, 50.0)
_NOTHING = 1e-9
_DEAL = list(InteractionKind).index(InteractionKind.DEAL)
_PARTS = {
    CauseKind.NEARNESS: Part.NEARNESS,
    CauseKind.PRICE: Part.PRICE,
    CauseKind.SIZE: Part.SIZE,
    CauseKind.PROPERTY_TYPE: Part.PROPERTY_TYPE,
}


@dataclass(frozen=True, slots=True, eq=False)
class Investor:
    """An investor as a version sees it.

    Attributes:
        history: what the rest is computed from.
        properties: ids of the h properties that the investor has the strongest opinions of.
        opinions: those opinions, as a batch of one.
        interests: float32 (k, 16), embeddings of properties approved of, the most approved first.
        surroundings: a circle around each interest that holds some dozens of properties.
        buy_box_worth: log-odds that meeting all of the buy box adds.
    """

    history: InvestorHistory
    properties: tuple[UUID, ...]
    opinions: Opinions
    interests: NDArray[np.float32]
    surroundings: tuple[Circle, ...]
    buy_box_worth: float


class _View(NamedTuple):
    """What of a history counts.

    Attributes:
        looked_at: rows of the properties that are read, those of the opinions first.
        weight: (h,), the opinions, strongest first.
        interests: which of ``looked_at`` are interests, the most approved first.
        approvals: how many properties were approved of.
    """

    looked_at: NDArray[np.intp]
    weight: NDArray[np.floating]
    interests: NDArray[np.intp]
    approvals: int


KnownItems = Callable[[PropertyColumns], Items | None]
"""Looks up what both stages read of properties, on any device; None unless it has all of them."""


class LoadedTwin:
    """One version on one device."""

    def __init__(self, artifact: Artifact, device: torch.device) -> None:
        self._tower = FoldedTower(artifact.tower)
        self._reranker = artifact.reranker
        self._folded = FoldedReranker(artifact.reranker)
        self._statistics = artifact.statistics
        self._device = device
        self.affinity = artifact.calibration

    @torch.inference_mode()
    def embed(
        self, properties: PropertyColumns, known: KnownItems | None = None
    ) -> NDArray[np.float32]:
        """Unit vectors, float32 (n, 16): from ``known`` if it has them, else computed."""
        if known is not None and (found := known(properties)) is not None:
            return found.embedding.cpu().numpy()
        return self.embed_features(encode(properties, self._statistics))

    @torch.inference_mode()
    def embed_features(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit vectors, float32 (n, 16), of encoded properties (n, 25)."""
        tensor = torch.from_numpy(features).to(self._device)
        vectors = _in_whole_blocks(tensor, lambda rows: self._tower(tensor[rows]))
        return cast(NDArray[np.float32], vectors.cpu().numpy())

    def items(self, properties: PropertyColumns, known: KnownItems | None = None) -> Items:
        """All that both stages read of n properties: from ``known`` if it has them, else computed.

        A property that anybody owns is ``taken``.
        """
        if known is not None and (found := known(properties)) is not None:
            return found.to(self._device)
        return items_of(self._tower, self._reranker, self._statistics, properties)

    @torch.inference_mode()
    def investor(self, history: InvestorHistory, known: KnownItems | None = None) -> Investor:
        """The state of an investor, computed from the history alone.

        ``known`` looks up what both stages read of properties, so that it is not computed again.
        """
        view = self._view(history)
        # Of the whole history, only these properties are encoded or looked up.
        items = self.items(history.properties.take(view.looked_at), known)
        interests = items.rows(view.interests)
        held = len(view.weight)
        return Investor(
            history=history,
            properties=tuple(history.properties.ids[row] for row in view.looked_at[:held].tolist()),
            opinions=Opinions(items[:held][None], self._tensor(view.weight, torch.float32)[None]),
            interests=interests.embedding.cpu().numpy(),
            surroundings=_surroundings(interests),
            buy_box_worth=_BUY_BOX * _BUY_BOX_FADES / (_BUY_BOX_FADES + view.approvals),
        )

    @torch.inference_mode()
    def interests(self, histories: Sequence[InvestorHistory]) -> list[NDArray[np.float32]]:
        """The ``Investor.interests`` of many investors, computed together."""
        if not histories:
            return []
        rows = [view.looked_at[view.interests] for view in map(self._view, histories)]
        taken = [one.properties.take(some) for one, some in zip(histories, rows, strict=True)]
        return np.split(self.embed(joined(taken)), np.cumsum(list(map(len, rows)))[:-1])

    def _view(self, history: InvestorHistory) -> _View:
        ids = history.properties.ids[:HISTORY_LIMIT]
        kind = history.kind[: len(ids)]
        age = np.maximum(0.0, history.as_of - history.occurred_at[: len(ids)]) / YEAR
        place: dict[UUID, int] = {}
        row = np.array([place.setdefault(one, len(place)) for one in ids], dtype=np.intp)
        # The newest act on a property gives the values of the property.
        newest = np.unique(row, return_index=True)[1]
        weight = self._folded.weights(row, kind, age)
        strongest = np.argsort(-np.abs(weight), kind="stable")[:_OPINIONS]
        strongest = strongest[weight[strongest] != 0]
        looked_at, held = newest[strongest], len(strongest)
        approved = np.flatnonzero(weight[strongest] > 0)
        approvals = len(approved)
        if not approvals:
            # Everything approved of was disliked later; it still shows where to look.
            taken_back = np.flatnonzero(self._folded.approves[kind])
            approvals = len(taken_back)
            looked_at = np.append(looked_at, taken_back[:INTERESTS])
            approved = np.arange(held, len(looked_at))
        return _View(looked_at, weight[strongest], approved[:INTERESTS], approvals)

    @torch.inference_mode()
    def score(
        self, investor: Investor, candidates: Items, buy_box_met: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Log-odds, float64 (n,), of n candidates.

        ``buy_box_met`` is the share of the buy box that each meets, (n,); None without a buy box.
        """
        candidates = candidates.to(self._device)
        found = _in_whole_blocks(
            candidates.prior, lambda rows: self._folded(investor.opinions, candidates[rows])
        )
        scores = found.double().cpu().numpy()
        if buy_box_met is None:
            return cast(NDArray[np.float64], scores)
        return cast(NDArray[np.float64], scores + investor.buy_box_worth * buy_box_met)

    def score_properties(
        self, investor: Investor, properties: PropertyColumns, items: Items | None = None
    ) -> NDArray[np.float64]:
        """Log-odds, float64 (n,), of any properties, indexed or not.

        ``items`` is what the method ``items`` returns for the properties, if that is known already.
        """
        met = share_met(investor.history.buy_box, properties)
        return self.score(investor, self._items_for(investor.history, properties, items), met)

    @torch.inference_mode()
    def explain(
        self, investor: Investor, properties: PropertyColumns, items: Items | None = None
    ) -> list[tuple[Cause, ...]]:
        """What speaks for each of n properties, strongest first: see ``Twin.explain``.

        ``items`` is as for ``score_properties``.
        """
        count = len(properties)
        if not count:
            return []
        items = self._items_for(investor.history, properties, items)
        opinions = investor.opinions
        candidates = items[None]
        scores = self._reranker(opinions, candidates)[0]
        causes: list[list[Cause]] = [[] for _ in range(count)]

        def tell(kind: CauseKind, strengths: Tensor, **details: Sequence[Any]) -> None:
            for row, strength in enumerate(strengths.tolist()):
                if strength >= _LEAST_STRENGTH:
                    told = {name: values[row] for name, values in details.items()}
                    causes[row].append(Cause(kind, strength, **told))

        def named(rows: Tensor) -> list[UUID]:
            return [investor.properties[row] for row in rows.tolist()]

        approval = opinions.weight[0, :, None].clamp(min=_NOTHING).log()
        best = (self._reranker.kernel(opinions.items, candidates)[0] + approval).argmax(dim=0)
        # The same investor n times, each without the property that speaks for one candidate most.
        every = torch.zeros(count, dtype=torch.int64, device=self._device)
        weight = opinions.weight[every].scatter(1, best[:, None], 0.0)
        one_each = items[torch.arange(count, device=self._device)[:, None]]
        rest = self._reranker(Opinions(opinions.items[every], weight), one_each)[:, 0]
        tell(CauseKind.HISTORY, scores - rest, property_id=named(best))

        for kind, part in _PARTS.items():
            lost = scores - self._reranker(opinions, candidates, without=part)[0]
            if kind is CauseKind.NEARNESS:
                km = torch.linalg.vector_norm(
                    opinions.items.position[0, :, None] - items.position[None], dim=2
                )
                known = (opinions.weight[0, :, None] > 0) & km.isfinite()
                nearest = torch.where(known, km, torch.inf).min(dim=0)
                lost = lost.masked_fill(nearest.values.isinf(), 0.0)
                distances = nearest.values.tolist()
                tell(kind, lost, property_id=named(nearest.indices), distance_km=distances)
            else:
                tell(kind, lost)
        met = share_met(investor.history.buy_box, properties)
        tell(CauseKind.BUY_BOX, torch.from_numpy(met * investor.buy_box_worth))
        return [tuple(sorted(some, key=lambda cause: -cause.strength)) for some in causes]

    def _items_for(
        self, history: InvestorHistory, properties: PropertyColumns, items: Items | None = None
    ) -> Items:
        """The items of properties; those that only the investor owns are not ``taken``."""
        dealt = (history.kind == _DEAL).tolist()
        own = {one for one, deal in zip(history.properties.ids, dealt, strict=True) if deal}
        mine = np.array([one in own for one in properties.ids], dtype=np.int32)
        if items is None:
            items = self.items(properties)
        if not mine.any():
            return items
        return replace(items, taken=self._tensor(properties.owners - mine > 0, torch.float32))

    def _tensor(self, values: NDArray[Any], dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(values, dtype=dtype, device=self._device)


def _surroundings(items: Items) -> tuple[Circle, ...]:
    placed = items.position.isfinite().all(dim=1)
    east, north, up = items.position[placed].double().cpu().numpy().T / EARTH_RADIUS_KM
    latitude = np.degrees(np.arcsin(np.clip(up, -1, 1)))
    longitude = np.degrees(np.arctan2(north, east))
    radius = items.spacing[placed].exp().clamp(*_RADIUS_KM)
    return tuple(map(Circle, latitude.tolist(), longitude.tolist(), radius.tolist()))


@torch.inference_mode()
def items_of(
    tower: Callable[[Tensor], Tensor],
    reranker: Reranker,
    statistics: FeatureStatistics,
    properties: PropertyColumns,
) -> Items:
    """Computes what both stages read of n properties, on the device of the re-ranker."""
    device = reranker.usual.device
    features = torch.from_numpy(encode(properties, statistics)).to(device)
    values, known = attributes(properties, statistics)
    position = positions(properties).to(device)
    spacing = reranker.spacing(position)
    return Items(
        attributes=torch.from_numpy(values).to(device),
        known=torch.from_numpy(known).to(device),
        position=position,
        spacing=spacing,
        property_type=torch.as_tensor(properties.property_type, dtype=torch.int64, device=device),
        taken=torch.as_tensor(properties.owners > 0, dtype=torch.float32, device=device),
        embedding=_in_whole_blocks(features, lambda rows: tower(features[rows])),
        prior=_in_whole_blocks(
            features, lambda rows: reranker.prior(features[rows], spacing[rows])
        ),
    )


def _in_whole_blocks(values: Tensor, compute: Callable[[slice | Tensor], Tensor]) -> Tensor:
    """What ``compute`` returns for all rows of the values (n, ...), computed in whole blocks.

    The last row is repeated to fill the last block. Products of matrices with few rows, and the odd
    rows at the end of a vectorised loop, are rounded differently. In whole blocks the result of a
    row does not depend on the other rows, to the last bit, so a cursor finds its place again after
    properties were encoded anew together with others. CUDA chooses how to multiply by the size of
    the matrices, so there each block is computed by itself.
    """
    count, on_cuda = len(values), values.device.type == "cuda"
    size = _CUDA_BLOCK if on_cuda else _BLOCK
    if count % size == 0 and not on_cuda:
        return compute(slice(None))
    rows = torch.arange(-(-count // size) * size, device=values.device).clamp(max=count - 1)
    if not on_cuda:
        return compute(rows)[:count]
    return torch.cat([compute(block) for block in torch.split(rows, size)])[:count]
