"""What is printed: nothing that a terminal would obey, and nothing that breaks a line."""

import io
import json
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.console import EXPECTED, printable, progress, say, say_json, table
from tests.cli.conftest import ROOT

ESCAPES = "\x1b[31m\x9b2J\r\n\t\x7f\x00\x85\u061c\u200e\u202e\u2066\u2028\u2029\ud800"
"""Colours, a cleared screen, new lines, text that turns around, half a surrogate pair."""

NAMES = st.text(st.characters(exclude_categories=()) | st.sampled_from(ESCAPES))


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@contextmanager
def terminal() -> Iterator[Terminal]:
    """Standard output and errors are one, for people; it has no colours."""
    found = Terminal()
    # Not a fixture: pytest sets its own streams again before the test.
    with pytest.MonkeyPatch.context() as patch:
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, found)
        for name, value in {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"}.items():
            patch.setenv(name, value)
        yield found


def is_safe(text: str) -> bool:
    return not any(
        unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(letter)
        in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
        for letter in text
    )


@given(NAMES)
def test_no_text_is_obeyed(name: str) -> None:
    shown = printable(name)
    assert is_safe(shown)
    shown.encode()
    if is_safe(name) and not set(name) & set(ESCAPES):
        assert shown == name


@given(NAMES)
def test_json_is_the_text_in_letters_that_nobody_obeys(name: str) -> None:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        say_json({"name": name})
    printed = stream.getvalue()
    assert is_safe(printed.replace("\n", ""))
    assert printed.isascii()
    assert json.loads(printed) == {"name": name}


@given(st.lists(st.tuples(NAMES, NAMES | st.none()), min_size=1))
def test_a_row_stays_a_line_and_a_cell_a_cell(rows: list[tuple[str, str | None]]) -> None:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        table(("name", "email"), rows)
    lines = stream.getvalue().removesuffix("\n").split("\n")
    assert [line.count("\t") for line in lines] == [1] * len(rows)
    assert lines[0].split("\t")[0] == printable(rows[0][0])


def test_names_are_legible_when_escaped() -> None:
    assert printable("Ann\x1b[1m Ó\n\u202eb") == r"Ann\x1b[1m Ó\n\u202eb"


def test_a_terminal_gets_a_table_with_a_heading() -> None:
    with terminal() as screen:
        table(("slug", "name"), [("acme", "[bold]Acme[/bold]"), ("x" * 90, "\x1b[2J")])
    heading, _, first, *others = (line for line in screen.getvalue().splitlines() if line.strip())
    assert heading.split() == ["slug", "name"]
    assert first.split() == ["acme", "[bold]Acme[/bold]"]
    # In one piece, however narrow the terminal.
    assert others[0].split() == ["x" * 90, "\\x1b[2J"]


def test_titles_and_messages_are_not_markup() -> None:
    with terminal() as screen, progress("Importing [red]\x1b]0;x") as update:
        update(0.5, "[bold]half\x1b[2J")
    assert "[red]\\x1b]0;x" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()


def test_progress_without_a_terminal_is_escaped(capfd: pytest.CaptureFixture[str]) -> None:
    with progress("Importing\x1b[2J a") as update:
        update(0.5, "b\nc")
    assert capfd.readouterr().err == "Importing\\x1b[2J a: 50% b\\nc\n"


def test_lines_are_escaped_one_by_one(capfd: pytest.CaptureFixture[str]) -> None:
    say("a\tb", "c\nd", err=True)
    assert capfd.readouterr().err == "a\\tb\nc\\nd\n"


def test_an_error_while_a_command_is_being_stopped_is_not_what_is_told() -> None:
    code = (
        "import typer\n"
        "from cli.console import PlainErrors\n"
        "app = typer.Typer(cls=PlainErrors)\n"
        "@app.command()\n"
        "def interrupted():\n"
        "    try:\n"
        "        raise KeyboardInterrupt\n"
        "    finally:\n"
        "        try:\n"
        "            raise OSError('another operation is in progress')\n"
        "        except OSError as error:\n"
        "            raise ConnectionError('not rolled back') from error\n"
        "@app.command()\n"
        "def other(): pass\n"
        "app()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "interrupted"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (130, "twin: stopped\n")


def test_json_knows_times_and_ids(capfd: pytest.CaptureFixture[str]) -> None:
    moment, run_id = datetime(2024, 5, 1, 9, 30, tzinfo=UTC), UUID(int=7)
    say_json({"created_at": moment, "id": run_id, "share": 0.5})
    assert json.loads(capfd.readouterr().out) == {
        "created_at": "2024-05-01T09:30:00+00:00", "id": str(run_id), "share": 0.5,
    }  # fmt: skip
    with pytest.raises(TypeError, match="no JSON value"):
        say_json({1, 2})


@pytest.mark.parametrize(("module", "name"), EXPECTED)
def test_every_expected_error_is_one(module: str, name: str) -> None:
    assert issubclass(getattr(import_module(module), name), Exception)
