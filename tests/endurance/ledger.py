"""What clients were told and what was acknowledged to them, kept to be judged in the end."""

import time
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

Investor = tuple[UUID, UUID]
"""A tenant and one of its users."""

Scores = tuple[tuple[UUID, float], ...]
"""Properties and the numbers that one answer gave them."""

_DECIMALS = 4


@dataclass(slots=True)
class Ledger:
    """All that clients learned.

    Attributes:
        answered: answers by kind of question.
        expired: lists that could not go on, as documented.
        failed: questions without an answer: when, since the epoch; which; and why.
        wrong: what is wrong with an answer, by itself or beside one before.
        ranked: scores of recommended properties by investor and version, the lowest and highest.
        affinities: what answers to ``affinity`` said of investors.
        likenesses: what answers to ``similarProperties`` said of a tenant's property.
        feedback: the opinion of an investor and property that was acknowledged last; None where
            none was since the last attempt.
        deleted: when the deletion of a property was acknowledged, seconds of the monotonic clock.
        seen: properties that a tenant was shown.
    """

    answered: Counter[str] = field(default_factory=Counter)
    expired: int = 0
    failed: list[tuple[float, str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ranked: dict[tuple[Investor, str], dict[UUID, tuple[float, float]]] = field(
        default_factory=dict
    )
    affinities: dict[Investor, set[Scores]] = field(default_factory=dict)
    likenesses: dict[Investor, set[Scores]] = field(default_factory=dict)
    feedback: dict[tuple[Investor, UUID], str | None] = field(default_factory=dict)
    deleted: dict[UUID, float] = field(default_factory=dict)
    seen: dict[UUID, set[UUID]] = field(default_factory=dict)

    def fail(self, question: str, why: str) -> None:
        """Note a question without an answer."""
        self.failed.append((time.time(), question, why))

    def show(self, tenant_id: UUID, properties: list[UUID], asked_at: float) -> None:
        """Note what a tenant was shown by an answer to what was asked then (monotonic)."""
        self.seen.setdefault(tenant_id, set()).update(properties)
        for one in properties:
            if self.deleted.get(one, asked_at) < asked_at:
                self.wrong.append(f"property {one} was shown after its deletion")
        if len(set(properties)) < len(properties):
            self.wrong.append(f"an answer to tenant {tenant_id} has a property twice")

    def rank(self, investor: Investor, version: str, scores: Scores) -> None:
        """Note the scores that an answer of a version gave."""
        known = self.ranked.setdefault((investor, version), {})
        for one, score in scores:
            low, high = known.get(one, (score, score))
            known[one] = (min(low, score), max(high, score))

    @staticmethod
    def note(kept: dict[Investor, set[Scores]], about: Investor, scores: Scores) -> None:
        """Note the numbers of an answer that does not say which version they are of."""
        rounded = tuple((one, round(score, _DECIMALS)) for one, score in scores)
        kept.setdefault(about, set()).add(rounded)
