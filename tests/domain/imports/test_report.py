"""The reports of a source that is imported in parts."""

from domain.imports.report import EXAMPLE_LIMIT, PROBLEM_LIMIT, ImportReport, problem


def part(rows: int) -> ImportReport:
    """So many rows, each of which has something to tell."""
    report = ImportReport(read=rows, inserted=1, mapping={"city": "City"}, notes=["odd"])
    for line in range(1, rows + 1):
        report.skip([problem(line, "id", None, "is missing")])
        report.ignore(line, "beds", f"many {line % 4}", "not a number")
        report.unknown_word("listing_status", "Sleeping")
    return report


def test_parts_add_up() -> None:
    whole = part(2)
    whole.add(part(3))
    assert (whole.read, whole.inserted, whole.skipped) == (5, 2, 5)
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
