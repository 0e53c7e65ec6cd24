"""Imports, writes through the API, acts and undos at random, beside a model of what is left."""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.imports.missing import DeletionLimit
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.imports.undo import undo
from domain.interactions import interactions
from domain.interactions.interactions import Interaction
from domain.properties import table
from domain.properties.input import PropertyInput
from domain.properties.table import Property
from domain.properties.upsert import upsert
from tests.conftest import new_tenant
from tests.drawing import few
from tests.factories import add_user

NAMES = st.sampled_from("ABCD")
VALUES = st.fixed_dictionaries(
    {"city": st.sampled_from(["Kent", "Renton"]), "bedrooms": st.integers(1, 2)}
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("file"), st.dictionaries(NAMES, VALUES, min_size=1)),
        st.tuples(st.just("full file"), st.dictionaries(NAMES, VALUES, min_size=1)),
        st.tuples(st.just("send"), NAMES, VALUES),
        st.tuples(st.just("delete"), NAMES),
        st.tuples(st.just("act"), NAMES),
        st.tuples(st.just("undo"), st.integers(0, 3)),
    ),
    min_size=6,
    max_size=14,
)


@dataclass
class House:
    """A property: a new number for each time that one is created."""

    number: int
    values: dict[str, Any]
    acts: int = 0


@dataclass
class Write:
    """What an import or the API did to one house."""

    by: int | None
    number: int
    name: str
    before: dict[str, Any] | House | None
    """Previous values of fields, a deleted house, or None for a new one."""


@dataclass
class Model:
    """What there should be."""

    houses: dict[str, House] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    created: int = 0
    imports: list[int] = field(default_factory=list)
    """Those not undone, oldest first."""

    def write(self, by: int | None, name: str, values: dict[str, Any]) -> None:
        held = self.houses.get(name)
        if held is None:
            self.created += 1
            self.houses[name] = House(self.created, dict(values))
            if by is not None:
                self.writes.append(Write(by, self.created, name, None))
            return
        before = {key: held.values[key] for key in values if held.values[key] != values[key]}
        if before:
            self.writes.append(Write(by, held.number, name, before))
        held.values |= values

    def delete(self, by: int | None, name: str) -> None:
        house = self.houses.pop(name, None)
        if house is not None:
            self.writes.append(Write(by, house.number, name, deepcopy(house)))

    def undo(self, wanted: int) -> int:
        """Undo an import; how many houses are left in whole or in part."""
        self.imports.remove(wanted)
        left = 0
        # New ones go before deleted ones come back, who may want their names.
        own = [one for one in self.writes if one.by == wanted]
        for one in sorted(own, key=lambda one: isinstance(one.before, House)):
            later = {
                key
                for other in self.writes[self.writes.index(one) + 1 :]
                if other.number == one.number and isinstance(other.before, dict)
                for key in other.before
            }
            house = next((h for h in self.houses.values() if h.number == one.number), None)
            if one.before is None:
                self.writes.remove(one)
                if house is None or later or house.acts:
                    left += 1
                else:
                    del self.houses[one.name]
            elif isinstance(one.before, House):
                if one.name in self.houses:
                    left += 1
                else:
                    self.houses[one.name] = one.before
                    self.writes.remove(one)
            elif house is None:
                left += 1
            else:
                kept = {key: value for key, value in one.before.items() if key in later}
                house.values |= {k: v for k, v in one.before.items() if k not in later}
                left += bool(kept)
                one.before = kept
                if not kept:
                    self.writes.remove(one)
        return left


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "houses.csv"


@few(12)
@given(steps=STEPS)
async def test_what_is_left_is_what_the_model_says(
    database: Database, path: Path, steps: list[tuple[Any, ...]]
) -> None:
    tenant = await new_tenant(database)
    async with database.work(tenant.id) as work:
        user = await add_user(work)
    model, acts = Model(), 0
    ids: list[UUID | None] = []
    for kind, *arguments in steps:
        if kind in ("file", "full file"):
            (rows,) = arguments
            write(path, rows)
            async with database.work(tenant.id) as work:
                report = await import_properties(
                    work,
                    FileSource(path),
                    delete_missing=kind == "full file",
                    delete_at_most=DeletionLimit(100, percent=True),
                )
            number = len(ids)
            ids.append(report.import_id)
            model.imports.append(number)
            for name, values in rows.items():
                model.write(number, name, values)
            if kind == "full file":
                for name in model.houses.keys() - rows.keys():
                    model.delete(number, name)
            continue
        async with database.work(tenant.id) as work:
            held = {one.external_id: one.id for one in await work.session.scalars(select(Property))}
            match kind, *arguments:
                case "send", name, values:
                    await upsert(work, [PropertyInput(external_id=name, **values)])
                    model.write(None, name, values)
                case "delete", name if name in held:
                    await table.remove(work, held[name])
                    model.delete(None, name)
                case "act", name if name in held:
                    acts += 1
                    kinds = [InteractionKind.VIEW, InteractionKind.SAVE, InteractionKind.DEAL]
                    before = len(list(await work.session.scalars(select(Interaction.id))))
                    await interactions.record(work, user.id, held[name], kinds[acts % 3])
                    after = len(list(await work.session.scalars(select(Interaction.id))))
                    model.houses[name].acts += after - before
                case "undo", back if model.imports:
                    wanted = model.imports[-1 - min(back, len(model.imports) - 1)]
                    done = await undo(work, ids[wanted] if back else None, "test")
                    assert sum(one.noun == "PROPERTY" for one in done.left) == model.undo(wanted)
        await compare(database, tenant.id, model)


def write(path: Path, houses: dict[str, dict[str, Any]]) -> None:
    lines = [f"{name},{one['city']},{one['bedrooms']}\n" for name, one in houses.items()]
    path.write_text("external_id,city,bedrooms\n" + "".join(lines))


async def compare(database: Database, tenant_id: UUID, model: Model) -> None:
    async with database.work(tenant_id) as work:
        found = {one.external_id: one for one in await work.session.scalars(select(Property))}
        acts = list(await work.session.scalars(select(Interaction)))
    assert {name: (one.city, one.bedrooms) for name, one in found.items()} == {
        name: (one.values["city"], one.values["bedrooms"]) for name, one in model.houses.items()
    }
    for name, one in found.items():
        own = [act for act in acts if act.property_id == one.id]
        assert len(own) == model.houses[name].acts
        assert one.owners == any(act.kind is InteractionKind.DEAL for act in own)
        assert one.provenance.keys() == {"city", "bedrooms"}
