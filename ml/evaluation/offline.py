"""A twin trained for a measurement: what is served, over a catalogue of the past."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.contract.snapshots import InteractionLog, PropertyColumns
from ml.catalogue.ranking import PastRanker
from ml.evaluation.protocols import Query
from ml.training.config import TrainingConfig
from ml.training.tower_training import Progress
from ml.training.training import fit
from ml.twin.device import pick_device
from ml.twin.scoring import LoadedTwin


class OfflineTwin:
    """A twin fitted to the past; implements ``ml.evaluation.probes.Fitted``."""

    def __init__(
        self,
        twin: LoadedTwin,
        properties: PropertyColumns,
        history: list[dict[str, Any]],
        seconds: float | None,
    ) -> None:
        self._ranker = PastRanker(twin, properties, twin.items(properties))
        self.embeddings: NDArray[np.float32] = self._ranker.embeddings
        self.history = history
        self.seconds = seconds

    def scores(self, query: Query) -> NDArray[np.float64]:
        """See ``Fitted``."""
        return self._ranker.scores(query.investor, query.candidates)

    def affinity(self, query: Query, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """See ``Fitted``."""
        return self._ranker.affinity(query.investor, rows)

    def listed(self, query: Query, diversity: float, k: int) -> NDArray[np.intp]:
        """See ``Fitted``."""
        return self._ranker.listed(query.investor, query.candidates, diversity)[:k]


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
