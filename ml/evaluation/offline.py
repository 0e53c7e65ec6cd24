"""A twin trained for a measurement: the serving code over a catalogue in memory, without an index.

What the index would bring is found by comparing everything, so that what is measured here is what
the server answers, up to the approximation of Qdrant's graph.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from domain.contract.snapshots import InteractionLog, PropertyColumns
from ml.evaluation.protocols import Query
from ml.serving.diversity import diversify
from ml.serving.retrieval import ALIKE, DIVERSIFIED, NEAR, UNOWNED
from ml.training.config import TrainingConfig
from ml.training.tower_training import Progress
from ml.training.training import fit
from ml.twin.device import pick_device
from ml.twin.items import Items, on_sphere
from ml.twin.scoring import Investor, LoadedTwin

_BLOCK = 4096


class OfflineTwin:
    """A twin fitted to the past; implements ``ml.evaluation.probes.Fitted``."""

    def __init__(
        self,
        twin: LoadedTwin,
        properties: PropertyColumns,
        history: list[dict[str, Any]],
        seconds: float | None,
    ) -> None:
        self._twin = twin
        self._items = twin.items(properties)
        self._position = self._items.position.double().cpu().numpy()
        self._unowned = self._items.taken.cpu().numpy() == 0
        self.embeddings: NDArray[np.float32] = self._items.embedding.cpu().numpy()
        self.history = history
        self.seconds = seconds

    def scores(self, query: Query) -> NDArray[np.float64]:
        """Log-odds, float64 (n,); -inf for what is not retrieved."""
        investor = self._twin.investor(query.investor)
        rows = self._retrieve(investor, query.candidates)
        scores = np.full(len(query.candidates), -np.inf)
        scores[rows] = self._twin.score(investor, self._at(rows))
        return scores

    def affinity(self, query: Query, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Calibrated affinity of those properties in [0, 1], float64 (len(rows),)."""
        investor = self._twin.investor(query.investor)
        blocks = np.array_split(rows, max(1, len(rows) // _BLOCK))
        scores = [self._twin.score(investor, self._at(block)) for block in blocks]
        return self._twin.affinity(np.concatenate(scores))

    def diversify(self, scores: NDArray[np.float64], diversity: float, k: int) -> NDArray[np.intp]:
        """The best k of the properties with finite scores for a diversity in [0, 1], best first."""
        order = np.argsort(-scores, kind="stable")
        pool = order[: min(int(np.isfinite(scores).sum()), DIVERSIFIED)]
        if not diversity:
            return pool[:k]
        return pool[diversify(scores[pool], self.embeddings[pool], diversity, k)]

    def _at(self, rows: NDArray[np.intp]) -> Items:
        return self._items[torch.as_tensor(rows, device=self._items.prior.device)]

    def _retrieve(self, investor: Investor, candidates: NDArray[np.bool_]) -> NDArray[np.intp]:
        """What ``ml.serving.retrieval.sources`` has the index find."""
        likeness = (self.embeddings @ investor.interests.T).max(axis=1)
        near = self._near(investor)
        chosen = np.zeros(len(candidates), dtype=np.bool_)
        for source, limit in (
            (candidates, ALIKE),
            (candidates & self._unowned, UNOWNED),
            (near, NEAR),
        ):
            rows = np.flatnonzero(source & candidates)
            chosen[rows[np.argsort(-likeness[rows], kind="stable")[:limit]]] = True
        return np.flatnonzero(chosen)

    def _near(self, investor: Investor) -> NDArray[np.bool_]:
        inside = np.zeros(len(self._position), dtype=np.bool_)
        for circle in investor.surroundings:
            centre = on_sphere(np.array(circle.latitude), np.array(circle.longitude))
            # NaN, an unknown place, compares as false.
            chord = np.linalg.norm(self._position - centre, axis=1)
            inside |= chord <= circle.radius_km
        return inside


def fit_offline(
    properties: PropertyColumns, log: InteractionLog, config: TrainingConfig
) -> OfflineTwin:
    """Train on all of the log but the validation slice, and load the result as a server would.

    Args:
        properties: as known at the end of the log.
        log: what happened until then.
        config: its test share is not used: whoever calls holds the test.
    """
    history: list[dict[str, Any]] = []

    def report(progress: Progress) -> None:
        if progress.metrics is not None:
            history.append(
                {"epoch": progress.epoch, "loss": progress.loss, "metrics": progress.metrics}
            )

    began = time.perf_counter()
    trained = fit(properties, log, replace(config, test_share=0.0), report)
    seconds = time.perf_counter() - began
    twin = LoadedTwin(trained.artifact, pick_device(config.device))
    return OfflineTwin(twin, properties, history, seconds)
