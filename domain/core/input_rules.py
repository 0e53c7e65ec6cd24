"""Rules for single values that come from outside, and their errors in plain words."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

NO_ZERO_BYTE = r"^[^\x00]*$"
"""PostgreSQL has no zero byte in text."""

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class OutsideInput(BaseModel):
    """The base of what comes from outside: values may be text, and blank text means missing."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        str_strip_whitespace=True,
        coerce_numbers_to_str=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _none_if_blank(cls, values: Any) -> Any:
        # Once for all fields: a validator on each of them takes three times as long.
        if not isinstance(values, dict):
            return values
        clean: dict[Any, Any] = dict(values)
        for name, value in values.items():
            if isinstance(value, str):
                if not value or value.isspace():
                    clean[name] = None
            elif isinstance(value, bool):
                # Pydantic would take true for the number 1, but not the text.
                clean[name] = str(value)
        return clean


def _word(value: Any) -> Any:
    # "Single family" and "off-market" are the words of the vocabulary too.
    if isinstance(value, str):
        return value.strip().upper().replace(" ", "_").replace("-", "_")
    return value


def _moment(value: Any) -> Any:
    # Not left to pydantic, which takes 20240501 for a number of seconds.
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        if not isinstance(moment, datetime):
            raise ValueError
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("datetime_parsing", "not a date") from None


Word = BeforeValidator(_word)
"""Marks a value of a vocabulary, in any case."""

# Limits stand inside "| None", where pydantic checks them natively.
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_ZERO_BYTE)]
Moment = Annotated[Annotated[datetime, Field(ge=EARLIEST, le=LATEST)], BeforeValidator(_moment)]

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
