"""The reports of a source that is imported in parts."""

from domain.imports.report import (
    EXAMPLE_LIMIT,
    PROBLEM_LIMIT,
    PROBLEMS_SHOWN,
    ImportReport,
    problem,
)


def part(rows: int) -> ImportReport:
    """So many rows, each of which has something to tell."""
    report = ImportReport(
        read=rows, inserted=1, deleted_interactions=1, mapping={"city": "City"}, notes=["odd"]
    )
    for line in range(1, rows + 1):
        report.skip([problem(line, "id", None, "is missing")])
        report.ignore(line, "beds", f"many {line % 4}", "not a number")
        report.unknown_word("listing_status", "Sleeping")
    return report


def test_parts_add_up() -> None:
    whole = part(2)
    whole.add(part(3))
    assert (whole.read, whole.inserted, whole.skipped) == (5, 2, 5)
    assert whole.deleted_interactions == 2
    assert [one.line for one in whole.problems] == [1, 2, 3, 4, 5]
    assert whole.by_reason == {"id: is missing": 5}
    assert whole.unknown_words == {"listing_status": {"Sleeping": 5}}
    (tally,) = whole.ignored.values()
    assert tally.count == 5
    # Of different values.
    assert [one.line for one in tally.examples] == [1, 2, 5]
    assert (whole.mapping, whole.notes) == ({"city": "City"}, ["odd"])


def test_parts_keep_the_first_examples() -> None:
    whole = part(PROBLEM_LIMIT - 1)
    whole.add(part(9))
    assert [one.line for one in whole.problems] == list(range(1, PROBLEM_LIMIT + 1))
    (tally,) = whole.ignored.values()
    assert len(tally.examples) == EXAMPLE_LIMIT


def test_text_lists_the_first_problems_and_counts_the_others() -> None:
    lines = part(PROBLEMS_SHOWN + 2).lines()
    assert lines[-2:] == [f"  line {PROBLEMS_SHOWN}: id '': is missing", "  and 2 more"]


def test_blanks_around_an_unknown_word_make_no_other_word() -> None:
    report = ImportReport()
    for word in ("Sleeping", "Sleeping  "):
        report.unknown_word("listing_status", word)
    assert report.unknown_words == {"listing_status": {"Sleeping": 2}}
