"""The tables of docs/imports.md are those of the code."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from domain.imports.formats import FORMATS
from domain.interactions.words import INTERACTION_KINDS
from domain.properties.words import LISTING_STATUSES, PROPERTY_TYPES

MANUAL = Path(__file__).parents[3] / "docs" / "imports.md"


def tables() -> Iterator[tuple[str, list[str]]]:
    """Each table's name and lines."""
    for noun, formats in FORMATS.items():
        for name, one in formats.items():
            rows = [f"| `{field}` | {source} |" for field, source in one.sources.items()]
            yield f"{noun} {name}", ["| field | columns |", "|---|---|", *rows]
    for name, words in (
        ("property_type", PROPERTY_TYPES),
        ("listing_status", LISTING_STATUSES),
        ("kind", INTERACTION_KINDS),
    ):
        yield name, [f"| `{name}` | words |", "|---|---|", *rows_of(words)]


def rows_of(words: Mapping[str, str]) -> Iterator[str]:
    joined = {word.replace(" ", "") for word in words if " " in word}
    for value in dict.fromkeys(words.values()):
        listed = (word for word, meaning in words.items() if meaning == value)
        yield f"| `{value}` | {', '.join(word for word in listed if word not in joined)} |"


@pytest.mark.parametrize("name", [name for name, _ in tables()])
def test_manual_has_the_tables_of_the_code(name: str) -> None:
    lines = dict(tables())[name]
    assert "\n".join(["", *lines, ""]) in MANUAL.read_text(encoding="utf-8"), (
        "put this into docs/imports.md:\n" + "\n".join(lines)
    )
