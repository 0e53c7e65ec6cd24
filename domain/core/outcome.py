"""What became of a write."""

from enum import StrEnum


class Outcome(StrEnum):
    """What an upsert did with an item."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
