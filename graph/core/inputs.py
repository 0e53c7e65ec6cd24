"""Inputs that several nouns take: intervals, moments, and lists of items.

Of a list of items that the domain has rules for, all are checked, and every fault is named.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import strawberry
from pydantic import BaseModel, ValidationError

from domain.core.errors import DomainError, invalid
from domain.core.input_rules import Gate, Note, explain
from graph.core.directives import weight
from graph.core.errors import InvalidItemsError
from graph.core.strawberry_internals import to_camel_case

MAX_ERRORS = 100
MAX_VALUES = 100

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


@strawberry.input
class FloatRange:
    """A closed interval of numbers; a side that is absent is open."""

    min: float | None = strawberry.field(default=None, description="The smallest allowed.")
    max: float | None = strawberry.field(default=None, description="The greatest allowed.")


@strawberry.input
class IntRange:
    """A closed interval of integers; a side that is absent is open."""

    min: int | None = strawberry.field(default=None, description="The smallest allowed.")
    max: int | None = strawberry.field(default=None, description="The greatest allowed.")


def utc(value: datetime | None, *field: str) -> datetime | None:
    """The moment in UTC, which it is in already if it names no zone."""
    if value is None or value.tzinfo is None:
        return value and value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise invalid(f"{field[-1]}: use a year from 1 to 9999", *field) from None


def bounded(values: Sequence[T] | None, name: str) -> tuple[T, ...]:
    """Each of a filter's values once. Raises DomainError INVALID_INPUT for too many of them."""
    if values is not None and len(values) > MAX_VALUES:
        raise invalid(f"{name}: {len(values)} values; use at most {MAX_VALUES}", "filter", name)
    # In one order, so that equal filters are equal.
    return tuple(dict.fromkeys(values or ()))


@strawberry.type(directives=[weight(0)])
class InputNote:
    """A value of an input that the server read in another form or left out."""

    message: str = strawberry.field(description="What was done, and why.")
    path: list[str] = strawberry.field(
        description="The path of the input field, list positions included."
    )


@dataclass(frozen=True, slots=True)
class Checked(Generic[M]):
    """Items that meet the domain's rules, and what the gate did with their values."""

    items: list[M]
    notes: list[InputNote]


def checked(model: type[M], sent: Sequence[Any], field: str, limit: int) -> Checked[M]:
    """The items by the domain's rules; what a client left out is left out here as well.

    Args:
        model: the rules, whose fields are those of the items.
        sent: input objects.
        field: what the list is called.
        limit: how many it may hold.

    Raises:
        DomainError: INVALID_INPUT for too many items; InvalidItemsError with what is wrong in each.
    """
    if len(sent) > limit:
        # Before looking at each of them.
        raise invalid(f"{len(sent)} {field}: send at most {limit}", field)
    items: list[M] = []
    notes: list[InputNote] = []
    errors: list[DomainError] = []
    for place, item in enumerate(sent):
        values = {name: getattr(item, name) for name in model.model_fields}
        given = {name: value for name, value in values.items() if value is not strawberry.UNSET}
        gate = Gate()
        try:
            items.append(model.model_validate(given, context=gate))
            notes.extend(_note(field, place, note) for note in gate.notes)
        except ValidationError as error:
            errors.extend(_broken_rules(field, place, error))
    if errors:
        raise InvalidItemsError(errors[:MAX_ERRORS])
    return Checked(items, notes)


def _note(field: str, place: int, note: Note) -> InputNote:
    done = "left out" if note.ignored else "read as missing" if note.value is None else ""
    message = f"{note.given!r} was {done or f'read as {note.value!s}'}: {note.kind}"
    return InputNote(message=message, path=[field, str(place), to_camel_case(note.field)])


def _broken_rules(field: str, place: int, error: ValidationError) -> Iterator[DomainError]:
    for detail in error.errors():
        name = to_camel_case(str(detail["loc"][0]))
        yield invalid(f"{name}: {explain(detail)}", field, str(place), name)
