"""How soon the workers notice what went wrong and try again."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds.

    Attributes:
        lease: without a sign of life for so long, a job may be taken up by another worker.
        retry: before the second attempt; four times as long before each further one, and twelve
            times as long before it is tried again what could not run.
        sweep: between two sweeps, at most 60; each minute begins with one.
    """

    lease: float = 15.0
    retry: float = 5.0
    sweep: int = 60

    @property
    def heartbeat(self) -> float:
        """Between two signs of life of a run; within as many it notices that it was called off."""
        return self.lease / 3

    @property
    def silence(self) -> float:
        """Without a sign for so long, the sweep looks after a mark or a run."""
        return 2 * self.lease

    @property
    def postponed(self) -> float:
        """Before a job that cannot run now is tried again: to find out takes a process."""
        return 12 * self.retry

    def behind(self) -> float:
        """Before a job that found no slot looks again; at random, for many may look."""
        return self.postponed * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def before_retry(self, attempt: int) -> float:
        """Before the attempt after this one; the first is 1."""
        return float(self.retry * 4 ** (attempt - 1))
