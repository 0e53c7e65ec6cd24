"""Which searches bring the candidates of an investor's list.

Three searches run in one call, and their results are merged: the properties most like the
investor's interests; the same among properties that no investor of the tenant owns yet, since in
most portfolios what is owned is not for sale; and the same near properties that the investor
approved of, since embeddings tell places apart less finely than streets. The re-ranker orders all
of them by score.

The first page of a list fixes the likeness down to which each search goes, its floor. From then on
it depends on a property alone whether it is a candidate, and so does its score. So all pages belong
to one list, whatever is added or deleted between them.
"""

from collections.abc import Sequence

from ml.catalogue.candidates import Source
from ml.twin.scoring import Investor

ALIKE, UNOWNED, NEAR = 500, 200, 100
"""Number of properties that each of the searches brings."""

DIVERSIFIED = 300
"""Most candidates that a diversified list has: the best ones."""


def sources(investor: Investor, floors: Sequence[float] = ()) -> list[Source]:
    """The searches for a list; ``floors`` are those of its first page, empty on that page."""
    searches = [Source(ALIKE), Source(UNOWNED, unowned=True)]
    if investor.surroundings:
        searches.append(Source(NEAR, near=investor.surroundings))
    return [
        one._replace(floor=floors[place]) if place < len(floors) else one
        for place, one in enumerate(searches)
    ]
