"""Reading what every request asks for: statements that are compiled once, straight on the driver.

A session compiles, caches and converts for every statement that anybody might think of, which costs
more than the database does. What runs in each request is written in SQLAlchemy like the rest, but
compiled once, when its module is imported or filters of its shape are first seen, and runs on the
driver's connection in the transaction that ``Database.read`` opens; rows come as the driver has
them, values of vocabularies as text. ``Work`` runs such statements too, so that a query is written
once for both.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import BindParameter, SelectBase
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.types import TypeEngine

Row = Sequence[Any]
Value = TypeVar("Value")

_DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]


class _Parameter(BindParameter[Value]):
    inherit_cache = True


def parameter(name: str, kind: TypeEngine[Value]) -> BindParameter[Value]:
    """A value that is given when the statement is run."""
    # With a value, since the statement is compiled before there is one.
    return _Parameter(name, None, type_=kind)


class Statement:
    """A query in the driver's terms.

    Args:
        query: what to read. Values other than those of its ``parameter``s are fixed.
    """

    def __init__(self, query: SelectBase) -> None:
        compiled = query.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        self.text = compiled.string
        self._names = tuple(compiled.positiontup or ())
        self._wanted = {
            name for name, bind in compiled.binds.items() if isinstance(bind, _Parameter)
        }
        self._fixed = dict(compiled.params)

    def arguments(self, values: dict[str, Any]) -> list[Any]:
        """The values of ``$1``, ``$2`` and so on.

        Raises:
            KeyError: a parameter lacks a value, or there is no such parameter.
        """
        if values.keys() != self._wanted:
            raise KeyError(f"the query wants {sorted(self._wanted)}, not {sorted(values)}")
        known = self._fixed | values
        return [known[name] for name in self._names]


class Reader(Protocol):
    """A transaction that sees one tenant: a ``Reading`` or a unit of work."""

    @property
    def tenant_id(self) -> UUID:
        """The tenant."""
        ...

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """The rows of a statement, which sees the tenant's alone."""
        ...


class Reading:
    """A transaction that only reads; only ``Database.read`` makes one."""

    __slots__ = ("_connection", "_tenant")

    def __init__(self, connection: Any, tenant: UUID | None) -> None:
        self._connection = connection
        self._tenant = tenant

    @property
    def tenant_id(self) -> UUID:
        """The tenant. Raises RuntimeError where there is none."""
        if self._tenant is None:
            raise RuntimeError("this transaction has no tenant")
        return self._tenant

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """See ``Reader``."""
        rows: Sequence[Row] = await self._connection.fetch(
            statement.text, *statement.arguments(values)
        )
        return rows
