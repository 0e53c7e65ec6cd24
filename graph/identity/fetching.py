"""Fetching a JSON document from a place that may be slow, broken or not what it was."""

import asyncio
import json
import ssl
from functools import cache
from typing import Any

import httpx

TIMEOUT = 5.0
"""Seconds for a whole fetch, from the look-up of the name to the last byte."""

MAX_BYTES = 256 * 1024


@cache
def _trusted() -> ssl.SSLContext:
    # Reading all certificates takes longer than most fetches, and lets nothing else run meanwhile.
    return httpx.create_ssl_context()


class FetchError(RuntimeError):
    """There was no usable answer. The message is for the log and names the URL."""


async def fetch_json(url: str, *, https_only: bool) -> dict[str, Any]:
    """The JSON object at a URL, in at most ``TIMEOUT`` seconds and ``MAX_BYTES`` bytes.

    Redirects are not followed: keys are to come from where the settings say, and nowhere else.

    Raises:
        FetchError: anything else came, or nothing.
    """
    schemes = ("https",) if https_only else ("https", "http")
    try:
        if httpx.URL(url).scheme not in schemes:
            raise FetchError(f"{url}: use {' or '.join(schemes)}")
        async with (
            asyncio.timeout(TIMEOUT),
            httpx.AsyncClient(timeout=TIMEOUT, verify=_trusted()) as client,
        ):
            body = await _read(client, url)
        document = json.loads(body)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise FetchError(f"{url}: {type(error).__name__}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise FetchError(f"{url}: the answer is not JSON") from error
    if not isinstance(document, dict):
        raise FetchError(f"{url}: the answer is no JSON object")
    return document


async def _read(client: httpx.AsyncClient, url: str) -> bytes:
    # A compressed answer could be of any size once it is unpacked.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with client.stream("GET", url, headers=headers) as response:
        if response.status_code != httpx.codes.OK:
            raise FetchError(f"{url}: status {response.status_code}")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise FetchError(f"{url}: more than {MAX_BYTES} bytes")
    return bytes(body)
