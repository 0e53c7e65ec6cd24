"""Validating many rows at once, column by column."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from domain.core.canonical import Changed
from domain.core.input_rules import Note, OutsideInput


class Validated(NamedTuple):
    """A batch of rows.

    Attributes:
        given: the fields that each of them sets.
        rows: the values of all fields of each; None where the row has to be looked at alone.
        notes: what the gate did with values, by the place of their row.
    """

    given: frozenset[str]
    rows: list[tuple[Any, ...] | None]
    notes: dict[int, list[Note]]


class WholeColumns:
    """Validates rows column by column, in a third of the time that single rows take.

    Rows with a bad value are left to be validated alone.
    """

    def __init__(self, model: type[OutsideInput]) -> None:
        self._model = model
        self._adapters = {
            name: _adapter(rules, model.model_config) for name, rules in model.model_fields.items()
        }

    def validate(self, given: Mapping[str, Sequence[Any]], count: int) -> Validated:
        """The valid rows of a batch of ``count`` rows, of which every one sets the same fields."""
        odd: set[int] = set()
        notes: dict[int, list[Note]] = {}
        columns: dict[str, Sequence[Any]] = {}
        for name, rules in self._model.model_fields.items():
            if name not in given:
                columns[name] = (rules.default,) * count
                continue
            columns[name] = column = self._column(name, given[name], odd, notes)
            if rules.is_required() and None in column:
                odd.update(row for row, value in enumerate(column) if value is None)
        odd.update(self._model.suspects(columns))
        rows: list[tuple[Any, ...] | None] = list(zip(*columns.values(), strict=True))
        for row in odd:
            rows[row] = None
        return Validated(frozenset(given), rows, notes)

    def _column(
        self, name: str, given: Sequence[Any], odd: set[int], notes: dict[int, list[Note]]
    ) -> list[Any]:
        """The valid values; None for others, whose rows are added to ``odd``."""
        gate = self._model.readers[name]
        clean = list(map(gate.reader(set(map(type, given))), given))
        if Changed in set(map(type, clean)):
            for row, value in enumerate(clean):
                if type(value) is Changed:
                    clean[row] = value.value
                    note = Note(name, value.kind, given[row], value.value)
                    notes.setdefault(row, []).append(note)
        try:
            return self._adapters[name].validate_python(clean)
        except ValidationError as error:
            for wrong in error.errors(include_url=False, include_input=False):
                row = int(wrong["loc"][0])
                odd.add(row)
                clean[row] = None
            return self._adapters[name].validate_python(clean)


def _adapter(field: FieldInfo, config: ConfigDict) -> TypeAdapter[list[Any]]:
    """Validates a list of values of a field, which may be missing."""
    kind: Any = field.annotation
    for rule in field.metadata:
        kind = Annotated[kind, rule]
    column: Any = list[kind | None]
    return TypeAdapter(column, config=config)
