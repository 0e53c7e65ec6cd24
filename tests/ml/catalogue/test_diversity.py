import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.catalogue.diversity import diversify

# Coarse numbers, so that what is equal by definition is equal in floats.
SOME = st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 23)), min_size=0, max_size=9)
DIVERSITY = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0])


def made(some: list[tuple[int, int]]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Relevances, and unit vectors by the hour that they point at."""
    relevance = np.array([worth for worth, _ in some], dtype=np.float64)
    angle = 2 * np.pi * np.array([hour for _, hour in some]) / 24
    return relevance, np.stack((np.cos(angle), np.sin(angle)), axis=1).astype(np.float32)


@given(some=SOME, diversity=DIVERSITY, limit=st.integers(0, 12))
def test_every_step_takes_the_best_of_what_is_left(
    some: list[tuple[int, int]], diversity: float, limit: int
) -> None:
    """By the definition: relevance less likeness to the nearest of those already taken."""
    relevance, vectors = made(some)
    found = diversify(relevance, vectors, diversity, limit).tolist()
    assert len(found) == min(limit, len(some))
    assert len(set(found)) == len(found)
    span = max(float(np.ptp(relevance)), 1e-12) if some else 1.0
    for place, row in enumerate(found):
        taken = found[:place]

        def worth(candidate: int, taken: list[int] = taken) -> float:
            nearness = (relevance[candidate] - relevance.min()) / span
            if not taken:
                return float(nearness)
            closest = max((1 + float(vectors[one] @ vectors[candidate])) / 2 for one in taken)
            return float((1 - diversity) * nearness - diversity * closest)

        left = [one for one in range(len(some)) if one not in taken]
        assert worth(row) == pytest.approx(max(map(worth, left)), abs=1e-6)


@given(some=SOME, diversity=DIVERSITY, limits=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_a_longer_list_begins_with_the_shorter(
    some: list[tuple[int, int]], diversity: float, limits: tuple[int, int]
) -> None:
    relevance, vectors = made(some)
    short, long = (diversify(relevance, vectors, diversity, limit).tolist() for limit in limits)
    if len(short) > len(long):
        short, long = long, short
    assert long[: len(short)] == short


@given(some=SOME)
def test_without_diversity_relevance_alone_decides(some: list[tuple[int, int]]) -> None:
    relevance, vectors = made(some)
    found = diversify(relevance, vectors, 0.0, len(some))
    np.testing.assert_array_equal(found, np.argsort(-relevance, kind="stable"))


@given(some=SOME, scale=st.sampled_from([0.5, 2.0, 64.0]), diversity=DIVERSITY)
def test_the_scale_of_relevance_does_not_matter(
    some: list[tuple[int, int]], scale: float, diversity: float
) -> None:
    relevance, vectors = made(some)
    np.testing.assert_array_equal(
        diversify(relevance, vectors, diversity, 5),
        diversify(scale * relevance, vectors, diversity, 5),
    )
