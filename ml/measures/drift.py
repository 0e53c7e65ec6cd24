"""How far a tenant's properties and their scores have moved from what a version learned from.

The measure is the population stability index (Lewis, An Introduction to Credit Scoring, 1992): the
sum over bins of (a - e) ln(a / e), where e and a are the shares of what was expected and of what
is. It is told for each feature, by the tenths of the training data, and for affinity.

From few values the index comes out too high: where nothing changed it has a mean of about
(B - 1)(1/n + 1/m) for B bins and samples of n and m, and behind that factor the distribution of
chi-squared with B - 1 degrees of freedom (Yurdakul, Statistical Properties of Population Stability
Index, 2018). So what is told is the index corrected for chance: 0 for what chance could bring in
all but one of ten thousand draws, and else the index less that mean. Without that a firm of fifty
properties would be warned every night; with it, one of a hundred hears only of what moved far.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.contract.snapshots import (
    HISTORY_LIMIT,
    InteractionLog,
    InvestorHistory,
    PropertyColumns,
)
from domain.contract.vocabulary import ListingStatus, PropertyType
from ml.twin.artifacts import Artifact
from ml.twin.dataset import KIND_WEIGHTS
from ml.twin.features import FEATURE_NAMES, numbers
from ml.twin.scoring import LoadedTwin

Counts = NDArray[np.float64]
"""How many values are in each bin; the last one holds the missing."""

SAMPLE = 1000
"""Investors, and properties, whose affinity is looked at: each of the ones with each of the
others. So many that an index of 0.1 is beyond chance."""

_FLOOR = 1e-4
"""The least share of a bin, since the logarithm of none is not finite; of few values half a one."""

_CHANCE = 3.719
"""Standard deviations of a normal distribution, beyond which lies one in ten thousand."""

_TENTHS = np.linspace(0.1, 0.9, 9)


def stability_index(expected: Counts, found: Counts) -> float:
    """The population stability index of two samples over the same bins; 0 if either is empty."""
    if not expected.sum() or not found.sum():
        return 0.0
    e, a = (
        np.maximum(counts / counts.sum(), max(_FLOOR, 0.5 / counts.sum()))
        for counts in (expected, found)
    )
    # A bin that neither has anything in must not count, whatever stands in for nothing.
    used = (expected > 0) | (found > 0)
    return float(((a - e) * np.log(a / e))[used].sum())


def drift(expected: Counts, found: Counts) -> float:
    """The index without what chance brings to it: 0 for what is within chance."""
    index = stability_index(expected, found)
    freedom = int(((expected > 0) | (found > 0)).sum()) - 1
    if index <= 0 or freedom < 1:
        return 0.0
    unit = 1 / expected.sum() + 1 / found.sum()
    # The quantile of chi-squared by the approximation of Wilson and Hilferty (1931).
    spread = 2 / (9 * freedom)
    most = freedom * (1 - spread + _CHANCE * math.sqrt(spread)) ** 3
    return float(index - freedom * unit) if index > most * unit else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """How the values of a number, or of a category by its code, were spread.

    Attributes:
        edges: ascending; a bin reaches from behind one edge up to and with the next, and there is
            one bin before the first edge and one behind the last.
        counts: of the bins and of what is missing, len(edges) + 2.
    """

    edges: NDArray[np.float64]
    counts: Counts

    @classmethod
    def of_numbers(cls, values: NDArray[np.float64]) -> "Distribution":
        """By the tenths of the values; the outer ones are open, as a new record is no new kind.

        Where a tenth are the least value itself, what is less is a bin of its own; where a tenth
        are the greatest, so is what is greater.
        """
        present = values[~np.isnan(values)]
        edges = np.empty(0)
        if len(present):
            # Among the values themselves, so that many equal ones stay in one bin.
            edges = np.unique(np.quantile(present, _TENTHS, method="inverted_cdf"))
            if edges[0] == present.min():
                edges = np.insert(edges, 0, np.nextafter(edges[0], -np.inf))
        return cls(edges, bin_counts(edges, values))

    @classmethod
    def of_codes(cls, values: NDArray[np.float64], codes: int) -> "Distribution":
        """By the codes from 0 on."""
        edges = np.arange(codes - 1, dtype=np.float64) + 0.5
        return cls(edges, bin_counts(edges, values))

    def to_json(self) -> dict[str, Any]:
        """The distribution as a JSON object."""
        return {"edges": self.edges.tolist(), "counts": self.counts.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Distribution":
        """The inverse of ``to_json``. Raises ValueError for what that never gives."""
        edges = np.array(value.get("edges"), dtype=np.float64)
        counts = np.array(value.get("counts"), dtype=np.float64)
        if edges.ndim != 1 or counts.shape != (len(edges) + 2,) or not (counts >= 0).all():
            raise ValueError(f"drift reference: no counts between edges: {value!r}")
        return cls(edges, counts)


def bin_counts(edges: NDArray[np.float64], values: NDArray[np.float64]) -> Counts:
    """How many values are in each bin, and how many are missing."""
    missing = np.isnan(values)
    bins = np.searchsorted(edges, values[~missing], side="left")
    return np.append(np.bincount(bins, minlength=len(edges) + 1), missing.sum()).astype(float)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What a version learned from, to compare with what comes later; kept in its metadata.

    Attributes:
        reference_year: the year from which ``age`` is counted.
        features: by name. The one-hot features of a category are one, with its name.
        score: of affinity; None where nobody had approved of anything. Its counts sum to the
            investors or the properties that were looked at, whichever are fewer: scores of one
            investor hang together, and so do those of one property.
    """

    reference_year: int
    features: Mapping[str, Distribution]
    score: Distribution | None

    @classmethod
    def of(
        cls, columns: PropertyColumns, reference_year: int, affinity: NDArray[np.float64]
    ) -> "Reference":
        """Of the properties, and of the affinity (investors, properties) of samples."""
        features = {
            name: Distribution.of_numbers(values)
            for name, values in _numbers(columns, reference_year).items()
        } | {
            name: Distribution.of_codes(values, _CODES[name])
            for name, values in _codes(columns).items()
        }
        score = Distribution.of_numbers(affinity.ravel()) if affinity.size else None
        if score is not None:
            score = Distribution(score.edges, _independent(score.counts, affinity))
        return cls(reference_year, features, score)

    def count(self, columns: PropertyColumns) -> dict[str, Counts]:
        """How properties fall into the bins of each feature; counts of batches add up."""
        found = _numbers(columns, self.reference_year) | _codes(columns)
        return {name: bin_counts(known.edges, found[name]) for name, known in self.features.items()}

    def feature_drift(self, counts: Mapping[str, Counts]) -> dict[str, float]:
        """The drift of each feature, from what ``count`` says of all properties."""
        return {name: drift(known.counts, counts[name]) for name, known in self.features.items()}

    def score_drift(self, affinity: NDArray[np.float64]) -> float | None:
        """The drift of affinity (investors, properties); None without any, now or then."""
        if self.score is None or not affinity.size:
            return None
        counts = bin_counts(self.score.edges, affinity.ravel())
        return drift(self.score.counts, _independent(counts, affinity))

    def to_json(self) -> dict[str, Any]:
        """The reference as a JSON object."""
        return {
            "reference_year": self.reference_year,
            "features": {name: one.to_json() for name, one in self.features.items()},
            "score": self.score.to_json() if self.score else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Reference":
        """The inverse of ``to_json``. Raises ValueError for what that never gives."""
        year, features, score = map(value.get, ("reference_year", "features", "score"))
        names = {*FEATURE_NAMES[:_NUMERIC], *_CODES}
        if not isinstance(year, int) or not isinstance(features, Mapping) or names != set(features):
            raise ValueError(f"drift reference: no year, or other features than {sorted(names)}")
        return cls(
            year,
            {name: Distribution.from_json(one) for name, one in features.items()},
            Distribution.from_json(score) if score else None,
        )


def reference_of(metadata: Mapping[str, Any]) -> Reference | None:
    """What a stored version learned from; None for one of before this was kept."""
    return Reference.from_json(metadata["drift"]) if "drift" in metadata else None


def reference(
    artifact: Artifact, columns: PropertyColumns, log: InteractionLog, as_of: float
) -> Reference:
    """What a version learned from, and how it scores samples of it; see ``sampled_affinity``."""
    affinity = sampled_affinity(artifact, columns, log, as_of)
    return Reference.of(columns, artifact.statistics.reference_year, affinity)


def sampled_affinity(
    artifact: Artifact, columns: PropertyColumns, log: InteractionLog, as_of: float
) -> NDArray[np.float64]:
    """How a version scores samples, drawn with a fixed seed: (investors, properties).

    ``as_of`` are the seconds since 1970 UTC at which it is asked: older acts count for less.
    """
    twin = LoadedTwin(artifact, artifact.reranker.usual.device)
    rng = np.random.default_rng(0)
    drawn = columns.take(rng.permutation(len(columns))[:SAMPLE])
    items = twin.items(drawn)
    investors = _investors(columns, log, as_of, rng)
    if not investors:
        return np.empty((0, len(drawn)))
    scores = [twin.score_properties(twin.investor(one), drawn, items) for one in investors]
    return twin.affinity(np.stack(scores))


def _investors(
    columns: PropertyColumns, log: InteractionLog, as_of: float, rng: np.random.Generator
) -> Sequence[InvestorHistory]:
    """Some who approved of something lately, as a server would read them, without buy boxes."""
    approving = np.unique(log.user[KIND_WEIGHTS[log.kind] > 0])
    histories = []
    for user in rng.permutation(approving)[:SAMPLE]:
        newest = np.flatnonzero(log.user == user)[::-1][:HISTORY_LIMIT]
        if (KIND_WEIGHTS[log.kind[newest]] > 0).any():
            histories.append(
                InvestorHistory(
                    user_id=log.users[user],
                    properties=columns.take(log.property[newest].astype(np.intp)),
                    kind=log.kind[newest],
                    occurred_at=log.occurred_at[newest],
                    as_of=as_of,
                )
            )
    return histories


_CODES = {"property_type": len(PropertyType), "listing_status": len(ListingStatus)}
_NUMERIC = len(FEATURE_NAMES) - sum(_CODES.values())


def _numbers(columns: PropertyColumns, reference_year: int) -> dict[str, NDArray[np.float64]]:
    """The numeric features, NaN where missing: by tenths a logarithm would change nothing."""
    values = numbers(columns, reference_year)
    return dict(zip(FEATURE_NAMES[:_NUMERIC], values.T, strict=True))


def _codes(columns: PropertyColumns) -> dict[str, NDArray[np.float64]]:
    """The categories, NaN where missing or unknown."""
    return {
        name: np.where((codes >= 0) & (codes < _CODES[name]), codes, np.nan)
        for name, codes in (
            ("property_type", columns.property_type),
            ("listing_status", columns.listing_status),
        )
    }


def _independent(counts: Counts, affinity: NDArray[np.float64]) -> Counts:
    return counts * np.float64(min(affinity.shape) / counts.sum())
