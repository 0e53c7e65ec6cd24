"""Which media type and which encoding an answer has."""

from collections.abc import Sequence

from graph.core.errors import RequestErrorCode, TransportError

RESPONSE_TYPE = "application/graphql-response+json"
"""The media type under which a request that is refused as a whole has no status 200."""

JSON_TYPE = "application/json"
HTML_TYPE = "text/html"
EVENT_STREAM = "text/event-stream"

ANSWERS = (JSON_TYPE, RESPONSE_TYPE)
"""The media types of a GraphQL response."""

_WILDCARDS = {"*/*": 0, "application/*": 1}
_NAMED = 2


def response_type(accept: str, offered: Sequence[str] = ANSWERS) -> str:
    """The media type to answer with, by an ``Accept`` header.

    The most specific range that fits a type gives its quality. Of types of equal quality one that
    is named is preferred, first of all the one that says more by its status; who accepts anything
    gets JSON. HTML is only for who names it.

    Raises:
        TransportError: 406, nothing that this server speaks is accepted.
    """
    if not accept or accept == "*/*":
        return JSON_TYPE
    # For each type the specificity of the best range so far, and its quality.
    found: dict[str, tuple[int, float]] = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if not _utf8(parameters):
            continue
        specificity = _WILDCARDS.get(name, _NAMED)
        ranged = ANSWERS if name in _WILDCARDS else (name,)
        for one in ranged:
            if one in offered and specificity >= found.get(one, (0, 0.0))[0]:
                found[one] = (specificity, _quality(parameters))
    accepted = [one for one, (_, quality) in found.items() if quality > 0]
    if not accepted:
        raise TransportError(
            f"Accept {accept[:100]!r}: this server answers with {RESPONSE_TYPE} or {JSON_TYPE}",
            RequestErrorCode.NOT_ACCEPTABLE,
            status=406,
        )

    def preference(one: str) -> tuple[float, int, bool]:
        specificity, quality = found[one]
        return quality, specificity, one == (RESPONSE_TYPE if specificity == _NAMED else JSON_TYPE)

    return max(accepted, key=preference)


def accepts_stream(accept: str) -> bool:
    """Whether a stream of events is accepted, among others perhaps; it must be named."""
    try:
        return response_type(accept, (EVENT_STREAM,)) == EVENT_STREAM
    except TransportError:
        return False


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an ``Accept-Encoding`` header names gzip, and does not prefer the plain answer."""
    if "gzip" not in accept_encoding.lower():
        return False
    qualities: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        qualities[name.removeprefix("x-")] = _quality(parameters)
    return qualities.get("gzip", 0.0) >= max(qualities.get("identity", 0.0), 0.001)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            # Neither is NaN between 0 and 1.
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0


def _utf8(parameters: list[str]) -> bool:
    return all(
        value.strip('"') in ("utf-8", "utf8")
        for name, _, value in (parameter.partition("=") for parameter in parameters)
        if name == "charset"
    )
