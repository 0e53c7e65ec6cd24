"""How much of an investor's holdings would lie in one place or of one type, after a purchase."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from domain.contract.vocabulary import InteractionKind
from domain.core.work import Work
from domain.interactions.interactions import Interaction
from domain.properties.rows import PropertyValues
from domain.properties.table import Property


@dataclass(frozen=True, slots=True)
class Exposure:
    """The share of the holdings, by number, that has the value ``name``: now and one later."""

    name: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Concentration:
    """What a purchase does to an investor's exposure; None where the property has no value."""

    zipcode: Exposure | None
    property_type: Exposure | None


async def concentration(
    work: Work, user_id: UUID, found: Sequence[PropertyValues]
) -> list[Concentration]:
    """What buying each of the properties would do to the investor's exposure.

    Holdings are the distinct properties that the investor made a deal on; a share is 0 of none.
    One query for all.
    """
    deals = select(Interaction.property_id).where(
        Interaction.user_id == user_id, Interaction.kind == InteractionKind.DEAL
    )
    holdings = (
        await work.session.execute(
            select(Property.canonical_zipcode, Property.property_type).where(Property.id.in_(deals))
        )
    ).all()
    zipcodes = Counter(row.canonical_zipcode for row in holdings)
    types = Counter(row.property_type for row in holdings)

    def exposure(name: str | None, held: int) -> Exposure | None:
        if name is None:
            return None
        owned = len(holdings)
        return Exposure(str(name), held / owned if owned else 0.0, (held + 1) / (owned + 1))

    return [
        Concentration(
            exposure(one.canonical_zipcode, zipcodes[one.canonical_zipcode]),
            exposure(one.property_type, types[one.property_type]),
        )
        for one in found
    ]
