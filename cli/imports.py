"""Commands that import properties and interactions, and undo imports."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

import settings
from cli.console import FAILURE, JsonOption, progress, say, say_json, table
from cli.lazy import group
from cli.session import (
    TenantOption,
    read_in_tenant,
    run_in_tenant,
    run_on_database,
    tenant_id,
)
from domain.contract.vocabulary import Role

if TYPE_CHECKING:
    from domain.core.database import Database
    from domain.core.work import Work
    from domain.imports.missing import DeletionLimit
    from domain.imports.options import ImportOptions
    from domain.imports.report import ImportReport
    from domain.imports.reso.client import BearerToken, ClientCredentials
    from domain.imports.sources import FileSource
    from domain.imports.undo import UndoReport
    from runtime import Services

    Load = Callable[..., Awaitable[ImportReport]]

imports = group("Load files and feeds, and undo imports.")

SOME_SKIPPED = 1
REFUSED = 2
"""Exit codes: of an import that skipped rows, and of one that loaded nothing."""


@imports.callback()
def _set_failure_code(ctx: typer.Context) -> None:
    ctx.meta[FAILURE] = REFUSED


class Format(StrEnum):
    """The format that names the columns; see ``domain.imports.formats``."""

    AUTO = "auto"
    PLAIN = "plain"
    RESO = "reso"
    REDFIN = "redfin"
    ZILLOW = "zillow"
    CRM = "crm"


class Dates(StrEnum):
    """What comes first in 01/02/2024."""

    MDY = "MDY"
    DMY = "DMY"


class Blank(StrEnum):
    """What a blank value does to a stored one."""

    ERASE = "erase"
    KEEP = "keep"


class Noun(StrEnum):
    """What a file holds."""

    PROPERTIES = "properties"
    INTERACTIONS = "interactions"


FormatOption = Annotated[
    Format, typer.Option("--format", help="Format that names the columns; auto recognises it.")
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--map", help="FIELD=COLUMN: the column for a field. Repeatable."),
]
Constants = Annotated[
    list[str] | None, typer.Option("--set", help="FIELD=VALUE: a value for every row. Repeatable.")
]
Words = Annotated[
    list[str] | None,
    typer.Option("--value", help="FIELD:WORD=VALUE: what a word of the file means. Repeatable."),
]
DatesOption = Annotated[
    Dates | None, typer.Option("--dates", help="What comes first in 01/02/2024.")
]
Encoding = Annotated[
    str | None, typer.Option("--encoding", help="Encoding of the file. Default: detected.")
]
BlankOption = Annotated[
    Blank, typer.Option("--blank", help="What a blank value does to the stored one.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Load nothing if any row or value is bad.")]
CreateTenant = Annotated[
    bool, typer.Option("--create-tenant", help="Add the tenant if there is none.")
]
DeleteMissing = Annotated[
    bool,
    typer.Option("--delete-missing", help="Delete the properties that the file does not hold."),
]
DeleteAtMost = Annotated[
    str | None,
    typer.Option(
        "--delete-at-most",
        metavar="SHARE",
        help="Refuse to delete more than this by --delete-missing: a share of the tenant's "
        "properties such as 10%, or a number such as 250. Default: 10%.",
    ),
]
CreateUsers = Annotated[
    bool, typer.Option("--create-users", help="Create the users whom the tenant does not know.")
]
RoleOption = Annotated[
    Role | None,
    typer.Option(help="Role of the users that --create-users creates. Default: viewer."),
]


@imports.command("properties")
def import_properties(
    path: Path,
    tenant: TenantOption,
    columns: Columns = None,
    constants: Constants = None,
    words: Words = None,
    format: FormatOption = Format.AUTO,  # noqa: A002
    dates: DatesOption = None,
    encoding: Encoding = None,
    blank: BlankOption = Blank.ERASE,
    strict: Strict = False,
    create_tenant: CreateTenant = False,
    delete_missing: DeleteMissing = False,
    delete_at_most: DeleteAtMost = None,
    as_json: JsonOption = False,
) -> None:
    """Add or update properties from CSV or JSON.

    The file may be gzipped. Properties are found by their external id.
    """
    from domain.imports.properties import import_properties

    options = _options(columns, constants, words, format, dates, blank, strict)
    load = partial(
        import_properties,
        options=options,
        delete_missing=delete_missing,
        delete_at_most=_limit(delete_at_most, delete_missing=delete_missing),
    )
    _import(tenant, _file(path, encoding), load, as_json, create_tenant=create_tenant)


@imports.command("interactions")
def import_interactions(
    path: Path,
    tenant: TenantOption,
    columns: Columns = None,
    constants: Constants = None,
    words: Words = None,
    format: FormatOption = Format.AUTO,  # noqa: A002
    dates: DatesOption = None,
    encoding: Encoding = None,
    strict: Strict = False,
    create_users: CreateUsers = False,
    role: RoleOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add what investors did, from CSV or JSON.

    The file may be gzipped. Users are found by external id or email, properties by external id.
    """
    from domain.imports.interactions import import_interactions

    options = _options(columns, constants, words, format, dates, Blank.ERASE, strict)
    load = partial(
        import_interactions,
        options=options,
        create_users=create_users,
        role=_role(role, create_users=create_users),
    )
    _import(tenant, _file(path, encoding), load, as_json)


@imports.command("check")
def check(
    path: Path,
    tenant: TenantOption,
    noun: Annotated[
        Noun | None,
        typer.Option("--as", help="What the file holds. Default: recognised by its columns."),
    ] = None,
    columns: Columns = None,
    constants: Constants = None,
    words: Words = None,
    format: FormatOption = Format.AUTO,  # noqa: A002
    dates: DatesOption = None,
    encoding: Encoding = None,
    blank: BlankOption = Blank.ERASE,
    strict: Strict = False,
    create_tenant: CreateTenant = False,
    delete_missing: DeleteMissing = False,
    delete_at_most: DeleteAtMost = None,
    create_users: CreateUsers = False,
    role: RoleOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what an import of the file would do, and change nothing.

    Takes the options of the import and ends with its exit code.
    """
    from domain.imports.interactions import import_interactions
    from domain.imports.properties import import_properties
    from domain.imports.rows import guess_noun

    source = _file(path, encoding)
    options = _options(columns, constants, words, format, dates, blank, strict)
    found = noun or Noun(guess_noun(source, options))
    load: Load = (
        partial(
            import_properties,
            options=options,
            delete_missing=delete_missing,
            delete_at_most=_limit(delete_at_most, delete_missing=delete_missing),
        )
        if found is Noun.PROPERTIES
        else partial(
            import_interactions,
            options=options,
            create_users=create_users,
            role=_role(role, create_users=create_users),
        )
    )
    _import(tenant, source, load, as_json, create_tenant=create_tenant, check_only=True)


@imports.command("reso")
def import_reso(
    url: Annotated[str, typer.Argument(help="URL of the resource, .../Property.")],
    tenant: TenantOption,
    columns: Columns = None,
    constants: Constants = None,
    words: Words = None,
    blank: BlankOption = Blank.ERASE,
    page_size: Annotated[
        int, typer.Option(min=1, max=10_000, help="Records of a page, at most.")
    ] = 1_000,
    rate: Annotated[
        float, typer.Option(min=0.01, max=100, help="Requests per second, at most.")
    ] = 1.0,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything again, not only what changed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add or update properties from a RESO Web API.

    Reads what was modified since the last run, or continues where that was interrupted. The
    credentials are environment variables: RESO_TOKEN, or RESO_CLIENT_ID, RESO_CLIENT_SECRET,
    RESO_TOKEN_URL and, where the provider asks for one, RESO_SCOPE.
    """
    from domain.imports.properties import import_properties
    from domain.imports.record import command_line
    from domain.imports.report import ImportRefusedError
    from domain.imports.reso.client import Client
    from domain.imports.reso.replication import FeedReport, replicate
    from domain.imports.reso.resource import Resource
    from domain.imports.reso.transport import Transport
    from domain.imports.sources import RecordSource

    options = _options(columns, constants, words, Format.RESO, None, blank, strict=False)
    resource, transport = Resource(url), Transport(rate=rate)
    client = Client(resource, _credentials(), transport, page_size=page_size)

    async def load(work: "Work", records: "Sequence[Mapping[str, Any]]") -> "ImportReport":
        return await import_properties(
            work,
            RecordSource(resource.shown, records),
            options,
            actor=command_line(),
            # A run is one import, which is undone as one.
            continues=so_far.rows.import_id if so_far else None,
        )

    said = time.monotonic()
    so_far: FeedReport | None = None

    def update(report: FeedReport) -> None:
        nonlocal said, so_far
        so_far = report
        if time.monotonic() - said >= 5:
            said = time.monotonic()
            say(f"pages: {report.pages:,}, records: {report.rows.read:,}", err=True)

    async def body(database: "Database", _: "Services") -> FeedReport:
        of = await tenant_id(database, tenant)
        async with transport:
            return await replicate(database, of, client, load, full=full, progress=update)

    try:
        report = run_on_database(body)
    except ImportRefusedError:
        if so_far is not None:
            say(*so_far.lines(), err=True)
        raise
    if as_json:
        say_json(report)
    else:
        say(*report.lines())
    _exit_by(report.rows)


def _credentials() -> "BearerToken | ClientCredentials":
    from domain.imports.reso.client import BearerToken, ClientCredentials

    found = settings.load()
    if found.reso_token is not None:
        return BearerToken(found.reso_token)
    if found.reso_client_id and found.reso_client_secret and found.reso_token_url:
        return ClientCredentials(
            found.reso_client_id, found.reso_client_secret, found.reso_token_url, found.reso_scope
        )
    raise settings.SettingsError(
        "a RESO Web API needs credentials: set RESO_TOKEN, or RESO_CLIENT_ID, RESO_CLIENT_SECRET "
        "and RESO_TOKEN_URL"
    )


_IMPORT = (
    "id", "created_at", "noun", "source", "sha256", "format", "mapping", "options", "counts",
    "actor", "undone_at", "undone_by", "purged_at",
)  # fmt: skip


@imports.command("list")
def list_imports(
    tenant: TenantOption,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Imports to print.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Print a tenant's imports, newest first."""

    async def body(work: "Work", _: "Services") -> list[dict[str, Any]]:
        from domain.imports import record

        found = await record.page(work, limit=limit)
        return [{name: getattr(one, name) for name in _IMPORT} for one in found]

    found = read_in_tenant(tenant, body)
    if as_json:
        say_json(found)
        return
    columns = ("id", "when", "by", "new", "changed", "deleted", "skipped", "undone", "source")
    table(
        columns,
        (
            (
                one["id"],
                _minute(one["created_at"]),
                one["actor"],
                *(one["counts"][name] for name in ("inserted", "updated", "deleted", "skipped")),
                _minute(one["undone_at"]),
                one["source"],
            )
            for one in found
        ),
    )


def _minute(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


@imports.command("undo")
def undo_import(
    tenant: TenantOption,
    import_id: Annotated[
        UUID | None,
        typer.Argument(help="Id of the import. Default: the last that is not undone."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take back what an import wrote, except what changed since.

    Deleted properties come back with their interactions, changed fields get their previous
    values, and what the import added goes. What changed since is left and listed.
    """

    async def body(work: "Work", _: "Services") -> "UndoReport":
        from domain.imports import record
        from domain.imports.undo import undo

        return await undo(work, import_id, record.command_line())

    report = run_in_tenant(tenant, body)
    if as_json:
        say_json(report)
    else:
        say(*report.lines())


def _file(path: Path, encoding: str | None) -> "FileSource":
    from domain.imports.sources import FileSource

    return FileSource(path, encoding)


def _options(
    columns: list[str] | None,
    constants: list[str] | None,
    words: list[str] | None,
    chosen: Format,
    dates: Dates | None,
    blank: Blank,
    strict: bool,
) -> "ImportOptions":
    from domain.imports.options import ImportOptions

    meanings: dict[str, dict[str, str]] = {}
    for name, value in _pairs("--value", words, "FIELD:WORD=VALUE").items():
        field, colon, word = name.partition(":")
        if not colon:
            raise typer.BadParameter(
                f"{name!r}: write it as FIELD:WORD=VALUE", param_hint="--value"
            )
        meanings.setdefault(field, {})[word] = value
    return ImportOptions(
        format=chosen.value,
        mapping=_pairs("--map", columns, "FIELD=COLUMN"),
        constants=_pairs("--set", constants, "FIELD=VALUE"),
        words=meanings,
        date_order=dates.value if dates else None,
        keep_blank=blank is Blank.KEEP,
        strict=strict,
    )


def _limit(given: str | None, *, delete_missing: bool) -> "DeletionLimit":
    from domain.imports.missing import DEFAULT_LIMIT, DeletionLimit

    if given is None:
        return DEFAULT_LIMIT
    if not delete_missing:
        raise typer.BadParameter("needs --delete-missing", param_hint="--delete-at-most")
    try:
        return DeletionLimit.parse(given)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--delete-at-most") from None


def _role(given: Role | None, *, create_users: bool) -> Role:
    if given is not None and not create_users:
        raise typer.BadParameter("needs --create-users", param_hint="--role")
    return given or Role.VIEWER


def _pairs(option: str, given: list[str] | None, form: str) -> dict[str, str]:
    pairs = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r}: write it as {form}", param_hint=option)
        pairs[name] = value
    return pairs


class _CheckedError(Exception):
    """Undoes a checked import, whose report it carries."""

    def __init__(self, report: "ImportReport") -> None:
        super().__init__("checked")
        self.report = report


def _import(
    tenant: str,
    source: "FileSource",
    load: "Load",
    as_json: bool,
    *,
    create_tenant: bool = False,
    check_only: bool = False,
) -> None:
    """Import with progress and print the report, also that of a strict import that refuses."""
    from domain.imports.record import command_line
    from domain.imports.report import StrictImportError

    with progress(f"Importing {Path(source.name).name}") as update:

        async def body(work: "Work", _: "Services") -> "ImportReport":
            report = await load(
                work,
                source,
                actor=command_line(),
                progress=lambda done, size: update(done / max(1, size), ""),
            )
            if check_only:
                raise _CheckedError(report)
            return report

        try:
            report = run_in_tenant(tenant, body, create=create_tenant)
        except _CheckedError as checked:
            report = checked.report
        except StrictImportError as error:
            say(*error.report.lines(), err=True)
            raise
    if as_json:
        say_json(report)
    else:
        say(*report.lines())
        if check_only:
            say("This was a check: nothing was changed.")
    if not report.valid:
        raise typer.Exit(REFUSED)
    _exit_by(report)


def _exit_by(report: "ImportReport") -> None:
    """End with the exit code of what was loaded."""
    if report.read and not report.valid:
        raise typer.Exit(REFUSED)
    if report.skipped:
        raise typer.Exit(SOME_SKIPPED)
