"""What an operation costs: asked for, before anything runs, and spent, by what came back.

The price of an operation is worked out once, when its document is stored, as a small tree that
follows the answer: an object for each type that a field may return, the fields merged as execution
merges them. Per request, ``asked`` fills in the variables and ``actual`` the lists that came back.
Both take microseconds, and ``actual`` never exceeds ``asked``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Variables: TypeAlias = Mapping[str, Any]
"""Raw values by name, as the client sent them."""

MOST = 2**31 - 1
"""What an Int can hold, the most of anything that is executed; a price stops there, too, so that
every client can read it."""

Count: TypeAlias = Callable[[Variables], int]
"""How many, given the variables."""

Term: TypeAlias = tuple[str, bool, bool]
"""A variable, what it must be for the field to be there, and its default."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an answer.

    Attributes:
        key: its name in the answer.
        weight: what each call costs.
        inputs: what the items of input lists cost each, and how many there are.
        size: how many objects it returns; None for one.
        when: the field is there if all terms of any of these hold; empty if it always is.
        objects: what it may return, by type; empty for scalars.
    """

    key: str
    weight: int
    inputs: tuple[tuple[int, Count], ...]
    size: Count | None
    when: frozenset[frozenset[Term]]
    objects: tuple["Object", ...]

    def call(self, variables: Variables) -> int:
        """What it costs whatever it returns."""
        return self.weight + sum(weight * count(variables) for weight, count in self.inputs)

    def there(self, variables: Variables) -> bool:
        """Whether ``@skip`` and ``@include`` leave it."""
        return not self.when or any(
            all(bool(variables.get(name, default)) is wanted for name, wanted, default in terms)
            for terms in self.when
        )


@dataclass(frozen=True, slots=True)
class Object:
    """An object of an answer.

    Attributes:
        type_name: its type.
        base: what it costs with those of its fields that always cost the same, objects that are
            never null included: only lists and what may be null need be looked at.
        fields: the others.
        typed: whether the answer tells its type, as ``__typename``.
    """

    type_name: str
    base: int
    fields: tuple[Field, ...]
    typed: bool


@dataclass(frozen=True, slots=True)
class Price:
    """What an operation costs.

    Attributes:
        root: the answer's data.
        fixed: the most that it may cost, if that does not depend on variables.
    """

    root: Object
    fixed: int | None

    @staticmethod
    def of(root: Object, *, depends: bool) -> "Price":
        """The price of an operation whose cost ``depends`` on its variables or does not."""
        return Price(root, None if depends else _most(root, {}))

    def asked(self, variables: Variables) -> int:
        """The most that it may cost with these variables, in points; ``MOST`` if it is more."""
        return _most(self.root, variables) if self.fixed is None else self.fixed

    def actual(self, data: Mapping[str, Any] | None, variables: Variables) -> int:
        """What it cost by what came back, in points; at most ``asked``.

        Args:
            data: of the answer. What an error turned into null counts as if nothing was found.
            variables: those that it was asked with.
        """
        if data is None:
            # An error took all of it away; the root fields were called.
            fields = self.root.fields
            return self.root.base + sum(f.call(variables) for f in fields if f.there(variables))
        return _actual((self.root,), data, variables)


def _most(root: Object, variables: Variables) -> int:
    return min(_asked(root, variables), MOST)


def _asked(priced: Object, variables: Variables) -> int:
    total = priced.base
    for field in priced.fields:
        if field.when and not field.there(variables):
            continue
        total += field.call(variables) if field.inputs else field.weight
        if field.objects:
            each = max(_asked(one, variables) for one in field.objects)
            total += each if field.size is None else each * field.size(variables)
    return total


def _actual(objects: tuple[Object, ...], value: Mapping[str, Any], variables: Variables) -> int:
    if len(objects) == 1:
        return _actual_of(objects[0], value, variables)
    name = value.get("__typename")
    for one in objects:
        if one.typed and one.type_name == name:
            return _actual_of(one, value, variables)
    # Without its name it may be any of them; the dearest, so that nobody gains by not asking.
    return max(_actual_of(one, value, variables) for one in objects)


def _actual_of(priced: Object, value: Mapping[str, Any], variables: Variables) -> int:
    total = priced.base
    for field in priced.fields:
        if field.key not in value:
            # Of another type, or skipped.
            continue
        total += field.call(variables) if field.inputs else field.weight
        found = value[field.key]
        if found is None or not field.objects:
            continue
        if isinstance(found, list):
            if len(field.objects) == 1 and not field.objects[0].fields:
                total += field.objects[0].base * (len(found) - found.count(None))
            else:
                for item in found:
                    if item is not None:
                        total += _actual(field.objects, item, variables)
        else:
            total += _actual(field.objects, found, variables)
    return total
