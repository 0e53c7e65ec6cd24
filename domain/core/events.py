"""Events: what changed, told after the commit to whoever listens in any server process.

An event names what changed and holds nothing of it: who is told reads the database under its own
tenant. So an event that is lost costs a moment's delay, and a forged one a needless read.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

MAX_BYTES = 200
"""The size of an event on its way; more is none of ours."""


class Topic(StrEnum):
    """What changed."""

    FEEDBACK = "FEEDBACK"
    INTERACTION = "INTERACTION"
    BUY_BOX = "BUY_BOX"
    PROPERTIES = "PROPERTIES"
    MODEL = "MODEL"
    JOB = "JOB"
    MEMBER = "MEMBER"
    """What a user may do: its role was changed, or it was deactivated, activated or deleted."""
    MISSED = "MISSED"
    """Never published: a listener may have missed events, so anything may have changed."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something changed in a tenant, which the unit of work or the channel names.

    Attributes:
        topic: what changed.
        subject: the investor, the job's run or the member; None where it may concern everyone.
    """

    topic: Topic
    subject: UUID | None = None

    def encode(self) -> bytes:
        """The event as it travels."""
        subject = None if self.subject is None else str(self.subject)
        return json.dumps({"topic": self.topic, "subject": subject}).encode()

    @staticmethod
    def decode(data: bytes) -> "Event":
        """The event back. Raises ValueError for anything that ``encode`` does not make."""
        try:
            value: Any = json.loads(data) if len(data) <= MAX_BYTES else None
            topic, subject = Topic(value["topic"]), value["subject"]
            return Event(topic, None if subject is None else UUID(subject))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError("not an event") from None
