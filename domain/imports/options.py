"""How to read and load a file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from domain.core.times import DateOrder
from domain.imports.formats import FormatName


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to read and load a file, as the caller says.

    Attributes:
        format: the format that names the columns; "auto" recognises it.
        mapping: the file's column for a field, instead of the recognised one.
        constants: values for fields, as text, that hold for every row.
        words: for a field of a vocabulary, what the file's words mean.
        date_order: which comes first in 01/02/2024; None refuses such a time, unless the
            format declares the order.
        keep_blank: a blank value leaves what is stored; otherwise it erases it.
        strict: load nothing if any row is bad or any value is left out.
    """

    format: FormatName = "auto"
    mapping: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    date_order: DateOrder | None = None
    keep_blank: bool = False
    strict: bool = False

    def to_json(self) -> dict[str, Any]:
        """The options that differ from the defaults, for the record of imports."""
        default = ImportOptions()
        return {
            name: value for name, value in asdict(self).items() if value != getattr(default, name)
        }


STRICT = ImportOptions(strict=True)
"""For files that this project wrote itself."""
