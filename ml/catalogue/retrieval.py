"""Which properties are looked at before they are ranked: the first of the two stages.

Three searches in one call to the index, merged. What is most like the investor's interests; the
same among what no investor of the tenant owns yet, since in most portfolios what is owned is not
for sale; and the same among what lies near something the investor approved of, where the twin's
idea of a place is coarser than a street.

A list begins with the hundred best of what these searches bring. Behind them comes all else that
they and a fourth, deeper search bring, the best first: what the fourth alone brings may score more
than the hundred, but it was found too late for its place. How much is looked at never depends on a
page. Nor does it depend on how much there is, once the first page fixed the likeness that each
search goes down to: which part a property belongs to, and where, is its own affair. So the pages of
a list are those of one list, whatever is added or deleted between them.
"""

import numpy as np
from numpy.typing import NDArray

from domain.contract.ranked_lists import Key, Reach
from ml.catalogue.candidates import EVERYTHING, Candidates, Source
from ml.twin.scoring import Investor

ALIKE, UNOWNED, NEAR = 100, 200, 100
"""How many properties the searches bring."""

DEEPER = 1000
"""How many the search for the second part brings."""

PART = 100
"""How long the first part is, if there is a second."""

DIVERSIFIED = 300
"""How many of the best candidates a diversified list is picked from: it ends with them."""


def sources(investor: Investor, reach: Reach | None = None, part: int = 0) -> list[Source]:
    """What to search for, for a part of a list; ``reach`` is None for its first page."""
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
        order: all candidates, the best first, equals by id.
        scores: (n,), theirs.
        found: what ``sources`` brought.
        reach: how far the list looks, None for its first page.
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
    """Which of the candidates in order stand no later than the end of the first part."""
    places = -scores[order]
    tied = np.flatnonzero(places == last.place)
    high = places <= last.place
    high[tied] = [found.ids[int(order[row])] <= last.id for row in tied]
    return high
