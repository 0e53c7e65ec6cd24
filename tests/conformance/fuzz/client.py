"""Sends bytes to a server and reads what comes back, whatever it is."""

import socket
from contextlib import suppress
from http.client import HTTPException, HTTPResponse

from tests.conformance.fuzz.messages import Message
from tests.conformance.fuzz.rules import Answer

ANSWERED_WITHIN = 60.0
"""Seconds that a whole request may take; far more than any should."""
WAITED_FOR = 0.2
"""Seconds after which a request that has no end is given up."""


def send(port: int, message: Message) -> Answer:
    """Send a message over a connection of its own, and return the first answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(ANSWERED_WITHIN)
        # It may answer, and close, before it has read all.
        with suppress(OSError):
            connection.sendall(message.data)
        if not message.whole:
            connection.settimeout(WAITED_FOR)
        response = HTTPResponse(connection, method="HEAD" if message.head else "POST")
        try:
            response.begin()
            if not message.whole:
                connection.settimeout(ANSWERED_WITHIN)
            kind = response.headers.get_content_type()
            return Answer(response.status, kind, response.read())
        except (OSError, HTTPException):
            return Answer(None)
        finally:
            response.close()
