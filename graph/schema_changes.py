"""What changed in the schema for clients. ``python -m graph.schema_changes [REF]`` prints it.

The schema of the working tree is compared with that of a Git revision: by default the newest tag,
else the file's version before its last. Breaking changes fail, unless a commit since then says
``BREAKING CHANGE:`` in its message (as https://www.conventionalcommits.org has it).
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from graphql import BreakingChange, DangerousChange, SchemaChange, build_schema, find_schema_changes

FILE = "schema.graphql"
FOOTER = "BREAKING CHANGE:"


def changes(old: str, new: str) -> list[SchemaChange]:
    """What differs between two schemas in GraphQL's own language."""
    return find_schema_changes(build_schema(old), build_schema(new))


def breaking(found: Sequence[SchemaChange]) -> list[SchemaChange]:
    """The changes that an existing client may fail on."""
    return [one for one in found if isinstance(one, BreakingChange)]


def describe(change: SchemaChange) -> str:
    """One line for people."""
    if isinstance(change, BreakingChange):
        kind = "breaking"
    elif isinstance(change, DangerousChange):
        kind = "dangerous"
    else:
        kind = "safe"
    return f"{kind:9} {change.description}"


def _git(*arguments: str) -> str:
    # The program is Git, and the arguments are ours or the developer's.
    done = subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() if done.returncode == 0 else ""


def base_revision() -> str | None:
    """What to compare with; None in a history that holds nothing to compare with."""
    if tag := _git("describe", "--tags", "--abbrev=0"):
        return tag
    versions = _git("log", "-2", "--format=%H", "--", FILE).split()
    return versions[1] if len(versions) == 2 else None


def main(arguments: Sequence[str]) -> int:
    """Print the changes; 1 if a breaking one is not owned up to, or nothing can be compared."""
    base = arguments[0] if arguments else base_revision()
    if base is None:
        if _git("rev-parse", "--is-shallow-repository") == "true":
            return _refused("a shallow clone has no earlier versions; fetch the whole history")
        print(f"no earlier {FILE} to compare with")  # noqa: T201
        return 0
    if not (old := _git("show", f"{base}:{FILE}")):
        return _refused(f"cannot read {FILE} at {base}")
    found = changes(old, Path(FILE).read_text(encoding="utf-8"))
    broken = breaking(found)
    owned = FOOTER in _git("log", "--format=%B", f"{base}..HEAD")
    for change in found:
        print(describe(change))  # noqa: T201
    print(f"{len(found)} changes since {base[:12]}, {len(broken)} of them breaking")  # noqa: T201
    if broken and not owned:
        return _refused(f"say why in a commit message: {FOOTER} <reason>")
    return 0


def _refused(why: str) -> int:
    print(f"error: {why}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
