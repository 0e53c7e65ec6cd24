"""Which searches bring the candidates of a list, and how the candidates become its two parts.

Three searches run in one call, and their results are merged: the properties most like the
investor's interests; the same among properties that no investor of the tenant owns yet, since in
most portfolios what is owned is not for sale; and the same near properties that the investor
approved of, since embeddings tell places apart less finely than streets.

The first part of a list is the hundred best candidates of these searches. The second part is all
other candidates and those of a fourth, deeper search, the best first. A property that the fourth
search alone finds may score more than the first part, but it is found too late for that part.

The number of candidates never depends on the page. The first page fixes the likeness down to which
each search goes. From then on the part of a property, and its place there, depend on that property
alone. So all pages belong to one list, whatever is added or deleted between them.
"""

import numpy as np
from numpy.typing import NDArray

from domain.contract.ranked_lists import Key, Reach
from ml.catalogue.candidates import EVERYTHING, Candidates, Source
from ml.twin.scoring import Investor

ALIKE, UNOWNED, NEAR = 100, 200, 100
"""Number of properties that each of the searches brings."""

DEEPER = 1000
"""Number of properties that the search for the second part brings."""

PART = 100
"""Length of the first part, if there is a second."""

DIVERSIFIED = 300
"""Most candidates that a diversified list has: the best ones."""


def sources(investor: Investor, reach: Reach | None = None, part: int = 0) -> list[Source]:
    """The searches for a part of a list; ``reach`` is None for its first page."""
    searches = [Source(ALIKE), Source(UNOWNED, unowned=True)]
    if investor.surroundings:
        searches.append(Source(NEAR, near=investor.surroundings))
    if part:
        searches.append(Source(DEEPER))
    known = reach.likeness if reach else ()
    return [
        one._replace(above=known[place]) if place < len(known) else one
        for place, one in enumerate(searches)
    ]


def split(
    order: NDArray[np.intp],
    scores: NDArray[np.float64],
    found: Candidates,
    reach: Reach | None,
    part: int,
) -> tuple[NDArray[np.intp], Reach]:
    """The candidates of one part of a list in its order, and the list's reach.

    Args:
        order: rows of all candidates, the best first, equal scores by id.
        scores: (n,), of the candidates.
        found: the candidates.
        reach: how far the list looks; None for its first page.
        part: 0 for the first part, 1 for the other.
    """
    if reach is None:
        if found.above[0] == EVERYTHING:
            return order, Reach(found.above)
        end = order[:PART][-1]
        last = Key(0, -float(scores[end]), found.ids[int(end)])
        return order[:PART], Reach(found.above, last)
    if len(found.above) > len(reach.likeness):
        reach = reach._replace(likeness=found.above)
    last_key = reach.last
    if last_key is None:
        return (order[:0] if part else order), reach
    early = np.logical_or.reduce(found.sources[: len(found.above) - part])
    first = early[order] & _up_to(last_key, order, scores, found)
    return order[~first if part else first], reach


def _up_to(
    last: Key, order: NDArray[np.intp], scores: NDArray[np.float64], found: Candidates
) -> NDArray[np.bool_]:
    """Which of the candidates in order stand no later than ``last``, the end of the first part."""
    places = -scores[order]
    tied = np.flatnonzero(places == last.place)
    high = places <= last.place
    high[tied] = [found.ids[int(order[row])] <= last.id for row in tied]
    return high
