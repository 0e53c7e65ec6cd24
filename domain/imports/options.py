"""How a file is to be read and loaded: what whoever imports it says about it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from domain.core.times import DateOrder
from domain.imports.formats import FormatName


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the one who imports a file says about it.

    Attributes:
        format: whose names the columns have; "auto" looks at them.
        mapping: the file's column for a field, where it is not recognised.
        constants: values for fields, as text, that hold for every row.
        words: for a field of a vocabulary, what the file's words mean.
        date_order: which comes first in 01/02/2024; without, such a time is refused.
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
        """What was asked for beyond the defaults, for the record."""
        default = ImportOptions()
        return {
            name: value for name, value in asdict(self).items() if value != getattr(default, name)
        }


STRICT = ImportOptions(strict=True)
"""For files that this program wrote itself."""
