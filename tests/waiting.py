"""Waiting for what other transactions and tasks do."""

import asyncio
from collections.abc import Callable

from sqlalchemy import text

from domain.core.database import Database

_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def until_waiting(database: Database, transactions: int) -> None:
    """Wait until so many transactions of the database wait for a lock."""
    found = 0
    async with asyncio.timeout(60):
        while found != transactions:
            await asyncio.sleep(0.02)
            # Anew each time: a transaction sees the same activity until it ends.
            async with database.work(None) as work:
                found = await work.session.scalar(_WAITING) or 0


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(60):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)
