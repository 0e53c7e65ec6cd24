"""Rules for single values that come from outside, and their errors in plain words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain
from typing import Annotated, Any, ClassVar, NamedTuple, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from domain.core import canonical, times
from domain.core.canonical import Canonical, Changed

NO_ZERO_BYTE = r"^[^\x00]*$"
"""PostgreSQL has no zero byte in text."""

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

REMEMBERED, REMEMBERED_LENGTH = 2000, 40
"""How many texts of a field the gate remembers, and how many characters each may have."""


class Note(NamedTuple):
    """A value that the gate read in another form, or left out.

    Attributes:
        field: the model's field.
        kind: what was done; the same words for the same change.
        given: the value as it came.
        value: the canonical value; None for a missing one.
        ignored: the value was left out, as if the field had not been given.
    """

    field: str
    kind: str
    given: Any
    value: Any
    ignored: bool = False


@dataclass(slots=True)
class Gate:
    """How a source writes its values, and what they were read as. It is pydantic's context.

    Attributes:
        date_order: which comes first in 01/02/2024.
        words: for a field, what the source's words mean; keys are made by ``canonical.word``.
        keep_blank: take blank values as not given.
        notes: of all items validated since the caller last cleared them.
    """

    date_order: times.DateOrder | None = None
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    keep_blank: bool = False
    notes: list[Note] = field(default_factory=list)

    def meant(self, name: str, value: Any) -> Any:
        """What the source means by a value."""
        words = self.words.get(name)
        return (
            words.get(canonical.word(value), value) if words and isinstance(value, str) else value
        )


class FieldReader(dict[str, Any]):
    """Reads the values of a field. It remembers what the first ``REMEMBERED`` texts became.

    Most columns hold the same few texts again and again.
    """

    def __init__(self, field: FieldInfo) -> None:
        super().__init__()
        # The mark may stand inside "| None".
        inner = (getattr(kind, "__metadata__", ()) for kind in get_args(field.annotation))
        marks = (mark for mark in chain(field.metadata, *inner) if isinstance(mark, Canonical))
        self._function = next((mark.function for mark in marks), canonical.blank)

    def __missing__(self, value: str) -> Any:
        found = self._function(value)
        if len(self) < REMEMBERED and len(value) <= REMEMBERED_LENGTH:
            self[value] = found
        return found

    def reader(self, types: set[type]) -> Callable[[Any], Any]:
        """What reads values of these types fastest."""
        if types != {str}:
            return self.read
        # A column with more values than that seldom repeats one.
        return self.__getitem__ if len(self) < REMEMBERED else self._function

    def read(self, value: Any) -> Any:
        """The canonical value, perhaps as ``Changed``."""
        if value is None:
            return None
        # 1, 1.0 and True would be the same key.
        return self[value] if type(value) is str else self._function(value)


class OutsideInput(BaseModel):
    """The base of what comes from outside: values may be text, and blank text means missing.

    Before any rule, values become canonical by the function that ``Canonical`` marks their field
    with. Validate with a ``Gate`` as context to tell how the source writes, or to learn what was
    changed.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        str_strip_whitespace=True,
        coerce_numbers_to_str=True,
    )

    together: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of fields that are left out together if one of them is bad."""

    readers: ClassVar[Mapping[str, FieldReader]] = {}
    """The gate of each field."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Collect the functions that the fields are marked with."""
        cls.readers = {name: FieldReader(field) for name, field in cls.model_fields.items()}

    @model_validator(mode="before")
    @classmethod
    def _pass_gate(cls, values: Any, info: ValidationInfo) -> Any:
        # Once for all fields: a validator on each of them takes three times as long.
        if not isinstance(values, dict):
            return values
        gate = info.context or Gate()
        if gate.words:
            values = {name: gate.meant(name, value) for name, value in values.items()}
        clean = {}
        for name, value in values.items():
            found = cls.readers[name].read(value) if name in cls.readers else value
            if type(found) is Changed:
                gate.notes.append(Note(name, found.kind, value, found.value))
                found = found.value
            if found is not None or not gate.keep_blank:
                clean[name] = found
        cls.across(clean, gate)
        return clean

    @classmethod
    def across(cls, values: dict[str, Any], gate: Gate) -> None:
        """Correct what only several values together show.

        Args:
            values: canonical values by field. It removes placeholders and replaces wrong values.
            gate: receives the notes.
        """

    @classmethod
    def suspects(cls, columns: Mapping[str, Sequence[Any]]) -> Iterable[int]:  # noqa: ARG003
        """Rows that ``across`` may have to correct.

        Args:
            columns: valid values by field, all of the same length.
        """
        return ()


def word(vocabulary: type[StrEnum], words: Mapping[str, StrEnum] | None = None) -> Canonical:
    """Marks a value of a vocabulary: in any case, or as others call it.

    Args:
        vocabulary: the values.
        words: what else they are called, by ``canonical.word``.
    """
    own = {canonical.word(one): one for one in vocabulary}
    others = words or {}

    def read(value: Any) -> Any:
        # RESO lets some fields hold several words.
        alone = value[0] if isinstance(value, list) and len(value) == 1 else value
        found = canonical.choice(alone)
        if not isinstance(found, str):
            return found
        key = canonical.word(found)
        if key in own:
            return own[key]
        return Changed(others[key], canonical.WORD) if key in others else found

    return Canonical(read)


def _read_moment(value: Any) -> Any:
    """The time that text names without a declared order; other text stays as it is."""
    found = canonical.choice(value)
    if not isinstance(found, str):
        return found
    try:
        return times.from_iso(found) or Changed(times.parse(found), canonical.TIME)
    except (ValueError, OverflowError):
        return found


def _moment(value: Any, info: ValidationInfo) -> Any:
    # Not left to pydantic, which takes 20240501 for a number of seconds.
    try:
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
        if not isinstance(value, str):
            raise times.EpochError if isinstance(value, int | float) else ValueError
        gate: Gate = info.context or Gate()
        found = times.parse(value, gate.date_order)
        gate.notes.append(Note(info.field_name or "", canonical.TIME, value, found))
        return found
    except times.AmbiguousTimeError:
        raise PydanticCustomError("ambiguous_date", "the month or the day may be first") from None
    except times.EpochError:
        raise PydanticCustomError("epoch", "a number is not a time") from None
    except (ValueError, OverflowError):
        raise PydanticCustomError("datetime_parsing", "not a date") from None


# Limits stand inside "| None", where pydantic checks them natively.
Text = Annotated[
    str, Field(min_length=1, max_length=200, pattern=NO_ZERO_BYTE), Canonical(canonical.text)
]
Identifier = Annotated[
    str, Field(min_length=1, max_length=200, pattern=NO_ZERO_BYTE), Canonical(canonical.identifier)
]
Moment = Annotated[
    Annotated[datetime, Field(ge=EARLIEST, le=LATEST)],
    BeforeValidator(_moment),
    Canonical(_read_moment),
]

_NOT_A_NUMBER = "not a number; write it plainly, e.g. 350000 or 2.5"
_NOT_WHOLE = "not a whole number"
_NOT_A_DATE = "not an ISO 8601 time; write e.g. 2024-05-01 or 2024-05-01T09:30:00Z"
_MISSING = "is missing, and every row needs it"
_EXPLANATIONS = {
    "missing": _MISSING,
    "string_too_short": _MISSING,
    "string_too_long": "longer than {max_length} characters",
    "string_pattern_mismatch": "holds a zero byte",
    "string_type": "not text",
    "string_unicode": "not valid Unicode",
    "float_parsing": _NOT_A_NUMBER,
    "float_type": _NOT_A_NUMBER,
    "finite_number": _NOT_A_NUMBER,
    "int_parsing": _NOT_WHOLE,
    "int_type": _NOT_WHOLE,
    "int_from_float": _NOT_WHOLE,
    "int_parsing_size": "too many digits",
    "bool_parsing": "use true or false",
    "bool_type": "use true or false",
    "datetime_parsing": _NOT_A_DATE,
    "epoch": "a number is not a time; write e.g. 2024-05-01T09:30:00Z",
    "ambiguous_date": "the day or the month may come first; say --dates MDY or --dates DMY",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "enum": "use one of {expected}",
    "extra_forbidden": "no such field",
}


def explain(error: ErrorDetails) -> str:
    """Say what is wrong with a value and what is right, without the value or its name.

    The same mistake with another value gets the same words, so that they can be counted.
    """
    if error["input"] is None:
        return _MISSING
    known = _EXPLANATIONS.get(error["type"])
    if known is None:
        return error["msg"]
    limits = error.get("ctx", {})
    return known.format(**{name: _plain(limit) for name, limit in limits.items()})


def _plain(limit: Any) -> str:
    if isinstance(limit, float):
        return f"{limit:.15g}"
    return str(limit).replace("'", "").replace(" or ", ", ")
