"""Which properties are looked at before they are ranked: the first of the two stages.

Three searches in one call to the index, merged. What is most like the investor's interests; the
same among what no investor of the tenant owns yet, since in most portfolios what is owned is not
for sale; and the same among what lies near something the investor approved of, where the twin's
idea of a place is coarser than a street.
"""

from ml.filters import unowned, within_any
from ml.scoring import Investor
from ml.space import Source

ALIKE, UNOWNED, NEAR = 100, 200, 100
"""How many properties the searches bring."""

DIVERSIFIED = 300
"""How many of the best candidates a diversified list is picked from: it ends with them."""


def sources(investor: Investor, limit: int) -> list[Source]:
    """What to search for, for a list of ``limit``: never fewer, if matches exist."""
    searches = [Source(max(ALIKE, limit)), Source(UNOWNED, (unowned(),))]
    if investor.surroundings:
        searches.append(Source(NEAR, (within_any(investor.surroundings),)))
    return searches
